"""What of a session's settings decides how a DDL statement is to be read."""

from __future__ import annotations

from typing import NamedTuple

from airflow_provider_tungsten.replicator.binlog import charsets
from airflow_provider_tungsten.replicator.binlog.events import Query
from airflow_provider_tungsten.replicator.errors import UnsupportedError
from airflow_provider_tungsten.replicator.filters.tokens import Dialect, Reader, reader

# `sql_mode` as a number: MySQL `sql/system_variables.h`.
_REAL_AS_FLOAT = 1 << 0
_ANSI_QUOTES = 1 << 2
_NO_BACKSLASH_ESCAPES = 1 << 20

# Status variables of a QUERY event: code → bytes of the value; -1: a length byte goes before it, -2: names, counted.
# MySQL `libs/mysql/binlog/event/statement_events.h`, `Query_event::Query_event_post_header`.
_LENGTHS = {
    **{
        0: 4,
        1: 8,
        3: 4,
        4: 6,
        5: -1,
        6: -1,
        7: 2,
        8: 2,
        9: 8,
        10: 4,
        12: -2,
        13: 3,
        16: 1,
        17: 8,
        18: 2,
        19: 1,
    },
    20: 1,
}
_SQL_MODE, _CHARSET, _INVOKER, _TIMESTAMPS_NULLABLE = 1, 4, 11, 16
_TOO_MANY_NAMES = 254


class Session(NamedTuple):
    """:param schema: that names without one belong to.
    :param sql_mode: as a number.
    :param server_charset: default of new databases; '' unknown.
    :param timestamps_nullable: whether a TIMESTAMP that does not say so may be NULL (`explicit_defaults_for_timestamp`).
    :param version: of the server, as 80034; None: newer than all that a `/*!…*/` asks for.
    :param shown: the statement is what a server shows of a table, not one that somebody gave it.
    """

    schema: str = ""
    sql_mode: int = 0
    server_charset: str = ""
    timestamps_nullable: bool = True
    version: int | None = None
    shown: bool = False

    @classmethod
    def of(cls, query: Query, version: tuple[int, int, int] | None) -> Session:
        """:param version: of the server that wrote the statement.

        A server older than 8.0 that does not say so takes a bare TIMESTAMP for NOT NULL, as was its default.
        """
        values = _status(query.variables)
        nullable = values.get(_TIMESTAMPS_NULLABLE, b"\1" if version and version >= (8, 0, 0) else b"\0")
        number = version[0] * 10000 + version[1] * 100 + version[2] if version else None
        return cls(
            query.schema,
            int.from_bytes(values.get(_SQL_MODE, b""), "little"),
            _charset(values.get(_CHARSET, b"")[4:]),
            nullable != b"\0",
            number,
        )

    def words(self, sql: str) -> Reader:
        """The statement, as this session's server reads it."""
        dialect = Dialect(
            ansi_quotes=bool(self.sql_mode & _ANSI_QUOTES),
            backslashes=self.backslashes,
            version=self.version,
        )
        return reader(sql, self.schema, dialect)

    @property
    def backslashes(self) -> bool:
        """Whether a backslash escapes in literals."""
        return not self.sql_mode & _NO_BACKSLASH_ESCAPES

    @property
    def real_type(self) -> str:
        return "float" if self.sql_mode & _REAL_AS_FLOAT else "double"


def _charset(collation: bytes) -> str:
    """Of a collation's number in two bytes; '' for none."""
    try:
        return charsets.charset_name(int.from_bytes(collation, "little")) if collation else ""
    except UnsupportedError:
        return ""


def _status(variables: bytes) -> dict[int, bytes]:
    """Values by code, up to the first of an unknown length."""
    values = {}
    at = 0
    while at < len(variables):
        code = variables[at]
        at += 1
        length = _length(variables, at, code)
        if length is None:
            break
        values[code] = variables[at : at + length]
        at += length
    return values


def _length(variables: bytes, at: int, code: int) -> int | None:
    """Bytes of the value of a variable, from `at` on."""
    first = variables[at] if at < len(variables) else 0
    length = _LENGTHS.get(code)
    if code == _INVOKER:
        second = at + 1 + first
        return 1 + first + 1 + (variables[second] if second < len(variables) else 0)
    if length == -1:
        return 1 + first
    if length == -2:
        end = at + 1
        for _ in range(0 if first == _TOO_MANY_NAMES else first):
            end = variables.find(b"\0", end) + 1 or len(variables)
        return end - at
    return length
