"""What comes of encoding rows: text, or the reason why a value is not taken."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from airflow_provider_tungsten.replicator.errors import DataError


class Encoded(NamedTuple):
    """:param csv: where it is long, a view of memory that is nobody else's.
    :param next_row_id: one behind the last row's.
    :param opcodes: rows of ``csv`` by opcode, those that come.
    :param conversions: values that were changed on their way, by what was done to them.
    """

    csv: bytes | memoryview
    next_row_id: int
    opcodes: Mapping[str, int]
    conversions: Mapping[str, int] = {}


class SentinelCollision(DataError):
    """A text equals the one that stands for NULL; the table must be written with another."""

    def __init__(self, column: str) -> None:
        self.column = column
        super().__init__(f"a value of column {column} equals the text that stands for NULL")


class ValueRefused(DataError):
    """A value that the settings refuse; the message has neither table nor seqno, which the caller knows."""

    def __init__(self, column: str, reason: str) -> None:
        self.column = column
        self.reason = reason
        super().__init__(f"column {column} holds {reason}")


class NotCarried(ValueRefused):
    """A text that the lines' dialect cannot carry."""


class CallableFailed(ValueRefused):
    """A value at which a user's callable failed."""


class WrongAnswer(Exception):
    """A user's callable gave what it may not give; says what, in words that hold no value."""


def described(name: str, error: Exception) -> str:
    """A failure of a user's callable without its message, which may hold a value."""
    if isinstance(error, WrongAnswer):
        return f"{name} {error}"
    places = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(places[-1].filename).name}:{places[-1].lineno}" if places else ""
    return f"{name}: {type(error).__name__}{place}"
