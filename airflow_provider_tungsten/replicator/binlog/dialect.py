"""How fields become lines: separators, quotes, escapes, NULL. What could not be read back is refused here, before anything is
written; presets and settings are the batch room's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LINE_BREAKS = {"\n": "n", "\r": "r"}
"""What stands behind an escape other than the quote for the characters that end lines; any other stands for itself."""
NULL_CANDIDATES: tuple[str, ...] = ("\\N", *(f"@NULL{number}@" for number in range(1, 32)))
"""Sentinels, in the order in which they are tried; none is a number, a time, hex or JSON."""

Quotes = Literal["always", "needed", "never"]
# What numbers, times and hexadecimal consist of, besides letters and digits.
_SIGNS = "+-.: "


@dataclass(frozen=True)
class Dialect:
    r"""The default is RFC 4180 with ``\n``, quotes where needed, and a sentinel for NULL.

    :param field_separator, quote, escape: one ASCII character; none of a number or a time.
    :param record_separator: one such character, or ``\r\n``.
    :param use_quotes: around every value, around those that need them, or around none. NULL has none.
    :param escape: stands in front of the quote inside quotes, of itself, and of the ``escaped_characters`` everywhere. A line
        feed behind it becomes ``n`` and a carriage return ``r``, so that a line stays a line. Equal to the quote it doubles
        that. Without quotes and ``escaped_characters`` it does nothing.
    :param suppressed_characters: are taken out of texts.
    :param null: what stands for NULL; None: a sentinel, chosen by the writer of a table out of ``NULL_CANDIDATES``.
    :raises ValueError: lines that could not be read back; says which property, and what to write.
    """

    field_separator: str = ","
    record_separator: str = "\n"
    quote: str = '"'
    use_quotes: Quotes = "needed"
    escape: str = '"'
    escaped_characters: str = ""
    suppressed_characters: str = ""
    null: str | None = None

    def __post_init__(self) -> None:
        self._check_marks()
        self._check_escapes()
        self._check_null()

    def _check_marks(self) -> None:
        _check_mark("field_separator", self.field_separator)
        if self.record_separator != "\r\n":
            _check_mark("record_separator", self.record_separator, r" (or \r\n)")
        if self.quote or self.use_quotes != "never":
            _check_mark("quote", self.quote)
        if self.escape or self.use_quotes != "never" or self.escaped_characters:
            _check_mark("escape", self.escape)
        marks = {"field_separator": self.field_separator}
        if self.use_quotes != "never":
            marks["quote"] = self.quote
        if self.escapes and not self.doubles:
            marks["escape"] = self.escape
        for at, (name, mark) in enumerate(marks.items()):
            if mark in self.record_separator:
                raise ValueError(f"{name} and record_separator are alike ({mark!r}): write another {name}")
            for other in list(marks)[:at]:
                if marks[other] == mark:
                    raise ValueError(f"{name} and {other} are alike ({mark!r}): write another {name}")

    @property
    def escapes(self) -> bool:
        """Whether the escape does anything."""
        return self.use_quotes != "never" or self.escaped_characters != ""

    @property
    def doubles(self) -> bool:
        """Whether all it does is to double the quote."""
        return self.use_quotes != "never" and self.escape == self.quote

    def _check_escapes(self) -> None:
        for name in ("escaped_characters", "suppressed_characters"):
            for character in getattr(self, name):
                if not character.isascii() or character.isalnum() or character in _SIGNS:
                    raise ValueError(
                        f"{name}: {character!r} is a letter, digit, blank or sign of numbers and times, or not ASCII; leave it out"
                    )
        if both := set(self.escaped_characters) & set(self.suppressed_characters):
            raise ValueError(
                f"{sorted(both)[0]!r} is in escaped_characters and in suppressed_characters: decide for one"
            )
        if self.doubles and set(self.escaped_characters) - {self.quote}:
            raise ValueError(
                "escaped_characters: an escape that equals the quote can only double the quote; leave them out (inside "
                r"quotes every character is kept), or write another escape, like \\"
            )
        if "\0" in self.escaped_characters:
            raise ValueError(
                "escaped_characters: NUL has no escaped form; suppressed_characters takes it out"
            )

    def _check_null(self) -> None:
        null = self.null
        if null is None:
            marks = (self.field_separator, self.record_separator, self.quote, self.escape)
            if self.use_quotes != "needed" or {"\\", "@"} & {*marks, *self.escaped_characters}:
                raise ValueError(
                    r"null_policy: a sentinel needs use_quotes: needed, and separators, quote and escapes other than \ and @; "
                    "write null_policy: null_value and a null_value"
                )
            return
        forbidden = {self.field_separator, *self.record_separator, "\n", "\r", "\0"}
        if self.use_quotes != "never":
            forbidden.add(self.quote)
        if found := sorted(forbidden & set(null)):
            raise ValueError(
                f"null_value {null!r} contains {found[0]!r}, which separates or quotes: write one without it"
            )
        if null and self.use_quotes != "always" and all(c in "0123456789abcdef" + _SIGNS for c in null):
            raise ValueError(
                rf"null_value {null!r} may be a number, a time or hexadecimal: write one with other letters, like \N"
            )
        if null != null.strip(" "):
            raise ValueError(f"null_value {null!r} begins or ends with a blank: write it without")
        if self.escapes and not self.doubles and null.endswith(self.escape):
            raise ValueError(
                f"null_value {null!r} would escape the separator behind it: write another, like \\N"
            )
        if self.use_quotes == "never" and self.escapes and self._is_escaped_text(null):
            raise ValueError(
                rf"null_value {null!r} is what a text becomes when it is escaped: write another, like \N"
            )

    def _is_escaped_text(self, text: str) -> bool:
        """Whether escaping makes it out of some text, by at least one escape."""
        letters = {
            LINE_BREAKS.get(character, character) for character in (*self.escaped_characters, self.escape)
        }
        at, pairs = 0, 0
        while at < len(text):
            if text[at] == self.escape:
                if text[at + 1 : at + 2] not in letters:
                    return False
                at, pairs = at + 2, pairs + 1
            elif text[at] in self.escaped_characters:
                return False
            else:
                at += 1
        return pairs > 0


def _check_mark(name: str, mark: str, or_else: str = "") -> None:
    if len(mark) != 1:
        given = f"{mark!r} are {len(mark)} characters" if mark else "it is empty"
        raise ValueError(f"{name}: {given}; write one{or_else}")
    if not mark.isascii() or mark.isalnum() or mark in _SIGNS or mark == "\0":
        raise ValueError(
            f"{name}: {mark!r} is a letter, digit, blank or sign of numbers and times, NUL, or not ASCII; write another, like ',' "
            r"or \u0001"
        )
