"""`tungsten extract`: binlog files to a log."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from pydantic import TypeAdapter

from airflow_provider_tungsten.replicator.cli import output
from airflow_provider_tungsten.replicator.cli.logs import open_place
from airflow_provider_tungsten.replicator.extraction import ExtractResult, Progress
from airflow_provider_tungsten.replicator.file_extractor import UNLIMITED, FilesSource, extract_files
from airflow_provider_tungsten.replicator.service import Start
from airflow_provider_tungsten.replicator.settings import Name, TableRules
from airflow_provider_tungsten.replicator.storage import new_token

# A log of files is not repositioned: who wants to go on behind a place begins another one there.
_ANOTHER_LOG = "another log (--thl or --service, with --start there)"
WAYS_OUT = (
    (r"[Tt]he DAG's parameter `reposition`( starts at .*) and records the gap", rf"{_ANOTHER_LOG}\1"),
    (r"[Tt]he DAG's parameter `reposition`", _ANOTHER_LOG),
)


def extract(
    files: Annotated[
        str, typer.Option(help="A folder of binlog files, a quoted pattern for them, or one file.")
    ],
    thl: Annotated[
        str,
        typer.Option(
            help="Where logs lie: a folder or s3://bucket/prefix. The service's is <thl>/<service>/."
        ),
    ],
    service: Annotated[str, typer.Option(help="Name of the stream; lower case, digits, _.")],
    include: Annotated[
        list[str],
        typer.Option(
            help="Tables to take, schema.table with wildcards; may stand several times.",
            default_factory=lambda: ["*.*"],
            show_default="*.*",
        ),
    ],
    exclude: Annotated[
        list[str],
        typer.Option(
            help="Tables to leave out; wins over --include.", default_factory=list, show_default=False
        ),
    ],
    exclude_columns: Annotated[
        list[str],
        typer.Option(
            help="Columns to leave out, schema.table.column with wildcards.",
            default_factory=list,
            show_default=False,
        ),
    ],
    start: Annotated[
        str,
        typer.Option(
            help="Where a new log begins: earliest, file:position, or a GTID set it is to go on behind."
        ),
    ] = "earliest",
    schema: Annotated[
        str, typer.Option(help="A dump by mysqldump --no-data --databases …, taken where a new log begins.")
    ] = "",
    max_transactions: Annotated[int, typer.Option(help="End behind so many.")] = 10**15,
    verify_checksums: Annotated[
        bool, typer.Option(help="Check the CRC32 of every event that has one.")
    ] = True,
    as_json: output.AsJson = False,
) -> None:
    """Reads binlog files into a THL, without a server.

    The files are archived ones, copies made by [bold]mysqlbinlog --raw[/bold], or
    downloads from Amazon RDS. They are read in the order of their numbers; a
    missing file, one that does not follow, one that is cut short or damaged
    stops the reading with its name and place, and what was whole before it
    stays in the log. Run it again when files were added: it goes on where the
    log ends.

    Rows need their columns' names: from the log itself where the server had
    binlog_row_metadata=FULL, from CREATE and ALTER TABLE statements met in the
    log, or from [bold]--schema[/bold], a dump of the tables as they were where
    reading begins.

    [bold]Examples[/bold]

      tungsten extract --files /backup/binlogs --thl /var/lib/thl --service shop

      tungsten extract --files '/backup/mysql-bin.*' --thl s3://bucket/thl --service shop --include 'shop.*' --json

      mysqldump --no-data --databases shop > shop.sql

      tungsten extract --files /backup/binlogs --schema shop.sql --start mysql-bin.000007:157 --thl /var/lib/thl --service shop
    """
    with output.errors(as_json, WAYS_OUT):
        rules = TableRules(
            include=tuple(include), exclude=tuple(exclude), exclude_columns=tuple(exclude_columns)
        )
        source = FilesSource(
            where=Path(files),
            rules=rules,
            start=Start.parse(start),
            schema_dump=Path(schema) if schema else None,
            limits=UNLIMITED.model_copy(update={"max_transactions": max_transactions}),
            verify_checksum=verify_checksums,
        )
        name = TypeAdapter(Name).validate_python(service)
        with output.progress(not as_json) as say:
            result = extract_files(
                name,
                source,
                open_place(thl),
                token=new_token("tungsten extract"),
                progress=say and (lambda done: say(_told(done))),
            )
    _show(result, as_json)


def _told(done: Progress) -> str:
    return (
        f"{done.event_id.partition(';')[0]}   {done.transactions:,} transactions   {done.rows:,} rows   "
        f"{done.bytes / 1_000_000 / max(done.seconds, 0.001):,.0f} MB/s"
    )


def _show(result: ExtractResult, as_json: bool) -> None:
    if as_json:
        output.print_json(dataclasses.asdict(result))
        return
    output.print_fields(_described(result))
    for warning in result.warnings:
        output.warn(warning)


def _described(result: ExtractResult) -> Iterator[tuple[str, str]]:
    added = "nothing" if result.first is None else f"seqno {result.first:,} to {result.last:,}"
    yield "added", added
    yield "transactions", f"{result.transactions:,}"
    yield "rows", f"{result.rows:,}"
    yield "log read", f"{result.bytes:,} bytes in {result.seconds:.1f} s"
    yield "read up to", result.event_id.partition(";")[0]
    yield "ended by", result.reason
