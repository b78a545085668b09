"""Compares source and target tables row by row and value by value, with nothing of the product's own code."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

_TEXT = {"char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set"}
_BINARY = {"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"}


@dataclass(frozen=True)
class TableResult:
    """What a comparison of one table found; ``detail`` tells of the first difference."""

    table: str
    source_rows: int
    target_rows: int
    missing: int
    extra: int
    differing: int
    detail: str = ""

    @property
    def equal(self) -> bool:
        return self.source_rows == self.target_rows and not (self.missing or self.extra or self.differing)


@dataclass(frozen=True)
class _Column:
    name: str
    type: str
    key: bool

    @property
    def source_sql(self) -> str:
        quoted = f"`{self.name}`"
        if self.type == "float":
            return f"CAST({quoted} AS DOUBLE)"
        if self.type == "json":
            return f"CAST({quoted} AS CHAR)"
        if self.type == "time":
            return f"CAST({quoted} AS CHAR)"
        if self.type == "bit":
            return f"CAST({quoted} AS UNSIGNED)"
        return quoted


def _time(value: Any) -> timedelta:
    text = str(value)
    sign = -1 if text.startswith("-") else 1
    hours, minutes, seconds = text.lstrip("-").split(":")
    return sign * timedelta(
        hours=int(hours), minutes=int(minutes), microseconds=round(float(seconds) * 1_000_000)
    )


def _single(value: Any) -> bytes:
    return struct.pack("<f", float(value))


def _hex(value: Any) -> str:
    return value.hex() if isinstance(value, bytes | bytearray) else str(value)


def _normalizer(kind: str) -> Callable[[Any], Any]:
    if kind in _BINARY:
        return _hex
    if kind == "time":
        return _time
    if kind == "float":
        return _single
    if kind == "double":
        return lambda value: struct.pack("<d", float(value))
    if kind in _TEXT or kind == "json":
        return str
    if kind in {"bit", "year"} or kind.endswith("int"):
        return int
    return lambda value: value


def _columns(source: Any, schema: str, table: str) -> list[_Column]:
    with source.cursor() as cursor:
        cursor.execute(
            "SELECT column_name, data_type, column_key = 'PRI' FROM information_schema.columns"
            " WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position",
            (schema, table),
        )
        return [_Column(name, kind, bool(key)) for name, kind, key in cursor.fetchall()]


def _rows(cursor: Any, columns: list[_Column]) -> Iterator[tuple[tuple[Any, ...], tuple[Any, ...]]]:
    normalizers = [_normalizer(column.type) for column in columns]
    keys = [index for index, column in enumerate(columns) if column.key]
    for row in cursor.fetchall():
        values = tuple(
            None if value is None else normalize(value)
            for normalize, value in zip(normalizers, row, strict=True)
        )
        yield tuple(values[index] for index in keys), values


def compare_table(
    source: Any, target: Any, schema: str, table: str, target_schema: str | None = None
) -> TableResult:
    """:param source: a PyMySQL connection. :param target: a redshift_connector connection."""
    columns = _columns(source, schema, table)
    with source.cursor() as cursor:
        cursor.execute("SET time_zone = '+00:00'")
        cursor.execute(
            f"SELECT {', '.join(column.source_sql for column in columns)} FROM `{schema}`.`{table}`"
        )
        expected = dict(_rows(cursor, columns))
    names = ", ".join(f'"{column.name.lower()}"' for column in columns)
    with target.cursor() as cursor:
        cursor.execute(f'SELECT {names} FROM "{target_schema or schema}"."{table.lower()}"')
        found = list(_rows(cursor, columns))
    target.rollback()
    source.rollback()
    actual = dict(found)
    missing = expected.keys() - actual.keys()
    differing = [key for key in expected.keys() & actual.keys() if expected[key] != actual[key]]
    detail = ""
    if differing:
        key = min(differing, key=str)
        column, before, after = next(
            (column.name, old, new)
            for column, old, new in zip(columns, expected[key], actual[key], strict=True)
            if old != new
        )
        detail = f"key {key}: {column} is {after!r}, should be {before!r}"
    elif missing:
        detail = f"missing key {min(missing, key=str)}"
    extra = len(found) - len(expected.keys() & actual.keys())
    return TableResult(table, len(expected), len(found), len(missing), extra, len(differing), detail)


def compare(source: Any, target: Any, schema: str, tables: list[str]) -> list[TableResult]:
    """One result a table, in the order given."""
    return [compare_table(source, target, schema, table) for table in tables]
