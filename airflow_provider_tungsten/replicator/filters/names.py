"""What filters make of the names of schemas, tables and columns. What becomes of a table's columns is :mod:`.draft`'s."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from airflow_provider_tungsten.replicator.filters import settings
from airflow_provider_tungsten.replicator.filters.settings import Filter, Filters

Table = tuple[str, str]


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = ({"*": ".*", "?": "."}.get(char) or re.escape(char) for char in pattern)
    return re.compile("".join(parts), re.DOTALL)


def matches(pattern: str, name: str) -> bool:
    """Whether a pattern with ``*`` and ``?`` is the whole name, case and all."""
    return _compiled(pattern).fullmatch(name) is not None


def is_pattern(text: str) -> bool:
    return "*" in text or "?" in text


def speaks_of(pattern: str, *names: str) -> bool:
    """Whether the parts of ``schema``, ``schema.table`` or ``schema.table.column`` match; a part that is missing is any."""
    parts = pattern.split(".")
    return all(matches(part, name) for part, name in zip(parts, names, strict=False))


def replicates(each: settings.Replicate, schema: str, table: str) -> bool:
    """``ignore`` wins; an empty ``do`` is all."""
    if any(speaks_of(pattern, schema, table) for pattern in each.ignore):
        return False
    return not each.do or any(speaks_of(pattern, schema, table) for pattern in each.do)


def _may_replicate(each: settings.Replicate, schema: str) -> bool:
    """Whether any table of the schema can take part."""
    if any(
        matches(pattern.partition(".")[0], schema) and pattern.partition(".")[2] in ("", "*")
        for pattern in each.ignore
    ):
        return False
    return not each.do or any(matches(pattern.partition(".")[0], schema) for pattern in each.do)


class Requests:
    """A `rename` filter's requests by what they look for; the first that is found decides, in Tungsten's order."""

    def __init__(self, requests: Iterable[settings.Renamed]) -> None:
        self._by_name = {(each.schema_, each.table, each.column): each for each in requests}

    def table(self, schema: str, table: str) -> Table:
        """Schema: s.t, then s.*; table: s.t, then *.t."""
        at_schema = self._first((schema, table, "*"), (schema, "*", "*"))
        at_table = self._first((schema, table, "*"), ("*", table, "*"))
        new_schema = at_schema.new_schema if at_schema else "-"
        new_table = at_table.new_table if at_table else "-"
        return (schema if new_schema == "-" else new_schema, table if new_table == "-" else new_table)

    def column(self, schema: str, table: str, column: str) -> str:
        """s.t, s.*, *.t, *.*."""
        found = self._first(*((s, t, column) for s in (schema, "*") for t in (table, "*")))
        return column if found is None or found.new_column == "-" else found.new_column

    def _first(self, *places: tuple[str, str, str]) -> settings.Renamed | None:
        return next((self._by_name[place] for place in places if place in self._by_name), None)


def cased(each: settings.CaseTransform, name: str) -> str:
    return name.upper() if each.to_upper_case else name.lower()


class Names:
    """The names that tables get, and whether they take part at all.

    :param filters: complete ones, see :mod:`.files`.
    """

    def __init__(self, filters: Filters) -> None:
        self._steps = [
            each
            for each in filters
            if isinstance(each, settings.Replicate | settings.Rename | settings.CaseTransform)
        ]
        self.target = lru_cache(maxsize=65536)(self._target)

    def _target(self, schema: str, table: str) -> Table | None:
        """The table's name behind the filters; None: it is not replicated."""
        for each in self._steps:
            if isinstance(each, settings.Replicate) and not replicates(each, schema, table):
                return None
            schema, table = step(each, schema, table)
        return schema, table

    def touches(self, schema: str) -> bool:
        """Whether a statement on all of a schema may concern a table that is replicated."""
        for each in self._steps:
            if not isinstance(each, settings.Replicate):
                return True  # single tables may be moved to other schemas
            if not _may_replicate(each, schema):
                return False
        return True


def step(each: Filter, schema: str, table: str) -> Table:
    """The table's name behind one filter."""
    if isinstance(each, settings.Rename):
        return requests(each.definitions).table(schema, table)
    if isinstance(each, settings.CaseTransform):
        return cased(each, schema), cased(each, table)
    return schema, table


@lru_cache(maxsize=256)
def requests(definitions: tuple[settings.Renamed, ...]) -> Requests:
    return Requests(definitions)
