"""`tungsten ddl`: the statements that make a service's tables at the target, as Tungsten's ddlscan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Annotated

import typer

from airflow_provider_tungsten.replicator.binlog.definition import TableDefinition
from airflow_provider_tungsten.replicator.branch import Branch
from airflow_provider_tungsten.replicator.cli import output
from airflow_provider_tungsten.replicator.cli.services import (
    ApplierName,
    ServiceFile,
    branch_of,
    live_connections,
)
from airflow_provider_tungsten.replicator.errors import ConfigurationError, RangeError, UnsupportedError
from airflow_provider_tungsten.replicator.filters.tables import TableFilter
from airflow_provider_tungsten.replicator.redshift.ddl import Names
from airflow_provider_tungsten.replicator.redshift.scan import TableDdl, scan, schemas
from airflow_provider_tungsten.replicator.redshift.settings import RedshiftApplier
from airflow_provider_tungsten.replicator.s3.settings import S3Applier
from airflow_provider_tungsten.replicator.schema.definitions import source_definitions
from airflow_provider_tungsten.replicator.service import load_service


def ddl(
    config: ServiceFile,
    applier: ApplierName = None,
    tables: Annotated[
        list[str] | None,
        typer.Option(
            "--tables", "-tables", help="Only these, schema.table with wildcards; may stand several times."
        ),
    ] = None,
    as_json: output.AsJson = False,
) -> None:
    """Prints the DDL of the target's tables, out of the source's tables as they are now.

    For an S3 applier: an external table of Athena over the files of every table.

    For Redshift: the schemas, every live table and its staging table, and the table
    of positions, exactly as a first load would make them itself: run them before
    where tables need a DISTKEY or other owners. A table that cannot be loaded
    stands there as a comment with the reason, and the status is 3.

    [bold]Examples[/bold]

      tungsten ddl --config shop.yaml > tables.sql

      tungsten ddl --config shop.yaml --tables 'shop.order*' --json
    """
    with output.errors(as_json):
        service = load_service(config)
        branch = branch_of(service, applier)
        heads, found = _scanned(branch, tables)
        if tables and not found:
            raise RangeError(f"--tables {', '.join(tables)}: the applier takes no such table")
        if as_json:
            output.print_json({"schemas": heads, "tables": [asdict(one) for one in found]})
        else:
            _print(heads, found)
    if any(one.error for one in found):
        raise typer.Exit(output.NEEDS_A_PERSON)


def _scanned(branch: Branch, patterns: list[str] | None) -> tuple[list[str], list[TableDdl]]:
    """Statements that come first, and those of every table."""
    applier, service = branch.applier, branch.service
    if not isinstance(applier, RedshiftApplier | S3Applier):
        raise ConfigurationError(
            f"applier {branch.name} of type {applier.type}: what its tables are its class knows"
        )
    wanted = TableFilter(patterns or ("*.*",), (), ())
    endpoint = live_connections().mysql(service.source.connection)
    definitions = [
        definition
        for definition in source_definitions(endpoint, service.extracted_tables())
        if wanted.includes(definition.schema, definition.table)
    ]
    if isinstance(applier, S3Applier):
        return [], list(_athena(branch, applier, definitions))
    names = Names.of(service.service, applier)
    found = list(scan(definitions, branch.chain.tables, names, applier))
    return schemas(names, [live for live, _ in found if live is not None]), [one for _, one in found]


def _athena(branch: Branch, applier: S3Applier, definitions: Iterable[TableDefinition]) -> Iterator[TableDdl]:
    from airflow_provider_tungsten.replicator.s3.athena import create_table, first_time

    service, tables = branch.service.service, branch.chain.tables
    first = first_time(applier, branch.folder)
    for source in definitions:
        if not tables.includes(source.schema, source.table):
            continue
        try:
            definition = tables.applied(source.json).definition
            statement = create_table(
                applier, (service, branch.name), branch.folder.url, definition, "default", first
            )
            yield TableDdl(source.name, (statement,))
        except UnsupportedError as error:
            yield TableDdl(source.name, error=str(error))


def _print(heads: list[str], found: list[TableDdl]) -> None:
    for statement in heads:
        print(f"{statement};\n")
    for one in found:
        print(f"-- {one.source}")
        if one.error:
            print("\n".join(f"-- ERROR: {line}" for line in one.error.splitlines()))
        for statement in one.statements:
            print(f"{statement};")
        print()
