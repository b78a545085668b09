"""Canonical texts of values as JSON and Arrow have them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_tungsten.replicator.binlog._spooled import SpooledBuffer
from airflow_provider_tungsten.replicator.binlog.definition import GEOMETRY_TYPES, Column
from airflow_provider_tungsten.replicator.binlog.large_text import pieces_of

INTEGERS = frozenset({"tinyint", "smallint", "mediumint", "int", "bigint", "bit", "year"})
REALS = frozenset({"float", "double"})
NUMBERS = INTEGERS | REALS | {"decimal"}
BINARY = frozenset({"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"})
_BYTES = {"tinyint": 1, "smallint": 2, "mediumint": 4, "int": 4, "bigint": 8}
_SIGNED = {1: pa.int8(), 2: pa.int16(), 4: pa.int32(), 8: pa.int64()}
_UNSIGNED = {1: pa.uint8(), 2: pa.uint16(), 4: pa.uint32(), 8: pa.uint64()}
_OTHER = {
    "bit": pa.uint64(),
    "year": pa.int16(),
    "float": pa.float32(),
    "double": pa.float64(),
    "date": pa.date32(),
    "datetime": pa.timestamp("us"),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "time": pa.duration("us"),
    "vector": pa.list_(pa.float32()),
    **dict.fromkeys(BINARY | GEOMETRY_TYPES, pa.large_binary()),
}
_TIME = re.compile(r"(-?)(\d+):(\d\d):(\d\d)(?:\.(\d{1,6}))?")


def plain(column: Column, text: str | None) -> int | float | str | None:
    """A value as JSON has it: integers and reals as numbers; all else, DECIMAL too, as its text."""
    if text is None:
        return None
    if column.type in INTEGERS:
        return int(text)
    return float(text) if column.type in REALS else text


def arrow_type(column: Column) -> pa.DataType:
    """DECIMAL keeps its digits, DATETIME has no zone, TIMESTAMP is UTC; what is no number, time or bytes is text."""
    if size := _BYTES.get(column.type):
        return (_UNSIGNED if column.unsigned else _SIGNED)[size]
    if column.type == "decimal":
        precision, scale = column.length or 10, column.scale or 0
        return pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)
    return _OTHER.get(column.type, pa.large_string())


def to_arrow(column: Column, texts: Sequence[str | None]) -> pa.Array:
    """:raises ValueError: a value that Arrow's type does not have, like the day 0 of a month."""
    type_ = arrow_type(column)
    parse = _PARSED.get(column.type)
    if parse is not None:
        return pa.array([None if text is None else parse(text) for text in texts], type_)
    array = pa.array(texts, pa.large_string())
    if column.type == "timestamp":
        return pc.assume_timezone(array.cast(pa.timestamp("us")), "UTC")
    return array.cast(type_)


def spooled(type_: pa.DataType, texts: Sequence[str | None]) -> tuple[pa.Array, SpooledBuffer]:
    """Texts, or what they are the hexadecimal of, as an array of ``large_string`` or ``large_binary``; and what it lies in. Of a
    :class:`LargeText` no more than a piece is in memory."""
    data, ends = SpooledBuffer(), [0]
    for text in texts:
        for piece in pieces_of(text or ""):
            data.append(bytes.fromhex(piece) if type_ == pa.large_binary() else piece.encode())
        ends.append(len(data))
    data.page_out()
    valid = pa.array([text is not None for text in texts]).buffers()[1]
    offsets = pa.array(ends, pa.int64()).buffers()[1]
    return pa.Array.from_buffers(type_, len(texts), [valid, offsets, pa.py_buffer(data)]), data


def floats(text: str) -> list[float]:
    """Of a VECTOR, whose -0 is not 0."""
    found: list[float] = json.loads(text, parse_int=float)
    return found


def _time(text: str) -> timedelta:
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"not a time: {len(text)} characters")
    sign, hours, minutes, seconds, fraction = match.groups()
    value = timedelta(
        hours=int(hours),
        minutes=int(minutes),
        seconds=int(seconds),
        microseconds=int((fraction or "0").ljust(6, "0")),
    )
    return -value if sign else value


_PARSED: dict[str, Callable[[str], Any]] = {
    "time": _time,
    "vector": floats,
    **dict.fromkeys(BINARY | GEOMETRY_TYPES, bytes.fromhex),
}
