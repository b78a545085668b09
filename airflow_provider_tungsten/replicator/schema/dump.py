"""Definitions out of a file that `mysqldump --no-data` wrote."""

from __future__ import annotations

import re
from pathlib import Path

from airflow_provider_tungsten.replicator.errors import ConfigurationError
from airflow_provider_tungsten.replicator.filters.tokens import (
    Dialect,
    NotUnderstoodError,
    Reader,
    statements,
)
from airflow_provider_tungsten.replicator.schema.catalog import Catalog
from airflow_provider_tungsten.replicator.schema.session import Session
from airflow_provider_tungsten.replicator.thl.event import event_id, parse_event_id

_MAX_BYTES = 256 * 1024 * 1024
_TAKE_IT = "take it with mysqldump --no-data --databases … (or --all-databases)"
# Triggers, routines and events stand between other delimiters.
_DELIMITER = re.compile(r"^DELIMITER[ \t]+(\S+)[ \t]*\r?$", re.MULTILINE)
_POSITION = re.compile(r"(?:MASTER|SOURCE)_LOG_FILE='([^']+)', (?:MASTER|SOURCE)_LOG_POS=(\d+)")


def catalog_at(path: str | Path, start: str, *, folds: bool = False) -> Catalog:
    """The tables at the event id `start`, where reading begins and where the dump was taken.

    :raises ConfigurationError: it says that it was taken elsewhere; or as :func:`catalog_of_dump`.
    """
    taken_at = place_of_dump(path)
    if taken_at is not None and parse_event_id(taken_at) != parse_event_id(start):
        raise ConfigurationError(
            f"the schema dump {path} was taken at {taken_at}, reading would begin at {start}: take it at that place, or "
            "start where it was taken"
        )
    return catalog_of_dump(path, folds=folds)


def catalog_of_dump(path: str | Path, *, folds: bool = False) -> Catalog:
    """The tables as a dump holds them.

    :param folds: whether the server's ``lower_case_table_names`` is not 0.
    :raises ConfigurationError: no such file, or no such dump.
    """
    catalog = Catalog({}, {}, whole=False, folds=folds)
    schema = ""
    for sql in _statements(_text(path)):
        words = Session().words(sql)
        if words.skip("USE"):
            schema = _name(words)
        else:
            catalog.apply(sql, Session(schema, shown=True), f"{path}, {' '.join(sql.split()[:3])}")
    if not len(catalog):
        raise ConfigurationError(f"{path} holds no table of a named database: {_TAKE_IT}")
    return catalog


def _name(words: Reader) -> str:
    try:
        return words.name()
    except NotUnderstoodError:
        raise ConfigurationError(f"a schema dump that says USE {words.rest}: {_TAKE_IT}") from None


def place_of_dump(path: str | Path) -> str | None:
    """The event id at which a dump was taken with ``--source-data`` (or ``--master-data``); None: it does not say."""
    match = _POSITION.search(_text(path))
    return event_id(match[1], int(match[2])) if match else None


def _text(path: str | Path) -> str:
    try:
        file = Path(path)
        if file.stat().st_size > _MAX_BYTES:
            raise ConfigurationError(
                f"{path} is larger than {_MAX_BYTES >> 20} MB, so it holds rows: {_TAKE_IT}"
            )
        return file.read_text(encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise ConfigurationError(f"cannot read the schema dump {path}: {error.strerror}") from None


def _statements(text: str) -> list[str]:
    pieces = _DELIMITER.split(text)
    found: list[str] = []
    for piece, delimiter in zip(pieces[::2], [";", *pieces[1::2]], strict=True):
        if delimiter == ";":
            found += statements(piece, Dialect())
    return found
