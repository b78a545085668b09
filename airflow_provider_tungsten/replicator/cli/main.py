"""The application: its commands put together, and what all of them share. A command's own module says what it does."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Annotated, Any

import structlog
import typer
from typer.core import TyperGroup

from airflow_provider_tungsten import __version__
from airflow_provider_tungsten.replicator.cli import output

# What is a function there is a command; what is a Typer is a group of them.
COMMANDS = {
    "run": "run:run",
    "status": "status:status",
    "qs": "status:qs",
    "thl": "thl:app",
    "position": "position:app",
    "preflight": "preflight:preflight",
    "ddl": "ddl:ddl",
    "skip": "operations:skip",
    "heartbeat": "operations:heartbeat",
    "applier": "operations:applier_app",
    "extract": "extract:extract",
}


class _Commands(TyperGroup):
    """Imports a command when it is asked for: `thl list` need not wait for the drivers of Redshift."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        found = getattr(import_module(f"{__package__}.{module}"), name)
        if not isinstance(found, typer.Typer):
            function, found = found, typer.Typer(rich_markup_mode="rich", add_completion=False)
            found.command()(function)
        command = typer.main.get_command(found)
        command.name = cmd_name
        return command


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
