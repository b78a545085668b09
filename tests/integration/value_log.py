"""Runs SQL on a server, reads what its log holds of it by the protocol a replica uses, and asks the server for the truth."""

from __future__ import annotations

import csv
import io
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from airflow_provider_tungsten.replicator.binlog.constants import ROWS_EVENTS, EventType
from airflow_provider_tungsten.replicator.binlog.definition import TableDefinition
from airflow_provider_tungsten.replicator.binlog.events import Event, parse_rows
from airflow_provider_tungsten.replicator.binlog.framing import EventStream, payload_events
from airflow_provider_tungsten.replicator.binlog.partial import PartialUpdates
from airflow_provider_tungsten.replicator.binlog.rows import CsvEncoder
from airflow_provider_tungsten.replicator.binlog.table_map import TableMaps
from tests.integration.value_types import Kind
from tests.stack.mariadb import MariaDB
from tests.stack.mysql import MySQL

COM_BINLOG_DUMP = 0x12
NON_BLOCKING = 1
ANNOTATE_ROWS = 2
NULL = "\\N"
csv.field_size_limit(1 << 30)

Row = tuple[str, ...]
Position = tuple[str, int]


class Change:
    """Rows that were inserted and rows that were deleted, in order; an update is one of each."""

    def __init__(self) -> None:
        self.inserted: list[Row] = []
        self.deleted: list[Row] = []

    def add(self, images: Iterable[tuple[str, Row]]) -> None:
        for opcode, row in images:
            (self.inserted if opcode == "I" else self.deleted).append(row)


class Log:
    """Runs SQL and reads what the server logs of it, by the protocol a replica uses."""

    def __init__(self, server: MySQL, database: str) -> None:
        self.server = server
        self._is_mariadb = isinstance(server, MariaDB)
        self.partial_events = 0
        self.connection = server.connect(database=database)
        self.run("SET time_zone='+00:00', sql_mode=''")

    def run(self, *statements: str, arguments: Sequence[Any] | None = None) -> None:
        with self.connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement, arguments)

    def select(self, query: str) -> list[Row]:
        """The server's text of every value, NULL as in the CSV."""
        with (
            self.server.connect(database=self.connection.db, conv={}) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute("SET time_zone='+00:00'")
            cursor.execute(query)
            return [tuple(NULL if value is None else _text(value) for value in row) for row in cursor]

    def position(self) -> Position:
        with self.connection.cursor() as cursor:
            cursor.execute("SHOW MASTER STATUS" if self._is_mariadb else "SHOW BINARY LOG STATUS")
            file, position = cursor.fetchone()[:2]
        return file, position

    def changes(self, *statements: str, arguments: Sequence[Any] | None = None) -> Change:
        start = self.position()
        self.run(*statements, arguments=arguments)
        return self.changes_since(start)

    def changes_since(self, start: Position) -> Change:
        change = Change()
        change.add(self._images(*start))
        return change

    def definitions(self, start: Position) -> list[TableDefinition]:
        return [
            TableMaps().definition(event.body)
            for event in self._events(*start)
            if event.type == EventType.TABLE_MAP
        ]

    def _images(self, file: str, position: int) -> Iterator[tuple[str, Row]]:
        maps = TableMaps()
        for event in self._events(file, position):
            if event.type == EventType.TABLE_MAP:
                maps.add(event.body)
            elif event.type in ROWS_EVENTS | {EventType.PARTIAL_UPDATE_ROWS}:
                if event.type == EventType.PARTIAL_UPDATE_ROWS:
                    definition = maps.get(int.from_bytes(event.body[:6], "little"))
                    event = PartialUpdates(definition).whole_event(event)
                    self.partial_events += 1
                rows = parse_rows(event)
                assert rows.full_image
                encoder = CsvEncoder(
                    maps.get(rows.table_id), ["opcode"], max_text_bytes=None, refuse_zero_dates=False
                )
                payload = event.body[rows.payload_offset :]
                yield from read_csv(encoder.encode(payload, rows.kind, seqno=1, row_id=1, commit_ts=0).csv)

    def _events(self, file: str, position: int) -> Iterator[Event]:
        with self.server.connect() as connection:
            with connection.cursor() as cursor:
                if self._is_mariadb:
                    cursor.execute("SET @master_binlog_checksum='CRC32', @mariadb_slave_capability=4")
                else:
                    cursor.execute("SET @source_binlog_checksum='CRC32'")
            flags = NON_BLOCKING | (ANNOTATE_ROWS if self._is_mariadb else 0)
            head = struct.pack("<IHI", position, flags, 4711)
            connection._execute_command(COM_BINLOG_DUMP, head + file.encode())
            stream = EventStream(file, position)
            while not stream.ended:
                chunk = connection._sock.recv(65536)
                assert chunk, "the server hung up"
                assert stream.error is None
                for event in stream.feed(chunk):
                    if event.type == EventType.TRANSACTION_PAYLOAD:
                        yield from payload_events(event)
                    else:
                        yield event


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


class Written(NamedTuple):
    """What the server shows of the rows that its log holds as inserted, and as deleted."""

    start: Position
    inserted: list[Row]
    deleted: list[Row]


def read_csv(text: bytes | memoryview) -> Iterator[tuple[str, Row]]:
    """Opcode and values of each line."""
    for line in csv.reader(io.StringIO(str(text, "utf-8"), newline="")):
        yield line[0], tuple(line[1:])


def write(log: Log, kind: Kind, table: str, values: Sequence[str]) -> Written:
    """Inserts the values, copies them into a second column and deletes all."""
    start = log.position()
    listed = ", ".join(f"({number}, {value}, NULL)" for number, value in enumerate(values))
    log.run(f"INSERT INTO {table} VALUES {listed}, (-1, NULL, NULL)")
    shown = ", ".join(kind.shown.replace("{}", name) for name in "vu")
    query = f"SELECT id, {shown} FROM {table} ORDER BY id"
    before = log.select(query)
    log.run(f"UPDATE {table} SET u = v")
    after = log.select(query)
    log.run(f"DELETE FROM {table} ORDER BY id")
    changed = [at for at, row in enumerate(before) if row[1] != NULL]
    return Written(
        start,
        before + [after[at] for at in changed],
        [before[at] for at in changed] + after,
    )


def compare(kind: Kind, found: list[Row], truth: list[Row]) -> None:
    same = [_read(row, kind.same) for row in _stable(found)]
    assert same == [_read(row, kind.truth) for row in _stable(truth)]


def _stable(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (int(row[0]), row[2] == NULL))


def _read(row: Row, reader: Callable[[str], Any]) -> list[Any]:
    return [row[0], *(value if value == NULL else reader(value) for value in row[1:])]
