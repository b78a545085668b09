"""What is made of a table's rows on their way to lines: columns left out, changed or added, rows not written. Plain data, made
by the filters for each logged definition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Transform:
    """Replaces a column's canonical text before it is quoted; what it gives is text to the dialect.

    :param kind: ``null`` or ``constant``; a NULL is replaced too.
    """

    kind: str
    text: str = ""
    call: Callable[[str | None], str | None] | None = None


@dataclass(frozen=True)
class OutputColumn:
    keep: bool = True
    transform: Transform | None = None


@dataclass(frozen=True)
class DropOnValue:
    """Inserted rows whose value is one of `texts` are not written.

    :param column: index in the logged definition.
    :param texts: canonical, before any transform.
    """

    column: int
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Output:
    """:param columns: one per column of the logged definition, in its order; empty: all as they are.
    :param front, back: constants (None is NULL) between the header's and the table's columns, and behind these.
    :param skip: kinds of events (``insert``, ``update``, ``delete``) whose rows are not written.
    """

    columns: tuple[OutputColumn, ...] = ()
    front: tuple[str | None, ...] = ()
    back: tuple[str | None, ...] = ()
    skip: frozenset[str] = frozenset()
    rules: tuple[DropOnValue, ...] = ()
