"""The command `tungsten`: parses, calls the engine, shows what came of it. What is done is the engine's business.

Results go to standard output, progress, log lines and errors to standard error; how it ended is the exit status.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import structlog
import typer
from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.table import Table

from airflow_provider_tungsten import __version__
from airflow_provider_tungsten.replicator.errors import ConfigurationError, TransientError, TungstenError
from airflow_provider_tungsten.replicator.extractor import ExtractResult, Progress
from airflow_provider_tungsten.replicator.file_extractor import UNLIMITED, FilesSource, extract_files
from airflow_provider_tungsten.replicator.service import Start
from airflow_provider_tungsten.replicator.settings import Name, Store, TableRules
from airflow_provider_tungsten.replicator.storage import Storage, new_token, open_storage

WRONG_ARGUMENTS = 2
NEEDS_A_PERSON = 3
TRY_AGAIN = 4

app = typer.Typer(
    name="tungsten",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog=(
        f"Exit status: 0 done; {WRONG_ARGUMENTS} wrong arguments; {NEEDS_A_PERSON} stopped, a person must look first; "
        f"{TRY_AGAIN} something did not answer, a later attempt may succeed."
    ),
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def tungsten(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and end.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """MySQL's binary log to a transaction history log (THL), and on to S3 and Redshift."""
    _log_to_stderr()


_EXTRACT_HELP = """Reads binlog files into a THL, without a server.

The files are archived ones, copies made by [bold]mysqlbinlog --raw[/bold], or downloads from Amazon RDS. They are read in the order
of their numbers; a missing file, one that does not follow, one that is cut short or damaged stops the reading with its
name and place, and what was whole before it stays in the log. Run it again when files were added: it goes on where the
log ends.

Rows need their columns' names: from the log itself where the server had binlog_row_metadata=FULL, from CREATE and ALTER
TABLE statements met in the log, or from [bold]--schema[/bold], a dump of the tables as they were where reading begins.

[bold]Examples[/bold]

  tungsten extract --files /backup/binlogs --thl /var/lib/thl --service shop

  tungsten extract --files '/backup/mysql-bin.*' --thl s3://bucket/thl --service shop --include 'shop.*' --json

  mysqldump --no-data --databases shop > shop.sql

  tungsten extract --files /backup/binlogs --schema shop.sql --start mysql-bin.000007:157 --thl /var/lib/thl --service shop
"""


@app.command(help=_EXTRACT_HELP)
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
        list[str], typer.Option(help="Tables to take, schema.table with wildcards; may stand several times.")
    ] = ["*.*"],  # noqa: B006
    exclude: Annotated[list[str], typer.Option(help="Tables to leave out; wins over --include.")] = [],  # noqa: B006
    exclude_columns: Annotated[
        list[str], typer.Option(help="Columns to leave out, schema.table.column with wildcards.")
    ] = [],  # noqa: B006
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
    as_json: Annotated[bool, typer.Option("--json", help="Print the result, or the error, as JSON.")] = False,
) -> None:
    with _errors(as_json):
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
        with _progress(not as_json) as progress:
            result = extract_files(
                name, source, _storage(thl), token=new_token("tungsten extract"), progress=progress
            )
    _show(result, as_json)


def _storage(url: str) -> Storage:
    return open_storage(Store(url=url if "://" in url else str(Path(url).absolute())).url)


@contextmanager
def _errors(as_json: bool) -> Iterator[None]:
    """Says in one message what went wrong, and ends with the status that tells what to do."""
    try:
        yield
    except ValidationError as error:
        lines = [f"{item['input']!r}: {item['msg']}" for item in error.errors()]
        _fail(ConfigurationError("; ".join(lines)), WRONG_ARGUMENTS, as_json)
    except ConfigurationError as error:
        _fail(error, WRONG_ARGUMENTS, as_json)
    except TransientError as error:
        _fail(error, TRY_AGAIN, as_json)
    except TungstenError as error:
        _fail(error, NEEDS_A_PERSON, as_json)


def _fail(error: TungstenError, status: int, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"error": type(error).__name__, "message": str(error)}))
    else:
        print(f"tungsten: {error}", file=sys.stderr)
    raise typer.Exit(status)


@contextmanager
def _progress(wanted: bool) -> Iterator[Callable[[Progress], None] | None]:
    """One line that moves, where a person looks at standard error."""
    console = Console(stderr=True)
    if not (wanted and console.is_terminal):
        yield None
        return
    with console.status("reading …") as status:

        def tell(done: Progress) -> None:
            status.update(
                f"{done.event_id.partition(';')[0]}   {done.transactions:,} transactions   {done.rows:,} rows   "
                f"{done.bytes / 1_000_000 / max(done.seconds, 0.001):,.0f} MB/s"
            )

        yield tell


def _show(result: ExtractResult, as_json: bool) -> None:
    values = dataclasses.asdict(result)
    if as_json:
        print(json.dumps(values))
        return
    table = Table(show_header=False, box=None)
    for name, text in _described(result):
        table.add_row(name, text)
    Console().print(table)
    for warning in result.warnings:
        print(f"tungsten: warning: {warning}", file=sys.stderr)


def _described(result: ExtractResult) -> Iterator[tuple[str, str]]:
    added = "nothing" if result.first is None else f"seqno {result.first:,} to {result.last:,}"
    yield "added", added
    yield "transactions", f"{result.transactions:,}"
    yield "rows", f"{result.rows:,}"
    yield "log read", f"{result.bytes:,} bytes in {result.seconds:.1f} s"
    yield "read up to", result.event_id.partition(";")[0]
    yield "ended by", result.reason


def _log_to_stderr() -> None:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.LogfmtRenderer(key_order=("timestamp", "level", "event")),
        ],
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )


if __name__ == "__main__":
    app()
