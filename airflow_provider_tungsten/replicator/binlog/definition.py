"""What is known of a replicated table at one moment of its log: columns, types, primary key."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

# By `Field::geometry_type`; information_schema of MariaDB calls the last one by the other name.
GEOMETRIES = (
    "geometry",
    "point",
    "linestring",
    "polygon",
    "multipoint",
    "multilinestring",
    "multipolygon",
    "geomcollection",
)
GEOMETRY_TYPES = frozenset({*GEOMETRIES, "geometrycollection"})


@dataclass(frozen=True)
class Column:
    """One column as the binlog's table map describes it.

    :param name: name as in MySQL.
    :param type: MySQL's type name in lower case, without arguments: ``int``, ``varchar``, ``mediumtext``, ``json`` …
        (text and binary flavours are told apart: ``char``/``binary``, ``varchar``/``varbinary``, ``text``/``blob``).
    :param code: type code of the row image (``binary_log::enum_field_types``), ENUM and SET resolved to 247 and 248.
    :param meta: the table map's type metadata, two bytes at most, as a little-endian number
        (MySQL ``Table_map_event``); DECIMAL: precision | scale << 8; BIT: bits % 8 | bytes << 8.
    :param unsigned: for numeric types.
    :param charset: character set of text, ENUM and SET columns (``utf8mb4``, ``latin1`` …), else None.
    :param members: labels of ENUM and SET columns, decoded.
    :param length: characters of CHAR/VARCHAR, bytes of BINARY/VARBINARY, maximum bytes of TEXT/BLOB, precision of
        DECIMAL, bits of BIT, dimensions of VECTOR at most; else None.
    :param scale: digits after the point of DECIMAL; fractional-second digits of TIME, DATETIME, TIMESTAMP; else None.
    :param nullable: whether the column may be NULL.
    :param hidden: the server made it for a functional index; it stands in the row images of MySQL 8.0.13 to 8.0.17 only, and
        no SELECT shows it.
    """

    name: str
    type: str
    code: int
    meta: int = 0
    unsigned: bool = False
    charset: str | None = None
    members: tuple[str, ...] = ()
    length: int | None = None
    scale: int | None = None
    nullable: bool = True
    hidden: bool = False


# Many tables have the same columns.
_column = lru_cache(maxsize=4096)(Column)


@dataclass(frozen=True)
class TableDefinition:
    """A table at one moment of the log; travels with its rows in the THL as JSON.

    :param columns: in the order of the row image.
    :param primary_key: names of the key's columns in key order; empty where the table has none.
    :param origin: schema and table at the source, where filters gave the table another name.
    """

    schema: str
    table: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...] = field(default=())
    origin: tuple[str, str] | None = None

    @property
    def name(self) -> str:
        """``schema.table``, for messages and filters."""
        return f"{self.schema}.{self.table}"

    @cached_property
    def json(self) -> str:
        """The same definition always gives the same text."""
        columns = [
            {
                key: value
                for key, value in vars(column).items()
                if value is not None and value is not False and value != ()
            }
            | {"nullable": column.nullable}
            for column in self.columns
        ]
        body: dict[str, Any] = {
            "schema": self.schema,
            "table": self.table,
            "columns": columns,
            "primary_key": list(self.primary_key),
        }
        if self.origin is not None:
            body["origin"] = list(self.origin)
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"), sort_keys=True)

    @staticmethod
    @lru_cache(maxsize=4096)
    def from_json(text: str) -> TableDefinition:
        """:raises KeyError, TypeError, ValueError: text that :attr:`json` did not write."""
        body = json.loads(text)
        columns = tuple(
            _column(**{**column, "members": tuple(column.get("members", ()))}) for column in body["columns"]
        )
        origin = tuple(body["origin"]) if "origin" in body else None
        return TableDefinition(body["schema"], body["table"], columns, tuple(body["primary_key"]), origin)

    @property
    def hidden(self) -> set[str]:
        """Names of the columns that are the server's own."""
        return {column.name for column in self.columns if column.hidden}

    def without(self, names: set[str]) -> TableDefinition:
        """The definition that is left when the columns called ``names`` are taken away; what is left of a key is none."""
        return TableDefinition(
            self.schema,
            self.table,
            tuple(column for column in self.columns if column.name not in names),
            () if names.intersection(self.primary_key) else self.primary_key,
            self.origin,
        )
