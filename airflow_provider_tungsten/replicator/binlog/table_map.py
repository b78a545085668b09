"""TABLE_MAP events to table definitions. Each distinct body is parsed once, not once per transaction.

Format: MySQL `libs/mysql/binlog/event/rows_event.h`, ``Table_map_event`` and its optional metadata.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple, NoReturn, Protocol

from airflow_provider_tungsten.replicator.binlog import charsets
from airflow_provider_tungsten.replicator.binlog.constants import ColumnType
from airflow_provider_tungsten.replicator.binlog.definition import GEOMETRIES, Column, TableDefinition
from airflow_provider_tungsten.replicator.errors import CorruptLogError, UnsupportedError

_CACHED_BODIES = 10_000

# Bytes of a column's type metadata (`Table_map_event::m_field_metadata`).
_META_BYTES: dict[int, int] = {
    ColumnType.FLOAT: 1,
    ColumnType.DOUBLE: 1,
    ColumnType.VARCHAR: 2,
    ColumnType.BIT: 2,
    ColumnType.TIMESTAMP2: 1,
    ColumnType.DATETIME2: 1,
    ColumnType.TIME2: 1,
    ColumnType.VECTOR: 1,
    ColumnType.JSON: 1,
    ColumnType.NEWDECIMAL: 2,
    ColumnType.ENUM: 2,
    ColumnType.SET: 2,
    ColumnType.BLOB: 1,
    ColumnType.VAR_STRING: 2,
    ColumnType.STRING: 2,
    ColumnType.GEOMETRY: 1,
    ColumnType.BLOB_COMPRESSED: 1,
    ColumnType.VARCHAR_COMPRESSED: 2,
}
_NUMERIC = {
    ColumnType.TINY: "tinyint",
    ColumnType.SHORT: "smallint",
    ColumnType.INT24: "mediumint",
    ColumnType.LONG: "int",
    ColumnType.LONGLONG: "bigint",
    ColumnType.NEWDECIMAL: "decimal",
    ColumnType.FLOAT: "float",
    ColumnType.DOUBLE: "double",
    ColumnType.YEAR: "year",
}
_NAMES = {
    **_NUMERIC,
    ColumnType.TIMESTAMP: "timestamp",
    ColumnType.TIME: "time",
    ColumnType.DATETIME: "datetime",
    ColumnType.DATE: "date",
    ColumnType.TIMESTAMP2: "timestamp",
    ColumnType.DATETIME2: "datetime",
    ColumnType.TIME2: "time",
    ColumnType.BIT: "bit",
    ColumnType.JSON: "json",
    ColumnType.ENUM: "enum",
    ColumnType.SET: "set",
    ColumnType.VECTOR: "vector",
}
_FRACTIONAL = frozenset({ColumnType.TIMESTAMP2, ColumnType.DATETIME2, ColumnType.TIME2})
# Of before MySQL 5.6.4 and of MariaDB's own.
_OLD_TEMPORAL = frozenset({ColumnType.TIMESTAMP, ColumnType.DATETIME, ColumnType.TIME})
_BLOB_CODES = frozenset({ColumnType.BLOB, ColumnType.BLOB_COMPRESSED})
_TEXTUAL = _BLOB_CODES | {
    ColumnType.VARCHAR,
    ColumnType.VAR_STRING,
    ColumnType.STRING,
    ColumnType.VARCHAR_COMPRESSED,
}
# VECTOR is binary, but MySQL counts it among the columns that have a character set.
_WITH_CHARSET = _TEXTUAL | {ColumnType.VECTOR}
_LABELLED = frozenset({ColumnType.ENUM, ColumnType.SET})
_KNOWN_CODES = _NAMES.keys() | _TEXTUAL | {ColumnType.GEOMETRY}
_BLOBS = {
    1: ("tinytext", "tinyblob"),
    2: ("text", "blob"),
    3: ("mediumtext", "mediumblob"),
    4: ("longtext", "longblob"),
}
# `make_functional_index_column_name` in MySQL's `sql/sql_table.cc`.
_HIDDEN = re.compile(r"!hidden!.+!\d+!\d+").fullmatch

# Kinds of optional metadata (`Table_map_event::Optional_metadata_field_type`).
_SIGNEDNESS = 1
_DEFAULT_CHARSET = 2
_COLUMN_CHARSET = 3
_COLUMN_NAME = 4
_SET_MEMBERS = 5
_ENUM_MEMBERS = 6
_GEOMETRY_TYPE = 7
_PRIMARY_KEY = 8
_PRIMARY_KEY_WITH_PREFIX = 9
_LABEL_DEFAULT_CHARSET = 10
_LABEL_CHARSET = 11
_VISIBILITY = 12
_VECTOR_DIMENSION = 13
_KNOWN_METADATA = range(_SIGNEDNESS, _VECTOR_DIMENSION + 1)


class BareColumn(NamedTuple):
    """What a table map tells of a column without naming it.

    :param code, meta: as in :class:`Column`.
    :param unsigned: None where it does not tell, and for types without a sign.
    :param charset: None where it does not tell (ENUM and SET never do), and for types without one.
    """

    code: ColumnType
    meta: int
    nullable: bool
    unsigned: bool | None
    charset: str | None


class BareTable(NamedTuple):
    """A table map that does not name its columns (``binlog_row_metadata=MINIMAL``, or a server that cannot)."""

    schema: str
    table: str
    columns: tuple[BareColumn, ...]


class KnownTables(Protocol):
    """Whoever knows tables by other ways than the log's own metadata."""

    def complete(self, bare: BareTable) -> TableDefinition:
        """:raises UnsupportedError: it does not know the table, or knows it otherwise."""


class TableMaps:
    """The table maps of a stream: definitions by body, and which table id stands for which just now.

    :param known: names what the log does not; see :meth:`forget`.
    """

    def __init__(self, known: KnownTables | None = None) -> None:
        self._known = known
        self._by_body: dict[bytes, TableDefinition] = {}
        self._by_id: dict[int, TableDefinition] = {}

    def add(self, body: bytes) -> TableDefinition:
        """Takes in a TABLE_MAP event; from here on its table id stands for what it says.

        :raises UnsupportedError, CorruptLogError: see :meth:`definition`.
        """
        definition = self._by_id[int.from_bytes(body[:6], "little")] = self.definition(body)
        return definition

    def get(self, table_id: int) -> TableDefinition:
        """:raises CorruptLogError: no table map of that id since the last :meth:`clear`."""
        try:
            return self._by_id[table_id]
        except KeyError:
            raise CorruptLogError(
                f"rows for table id {table_id} without a TABLE_MAP before them: reading began inside a transaction; "
                "start at a transaction's first event"
            ) from None

    def clear(self) -> None:
        """Forgets the table ids (the statement or the transaction has ended); parsed definitions are kept."""
        self._by_id.clear()

    def definition(self, body: bytes) -> TableDefinition:
        """The definition that a TABLE_MAP's body holds.

        :raises UnsupportedError: names are missing (``binlog_row_metadata`` is not FULL), a type or a collation is
            unknown; the message names the table.
        :raises CorruptLogError: the body does not hold what its lengths promise.
        """
        key = body[6:]
        found = self._by_body.get(key)
        if found is None:
            if len(self._by_body) >= _CACHED_BODIES:
                self._by_body.clear()
            found = self._by_body[key] = _parse(body, self._known)
        return found

    def forget(self) -> None:
        """Forgets all definitions: those that are known otherwise have changed."""
        self._by_body.clear()


def table_name(body: bytes) -> tuple[str, str]:
    """Schema and table of a TABLE_MAP, also where its columns are beyond us (a table that is excluded anyway).

    :raises CorruptLogError: cut short.
    """
    reader = _Reader(body, 8)
    return _identifier(reader), _identifier(reader)


class _Reader:
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


def _identifier(reader: _Reader) -> str:
    name = _decoded(reader.take(reader.number()))
    reader.take(1)
    return name


def _decoded(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise CorruptLogError(f"a TABLE_MAP holds a name that is no UTF-8: {name!r}") from None


def _parse(body: bytes, known: KnownTables | None) -> TableDefinition:
    reader = _Reader(body, 8)
    schema, table = _identifier(reader), _identifier(reader)
    types = reader.take(reader.packed())
    metas = _read_metas(types, _Reader(reader.text()), f"{schema}.{table}")
    nulls = reader.take((len(types) + 7) // 8)
    metadata = _Metadata(reader, f"{schema}.{table}")
    builder = _Builder(schema, table, types, metas, nulls, metadata)
    if known is not None and _COLUMN_NAME not in metadata:
        return known.complete(builder.bare())
    return builder.build()


def _read_metas(types: bytes, reader: _Reader, table: str) -> list[int]:
    metas = []
    for number, code in enumerate(types, 1):
        if code not in _KNOWN_CODES:
            what = (
                "is the array of a multi-valued index" if code == ColumnType.TYPED_ARRAY else "is not known"
            )
            raise UnsupportedError(
                f"{table}: column {number} has the type code {code}, which {what}; exclude the table"
            )
        metas.append(reader.number(_META_BYTES.get(code, 0)))
    if reader:
        raise CorruptLogError(f"{table}: the TABLE_MAP's type metadata are longer than its columns need")
    return metas


def _bits(mask: bytes) -> Iterator[bool]:
    """Most significant bit first."""
    return (bool(byte >> (7 - bit) & 1) for byte in mask for bit in range(8))


class _Metadata:
    """The optional metadata as they stand, by kind."""

    def __init__(self, reader: _Reader, table: str) -> None:
        self._fields: dict[int, bytes] = {}
        while reader:
            kind = reader.number()
            if kind not in _KNOWN_METADATA:
                raise UnsupportedError(
                    f"{table}: its TABLE_MAP holds metadata of the unknown kind {kind}; exclude the table"
                )
            self._fields[kind] = reader.text()

    def __contains__(self, kind: int) -> bool:
        return kind in self._fields

    def numbers(self, kind: int) -> list[int]:
        reader = _Reader(self._fields.get(kind, b""))
        numbers = []
        while reader:
            numbers.append(reader.packed())
        return numbers

    def names(self) -> list[bytes]:
        reader = _Reader(self._fields.get(_COLUMN_NAME, b""))
        names = []
        while reader:
            names.append(reader.text())
        return names

    def members(self, kind: int) -> Iterator[list[bytes]]:
        reader = _Reader(self._fields.get(kind, b""))
        while reader:
            yield [reader.text() for _ in range(reader.packed())]

    def signedness(self) -> Iterator[bool]:
        return _bits(self._fields.get(_SIGNEDNESS, b""))

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


class _Builder:
    """Puts columns and metadata together."""

    def __init__(
        self, schema: str, table: str, types: bytes, metas: list[int], nulls: bytes, metadata: _Metadata
    ) -> None:
        self._schema = schema
        self._table = table
        self._metas = metas
        self._codes = [_real_code(code, meta) for code, meta in zip(types, metas, strict=True)]
        self._nulls = nulls
        self._metadata = metadata

    def build(self) -> TableDefinition:
        names = self._names()
        self._signs = self._metadata.signedness()
        self._collations = iter(self._collations_of(_WITH_CHARSET, _DEFAULT_CHARSET, _COLUMN_CHARSET))
        self._label_collations = iter(self._collations_of(_LABELLED, _LABEL_DEFAULT_CHARSET, _LABEL_CHARSET))
        self._members = {
            ColumnType.ENUM: self._metadata.members(_ENUM_MEMBERS),
            ColumnType.SET: self._metadata.members(_SET_MEMBERS),
        }
        self._geometries = iter(self._metadata.numbers(_GEOMETRY_TYPE))
        self._dimensions = iter(self._metadata.numbers(_VECTOR_DIMENSION))
        columns = tuple(self._column(index, name) for index, name in enumerate(names))
        if _VISIBILITY not in self._metadata:
            # Servers that tell it do not log hidden columns any more.
            columns = tuple(replace(column, hidden=bool(_HIDDEN(column.name))) for column in columns)
        return TableDefinition(self._schema, self._table, columns, self._primary_key(names))

    def bare(self) -> BareTable:
        """What the log tells without names."""
        signs = self._metadata.signedness()
        told = _DEFAULT_CHARSET in self._metadata or _COLUMN_CHARSET in self._metadata
        collations = iter(
            self._collations_of(_WITH_CHARSET, _DEFAULT_CHARSET, _COLUMN_CHARSET) if told else ()
        )
        columns = []
        for index, (code, meta) in enumerate(zip(self._codes, self._metas, strict=True)):
            nullable = bool(self._nulls[index // 8] >> index % 8 & 1)
            unsigned = next(signs, None) if code in _NUMERIC else None
            collation = next(collations, None) if code in _WITH_CHARSET else None
            charset = None if collation is None else self._charset(f"column {index + 1}", collation)
            columns.append(BareColumn(code, meta, nullable, unsigned, charset))
        return BareTable(self._schema, self._table, tuple(columns))

    def _names(self) -> list[str]:
        names = [_decoded(name) for name in self._metadata.names()]
        if not names:
            raise UnsupportedError(
                f"{self._schema}.{self._table}: the log does not name its columns; SET GLOBAL "
                "binlog_row_metadata=FULL on the source and start behind this place, or exclude the table"
            )
        if len(names) != len(self._codes):
            self._corrupt("names and columns differ in number")
        return names

    def _collations_of(self, group: frozenset[ColumnType], default_kind: int, each_kind: int) -> list[int]:
        count = sum(code in group for code in self._codes)
        collations = self._metadata.collations(default_kind, each_kind, count)
        if len(collations) != count:
            self._corrupt("character sets and columns differ in number")
        return collations

    def _column(self, index: int, name: str) -> Column:
        code, meta = self._codes[index], self._metas[index]
        nullable = bool(self._nulls[index // 8] >> index % 8 & 1)
        if code in _NUMERIC:
            return self._number(name, code, meta, nullable)
        if code in _TEXTUAL:
            return self._text(name, code, meta, nullable)
        if code in _LABELLED:
            charset = self._charset(name, next(self._label_collations))
            members = next(self._members[code], None)
            if members is None:
                self._corrupt(f"column {name} has no members")
            labels = tuple(self._label(name, member, charset) for member in members)
            return Column(name, _NAMES[code], int(code), meta, False, charset, labels, nullable=nullable)
        if code == ColumnType.GEOMETRY:
            return Column(name, self._geometry(name), int(code), meta, nullable=nullable)
        length = scale = None
        if code == ColumnType.VECTOR:
            next(self._collations)
            length = next(self._dimensions, None)
        elif code == ColumnType.BIT:
            length = (meta & 0xFF) + (meta >> 8) * 8
        elif code in _FRACTIONAL:
            scale = meta
        elif code in _OLD_TEMPORAL:
            # Only MariaDB names the columns of a table that has them, and there they may have fractions of any size.
            raise UnsupportedError(
                f"{self._schema}.{self._table}.{name} is kept in MariaDB's old format of {_NAMES[code].upper()}, of which the log "
                "does not tell the size. On the source, SET GLOBAL mysql56_temporal_format=ON and ALTER TABLE … FORCE; start "
                "behind that, or exclude the table"
            )
        return Column(name, _NAMES[code], int(code), meta, length=length, scale=scale, nullable=nullable)

    def _geometry(self, name: str) -> str:
        kind = next(self._geometries, 0)
        if kind >= len(GEOMETRIES):
            self._corrupt(f"column {name} is a geometry of the unknown type {kind}")
        return GEOMETRIES[kind]

    def _number(self, name: str, code: ColumnType, meta: int, nullable: bool) -> Column:
        unsigned = next(self._signs, None)
        if unsigned is None:
            self._corrupt(f"column {name} has no sign")
        length = scale = None
        if code == ColumnType.NEWDECIMAL:
            length, scale = meta & 0xFF, meta >> 8
        return Column(
            name, _NAMES[code], int(code), meta, unsigned, length=length, scale=scale, nullable=nullable
        )

    def _text(self, name: str, code: ColumnType, meta: int, nullable: bool) -> Column:
        charset = self._charset(name, next(self._collations))
        binary = charset == "binary"
        if code in _BLOB_CODES:
            if meta not in _BLOBS:
                self._corrupt(f"column {name} has lengths of {meta} bytes")
            length, kind = (1 << 8 * meta) - 1, _BLOBS[meta][binary]
        else:
            octets = char_bytes(meta) if code == ColumnType.STRING else meta
            if code == ColumnType.VARCHAR_COMPRESSED:
                octets -= 1  # for the byte that says how
            length = octets // charsets.max_bytes(charset)
            kind = (
                ("char", "binary")[binary] if code == ColumnType.STRING else ("varchar", "varbinary")[binary]
            )
        return Column(
            name, kind, int(code), meta, charset=None if binary else charset, length=length, nullable=nullable
        )

    def _label(self, name: str, member: bytes, charset: str) -> str:
        try:
            return charsets.decode(member, charset)
        except UnicodeDecodeError:
            if charset == "binary":
                # Refused where it is to become text.
                return charsets.decode(member, charset, escape=True)
            raise UnsupportedError(
                f"{self._schema}.{self._table}.{name} has a member whose bytes are wrong in the character set "
                f"{charset}; exclude the table"
            ) from None

    def _charset(self, name: str, collation: int) -> str:
        try:
            return charsets.charset_name(collation)
        except UnsupportedError as error:
            raise UnsupportedError(
                f"{self._schema}.{self._table}.{name}: {error}; exclude the table"
            ) from None

    def _primary_key(self, names: list[str]) -> tuple[str, ...]:
        indexes = self._metadata.numbers(_PRIMARY_KEY)
        indexes += self._metadata.numbers(_PRIMARY_KEY_WITH_PREFIX)[::2]
        if any(index >= len(names) for index in indexes):
            self._corrupt("its key names a column that is not there")
        return tuple(names[index] for index in indexes)

    def _corrupt(self, what: str) -> NoReturn:
        raise CorruptLogError(f"{self._schema}.{self._table}: in its TABLE_MAP {what}")


def _real_code(code: int, meta: int) -> ColumnType:
    """ENUM and SET travel as STRING, their own code in the metadata's first byte."""
    if code == ColumnType.STRING and meta & 0xFF in _LABELLED:
        return ColumnType(meta & 0xFF)
    return ColumnType(code)


def char_bytes(meta: int) -> int:
    """Maximum bytes of a CHAR or BINARY column; bits 8 and 9 of the length stand inverted in the type byte."""
    return meta >> 8 | ((meta & 0x30) ^ 0x30) << 4
