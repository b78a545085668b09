"""Redshift's column types in PostgreSQL's terms; types that Redshift does not have are refused."""

from __future__ import annotations

from dataclasses import dataclass

from redshift_gateway.errors import SqlError, syntax_error, unsupported
from redshift_gateway.tokens import Kind, Token

MAX_VARCHAR = 65535
MAX_CHAR = 4096
MAX_VARBYTE = 16777216
DEFAULT_VARBYTE = 64000
SCHEMA = "redshift_gateway"

_PLAIN = {
    "SMALLINT": "smallint", "INT2": "smallint", "INTEGER": "integer", "INT": "integer", "INT4": "integer",
    "BIGINT": "bigint", "INT8": "bigint", "REAL": "real", "FLOAT4": "real", "FLOAT8": "double precision",
    "FLOAT": "double precision", "BOOLEAN": "boolean", "BOOL": "boolean", "DATE": "date",
    "TIMESTAMPTZ": "timestamptz", "TIMETZ": "timetz", "DATETIME": "timestamp", "SUPER": "jsonb",
    "GEOMETRY": f"{SCHEMA}.geometry", "GEOGRAPHY": "bytea", "HLLSKETCH": "bytea",
}  # fmt: skip
_VARCHAR = {"VARCHAR", "NVARCHAR", "TEXT"}
_CHAR = {"CHAR", "CHARACTER", "NCHAR", "BPCHAR"}
_VARBYTE = {"VARBYTE", "VARBINARY", "BINARY"}


def varbyte_domain(length: int) -> str:
    """The domain over bytea that stands for VARBYTE(length): it holds the limit and lets the catalog tell it."""
    return f"{SCHEMA}.varbyte_{length}"


@dataclass(frozen=True)
class ColumnType:
    """PostgreSQL's type, how many tokens Redshift's took, and the length of a VARBYTE or VARCHAR."""

    sql: str
    tokens: int
    varbyte: int | None = None
    varchar: int | None = None


def column_type(tokens: list[Token], column: str) -> ColumnType:
    """The type at the start of ``tokens``. Raises SqlError for a type Redshift does not have or a length over its limit."""
    if not tokens:
        raise syntax_error(column, "The column has no type.")
    word, second = tokens[0].upper, tokens[1].upper if len(tokens) > 1 else ""
    if tokens[-1].upper == "]" or second == "[":
        raise unsupported(f'Column "{column}" has unsupported type "{tokens[0].text}[]".')
    if word == "DOUBLE" and second == "PRECISION":
        return ColumnType("double precision", 2)
    if word in ("TIMESTAMP", "TIME"):
        return _time(word, tokens)
    if word in ("DECIMAL", "NUMERIC"):
        return _decimal(tokens)
    varying = second == "VARYING" and word in ("CHARACTER", "BINARY", "CHAR", "NCHAR")
    taken = 2 if varying else 1
    if word in _VARBYTE:
        length, used = _length(tokens[taken:], DEFAULT_VARBYTE, MAX_VARBYTE, "varbyte")
        return ColumnType(varbyte_domain(length), taken + used, length)
    if word in _VARCHAR or varying:
        length, used = _length(tokens[taken:], 256, MAX_VARCHAR, "character varying")
        return ColumnType(f"varchar({length})", taken + used, varchar=length)
    if word in _CHAR:
        length, used = _length(tokens[taken:], 256 if word == "BPCHAR" else 1, MAX_CHAR, "character")
        return ColumnType(f"char({length})", taken + used)
    if word in _PLAIN:
        return ColumnType(_PLAIN[word], 1)
    raise unsupported(f'Column "{column}" has unsupported type "{tokens[0].text.lower()}".')


def _length(tokens: list[Token], default: int, limit: int, type_name: str) -> tuple[int, int]:
    if not tokens or tokens[0].upper != "(":
        return default, 0
    if len(tokens) < 3 or tokens[2].upper != ")":
        raise syntax_error("(", f"{type_name} takes one length.")
    if tokens[1].upper == "MAX":
        return limit, 3
    if tokens[1].kind is not Kind.NUMBER or not tokens[1].text.isdigit():
        raise syntax_error(tokens[1].text, f"{type_name} takes a length in bytes.")
    length = int(tokens[1].text)
    if not 1 <= length <= limit:
        raise SqlError("22023", f"length for type {type_name} must be between 1 and {limit}")
    return length, 3


def _decimal(tokens: list[Token]) -> ColumnType:
    if len(tokens) < 2 or tokens[1].upper != "(":
        return ColumnType("numeric(18,0)", 1)
    end = next((i for i, t in enumerate(tokens) if t.upper == ")"), 0)
    numbers = [t.text for t in tokens[2:end:2]]
    if len(numbers) not in (1, 2) or not all(n.isdigit() for n in numbers):
        raise syntax_error("(", "DECIMAL takes a precision and a scale.")
    precision, scale = int(numbers[0]), int(numbers[1]) if len(numbers) == 2 else 0
    if not 1 <= precision <= 38 or not 0 <= scale <= min(precision, 37):
        raise SqlError(
            "22023", f"DECIMAL precision {precision} must be between 1 and 38, its scale within it"
        )
    return ColumnType(f"numeric({precision},{scale})", end + 1)


def _time(word: str, tokens: list[Token]) -> ColumnType:
    phrase = [t.upper for t in tokens[1:4]]
    if phrase == ["WITH", "TIME", "ZONE"]:
        return ColumnType(word.lower() + "tz", 4)
    if phrase == ["WITHOUT", "TIME", "ZONE"]:
        return ColumnType(word.lower(), 4)
    return ColumnType(word.lower(), 1)
