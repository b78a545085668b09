"""Runs one parsed COPY on the client's own backend connection: catalog, objects, records, outcome."""

from __future__ import annotations

import bisect
from collections.abc import Callable

from redshift_gateway import load_errors, wire
from redshift_gateway.backend import Backend, BackendError
from redshift_gateway.copy_statement import CopyStatement
from redshift_gateway.errors import SqlError
from redshift_gateway.load_errors import LoadContext
from redshift_gateway.objects import Objects, internal_error
from redshift_gateway.records import Column, Converter, RecordError
from redshift_gateway.tokens import identifier, literal

_CATALOG = """
SELECT nextval('redshift_gateway.query_id'), {table}::regclass::oid, pg_backend_pid(), current_database(),
  attnum, column_name, base_type, max_length, numeric_scale, attidentity
FROM redshift_gateway.column_types WHERE table_id = {table}::regclass ORDER BY attnum"""


class Load:
    """One COPY. ``connect`` opens a backend connection of its own, for the error row."""

    def __init__(
        self, copy: CopyStatement, backend: Backend, objects: Objects, connect: Callable[[], Backend]
    ) -> None:
        self._copy = copy
        self._backend = backend
        self._objects = objects
        self._connect = connect
        self._files: list[str] = []
        self._first_lines: list[int] = []
        self._lines = 0
        self._uncounted = 0

    def run(self) -> int:
        """Load and return the number of rows.

        Raises SqlError in Redshift's words, BackendError with PostgreSQL's own where it is not about the data.
        """
        context, columns = self._catalog()
        self._begin(columns)
        try:
            self._feed(columns)
        except RecordError as error:
            self._abandon()
            raise self._failed(context, error, self._files[-1], self._lines_of_file() + error.line) from error
        except SqlError:
            self._abandon()
            raise
        return self._finish(context, columns)

    def _catalog(self) -> tuple[LoadContext, list[Column]]:
        """The target's columns in loading order, asked on the client's connection: it may be temporary or uncommitted."""
        rows = self._backend.query(_CATALOG.format(table=literal(self._copy.table)))
        if not rows:
            raise SqlError("42809", f"COPY: {self._copy.table} is no table with columns")
        query_id, table_id, session_id, database = (str(value) for value in rows[0][:4])
        context = LoadContext(int(query_id), int(table_id), self._copy.table_name, int(session_id), database)
        found: dict[str, tuple[Column, bool]] = {}
        for _, _, _, _, number, name, base_type, length, scale, identity in rows:
            column = Column(int(str(number)), str(name), str(base_type), _number(length), _number(scale))
            found[column.name] = column, bool(identity)
        if self._copy.columns is None:
            return context, [c for c, identity in found.values() if self._copy.explicit_ids or not identity]
        return context, [self._column(found, name) for name in self._copy.columns]

    def _column(self, found: dict[str, tuple[Column, bool]], name: str) -> Column:
        if name not in found:
            raise SqlError("42703", f'column "{name}" of relation "{self._copy.table_name}" does not exist')
        column, identity = found[name]
        if identity and not self._copy.explicit_ids:
            raise SqlError("0A000", f"cannot copy into identity column {name} without EXPLICIT_IDS")
        return column

    def _begin(self, columns: list[Column]) -> None:
        names = ", ".join(identifier(column.name) for column in columns)
        copy = self._copy
        self._backend.send(
            wire.query(
                f"COPY {copy.table} ({names}) FROM STDIN (FORMAT csv, ENCODING 'UTF8',"
                f" DELIMITER {literal(copy.delimiter)}, QUOTE {literal(copy.quote)}, NULL {literal(copy.null)},"
                f" FORCE_NULL ({names}))"
            )
        )
        kind, body = self._backend.read()
        if kind != b"G":
            self._drain()
            raise BackendError(wire.read_fields(body))

    def _feed(self, columns: list[Column]) -> None:
        """Send every object's records; stops early when PostgreSQL has already refused one."""
        converter = Converter(self._copy, columns)
        loaded = 0
        for url, mandatory in self._objects.sources(self._copy):
            if not mandatory and not self._objects.exists(url):
                continue
            loaded += 1
            self._files.append(url)
            self._first_lines.append(self._lines)
            for chunk in converter.convert(self._objects.read(url, self._copy.compression)):
                if not self._lines:
                    self._uncounted = converter.uncounted_lines(chunk)
                self._backend.send(wire.message(b"d", chunk))
                self._lines += chunk.count(b"\n")
                if self._backend.has_failed():
                    return
        if not loaded:
            raise internal_error("No file of the manifest was found", 8001)

    def _lines_of_file(self) -> int:
        return self._lines - self._first_lines[-1] + self._copy.ignore_header

    def _abandon(self) -> None:
        """Make PostgreSQL abort the statement and, inside one, the transaction."""
        self._backend.send(wire.message(b"f", wire.cstring("COPY was given up by the gateway")))
        self._drain()

    def _drain(self) -> tuple[str, wire.Fields | None]:
        """Read to ReadyForQuery; the command tag and the error, if there was one."""
        tag, failure = "", None
        while True:
            kind, body = self._backend.read()
            if kind == b"C":
                tag = wire.read_cstring(body)[0]
            elif kind == b"E":
                failure = wire.read_fields(body)
            elif kind == b"Z":
                return tag, failure

    def _finish(self, context: LoadContext, columns: list[Column]) -> int:
        self._backend.send(wire.message(b"c"))
        tag, failure = self._drain()
        if failure is not None:
            error = load_errors.record_error(failure, columns)
            if error is None:
                raise BackendError(failure)
            line = error.line + self._uncounted
            at = max(0, bisect.bisect_left(self._first_lines, line) - 1)
            line += self._copy.ignore_header - self._first_lines[at]
            raise self._failed(context, error, self._files[at], line)
        rows = int(tag.split()[-1])
        self._backend.query(
            f"SELECT set_config('redshift_gateway.last_copy_count', '{rows}', false),"
            f" set_config('redshift_gateway.last_copy_id', '{context.query_id}', false)"
        )
        return rows

    def _failed(self, context: LoadContext, error: RecordError, file: str, line: int) -> SqlError:
        connection = self._connect()
        try:
            load_errors.store(connection, context, error, file, line)
        finally:
            connection.terminate()
        return load_errors.failed(context.table_name)


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)
