"""The body of a TABLE_MAP, read front to back, and its optional metadata as they stand.

What they mean for a column is `table_map`'s. Format: MySQL `libs/mysql/binlog/event/rows_event.h`, ``Table_map_event``.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum

from airflow_provider_tungsten.replicator.errors import CorruptLogError, UnsupportedError


class Field(IntEnum):
    """Kinds of optional metadata (`Table_map_event::Optional_metadata_field_type`)."""

    SIGNEDNESS = 1
    DEFAULT_CHARSET = 2
    COLUMN_CHARSET = 3
    COLUMN_NAME = 4
    SET_MEMBERS = 5
    ENUM_MEMBERS = 6
    GEOMETRY_TYPE = 7
    PRIMARY_KEY = 8
    PRIMARY_KEY_WITH_PREFIX = 9
    LABEL_DEFAULT_CHARSET = 10
    LABEL_CHARSET = 11
    VISIBILITY = 12
    VECTOR_DIMENSION = 13


_KNOWN_FIELDS = frozenset(Field)


class Reader:
    """Reads a body front to back and never behind its end."""

    def __init__(self, body: bytes, at: int = 0) -> None:
        self._body = body
        self._at = at

    def take(self, length: int) -> bytes:
        end = self._at + length
        if end > len(self._body):
            raise CorruptLogError("a TABLE_MAP event is cut short")
        piece = self._body[self._at : end]
        self._at = end
        return piece

    @property
    def rest(self) -> bytes:
        """What was not read yet."""
        return self._body[self._at :]

    def number(self, length: int = 1) -> int:
        return int.from_bytes(self.take(length), "little")

    def packed(self) -> int:
        """Length-encoded integer (`net_field_length`)."""
        first = self.number()
        if first < 251:
            return first
        if first not in (252, 253, 254):
            raise CorruptLogError("a TABLE_MAP event holds a length that is none")
        return self.number({252: 2, 253: 3, 254: 8}[first])

    def text(self) -> bytes:
        return self.take(self.packed())

    def __bool__(self) -> bool:
        return self._at < len(self._body)


def _bits(mask: bytes) -> Iterator[bool]:
    """Most significant bit first."""
    return (bool(byte >> (7 - bit) & 1) for byte in mask for bit in range(8))


class Metadata:
    """The optional metadata as they stand, by kind."""

    def __init__(self, reader: Reader, table: str) -> None:
        self._fields: dict[int, bytes] = {}
        while reader:
            kind = reader.number()
            if kind not in _KNOWN_FIELDS:
                raise UnsupportedError(
                    f"{table}: its TABLE_MAP holds metadata of the unknown kind {kind}; exclude the table"
                )
            self._fields[kind] = reader.text()

    def __contains__(self, kind: int) -> bool:
        return kind in self._fields

    def numbers(self, kind: int) -> list[int]:
        reader = Reader(self._fields.get(kind, b""))
        numbers = []
        while reader:
            numbers.append(reader.packed())
        return numbers

    def names(self) -> list[bytes]:
        reader = Reader(self._fields.get(Field.COLUMN_NAME, b""))
        names = []
        while reader:
            names.append(reader.text())
        return names

    def members(self, kind: int) -> Iterator[list[bytes]]:
        reader = Reader(self._fields.get(kind, b""))
        while reader:
            yield [reader.text() for _ in range(reader.packed())]

    def signedness(self) -> Iterator[bool]:
        return _bits(self._fields.get(Field.SIGNEDNESS, b""))

    def collations(self, default_kind: int, each_kind: int, count: int) -> list[int]:
        """Of the textual (or labelled) columns, in order: a default with exceptions, or one each."""
        if each_kind in self._fields:
            return self.numbers(each_kind)
        numbers = self.numbers(default_kind)
        collations = [numbers[0]] * count if numbers else []
        if numbers and len(numbers) % 2 == 0:
            raise CorruptLogError(
                "a TABLE_MAP names a column that differs in its character set, and not the set"
            )
        for index, collation in zip(numbers[1::2], numbers[2::2], strict=True):
            if index >= count:
                raise CorruptLogError("a TABLE_MAP names the character set of a column that is not there")
            collations[index] = collation
        return collations
