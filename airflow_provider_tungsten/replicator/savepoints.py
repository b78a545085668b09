"""The savepoints of an open transaction, by the statements about them that stand in the log.

MySQL cuts most of what is rolled back out of its log itself; the rest is rows, and behind them ``ROLLBACK TO``.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal, NamedTuple

_STATEMENT = re.compile(
    r"(?P<release>RELEASE\s+SAVEPOINT)\s+(?P<released>.+)"
    r"|(?P<back>ROLLBACK\s+(?:WORK\s+)?TO(?:\s+SAVEPOINT)?)\s+(?P<returned>.+)"
    r"|SAVEPOINT\s+(?P<set>.+)",
    re.IGNORECASE | re.DOTALL,
)


class SavepointStatement(NamedTuple):
    """:param name: what two spellings of one savepoint have in common."""

    verb: Literal["set", "back", "release"]
    name: str


def parse_savepoint(sql: str) -> SavepointStatement | None:
    """None: the statement is about no savepoint."""
    match = _STATEMENT.fullmatch(sql.strip().rstrip(";"))
    if match is None:
        return None
    if match["release"]:
        return SavepointStatement("release", _key(match["released"]))
    if match["back"]:
        return SavepointStatement("back", _key(match["returned"]))
    return SavepointStatement("set", _key(match["set"]))


def _key(quoted: str) -> str:
    """Names are compared as by utf8mb3_general_ci: neither case nor accents count."""
    name = quoted.strip()
    if len(name) > 1 and name[0] == name[-1] and name[0] in '`"':
        name = name[1:-1].replace(name[0] * 2, name[0])
    parts = unicodedata.normalize("NFD", name)
    return "".join(char for char in parts if not unicodedata.combining(char)).upper()


class Savepoints:
    """Names and what was in the transaction when they were set, as a number that only grows."""

    def __init__(self) -> None:
        self._marks: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self._marks)

    def set(self, name: str, mark: int) -> None:
        """A name that is there already moves to the end."""
        self._marks.pop(name, None)
        self._marks[name] = mark

    def back(self, name: str) -> int | None:
        """The mark to go back to; later savepoints are forgotten. None: no such name."""
        if name not in self._marks:
            return None
        self._drop(name)
        return self._marks[name]

    def release(self, name: str) -> None:
        """The savepoint and those behind it are forgotten."""
        if name in self._marks:
            self._drop(name)
            del self._marks[name]

    def clear(self) -> None:
        self._marks.clear()

    def _drop(self, behind: str) -> None:
        names = list(self._marks)
        for name in names[names.index(behind) + 1 :]:
            del self._marks[name]
