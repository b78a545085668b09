"""What is made of a table's rows on their way to lines: columns left out, changed or added, rows not written. Plain data, made
by the filters for each logged definition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True)
class Transform:
    """Replaces a column's canonical text before it is quoted; what it gives is text to the dialect.

    :param kind: ``null`` or ``constant`` (a NULL is replaced too), ``keep_last`` (``count`` characters), ``sha256`` (of ``salt``
        and the text, or of the bytes whose hexadecimal text it is: ``unit``), ``truncate`` (to ``count`` of ``unit``),
        ``zero_date_null``, ``number`` (of ENUM and SET, not their labels), ``cast`` (``text`` is the type), ``python`` (``call``;
        ``text`` is its name).
    :param unit: ``characters``, ``bytes`` or ``hexadecimal``.
    """

    kind: str
    text: str = ""
    count: int = 0
    unit: str = "characters"
    salt: bytes = field(default=b"", repr=False)
    call: Callable[[str | None], str | None] | None = None


class HeaderValue(StrEnum):
    """What a column that is added can be filled with besides a constant: I, U or D; the commit's time; the seqno."""

    OPERATION = "operation"
    COMMIT_TIMESTAMP = "commit_timestamp"
    SEQNO = "seqno"


@dataclass(frozen=True)
class OutputColumn:
    """:param transforms: one after the other."""

    keep: bool = True
    transforms: tuple[Transform, ...] = ()


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
    :param front, back: constants (None is NULL) or what the header knows, between the header's and the table's columns, and behind these.
    :param skip: kinds of events (``insert``, ``update``, ``delete``) whose rows are not written.
    """

    columns: tuple[OutputColumn, ...] = ()
    front: tuple[str | HeaderValue | None, ...] = ()
    back: tuple[str | HeaderValue | None, ...] = ()
    skip: frozenset[str] = frozenset()
    rules: tuple[DropOnValue, ...] = ()
