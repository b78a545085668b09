"""From a MySQL column to the Redshift type that holds every value of it, and whether a type that is there does too.

Tables and statements are :mod:`.ddl`'s and :mod:`.merge`'s.
"""

from __future__ import annotations

from typing import NamedTuple

from airflow_provider_tungsten.replicator.binlog.definition import GEOMETRY_TYPES, Column
from airflow_provider_tungsten.replicator.errors import UnsupportedError

MAX_VARCHAR = 65535  # bytes; Amazon Redshift Database Developer Guide, "Character types"
MAX_PRECISION, MAX_SCALE = 38, 37  # "Numeric types"
# COPY takes rows of 4 MB at most and CSV carries binary values in hexadecimal: two characters a byte.
MAX_VARBYTE = 2 * 1024 * 1024
SHORTEST_LABEL = 16

# Bytes in UTF-8 of one character of the column's character set, at most.
_CHARACTER_BYTES = {"ascii": 1, "latin1": 3, "utf8mb3": 3}

_FIXED = {
    "year": "SMALLINT",
    "float": "REAL",
    "double": "DOUBLE PRECISION",
    "date": "DATE",
    "datetime": "TIMESTAMP",
    "timestamp": "TIMESTAMP",
}
_INTEGERS = {
    # MySQL type: signed, unsigned
    "tinyint": ("SMALLINT", "SMALLINT"),
    "smallint": ("SMALLINT", "INTEGER"),
    "mediumint": ("INTEGER", "INTEGER"),
    "int": ("INTEGER", "BIGINT"),
}
_TEXTS = {"tinytext", "text", "mediumtext", "longtext"}
_BLOBS = {"tinyblob", "blob", "mediumblob", "longblob"}
# Of a float in its longest text, -0.00000000000001234567, with the comma behind it.
_DIMENSION_BYTES = 27

# Decimal digits in front of the point that a type holds at least.
_DIGITS = {"SMALLINT": 5, "INTEGER": 10, "BIGINT": 19}

# What svv_columns.data_type says of a type.
_CATALOG_NAMES = {
    "smallint": "SMALLINT",
    "integer": "INTEGER",
    "bigint": "BIGINT",
    "numeric": "DECIMAL",
    "real": "REAL",
    "double precision": "DOUBLE PRECISION",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp without time zone": "TIMESTAMP",
    "timestamp with time zone": "TIMESTAMPTZ",
    "character": "CHAR",
    "character varying": "VARCHAR",
    "binary varying": "VARBYTE",
    "varbyte": "VARBYTE",
    "bytea": "VARBYTE",
}


class RedshiftType(NamedTuple):
    """A column type of Redshift.

    :param name: in upper case, without arguments.
    :param size: bytes of VARCHAR and VARBYTE, precision of DECIMAL; None: unknown or none.
    :param scale: of DECIMAL.
    """

    name: str
    size: int | None = None
    scale: int | None = None

    @property
    def sql(self) -> str:
        arguments = ", ".join(str(value) for value in (self.size, self.scale) if value is not None)
        return f"{self.name}({arguments})" if arguments else self.name

    @property
    def staged(self) -> RedshiftType:
        """The type in which COPY stages it. An empty field is NULL to COPY in all but character columns ("Data
        conversion parameters", EMPTYASNULL), so binary values wait as their hexadecimal text while that fits."""
        if self.name == "VARBYTE" and self.size is not None and 2 * self.size <= MAX_VARCHAR:
            return RedshiftType("VARCHAR", 2 * self.size)
        return self

    def holds(self, other: RedshiftType) -> bool:
        """Whether every value of ``other`` goes into this type unchanged and without a cast."""
        if self.name == other.name and self.size is None:
            return True
        if self.name in ("VARCHAR", "VARBYTE"):
            return self.name == other.name and (self.size or 0) >= (other.size or 0)
        if self.name == "DECIMAL":
            scale = other.scale or 0
            digits = _DIGITS.get(other.name) or (
                (other.size or 0) - scale if other.name == "DECIMAL" else None
            )
            own_scale = self.scale or 0
            return digits is not None and own_scale >= scale and (self.size or 0) - own_scale >= digits
        if self.name in _DIGITS and other.name in _DIGITS:
            return _DIGITS[self.name] >= _DIGITS[other.name]
        return self.name == other.name or (self.name, other.name) == ("DOUBLE PRECISION", "REAL")


def catalog_type(
    data_type: str, length: int | None, precision: int | None, scale: int | None
) -> RedshiftType:
    """The type that ``svv_columns`` describes; one this package never uses keeps its catalog name."""
    name = _CATALOG_NAMES.get(data_type.lower(), data_type.upper())
    if name == "DECIMAL":
        return RedshiftType(name, precision, scale)
    return RedshiftType(name, length if name in ("VARCHAR", "VARBYTE", "CHAR") else None)


def redshift_type(column: Column, where: str) -> RedshiftType:
    """
    :param where: ``schema.table`` of the column, for the message.
    :raises UnsupportedError: a MySQL type that has no place in Redshift yet.
    """
    kind = column.type
    if kind in _FIXED:
        return RedshiftType(_FIXED[kind])
    if kind in _INTEGERS:
        return RedshiftType(_INTEGERS[kind][column.unsigned])
    if kind == "bigint":
        return RedshiftType("DECIMAL", 20, 0) if column.unsigned else RedshiftType("BIGINT")
    if kind == "decimal":
        return _decimal(column)
    if kind == "bit":
        return _bit(column.length or 1)
    if kind == "time":
        return RedshiftType("VARCHAR", 18)
    if kind in ("char", "varchar"):
        return _varchar((column.length or 0) * _CHARACTER_BYTES.get(column.charset or "", 4))
    if kind in _TEXTS:
        return _varchar((column.length or MAX_VARCHAR) * 4)
    if kind == "json":
        return RedshiftType("VARCHAR", MAX_VARCHAR)
    if kind == "vector":
        return _varchar((column.length or MAX_VARCHAR) * _DIMENSION_BYTES + 1)
    if kind in GEOMETRY_TYPES:
        # COPY reads it from hexadecimal EWKB ("Using COPY with spatial data").
        return RedshiftType("GEOMETRY")
    if kind in ("enum", "set"):
        return _varchar(_label_bytes(column))
    if kind in ("binary", "varbinary") or kind in _BLOBS:
        return RedshiftType("VARBYTE", min(max(column.length or 1, 1), MAX_VARBYTE))
    raise UnsupportedError(
        f"{where}.{column.name} is of type {kind.upper()}, for which there is no Redshift type; "
        f"exclude it: exclude_columns: [{where}.{column.name}]"
    )


def _decimal(column: Column) -> RedshiftType:
    precision, scale = column.length or 10, column.scale or 0
    if precision > MAX_PRECISION or scale > MAX_SCALE:
        return RedshiftType("VARCHAR", precision + 3)  # sign, point, and a zero in front of it
    return RedshiftType("DECIMAL", precision, scale)


def _bit(bits: int) -> RedshiftType:
    if bits == 1:
        return RedshiftType("BOOLEAN")
    return RedshiftType("BIGINT") if bits < 64 else RedshiftType("DECIMAL", 20, 0)


def _label_bytes(column: Column) -> int:
    sizes = [len(member.encode()) for member in column.members]
    longest = sum(sizes) + len(sizes) - 1 if column.type == "set" else max(sizes, default=0)
    return max(longest, SHORTEST_LABEL)


def _varchar(size: int) -> RedshiftType:
    return RedshiftType("VARCHAR", min(max(size, 1), MAX_VARCHAR))
