"""`tungsten thl export`: which events go to which files. Writing them is `files`' business."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from airflow_provider_tungsten.replicator.cli import logs, output
from airflow_provider_tungsten.replicator.cli.files import Export, Format
from airflow_provider_tungsten.replicator.cli.logs import Selection, open_log
from airflow_provider_tungsten.replicator.errors import ConfigurationError
from airflow_provider_tungsten.replicator.filters.tables import TableFilter
from airflow_provider_tungsten.replicator.settings import TableRules


def export(
    to: Annotated[
        str, typer.Option("--to", help="A file; a folder, for a file a table; - for standard output.")
    ] = "-",
    form: Annotated[
        Format | None,
        typer.Option("--format", help="arrow or jsonl. [dim]Default: by the file's ending, else jsonl[/dim]"),
    ] = None,
    table: Annotated[
        list[str] | None,
        typer.Option(help="Only this table, schema.table with wildcards; may stand several times."),
    ] = None,
    low: logs.Low = None,
    high: logs.High = None,
    seqno: logs.Seqno = None,
    first: logs.First = None,
    last: logs.Last = None,
    file: logs.File = None,
    as_json: output.AsJson = False,
    thl: logs.ThlUrl = None,
    service: logs.ServiceName = None,
    config: logs.ConfigFile = None,
) -> None:
    """Writes events as Arrow IPC or JSON lines, rows decoded.

    With one table, or into a folder, every record has the table's own columns
    with their types; else all events are in one form: a record a row or a
    statement, values as texts by column. Arrow is a file, or a stream on
    standard output. Files appear when they are whole.

    [bold]Examples[/bold]

      tungsten thl export --table shop.orders --to orders.arrow --config shop.yaml

      tungsten thl export --table 'shop.*' --to tables/ --format arrow --config shop.yaml

      tungsten thl export -low 4700 --config shop.yaml | jq .values
    """
    with output.errors(as_json):
        log = open_log(thl, service, config)
        begin, end = Selection(low, high, seqno, first, last, file).range_in(log)
        place, folder = _place(to)
        form = form or ("arrow" if to.endswith((".arrow", ".ipc")) else "jsonl")
        if place is None and form == "arrow" and sys.stdout.isatty():
            raise ConfigurationError("Arrow is not for a terminal: give --to FILE, or --format jsonl")
        one = len(table or ()) == 1 and not set("*?[").intersection((table or [""])[0])
        chosen = _chosen(table)
        with Export(place, form, folder=folder, typed=folder or one) as files:
            for event in log.read(begin, end):
                if chosen is None or chosen.includes(event.schema_name, event.table_name):
                    files.add(event)
                del event  # or it would be in memory beside the next
        if table and not any(files.records.values()):
            output.warn(f"seqnos {begin} to {end} have no row of {', '.join(table)}")
        if place is not None:
            _show_files(files.records, as_json)


def _chosen(tables: list[str] | None) -> TableFilter | None:
    """None: all."""
    if wrong := [name for name in tables or () if not all(name.partition(".")[::2])]:
        raise ConfigurationError(f"--table {wrong[0]}: write schema.table, wildcards allowed")
    return TableFilter(TableRules(include=tuple(tables)).include) if tables else None


def _place(to: str) -> tuple[Path | None, bool]:
    """The path, None for standard output; whether it is a folder, which is made."""
    path = Path(to)
    if to == "-":
        return None, False
    if not (to.endswith("/") or path.is_dir()):
        return path, False
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"cannot make the folder {to}: {error.strerror}") from error
    return path, True


def _show_files(records: Mapping[str, int], as_json: bool) -> None:
    if as_json:
        output.print_json({"records": sum(records.values()), "files": records})
    else:
        output.print_rows(
            ["file", "records"], [[path, f"{count:,}"] for path, count in records.items()], right=["records"]
        )
