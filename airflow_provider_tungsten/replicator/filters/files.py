"""Reads the files in which filters keep their definitions: CSV for `rename`, YAML or JSON for the others."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from airflow_provider_tungsten.replicator.errors import ConfigurationError
from airflow_provider_tungsten.replicator.filters import settings
from airflow_provider_tungsten.replicator.filters.settings import Filter, Filters

_M = TypeVar("_M", bound=BaseModel)
_COLUMNS = ("schema", "table", "column", "new_schema", "new_table", "new_column")
_ENTRIES: dict[type[BaseModel], type[BaseModel]] = {
    settings.DropColumn: settings.DroppedColumns,
    settings.DropOnValueFilter: settings.DroppedValues,
    settings.CustomPkey: settings.Keyed,
}


def complete(filters: Filters) -> Filters:
    """The filters with what their files hold in place of the files' names.

    :raises ConfigurationError: a file that cannot be read or is malformed: its line and the reason.
    """
    return tuple(_complete(each) for each in filters)


def _complete(each: Filter) -> Filter:
    path = getattr(each, "definitions_file", None)
    if path is None:
        if isinstance(each, settings.Rename):
            _check_requests(f"filter {each.filter}", enumerate(each.definitions, 1))
        return each
    text = _text(each.filter, path)
    if isinstance(each, settings.Rename):
        requests = list(_requests(path, text))
        _check_requests(path, requests)
        definitions: Any = tuple(request for _, request in requests)
        return each.model_copy(update={"definitions": definitions, "definitions_file": None})
    node = _node(path, text)
    if isinstance(each, settings.SkipEventByType):
        return _skipped(path, node)
    entries = _entries(path, node, _ENTRIES[type(each)])
    return each.model_copy(update={"definitions": entries, "definitions_file": None})


def _text(name: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigurationError(f"filter {name}: cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"filter {name}: {path} is not UTF-8: {error.reason}") from None


# rename: origSchema,origTable,origCol,newSchema,newTable,newCol


def _requests(path: str, text: str) -> Iterator[tuple[int, settings.Renamed]]:
    reader = csv.reader(text.splitlines(), strict=True)
    try:
        for row in reader:
            if not any(part.strip() for part in row) or row[0].startswith("#"):
                continue
            parts = [part.strip() for part in row]
            if len(parts) != len(_COLUMNS):
                raise _wrong(
                    path, reader.line_num, f"{len(parts)} columns, not the {len(_COLUMNS)} of a request"
                )
            # A comment may follow the last column.
            parts[-1] = parts[-1].partition("#")[0].strip()
            yield (
                reader.line_num,
                _valid(path, reader.line_num, settings.Renamed, dict(zip(_COLUMNS, parts, strict=True))),
            )
    except csv.Error as error:
        raise _wrong(path, reader.line_num, str(error)) from None


def _check_requests(origin: str, requests: Iterable[tuple[int, settings.Renamed]]) -> None:
    seen: dict[tuple[str, str, str], int] = {}
    for place, request in requests:
        names = (request.schema_, request.table, request.column)
        if (before := seen.setdefault(names, place)) != place:
            raise _wrong(origin, place, f"{'.'.join(names)} is renamed by {before} already")


# The others: YAML, of which JSON is a part


def _node(path: str, text: str) -> yaml.Node:
    if path.endswith(".json"):
        text = text.replace("\t", " ")  # white space in JSON, but not in YAML
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise _wrong(path, line, error.problem or "malformed") from None
    except yaml.YAMLError as error:
        raise _wrong(path, 1, str(error)) from None
    if node is None:
        raise _wrong(path, 1, "there is nothing in it")
    return node


def _value(node: yaml.Node) -> Any:
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _entries(path: str, node: yaml.Node, model: type[BaseModel]) -> tuple[BaseModel, ...]:
    if not isinstance(node, yaml.SequenceNode) or not node.value:
        raise _wrong(path, node.start_mark.line + 1, "a list of definitions is needed")
    return tuple(_valid(path, item.start_mark.line + 1, model, _value(item)) for item in node.value)


def _skipped(path: str, node: yaml.Node) -> settings.SkipEventByType:
    if not isinstance(node, yaml.MappingNode):
        raise _wrong(path, node.start_mark.line + 1, "a mapping of schemas is needed")
    given: dict[str, Any] = {"filter": "skipeventbytype"}
    definitions: dict[str, Any] = {}
    for key, value in node.value:
        name, line = str(key.value), key.start_mark.line + 1
        part = {"__default": _value(value)} if name == "__default" else {"definitions": {name: _value(value)}}
        _valid(path, line, settings.SkipEventByType, {"filter": "skipeventbytype", **part})
        definitions.update(part.pop("definitions", {}))
        given.update(part)
    return _valid(path, 1, settings.SkipEventByType, {**given, "definitions": definitions})


def _valid(path: str, line: int, model: type[_M], value: Any) -> _M:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        reasons = [
            ": ".join([*(".".join(map(str, item["loc"])) for _ in item["loc"][:1]), item["msg"]])
            for item in error.errors()
        ]
        raise _wrong(path, line, "; ".join(reasons)) from None


def _wrong(path: str, line: int, reason: str) -> ConfigurationError:
    return ConfigurationError(f"{path}, line {line}: {reason}")
