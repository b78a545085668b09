"""Runs DDL on a server that logs all metadata, and compares what the catalog makes of it with what the server logs."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterable, Iterator

import pymysql

from airflow_provider_tungsten.replicator.binlog.constants import EventType
from airflow_provider_tungsten.replicator.binlog.definition import TableDefinition
from airflow_provider_tungsten.replicator.binlog.events import Query, parse_query
from airflow_provider_tungsten.replicator.binlog.framing import Event, EventStream, payload_events
from airflow_provider_tungsten.replicator.binlog.table_map import BareColumn, BareTable, TableMaps
from airflow_provider_tungsten.replicator.errors import UnsupportedError
from airflow_provider_tungsten.replicator.schema.catalog import Catalog
from airflow_provider_tungsten.replicator.schema.session import Session
from tests.stack.mysql import MySQL

COM_BINLOG_DUMP = 0x12
NON_BLOCKING = 1
VERSION = (9, 7, 4)


def place(server: MySQL) -> tuple[str, int]:
    """Where the server's log ends."""
    return server.execute("SHOW BINARY LOG STATUS")[0][:2]  # type: ignore[return-value]


def run(server: MySQL, database: str, statements: Iterable[str]) -> int:
    """Runs statements, each followed by a row in every table whose name stands in it; how many the server took."""
    taken = 0
    with (
        server.connect(database=database) as connection,
        server.connect(database=database) as other,
        connection.cursor() as cursor,
        other.cursor() as rows,
    ):
        for session in (cursor, rows):
            session.execute("SET SESSION sql_mode = '', foreign_key_checks = 0")
        for statement in statements:
            try:
                cursor.execute(statement)
            except pymysql.MySQLError:
                continue
            taken += 1
            rows.execute("SHOW FULL TABLES WHERE Table_type = 'BASE TABLE'")
            for table, _ in rows.fetchall():
                name = table.replace("`", "``")
                if name in statement or not name.isalnum():
                    with contextlib.suppress(pymysql.MySQLError):
                        rows.execute(f"DELETE FROM `{name}`")
                        rows.execute(f"INSERT INTO `{name}` () VALUES ()")
    return taken


def events(server: MySQL, begin: tuple[str, int]) -> Iterator[Event]:
    with server.connect() as connection:
        with connection.cursor() as cursor:
            cursor.execute("SET @source_binlog_checksum = 'CRC32'")
        head = struct.pack("<IHI", begin[1], NON_BLOCKING, 4712)
        connection._execute_command(COM_BINLOG_DUMP, head + begin[0].encode())
        stream = EventStream(begin[0], begin[1])
        while not stream.ended:
            chunk = connection._sock.recv(65536)
            assert chunk, "the server hung up"
            for event in stream.feed(chunk):
                yield from payload_events(event) if event.type == EventType.TRANSACTION_PAYLOAD else (event,)


def query_of(event: Event) -> Query | None:
    if event.type != EventType.QUERY:
        return None
    query = parse_query(event.body)
    return None if query.sql in ("BEGIN", "COMMIT") else query


def bare(definition: TableDefinition) -> BareTable:
    """What a table map would tell of it with MINIMAL metadata."""
    columns = tuple(
        BareColumn(
            column.code,  # type: ignore[arg-type]
            column.meta,
            column.nullable,
            column.unsigned if column.type in NUMERIC else None,
            column.charset or "binary" if column.type in TEXTUAL else None,
        )
        for column in definition.columns
    )
    return BareTable(definition.schema, definition.table, columns)


NUMERIC = frozenset(
    {"tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "float", "double", "year"}
)
TEXTUAL = frozenset(
    {
        *("char", "varchar", "binary", "varbinary", "tinytext", "text", "mediumtext", "longtext"),
        *("tinyblob", "blob", "mediumblob", "longblob"),
    }
)


def differences(server: MySQL, begin: tuple[str, int], catalog: Catalog) -> list[str]:
    """Leads the catalog through the log, and tells where it did not give what the log itself names; once a table."""
    found: dict[str, str] = {}
    maps = TableMaps()
    last = ""
    for event in events(server, begin):
        query = query_of(event)
        if query is not None:
            last = query.sql
            catalog.apply(query.sql, Session.of(query, VERSION), event.place)
        elif event.type == EventType.TABLE_MAP:
            logged = maps.definition(event.body)
            try:
                ours: TableDefinition | str = catalog.complete(bare(logged))
            except UnsupportedError as error:
                ours = str(error)
            if ours != logged:
                found.setdefault(logged.name, f"behind {last}:\nours   {ours}\nlogged {logged}")
    return list(found.values())


def definitions(server: MySQL, begin: tuple[str, int]) -> dict[str, TableDefinition]:
    """What the log names last, by table."""
    maps = TableMaps()
    logged = (
        maps.definition(event.body) for event in events(server, begin) if event.type == EventType.TABLE_MAP
    )
    return {definition.name: definition for definition in logged}
