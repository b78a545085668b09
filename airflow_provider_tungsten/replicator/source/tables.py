"""The tables that a server has, as far as filters must know them to be held against it. What they are to hold is `filters.check`'s."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from airflow_provider_tungsten.replicator.binlog.definition import Column, TableDefinition
from airflow_provider_tungsten.replicator.filters.check import Chain, Examined, check
from airflow_provider_tungsten.replicator.filters.tables import TableFilter
from airflow_provider_tungsten.replicator.service import Service
from airflow_provider_tungsten.replicator.source.connection import Connection, rows

_SYSTEM = sorted(TableFilter.SYSTEM_SCHEMAS)
_COLUMNS = (
    "SELECT c.table_schema AS s, c.table_name AS t, c.column_name AS c, c.data_type AS type,"
    " c.character_maximum_length AS length, c.is_nullable AS nullable"
    " FROM information_schema.columns c JOIN information_schema.tables t"
    " ON t.table_schema = c.table_schema AND t.table_name = c.table_name"
    " WHERE t.table_type = 'BASE TABLE' AND c.table_schema NOT IN %s"
    " ORDER BY 1, 2, c.ordinal_position"
)
_INDEXES = (
    "SELECT table_schema AS s, table_name AS t, index_name AS i, column_name AS c, nullable AS nullable"
    " FROM information_schema.statistics WHERE non_unique = 0 AND table_schema NOT IN %s"
    " ORDER BY 1, 2, 3, seq_in_index"
)


def examined(connection: Connection, service: Service) -> Examined:
    """What is to be said of the service's filters and its appliers'."""
    chains = list(_chains(service))
    if not chains:
        return Examined()
    included = service.extracted_tables()
    keys: dict[tuple[str, str], tuple[str, ...]] = {}
    unique: dict[tuple[str, str], list[Collection[str]]] = defaultdict(list)
    for (schema, table, index), found in _grouped(rows(connection, _INDEXES, [_SYSTEM]), "s", "t", "i"):
        columns = tuple(row["c"] for row in found)
        if index == "PRIMARY":
            keys[schema, table] = columns
        # An index on an expression has columns without a name.
        if not any(row["nullable"] == "YES" or row["c"] is None for row in found):
            unique[schema, table].append(columns)
    tables = list(_tables(rows(connection, _COLUMNS, [_SYSTEM]), keys, included))
    return check(chains, tables, included, unique)


def unmatched(connection: Connection, patterns: Iterable[str]) -> list[str]:
    """Those of the patterns ``schema.table`` that no table fits which the user may see."""
    query = (
        "SELECT table_schema AS s, table_name AS t FROM information_schema.tables"
        " WHERE table_type = 'BASE TABLE' AND table_schema NOT IN %s"
    )
    tables = [(row["s"], row["t"]) for row in rows(connection, query, [_SYSTEM])]
    filters = {pattern: TableFilter((pattern,)) for pattern in patterns}
    return [pattern for pattern, one in filters.items() if not any(one.includes(*table) for table in tables)]


def _chains(service: Service) -> Iterator[Chain]:
    """The filters of each applier that has any, with the service's in front."""
    own = tuple(f"filters.{number}" for number in range(len(service.filters)))
    for name, applier in service.appliers.items():
        places = tuple(f"appliers.{name}.filters.{number}" for number in range(len(applier.filters)))
        if own or places:
            yield Chain((*service.filters, *applier.filters), own + places, applier.table_filter())


def _tables(
    found: Collection[dict[str, Any]], keys: dict[tuple[str, str], tuple[str, ...]], included: TableFilter
) -> Iterator[TableDefinition]:
    for (schema, table), columns in _grouped(found, "s", "t"):
        known = tuple(
            Column(row["c"], row["type"], 0, length=row["length"], nullable=row["nullable"] == "YES")
            for row in columns
        )
        whole = TableDefinition(schema, table, known, keys.get((schema, table), ()))
        yield whole.without(included.excluded_columns(schema, table, [column.name for column in known]))


def _grouped(
    found: Collection[dict[str, Any]], *names: str
) -> Iterable[tuple[tuple[str, ...], list[dict[str, Any]]]]:
    """By exact names, which the server's own order may mix."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for row in found:
        groups[tuple(row[name] for name in names)].append(row)
    return groups.items()
