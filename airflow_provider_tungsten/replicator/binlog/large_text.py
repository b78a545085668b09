"""Texts of values that are too large to be held: they are made and used in pieces. Who makes the pieces is the reader of rows."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Iterator
from itertools import zip_longest

_MARK = re.compile("<([0-9a-f]{32}):([0-9]+)>")


class LargeText(str):
    """A value's text. What it is as a ``str`` is a mark that no other text holds: where it stands in a text that is made of it,
    :func:`expanded` puts the pieces.

    :param pieces: gives them anew whenever it is called, for as long as the event is there. It may raise ValueRefused.
    """

    pieces: Callable[[], Iterator[str]]
    _token: str

    def __new__(cls, pieces: Callable[[], Iterator[str]]) -> LargeText:
        token = secrets.token_hex(16)
        made = super().__new__(cls, f"<{token}:0>")
        made.pieces, made._token = pieces, token
        return made

    def cut(self, start: int) -> tuple[str, str]:
        """So many characters of it, and the mark of what comes behind them."""
        return next(self.pieces())[:start], f"<{self._token}:{start}>"

    def beginning(self, most: int) -> str:
        """So many characters of it, after it was read to its end."""
        found = ""
        for piece in self.pieces():
            found = found or piece[:most]
        return found


def expanded(text: str, values: Iterable[str | None], escape: Callable[[str], str]) -> Iterator[str]:
    """The text, and in the place of a value's mark its pieces.

    :param values: what the text was made of.
    """
    known = {value._token: value for value in values if isinstance(value, LargeText)}
    end = 0
    for found in _MARK.finditer(text):
        if (value := known.get(found[1])) is None:
            continue
        yield text[end : found.start()]
        start, end = int(found[2]), found.end()
        for piece in value.pieces():
            yield escape(piece[start:])
            start = max(0, start - len(piece))
    yield text[end:]


def pieces_of(text: str) -> Iterator[str]:
    return text.pieces() if isinstance(text, LargeText) else iter((text,))


def are_equal(one: str | None, other: str | None) -> bool:
    if one is None or other is None or not isinstance(one, LargeText) | isinstance(other, LargeText):
        return one == other
    pairs = zip_longest(pieces_of(one), pieces_of(other), fillvalue="")
    return all(left == right for left, right in pairs)
