"""What an error of ``redshift_connector`` means: to be tried again, or for a person to mend. Load errors made readable.

The driver raises ``ProgrammingError`` for nearly everything; the server's fields are a dict in ``args[0]``
(S severity, C SQLSTATE, M message, D detail; PostgreSQL "Error and Notice Message Fields").
"""

from __future__ import annotations

import os.path
import re
import struct
from collections.abc import Sequence
from typing import Any

import redshift_connector

from airflow_provider_tungsten.replicator.errors import (
    DataError,
    StorageUnavailableError,
    TargetError,
    TargetUnavailableError,
    TungstenError,
)

# What a broken connection looks like: the driver reads on in what it did not get.
DRIVER_ERRORS = (redshift_connector.Error, OSError, struct.error, EOFError)

QUERY_CANCELED = "57014"

_TRANSIENT_STATES = {"40001", "40P01", "55P03", QUERY_CANCELED, "57P01", "57P02", "57P03", "53300", "25P03"}
_TRANSIENT_TEXTS = (
    "serializable isolation violation",
    "conflict with concurrent transaction",
    "cluster is restarting",
)
_MENDS = {
    "28000": "check user and password of the connection",
    "28P01": "check user and password of the connection",
    "3D000": "check the database of the connection",
    "42501": "grant the connection's user what the statement needs",
}
_S3_TEXTS = (
    "s3serviceexception",
    "s3curlexception",
    "s3 prefix",
    "assume iam role",
    "assume role",
    "problem reading manifest",
)
_S3_TRANSIENT = re.compile(r"s3curlexception|status 50\d|slowdown|timed? ?out|internalerror", re.IGNORECASE)

# Amazon Redshift Database Developer Guide, "Load error reference".
_REASONS = {
    1201: "a field delimiter is missing",
    1202: "more columns than the table has",
    1203: "fewer columns than the table has",
    1204: "the value is too long or out of range",
    1205: "not a date that Redshift knows",
    1206: "not a timestamp that Redshift knows",
    1207: "not an integer",
    1208: "not a floating-point number",
    1209: "not a decimal number",
    1210: "not a boolean",
    1213: "NULL in a NOT NULL column",
    1214: "a field delimiter is missing",
    1216: "the line is invalid or longer than 4 MB",
    1218: "a NUL byte",
    1219: "not hexadecimal",
    1220: "not UTF-8",
    1222: "the integer is out of range",
    1224: "not JSON",
}

LOAD_ERRORS = (
    "SELECT TRIM(file_name), line_number, TRIM(column_name), TRIM(column_type), TRIM(column_length), error_code, "
    "TRIM(error_message) FROM sys_load_error_detail WHERE STRPOS(file_name, %s) = 1 ORDER BY start_time DESC LIMIT 1"
)


def server_fields(error: BaseException) -> dict[str, str]:
    """The server's own fields; empty for an error that the driver made."""
    first = error.args[0] if error.args else None
    return first if isinstance(first, dict) else {}


def connection_lost(error: BaseException) -> bool:
    """Whether nothing more can be done on the connection, and whether the statement was carried out is unknown."""
    fields = server_fields(error)
    return not fields or fields.get("C", "").startswith(("08", "57P0"))


def classify(error: BaseException, doing: str) -> TungstenError:
    """The error of this package that says the same, without any value of a row.

    :param doing: what was tried, as in "Redshift could not <doing>".
    """
    fields = server_fields(error)
    if not fields:
        reason = f"{type(error).__name__}: {error}"
        if "certificate" in reason.lower() or "refuses SSL" in reason:
            return TargetError(
                f"Redshift could not {doing}: {reason}; check the connection's sslmode and authority"
            )
        return TargetUnavailableError(f"Redshift could not {doing}: the connection failed ({reason})")
    state, text = fields.get("C", "?????"), _without_values(fields)
    message = f"Redshift could not {doing}: {text} (SQLSTATE {state})"
    if transient(fields):
        return TargetUnavailableError(message)
    if any(part in text.lower() for part in _S3_TEXTS):
        if _S3_TRANSIENT.search(text):
            return StorageUnavailableError(message)
        return TargetError(
            f"{message}; check iam_role and region of the applier, and that the role may read the bucket"
        )
    return TargetError(f"{message}; {_MENDS[state]}" if state in _MENDS else message)


def transient(fields: dict[str, str]) -> bool:
    text = f"{fields.get('M', '')} {fields.get('D', '')}".lower()
    state = fields.get("C", "")
    return (
        state in _TRANSIENT_STATES
        or state.startswith("08")
        or text.startswith("1023")
        or any(part in text for part in _TRANSIENT_TEXTS)
    )


def is_load_error(error: BaseException) -> bool:
    """Whether the server wrote down, in its table of load errors, which line of which file it could not load."""
    text = server_fields(error).get("M", "").lower()
    return "load_error" in text and not any(part in text for part in _S3_TEXTS)


def files_prefix(urls: Sequence[str]) -> str:
    """What all file names of a COPY begin with."""
    return os.path.commonprefix(list(urls))


def load_error(row: Sequence[Any] | None, table: str, live: str) -> TungstenError:
    """The error for a COPY that failed on its data, out of the row that :data:`LOAD_ERRORS` found."""
    if row is None:
        return TargetError(
            f"Redshift could not load {table}: COPY failed and sys_load_error_detail has no row about its files; "
            f"let the connection's user read it: ALTER USER … SYSLOG ACCESS UNRESTRICTED"
        )
    file, line, column, kind, length, code, message = row
    number = int(code)
    reason = _REASONS.get(number) or _masked(str(message))
    size = f"({length})" if length and str(length) != "0" else ""
    where = f"column {column} ({kind}{size})" if column else "the line as a whole"
    return DataError(
        f"Redshift could not load {table}: {file}, line {line}, {where}: {reason} (load error {number}); "
        f"compare {live} with the source's definition, or exclude the column: exclude_columns: [{table}.{column or '…'}]"
    )


def _without_values(fields: dict[str, str]) -> str:
    text = fields.get("M", "no message")
    # Class 22 is about data, class 23 about constraints: both quote values.
    return _masked(text) if fields.get("C", "").startswith(("22", "23")) else text


def _masked(text: str) -> str:
    return re.sub(r"""(["']).*\1""", "…", text)
