"""The application: its commands put together, and what all of them share. A command's own module says what it does."""

from __future__ import annotations

import sys
from typing import Annotated

import structlog
import typer

from airflow_provider_tungsten import __version__
from airflow_provider_tungsten.replicator.cli import output
from airflow_provider_tungsten.replicator.cli.extract import extract

app = typer.Typer(
    name="tungsten",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog=output.STATUSES,
)
app.command()(extract)


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


def _log_to_stderr() -> None:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.LogfmtRenderer(key_order=("timestamp", "level", "event")),
        ],
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )
