"""The statements that make a service's tables on Redshift: the same that a first load would run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from airflow_provider_tungsten.replicator.batch.tables import AppliedTables
from airflow_provider_tungsten.replicator.binlog.definition import TableDefinition
from airflow_provider_tungsten.replicator.errors import TargetError, UnsupportedError
from airflow_provider_tungsten.replicator.redshift import ddl, position
from airflow_provider_tungsten.replicator.redshift.ddl import Header, Names, Relation
from airflow_provider_tungsten.replicator.redshift.settings import RedshiftApplier


@dataclass(frozen=True)
class TableDdl:
    """What one table needs.

    :param source: ``schema.table`` at the source.
    :param error: why it cannot be loaded; then there are no statements.
    """

    source: str
    statements: tuple[str, ...] = ()
    error: str | None = None


def schemas(names: Names, tables: Iterable[Relation]) -> list[str]:
    """The schemas, staging's first, and the table of positions."""
    live = sorted({table.schema for table in tables} - {names.staging_schema})
    made = [ddl.create_schema(schema) for schema in (names.staging_schema, *live)]
    return [*made, position.create(names.commit_table)]


def scan(
    definitions: Iterable[TableDefinition], tables: AppliedTables, names: Names, applier: RedshiftApplier
) -> Iterator[tuple[Relation | None, TableDdl]]:
    """The live table and its staging table for every table that the applier takes."""
    header = Header(applier.csv.header_names)
    for source in definitions:
        if not tables.includes(source.schema, source.table):
            continue
        try:
            definition = tables.applied(source.json).definition
            live = names.live(definition.schema, definition.table)
            stage = names.stage(definition.schema, definition.table)
            yield (
                live,
                TableDdl(
                    source.name,
                    (
                        ddl.create_table(live, ddl.live_columns(definition), lines=True),
                        ddl.create_table(stage, ddl.stage_columns(header, definition), lines=True),
                        ddl.note_source(stage, definition, live),
                    ),
                ),
            )
        except (TargetError, UnsupportedError) as error:
            yield None, TableDdl(source.name, error=str(error))
