"""TABLE_MAP events to table definitions. Each distinct body is parsed once, not once per transaction.

What stands in a body `table_metadata` reads. Format: MySQL `libs/mysql/binlog/event/rows_event.h`, ``Table_map_event``.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import NamedTuple, NoReturn, Protocol

from airflow_provider_tungsten.replicator.binlog import charsets
from airflow_provider_tungsten.replicator.binlog.constants import ColumnType
from airflow_provider_tungsten.replicator.binlog.definition import GEOMETRIES, Column, TableDefinition
from airflow_provider_tungsten.replicator.binlog.table_metadata import Field, Metadata, Reader
from airflow_provider_tungsten.replicator.errors import CorruptLogError, UnsupportedError

_CACHED_BODIES = 10_000
_MOST_COLUMNS = 4096  # of MySQL and of MariaDB (`MAX_FIELDS`)

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
        # Many tables have the same columns.
        self._by_columns: dict[bytes, TableDefinition] = {}
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
                self.forget()
            found = self._by_body[key] = self._parsed(body)
        return found

    def _parsed(self, body: bytes) -> TableDefinition:
        reader = Reader(body, 8)
        schema, table = _identifier(reader), _identifier(reader)
        like = self._by_columns.get(rest := reader.rest)
        if like is not None:
            return replace(like, schema=schema, table=table)
        builder = _builder(schema, table, reader)
        if self._known is not None and not builder.is_named:
            return self._known.complete(builder.bare())
        found = self._by_columns[rest] = builder.build()
        return found

    def forget(self) -> None:
        """Forgets all definitions: those that are known otherwise have changed, or they take too much memory."""
        self._by_body.clear()
        self._by_columns.clear()


def table_name(body: bytes) -> tuple[str, str]:
    """Schema and table of a TABLE_MAP, also where its columns are beyond us (a table that is excluded anyway).

    :raises CorruptLogError: cut short.
    """
    reader = Reader(body, 8)
    return _identifier(reader), _identifier(reader)


def _identifier(reader: Reader) -> str:
    name = _decoded(reader.take(reader.number()))
    reader.take(1)
    return name


def _decoded(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise CorruptLogError(f"a TABLE_MAP holds a name that is no UTF-8: {name!r}") from None


def _builder(schema: str, table: str, reader: Reader) -> _Builder:
    """:param reader: of what stands behind the names."""
    columns = reader.packed()
    if columns > _MOST_COLUMNS:
        raise CorruptLogError(
            f"{schema}.{table}: its TABLE_MAP says that it has {columns} columns, of which MySQL makes {_MOST_COLUMNS} at most"
        )
    types = reader.take(columns)
    metas = _read_metas(types, Reader(reader.text()), f"{schema}.{table}")
    nulls = reader.take((len(types) + 7) // 8)
    metadata = Metadata(reader, f"{schema}.{table}")
    return _Builder(schema, table, types, metas, nulls, metadata)


def _read_metas(types: bytes, reader: Reader, table: str) -> list[int]:
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


class _Builder:
    """Puts columns and metadata together."""

    def __init__(
        self, schema: str, table: str, types: bytes, metas: list[int], nulls: bytes, metadata: Metadata
    ) -> None:
        self._schema = schema
        self._table = table
        self._metas = metas
        self._codes = [_real_code(code, meta) for code, meta in zip(types, metas, strict=True)]
        self._nulls = nulls
        self._metadata = metadata

    @property
    def is_named(self) -> bool:
        """Whether the log names the columns."""
        return Field.COLUMN_NAME in self._metadata

    def build(self) -> TableDefinition:
        names = self._names()
        self._signs = self._metadata.signedness()
        self._collations = iter(
            self._collations_of(_WITH_CHARSET, Field.DEFAULT_CHARSET, Field.COLUMN_CHARSET)
        )
        self._label_collations = iter(
            self._collations_of(_LABELLED, Field.LABEL_DEFAULT_CHARSET, Field.LABEL_CHARSET)
        )
        self._members = {
            ColumnType.ENUM: self._metadata.members(Field.ENUM_MEMBERS),
            ColumnType.SET: self._metadata.members(Field.SET_MEMBERS),
        }
        self._geometries = iter(self._metadata.numbers(Field.GEOMETRY_TYPE))
        self._dimensions = iter(self._metadata.numbers(Field.VECTOR_DIMENSION))
        columns = tuple(self._column(index, name) for index, name in enumerate(names))
        if Field.VISIBILITY not in self._metadata:
            # Servers that tell it do not log hidden columns any more.
            columns = tuple(replace(column, hidden=bool(_HIDDEN(column.name))) for column in columns)
        return TableDefinition(self._schema, self._table, columns, self._primary_key(names))

    def bare(self) -> BareTable:
        """What the log tells without names."""
        signs = self._metadata.signedness()
        told = Field.DEFAULT_CHARSET in self._metadata or Field.COLUMN_CHARSET in self._metadata
        collations = iter(
            self._collations_of(_WITH_CHARSET, Field.DEFAULT_CHARSET, Field.COLUMN_CHARSET) if told else ()
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
        indexes = self._metadata.numbers(Field.PRIMARY_KEY)
        indexes += self._metadata.numbers(Field.PRIMARY_KEY_WITH_PREFIX)[::2]
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
