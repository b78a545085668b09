"""Groups of commands that are imported when they are called: `thl list` need not wait for the drivers of Redshift."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any, ClassVar, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup


class Place(NamedTuple):
    """Where a command is.

    :param place: ``module:name`` in this folder; a function is a command, a Typer a group of them.
    :param summary: the beginning of its help, for the help of its group.
    """

    place: str
    summary: str


class LazyGroup(TyperGroup):
    """For its help it knows its commands by their summaries."""

    places: ClassVar[dict[str, Place]] = {}

    def __init__(self, **attributes: Any) -> None:
        attributes["commands"] = {
            name: TyperCommand(name, help=at.summary) for name, at in self.places.items()
        }
        super().__init__(**attributes)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and self.imported(str(name)), rest

    def imported(self, name: str) -> Any:
        """The command itself."""
        module, _, attribute = self.places[name].place.partition(":")
        found = getattr(import_module(f"{__package__}.{module}"), attribute)
        if not isinstance(found, typer.Typer):
            function, found = found, typer.Typer(rich_markup_mode="rich", add_completion=False)
            found.command()(function)
        command = typer.main.get_command(found)
        command.name = name
        # Whoever logs has imported it by now.
        if "structlog" in sys.modules:
            _log_to_stderr()
        return command


def _log_to_stderr() -> None:
    import structlog  # takes a third of a second

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.LogfmtRenderer(key_order=("timestamp", "level", "event")),
        ],
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )
