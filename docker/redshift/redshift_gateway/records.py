"""A COPY's CSV bytes turned into CSV that PostgreSQL reads with Redshift's meaning; no I/O.

Chunks whose every field PostgreSQL provably understands as Redshift does pass unchanged (one compiled pattern
decides); others are rewritten field by field.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from redshift_gateway.copy_statement import CopyStatement

CHUNK = 1 << 18
MAX_ROW = 4 << 20
"""Bytes an input row may have (Database Developer Guide, COPY)."""

_CHARACTER = {"varchar", "bpchar", "text"}
_CANONICAL = {
    "int2": rb"-?\d++",
    "int4": rb"-?\d++",
    "int8": rb"-?\d++",
    "float4": rb"-?\d++(?:\.\d++)?+(?:e[+-]?\d++)?+",
    "float8": rb"-?\d++(?:\.\d++)?+(?:e[+-]?\d++)?+",
    "bool": rb"[tf01]|true|false",
    "date": rb"\d{4}-\d\d-\d\d",
    "timestamp": rb"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d{1,6})?+",
    "timestamptz": rb"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d{1,6})?+(?:Z|[+-]\d\d(?::?\d\d)?)?+",
}
"""Per PostgreSQL type, the texts that mean the same there and in Redshift's COPY."""
_NOT_A_TIME = re.compile(rb"\.\d{7,}|^\D*+$")


@dataclass(frozen=True)
class Column:
    """A target column: attribute number, ``base_type`` as PostgreSQL names it, ``length`` in bytes, DECIMAL's scale."""

    number: int
    name: str
    base_type: str
    length: int | None
    scale: int | None

    @property
    def is_character(self) -> bool:
        return self.base_type in _CHARACTER


@dataclass
class RecordError(Exception):
    """A record Redshift would refuse. ``line`` counts from 1 in the converted chunk; codes as in STL_LOAD_ERRORS."""

    code: int
    reason: str
    line: int
    column: Column | None = None


class Converter:
    """The conversion for one COPY into one table."""

    def __init__(self, copy: CopyStatement, columns: list[Column]) -> None:
        self._copy = copy
        self._columns = columns
        self._quote = copy.quote.encode()
        self._delimiter = copy.delimiter.encode()
        self._null = copy.null.encode()
        quote, separator = re.escape(self._quote), re.escape(self._delimiter)
        plain = rb"[^%b]*+" % self._class(b"\r\n")
        quoted = rb"%b(?:[^%b]++|%b%b)*+%b" % (quote, quote, quote, quote, quote)
        field = rb"%b|%b" % (quoted, plain)
        loose = rb"[ \t]*+%b[ \t]*+|%b" % (quoted, plain)
        self._record = re.compile(separator.join(rb"(%b)" % field for _ in columns) + rb"\r?\n")
        # Blanks count as outside a field only where a quote follows or precedes them.
        self._loose_record = re.compile(
            separator.join(
                rb"(?:[ \t]*+(?=%b))?(%b)(?:(?<=%b)[ \t]*+)?" % (quote, field, quote) for _ in columns
            )
            + rb"\r?\n"
        )
        self._any_record = re.compile(rb"(?:%b)(?:%b(?:%b))*+\r?\n" % (loose, separator, loose))
        self._any_field = re.compile(rb"(?:%b)(?:%b|\r?\n)" % (loose, separator))
        same = [self._same_meaning(column) for column in columns]
        self._same_records = re.compile(rb"(?:%b\n)*+" % separator.join(same))
        self._empty = (b"", self._quote * 2)
        self._null_if_empty = [i for i, c in enumerate(columns) if copy.empty_as_null or not c.is_character]
        rules = [(i, re.compile(same[i]), self._rule(column)) for i, column in enumerate(columns)]
        self._rules = [(i, fine, rule) for i, fine, rule in rules if rule is not None]

    def _class(self, more: bytes) -> bytes:
        return re.escape(self._quote) + re.escape(self._delimiter) + more

    def _same_meaning(self, column: Column) -> bytes:
        """The pattern of fields of ``column`` that need no conversion; one that matches nothing when all do."""
        quote, null = re.escape(self._quote), re.escape(self._null)
        if column.is_character:
            return self._same_text(column, quote, null)
        canonical = _CANONICAL.get(column.base_type)
        if column.base_type == "numeric":
            canonical = rb"-?\d++(?:\.\d{0,%d})?+" % (column.scale or 0)
        if canonical is None:
            return rb"(?:%b|%b%b%b)" % (null, quote, null, quote)
        return rb"(?:%b|%b|%b(?:%b|%b)%b)" % (canonical, null, quote, canonical, null, quote)

    def _same_text(self, column: Column, quote: bytes, null: bytes) -> bytes:
        if self._copy.truncate_columns:
            return rb"(?:%b|%b%b%b)" % (null, quote, null, quote)
        more = rb"\r\n\\" if len(self._columns) == 1 else rb"\r\n"
        some = b"++" if self._copy.empty_as_null else b"*+"
        filled = rb"(?!%b(?!%b))" % (quote, quote) if self._copy.empty_as_null else b""
        quoted = rb"%b%b(?:[^%b]++|%b%b)*+%b" % (quote, filled, quote, quote, quote, quote)
        return rb"(?:%b|[^%b]%b|%b)" % (quoted, self._class(more), some, null)

    def _rule(self, column: Column) -> Callable[[bytes], bytes] | None:
        """What is done to a field's content (unquoted, not NULL, not empty) that has not the same meaning already."""
        if column.is_character:
            length = column.length
            if self._copy.truncate_columns and length is not None:
                return lambda value: _truncate(value, length)
            return None
        if column.base_type == "bytea":
            return lambda value: _hexadecimal(value, column)
        if column.base_type == "numeric" and column.scale is not None:
            digits = re.compile(rb"([+-]?\d*\.\d{%d})\d+" % column.scale)
            return lambda value: digits.sub(rb"\1", value)
        if column.base_type in ("date", "timestamp", "timestamptz"):
            return lambda value: _time(value, column)
        return None

    def convert(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Yield one object's content as PostgreSQL CSV, in chunks of whole records. Raises RecordError."""
        for chunk in self._chunks(_without_header(pieces, self._copy.ignore_header)):
            yield self._convert(chunk)

    def _chunks(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Cut at record ends: line ends with an even number of quotes before them."""
        buffer = b""
        for part in _at_most(CHUNK, pieces):
            buffer += part
            if len(buffer) < CHUNK:
                continue
            end = self._last_record_end(buffer)
            if end:
                yield buffer[:end]
                buffer = buffer[end:]
            elif len(buffer) > MAX_ROW + CHUNK:
                raise RecordError(1216, "Missing newline: no record end within 4 MB", 1)
        if buffer:
            yield buffer if buffer.endswith(b"\n") else buffer + b"\n"

    def _last_record_end(self, buffer: bytes) -> int:
        quotes, end = buffer.count(self._quote), len(buffer)
        while (newline := buffer.rfind(b"\n", 0, end)) >= 0:
            quotes -= buffer.count(self._quote, newline, end)
            if quotes % 2 == 0:
                return newline + 1
            end = newline
        return 0

    def uncounted_lines(self, chunk: bytes) -> int:
        """Lines that PostgreSQL's own count lacks after ``chunk``, the first it gets.

        It does not know the line ending inside the first record yet and counts CR there in place of LF
        (CopyReadLineText in copyfromparse.c).
        """
        end = chunk.index(b"\n") + 1
        while chunk.count(self._quote, 0, end) % 2:
            end = chunk.index(b"\n", end) + 1
        return chunk.count(b"\n", 0, end) - 1 - chunk.count(b"\r", 0, end)

    def _convert(self, chunk: bytes) -> bytes:
        """Runs of records that mean the same pass as they are; each record between them is rewritten."""
        parts: list[bytes] = []
        position = 0
        while position < len(chunk):
            same = self._same_records.match(chunk, position) if len(chunk) <= MAX_ROW else None
            if same is not None and same.end() > position:
                parts.append(same.group())
                position = same.end()
                continue
            record = self._record.match(chunk, position) or self._loose_record.match(chunk, position)
            if record is None or record.end() - position > MAX_ROW:
                raise self._diagnose(chunk, position)
            position = record.end()
            try:
                parts.append(self._rewritten(list(record.groups())))
            except RecordError as error:
                error.line = chunk.count(b"\n", 0, position)
                raise
        return b"".join(parts)

    def _rewritten(self, fields: list[bytes]) -> bytes:
        for index in self._null_if_empty:
            if fields[index] in self._empty:
                fields[index] = self._null
        for index, fine, rule in self._rules:
            if not fine.fullmatch(fields[index]):
                fields[index] = self._apply(rule, fields[index])
        line = self._delimiter.join(fields)
        return (self._quoted(line) if line == rb"\." else line) + b"\n"

    def _apply(self, rule: Callable[[bytes], bytes], field: bytes) -> bytes:
        if field[:1] != self._quote:
            return rule(field)
        return self._quoted(rule(field[1:-1].replace(self._quote * 2, self._quote)))

    def _quoted(self, content: bytes) -> bytes:
        return self._quote + content.replace(self._quote, self._quote * 2) + self._quote

    def _diagnose(self, chunk: bytes, position: int) -> RecordError:
        """Why the record at ``position`` is none of this table's."""
        record = self._any_record.match(chunk, position)
        if record is None:
            return RecordError(1214, "Invalid quote formatting for CSV", chunk.count(b"\n", 0, position) + 1)
        line = chunk.count(b"\n", 0, record.end())
        if record.end() - position > MAX_ROW:
            return RecordError(1216, "Input row is larger than 4 MB", line)
        if not record.group().strip(b"\r\n"):
            return RecordError(1211, "Line is empty", line)
        fields = self._any_field.findall(record.group())
        if len(fields) > len(self._columns):
            return RecordError(1202, "Extra column(s) found", line)
        return RecordError(1214, "Delimiter not found", line, self._columns[len(fields) - 1])


def _at_most(size: int, pieces: Iterable[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        for start in range(0, len(piece), size):
            yield piece[start : start + size]


def _without_header(pieces: Iterable[bytes], lines: int) -> Iterator[bytes]:
    for piece in pieces:
        rest = piece
        while lines and rest:
            _, newline, rest = rest.partition(b"\n")
            lines -= len(newline)
        if rest:
            yield rest


def _truncate(value: bytes, length: int) -> bytes:
    """At most ``length`` bytes, cut at a character border."""
    if len(value) <= length:
        return value
    while length and value[length] & 0xC0 == 0x80:
        length -= 1
    return value[:length]


def _hexadecimal(value: bytes, column: Column) -> bytes:
    if len(value) % 2 or not re.fullmatch(rb"[0-9a-fA-F]*+", value):
        raise RecordError(1219, "Invalid hexadecimal digits", 0, column)
    return rb"\x" + value


def _time(value: bytes, column: Column) -> bytes:
    """PostgreSQL's words (now, infinity) and a seventh fractional digit are none of Redshift's."""
    if _NOT_A_TIME.search(value):
        raise bad_time(column)
    return value


def bad_time(column: Column) -> RecordError:
    if column.base_type == "date":
        return RecordError(1205, "Invalid Date Format - length must be 10 or more", 0, column)
    return RecordError(1206, "Invalid timestamp format or value [YYYY-MM-DD HH24:MI:SS]", 0, column)
