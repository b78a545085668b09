"""The tables of a source as they are now: for what is made before there is a log."""

from __future__ import annotations

from contextlib import closing

from airflow_provider_tungsten.replicator.binlog.definition import TableDefinition
from airflow_provider_tungsten.replicator.errors import SourceUnavailableError
from airflow_provider_tungsten.replicator.filters.tables import TableFilter
from airflow_provider_tungsten.replicator.schema.server import read_tables
from airflow_provider_tungsten.replicator.source.connection import MySQLEndpoint, connect, explained
from airflow_provider_tungsten.replicator.source.server import checked_server

_ATTEMPTS = 5


def source_definitions(endpoint: MySQLEndpoint, tables: TableFilter) -> list[TableDefinition]:
    """The tables that are extracted, by name, without the columns that are not.

    :raises PreflightError, SourceUnavailableError: see :func:`connect`.
    """
    with closing(connect(endpoint)) as connection, explained(endpoint):
        server = checked_server(connection, endpoint)
        for _ in range(_ATTEMPTS):
            if (catalog := read_tables(connection, server.version)) is not None:
                return [
                    _cut(definition, tables)
                    for definition in catalog.definitions()
                    if tables.includes(definition.schema, definition.table)
                ]
    raise SourceUnavailableError(
        f"MySQL at {endpoint}: tables vanished while they were read, {_ATTEMPTS} times"
    )


def _cut(definition: TableDefinition, tables: TableFilter) -> TableDefinition:
    names = [column.name for column in definition.columns]
    hidden = set(tables.excluded_columns(definition.schema, definition.table, names))
    return definition.without(hidden) if hidden else definition
