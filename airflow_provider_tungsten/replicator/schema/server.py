"""The catalog of a server as it is at a position of its log. Where reading begins otherwise is :mod:`.begin`'s."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from pymysql.constants import ER
from pymysql.err import MySQLError

from airflow_provider_tungsten.replicator.binlog.constants import EventType
from airflow_provider_tungsten.replicator.binlog.events import is_begin, is_commit, parse_query
from airflow_provider_tungsten.replicator.binlog.framing import Event, payload_events
from airflow_provider_tungsten.replicator.errors import SourceUnavailableError
from airflow_provider_tungsten.replicator.filters.tables import TableFilter
from airflow_provider_tungsten.replicator.filters.tokens import Table
from airflow_provider_tungsten.replicator.schema.catalog import Catalog
from airflow_provider_tungsten.replicator.schema.session import Session
from airflow_provider_tungsten.replicator.source.connection import Connection, explained, rows
from airflow_provider_tungsten.replicator.source.position import Source
from airflow_provider_tungsten.replicator.source.server import Server, Version, log_status
from airflow_provider_tungsten.replicator.source.stream import open_dump

_ATTEMPTS = 5
_SYSTEM = sorted(TableFilter.SYSTEM_SCHEMAS)
_GENERATED_KEYS = (8, 0, 30)  # since then a server can hide them from SHOW CREATE TABLE


def catalog_now(source: Source) -> tuple[Source, Catalog]:
    """The server's tables, and the server with the position of its log at which they are these.

    :raises SourceUnavailableError: tables were made or changed all the time.
    """
    for _ in range(_ATTEMPTS):
        before = _at_end_of_log(source)
        with explained(source.replica.endpoint):
            catalog = read_catalog(source)
        if catalog is not None and not _changed_since(before, catalog):
            return before, catalog
    raise SourceUnavailableError(
        f"MySQL at {source.replica.endpoint}: tables were changed while their definitions were read, {_ATTEMPTS} times"
    )


def folds_names(connection: Connection) -> bool:
    """Whether names of tables differ by more than their case."""
    return bool(rows(connection, "SELECT @@lower_case_table_names <> 0 AS folds")[0]["folds"])


def read_catalog(source: Source) -> Catalog | None:
    """See :func:`read_tables`."""
    return read_tables(source.connection, source.facts.version)


def read_tables(connection: Connection, version: Version) -> Catalog | None:
    """The server's tables one after the other; None: one vanished meanwhile."""
    rows(connection, "SET SESSION sql_mode = '', sql_quote_show_create = 1")
    if version >= _GENERATED_KEYS:
        rows(connection, "SET SESSION show_gipk_in_create_table_and_information_schema = ON")
    found = rows(
        connection,
        "SELECT schema_name AS s, default_character_set_name AS c FROM information_schema.schemata"
        " WHERE schema_name NOT IN %s",
        [_SYSTEM],
    )
    catalog = Catalog({row["s"]: row["c"] for row in found}, {}, whole=True, folds=folds_names(connection))
    try:
        for schema, table in _tables(connection):
            name = ".".join(f"`{part.replace('`', '``')}`" for part in (schema, table))
            shown = rows(connection, f"SHOW CREATE TABLE {name}")[0]["Create Table"]
            catalog.apply(shown, Session(schema, shown=True), f"SHOW CREATE TABLE {name}")
    except MySQLError as error:
        if error.args[0] not in (ER.NO_SUCH_TABLE, ER.BAD_DB_ERROR):
            raise
        return None
    return catalog


def _tables(connection: Connection) -> Iterator[Table]:
    found = rows(
        connection,
        "SELECT table_schema AS s, table_name AS t FROM information_schema.tables"
        " WHERE table_type = 'BASE TABLE' AND table_schema NOT IN %s ORDER BY 1, 2",
        [_SYSTEM],
    )
    return ((row["s"], row["t"]) for row in found)


def _at_end_of_log(source: Source) -> Source:
    with explained(source.replica.endpoint):
        status = log_status(source.connection, Server(source.facts.version, source.facts.mariadb))
    executed = re.sub(r"\s", "", status.get("Executed_Gtid_Set") or "")
    facts = replace(
        source.facts, file=status["File"], position=int(status["Position"]), gtid_executed=executed
    )
    return source._replace(facts=facts)


def _changed_since(before: Source, catalog: Catalog) -> bool:
    """Whether the log has DDL behind that place."""
    after = _at_end_of_log(before).facts
    if (after.file, after.position) == (before.facts.file, before.facts.position):
        return False
    scratch = catalog.copy()
    with open_dump(before.replica, before.facts.file, before.facts.position) as dump:
        for event in dump.events():
            if event.file == after.file and event.start >= after.position:
                return False
            if any(_is_ddl(inner, scratch) for inner in _opened(event)):
                return True
    return False


def _opened(event: Event) -> Iterator[Event]:
    return payload_events(event) if event.type == EventType.TRANSACTION_PAYLOAD else iter((event,))


def _is_ddl(event: Event, scratch: Catalog) -> bool:
    if event.type != EventType.QUERY or is_begin(event.body) or is_commit(event.body):
        return False
    query = parse_query(event.body)
    return query.cut or scratch.apply(query.sql, Session.of(query, None), event.place)
