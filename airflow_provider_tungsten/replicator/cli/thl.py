"""`tungsten thl`: its commands put together. A command's own module says what it does."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any, ClassVar

import typer

from airflow_provider_tungsten.replicator.cli import output
from airflow_provider_tungsten.replicator.cli.lazy import LazyGroup, Place


class _Commands(LazyGroup):
    places: ClassVar[dict[str, Place]] = {
        "list": Place("events:list_", "Prints events, rows decoded."),
        "tail": Place("events:tail", "Prints the log's end, and with [bold]-f[/bold] what comes."),
        "info": Place(
            "contents:info", "Says what the log holds: size, files, seqnos, times, and who reads it."
        ),
        "index": Place("contents:index", "Lists the log's files: what each holds, a line a file."),
        "dsctl": Place(
            "contents:dsctl", "Prints the command that sets an applier's position to a seqno of this log."
        ),
        "export": Place("export:export", "Writes events as Arrow IPC or JSON lines, rows decoded."),
        "purge": Place("purge:purge", "Deletes the old end of the log: whole files, oldest first."),
    }

    def imported(self, name: str) -> Any:
        _import_pyarrow()
        return super().imported(name)


def _import_pyarrow() -> None:
    """Without numpy, which it would import where it finds it: a quarter of a second for what no command here needs."""
    if {"numpy", "pyarrow"}.isdisjoint(sys.modules):
        sys.modules["numpy"] = None  # type: ignore[assignment]
        try:
            for name in ("pyarrow.compute", "pyarrow.parquet"):
                import_module(name)
        finally:
            del sys.modules["numpy"]


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="rich",
    help="""Looks into the THL, the log of all replicated transactions.

    Which log is meant: [bold]--thl[/bold] and [bold]--service[/bold], or [bold]--config[/bold] with the
    service's file; also from TUNGSTEN_THL, TUNGSTEN_SERVICE, TUNGSTEN_CONFIG in
    the environment. Tungsten's options work with one dash, too: -low, -seqno.
    """,
    epilog=output.STATUSES,
)


@app.callback()
def _() -> None:
    pass
