"""What `mysqlbinlog -vv` printed of a file: every row image, and whether a value of ours says the same."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from airflow_provider_tungsten.replicator.binlog.definition import Column

_CHANGE = re.compile(rb"### (INSERT INTO|UPDATE|DELETE FROM) `((?:[^`]|``)*)`\.`((?:[^`]|``)*)`$")
_VALUE = re.compile(rb"###   @(\d+)=(.*?)(?: +/\* .*? \*/)?$", re.DOTALL)
_GTID = re.compile(rb"SET @@SESSION.GTID_NEXT= '([^']*)'")
_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|.)", re.DOTALL)
_ESCAPED = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"0": b"\0", b"b": b"\b", b"Z": b"\x1a"}
_CODECS = {
    "ascii": "ascii",
    "latin1": "cp1252",
    "utf8mb4": "utf-8",
    "utf8mb3": "utf-8",
    "ucs2": "utf-16-be",
    "utf16": "utf-16-be",
    "utf16le": "utf-16-le",
    "utf32": "utf-32-be",
    "gbk": "gbk",
    "gb18030": "gb18030",
    "sjis": "cp932",
    "ujis": "euc_jp",
    "cp1251": "cp1251",
}


class Image(NamedTuple):
    """:param values: by the column's number, from 1; in an image that is not full some are missing.

    ``partial``: a JSON value stands as the function that changes it.
    """

    gtid: str
    table: str
    opcode: str
    values: dict[int, bytes]

    @property
    def partial(self) -> bool:
        return any(value.startswith(b"JSON_") for value in self.values.values())


def images(path: Path) -> Iterator[Image]:
    """In the order of the log; of an update the old one (D), then the new one (I)."""
    gtid, table = "", ""
    image: Image | None = None
    for line in path.read_bytes().split(b"\n"):
        if match := _GTID.match(line):
            gtid = match[1].decode()
        elif match := _CHANGE.match(line):
            table = f"{match[2].decode()}.{match[3].decode()}"
        elif line in (b"### WHERE", b"### SET"):
            if image is not None:
                yield image
            image = Image(gtid, table, "D" if line == b"### WHERE" else "I", {})
        elif (match := _VALUE.match(line)) and image is not None:
            image.values[int(match[1])] = match[2]
    if image is not None:
        yield image


def same(column: Column, ours: str | None, listed: bytes) -> bool:
    if ours is None or listed == b"NULL":
        return ours is None and listed == b"NULL"
    return _COMPARE.get(column.type, _same_text)(column, ours, listed)


def _unquoted(listed: bytes) -> bytes:
    assert listed[:1] == listed[-1:] == b"'"
    return _ESCAPE.sub(
        lambda match: (
            bytes([int(match[1][1:], 16)]) if len(match[1]) == 3 else _ESCAPED.get(match[1], match[1])
        ),
        listed[1:-1],
    )


def _same_integer(column: Column, ours: str, listed: bytes) -> bool:
    signed, _, unsigned = listed.decode().rstrip(")").partition(" (")
    return ours == (unsigned or signed if column.unsigned else signed)


def _same_decimal(column: Column, ours: str, listed: bytes) -> bool:
    return ours == listed.decode()


def _same_float(column: Column, ours: str, listed: bytes) -> bool:
    return f"{float(ours):g}" == f"{float(listed):g}"


def _same_double(column: Column, ours: str, listed: bytes) -> bool:
    return float(ours) == float(listed)


def _same_bits(column: Column, ours: str, listed: bytes) -> bool:
    return int(ours) == int(listed[2:-1], 2)


def _same_year(column: Column, ours: str, listed: bytes) -> bool:
    return ours == ("0000" if listed == b"1900" else listed.decode())


def _same_time(column: Column, ours: str, listed: bytes) -> bool:
    return ours == listed[1:-1].decode()


def _same_date(column: Column, ours: str, listed: bytes) -> bool:
    return ours == listed[1:-1].decode().replace(":", "-")


def _same_timestamp(column: Column, ours: str, listed: bytes) -> bool:
    seconds, dot, fraction = listed.decode().partition(".")
    if not int(seconds):
        return ours == f"0000-00-00 00:00:00{dot}{fraction}"
    at = datetime.datetime.fromtimestamp(int(seconds), datetime.UTC)
    return ours == f"{at:%Y-%m-%d %H:%M:%S}{dot}{fraction}"


def _same_text(column: Column, ours: str, listed: bytes) -> bool:
    listed = _unquoted(listed)
    if column.charset == "latin1" and listed == b"\x81":
        return ours == "\x81"  # which Python's codec does not know
    return ours == listed.decode(_CODECS[column.charset or "utf8mb4"])


def _same_binary(column: Column, ours: str, listed: bytes) -> bool:
    found = bytes.fromhex(ours)
    if column.type == "binary":  # the log leaves trailing zeros out, a value has them
        return len(found) == column.length and found.rstrip(b"\0") == _unquoted(listed).rstrip(b"\0")
    return found == _unquoted(listed)


def _same_enum(column: Column, ours: str, listed: bytes) -> bool:
    return ours == ("", *column.members)[int(listed)]


def _same_set(column: Column, ours: str, listed: bytes) -> bool:
    digits = listed[2:-1].decode()  # the bytes as they lie in the log, the lowest first
    bits = sum(int(digits[at : at + 8], 2) << at for at in range(0, len(digits), 8))
    return ours == ",".join(label for number, label in enumerate(column.members) if bits >> number & 1)


def _same_json(column: Column, ours: str, listed: bytes) -> bool:
    text = _unquoted(listed).decode()
    return text == (json.loads(ours) if ours.startswith('"') else ours)


def _same_vector(column: Column, ours: str, listed: bytes) -> bool:
    return [float(number) for number in json.loads(ours)] == json.loads(listed)


_COMPARE = {
    **dict.fromkeys(("tinyint", "smallint", "mediumint", "int", "bigint"), _same_integer),
    **dict.fromkeys(("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"), _same_binary),
    **dict.fromkeys(("time", "datetime"), _same_time),
    "decimal": _same_decimal,
    "float": _same_float,
    "double": _same_double,
    "bit": _same_bits,
    "year": _same_year,
    "date": _same_date,
    "timestamp": _same_timestamp,
    "enum": _same_enum,
    "set": _same_set,
    "json": _same_json,
    "vector": _same_vector,
    "geometry": _same_binary,
}
