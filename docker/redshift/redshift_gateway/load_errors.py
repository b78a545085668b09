"""PostgreSQL's complaints during a COPY in Redshift's terms, and the error rows that outlive the rollback."""

from __future__ import annotations

import re
from dataclasses import dataclass

from redshift_gateway import wire
from redshift_gateway.backend import Backend
from redshift_gateway.errors import SqlError
from redshift_gateway.records import Column, RecordError, bad_time
from redshift_gateway.tokens import literal

_CONTEXT = re.compile(
    r"^(?:JSON data, line \d+: .*?\n)?COPY .*?, line (\d+)(?:, column (.*?))?(?::|$)", re.DOTALL
)
_BY_TYPE = {
    "int2": (1207, "Invalid digit"),
    "int4": (1207, "Invalid digit"),
    "int8": (1207, "Invalid digit"),
    "float4": (1208, "Invalid float value"),
    "float8": (1208, "Invalid float value"),
    "numeric": (1209, "Invalid numeric value"),
    "bool": (1210, "Unknown boolean format"),
    "jsonb": (1224, "Invalid SUPER: not valid JSON"),
    "bytea": (1219, "Invalid hexadecimal digits"),
}
_UNKNOWN = (1200, "Unknown parse error")
_BY_STATE = {
    "22003": (1204, "Numeric data overflow (result precision)"),
    "22001": (1204, "String length exceeds DDL length"),
    "22021": (1220, "Multibyte character not supported or invalid UTF8"),
    "23502": (1213, "Missing data for not-null field"),
    "22P04": _UNKNOWN,
    "22P02": _UNKNOWN,
    "22007": (1206, "Invalid timestamp format or value [YYYY-MM-DD HH24:MI:SS]"),
    "22008": (1206, "Invalid timestamp format or value [YYYY-MM-DD HH24:MI:SS]"),
}


@dataclass(frozen=True)
class LoadContext:
    """Which COPY an error row is about."""

    query_id: int
    table_id: int
    table_name: str
    session_id: int
    database: str


def record_error(fields: wire.Fields, columns: list[Column]) -> RecordError | None:
    """PostgreSQL's error as a bad record at its line of the stream; None when it is not about the data."""
    context = _CONTEXT.match(fields.get("W", ""))
    if context is None:
        return None
    by_name = {column.name: column for column in columns}
    column = by_name.get(context[2] or fields.get("c", ""))
    line = int(context[1])
    state = fields["C"]
    constraint = re.fullmatch(r"rs_(?:octets|ascii)_(\d+)_\d+", fields.get("n", ""))
    if state == "23514" and constraint is not None:
        return _length_error(line, int(constraint[1]), columns)
    if state == "23514" and column is not None and column.base_type == "bytea":
        return RecordError(1204, "Binary length exceeds DDL length", line, column)
    if state in ("22007", "22008") and column is not None:
        error = bad_time(column)
        error.line = line
        return error
    if state == "22003" and column is not None and column.base_type.startswith("int"):
        return RecordError(1222, "Integer overflow", line, column)
    if state in ("22P02", "22P05") and column is not None:
        return RecordError(*_BY_TYPE.get(column.base_type, _UNKNOWN), line, column)
    if state in _BY_STATE:
        return RecordError(*_BY_STATE[state], line, column)
    return None


def _length_error(line: int, number: int, columns: list[Column]) -> RecordError:
    column = next((c for c in columns if c.number == number), None)
    if column is not None and column.base_type == "bpchar":
        return RecordError(
            1215, "Multibyte character not supported for CHAR (Hint: try using VARCHAR)", line, column
        )
    return RecordError(1204, "String length exceeds DDL length", line, column)


def failed(table: str) -> SqlError:
    """What a client is told about a COPY that met a bad record."""
    return SqlError(
        "XX000",
        f"Load into table '{table}' failed.  Check 'sys_load_error_detail' system table for details.",
    )


def store(backend: Backend, context: LoadContext, error: RecordError, file: str, line: int) -> None:
    """Write the row of sys_load_error_detail; ``backend`` is a connection of its own, so the row stays."""
    column = error.column
    length = "" if column is None or column.length is None else str(column.length)
    values = [
        "100", str(context.query_id), "0", str(context.session_id), literal(context.database), str(context.table_id),
        "now() AT TIME ZONE 'UTC'", literal(file[:256]), str(line), literal("" if column is None else column.name),
        literal("" if column is None else column.base_type[:10]), literal(length), "0", str(error.code),
        literal(error.reason),
    ]  # fmt: skip
    backend.query(f"INSERT INTO redshift_gateway.load_errors VALUES ({', '.join(values)})")
