"""The application: its commands put together. A command's own module says what it does."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

import typer

from airflow_provider_tungsten import __version__
from airflow_provider_tungsten.replicator.cli import output
from airflow_provider_tungsten.replicator.cli.lazy import LazyGroup, Place


class _Commands(LazyGroup):
    places: ClassVar[dict[str, Place]] = {
        "run": Place("run:run", "Replicates, without Airflow: extract, plan, batch, upload, load."),
        "status": Place(
            "status:status", "Shows how far source, log and appliers are, as Tungsten's trepctl status."
        ),
        "qs": Place("status:qs", "Quick status: state, latency, last seqno, how long it takes to catch up."),
        "thl": Place("thl:app", "Looks into the THL, the log of all replicated transactions."),
        "position": Place("position:app", "Shows and sets what an applier has applied, as Tungsten's dsctl."),
        "preflight": Place(
            "preflight:preflight",
            "Checks source, stores and targets: every finding at once, each with its mend.",
        ),
        "ddl": Place(
            "ddl:ddl", "Prints the DDL of the target's tables, out of the source's tables as they are now."
        ),
        "skip": Place("operations:skip", "Leaves whole transactions out of what an applier applies."),
        "reposition": Place(
            "operations:reposition",
            "Lets reading go on elsewhere at the source: the way out where its log is lost or damaged.",
        ),
        "heartbeat": Place(
            "operations:heartbeat",
            "Changes the heartbeat's row at the source, which the log then holds as a record.",
        ),
        "applier": Place(
            "operations:applier_app",
            "The appliers that a log is kept for: retention never deletes what one of them has not applied.",
        ),
        "extract": Place("extract:extract", "Reads binlog files into a THL, without a server."),
    }

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """The same, but with ``--json`` wrong arguments are told as JSON, too."""
        output.write_whole()
        words = sys.argv[1:] if args is None else args
        if not (standalone_mode and output.JSON_OPTIONS.intersection(words)):
            return super().main(args, prog_name, complete_var, standalone_mode, windows_expand_args, **extra)
        try:
            status = super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
        except output.UsageError as error:
            output.print_json({"error": "UsageError", "message": error.format_message()})
            status = output.WRONG_ARGUMENTS
        except typer.Abort:
            output.print_json({"error": "Abort", "message": "nothing is done, since the answer was no"})
            status = output.NOT_AGREED
        sys.exit(status)


app = typer.Typer(
    cls=_Commands,
    name="tungsten",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog=output.STATUSES,
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
