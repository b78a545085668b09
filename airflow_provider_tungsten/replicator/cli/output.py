"""What the commands print and how they end: results, progress, errors as exit statuses."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from airflow_provider_tungsten.replicator.errors import (
    ConfigurationError,
    RangeError,
    StorageError,
    TransientError,
    TungstenError,
)

WaysOut = Sequence[tuple[str, str]]
NOT_AGREED = 1
WRONG_ARGUMENTS = 2
NEEDS_A_PERSON = 3
TRY_AGAIN = 4
INTERRUPTED = 130
NOBODY_READS = 141
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
STATUSES = (
    f"Exit status: 0 done; {NOT_AGREED} not done, since the answer was no; "
    f"{WRONG_ARGUMENTS} wrong arguments, or seqnos that are not there; {NEEDS_A_PERSON} stopped, a person must look first; "
    f"{TRY_AGAIN} something did not answer, a later attempt may succeed; {INTERRUPTED} ended by Ctrl-C; "
    f"{NOBODY_READS} whoever read the output went away."
)

# The engine's ways out of trouble are the DAG's; here they are commands.
WAYS_OUT = (
    (r"[Tt]he DAG's parameter `reposition`", "`tungsten reposition`"),
    (
        r"trigger the DAG with its parameter `acknowledge_gap` set to (\d+)",
        r"run `tungsten position acknowledge-gap --seqno \1`",
    ),
)
# What typer raises for wrong arguments, under the name that all its versions have it by.
UsageError: Any = typer.BadParameter.__base__
JSON_OPTIONS = frozenset({"--json", "-json"})
AsJson = Annotated[bool, typer.Option("--json", "-json", help="Print the result, or the error, as JSON.")]


def explained(text: str, ways_out: WaysOut = WAYS_OUT) -> str:
    """An error's text with the ways out that there are here."""
    for pattern, way_out in ways_out:
        text = re.sub(pattern, way_out, text)
    return text


def write_whole() -> None:
    """With ``PYTHONUNBUFFERED`` nothing stands between text and file, and a write that takes only a part of it is no error: the
    rest would be lost where the disk is full or the reader goes away."""
    if isinstance(getattr(sys.stdout, "buffer", None), io.RawIOBase):
        sys.stdout = open(
            sys.stdout.fileno(), "w", encoding=sys.stdout.encoding, errors=sys.stdout.errors, closefd=False
        )


@contextmanager
def errors(as_json: bool, ways_out: WaysOut = WAYS_OUT) -> Iterator[None]:
    """Says in one message what went wrong, and ends with the status that tells what to do."""
    try:
        yield
        sys.stdout.flush()
    except ValidationError as error:
        lines = [f"{item['input']!r}: {item['msg']}" for item in error.errors()]
        _fail(ConfigurationError("; ".join(lines)), WRONG_ARGUMENTS, as_json, ways_out)
    except (ConfigurationError, RangeError) as error:
        _fail(error, WRONG_ARGUMENTS, as_json, ways_out)
    except TransientError as error:
        _fail(error, TRY_AGAIN, as_json, ways_out)
    except TungstenError as error:
        _fail(error, NEEDS_A_PERSON, as_json, ways_out)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        _write_no_more()
        raise typer.Exit(NOBODY_READS) from None
    except OSError as error:
        if error.errno not in _FULL:
            raise
        _write_no_more()
        _fail(
            StorageError(f"standard output cannot be written: {error.strerror}"),
            NEEDS_A_PERSON,
            False,
            ways_out,
        )


def _write_no_more() -> None:
    """What is still in the buffer would be written at the interpreter's end, and complain then."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(error: TungstenError, status: int, as_json: bool, ways_out: WaysOut) -> None:
    text = explained(str(error), ways_out)
    if as_json:
        print_json({"error": type(error).__name__, "message": text})
    else:
        print(f"tungsten: {text}", file=sys.stderr)
    raise typer.Exit(status)


def warn(text: str) -> None:
    """To standard error, whatever form the result has."""
    print(f"tungsten: warning: {explained(text)}", file=sys.stderr)


def json_line(value: Any) -> str:
    """One value on one line, ASCII only: whatever the terminal's encoding, it can be printed."""
    return json.dumps(value)


def print_json(value: Any) -> None:
    print(json_line(value))


def confirm(question: str) -> None:
    """Ends the command unless somebody says yes.

    :raises ConfigurationError: nobody is there to be asked.
    """
    if not sys.stdin.isatty():
        raise ConfigurationError(f"{question} Nobody is here to answer: give --yes")
    typer.confirm(question, abort=True, err=True)


def in_colour() -> bool:
    """Whether a person looks at standard output, and has not set NO_COLOR."""
    dumb = os.environ.get("TERM") in ("dumb", "unknown")
    return sys.stdout.isatty() and not dumb and not os.environ.get("NO_COLOR")


@contextmanager
def interruptible() -> Iterator[Callable[[float], None]]:
    """Gives a sleep, and Ctrl-C ends the block: at the next sleep, where the exception was lost inside of a library."""
    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        raise KeyboardInterrupt

    def sleep(seconds: float) -> None:
        if asked:
            raise KeyboardInterrupt
        time.sleep(seconds)

    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, ask)
    try:
        yield sleep
    finally:
        signal.signal(signal.SIGINT, before)


def begin_again(*, first: bool) -> None:
    """Before a result that takes the place of the one before."""
    if not first:
        print("\033[2J\033[H" if sys.stdout.isatty() else "\n", end="")


def print_fields(fields: Iterable[tuple[str, str]]) -> None:
    """Names and texts, a pair a line; the names in colour where a person looks."""
    _print_table(["", ""], [*fields], (), header=False)


def print_rows(header: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """A table below a header. Where nobody looks, texts are never cut or wrapped, whatever their width.

    :param right: columns that stand to the right, as numbers do.
    """
    _print_table(header, [*rows], right, header=True)


def _print_table(
    names: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str], *, header: bool
) -> None:
    if not sys.stdout.isatty():
        lines = [names, *rows] if header else rows
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for line in lines:
            cells = zip(names, line, widths, strict=True)
            texts = (text.rjust(width) if name in right else text.ljust(width) for name, text, width in cells)
            print("  ".join(texts).rstrip())
        return
    # Imported here, as below: it takes a tenth of a second.
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, show_header=header, header_style="bold cyan", pad_edge=False)
    for place, name in enumerate(names):
        style = "cyan" if not (header or place) else None
        table.add_column(name, justify="right" if name in right else "left", style=style, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console = Console(markup=False, highlight=False, color_system="auto" if in_colour() else None)
    console.print(table)


@contextmanager
def progress(wanted: bool) -> Iterator[Callable[[str], None] | None]:
    """One line that moves, where a person looks at standard error; None where nobody does."""
    if not (wanted and sys.stderr.isatty()):
        yield None
        return
    from rich.console import Console

    with Console(stderr=True).status("…") as status:
        yield status.update
