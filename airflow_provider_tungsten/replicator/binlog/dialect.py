"""How fields become lines: separators, quotes, escapes, NULL. What cannot be written and read back is refused here, before
anything is written; presets and settings are the batch room's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LINE_BREAKS = {"\n": "n", "\r": "r"}
"""What stands behind an escape other than the quote for the characters that end lines; any other stands for itself."""

Quotes = Literal["always", "needed", "never"]


@dataclass(frozen=True)
class Dialect:
    r"""The default is RFC 4180 with ``\n``, quotes where needed, and a sentinel for NULL.

    :param field_separator, quote, escape: one ASCII character; no letter, digit, blank or sign of a number or a time.
    :param record_separator: one such character, or ``\r\n``.
    :param quotes: around every value, around those that need them, or around none. NULL has none.
    :param escape: stands in front of the quote inside quotes, of itself, and of the ``escaped`` characters. A line feed behind
        it becomes ``n`` and a carriage return ``r``, so that a line stays a line. Equal to the quote it doubles that.
    :param escaped: characters that it stands in front of wherever they are.
    :param suppressed: characters that are taken out of texts.
    :param null: what stands for NULL; None: a sentinel, which the writer of a table chooses.
    :raises ValueError: lines that could not be read back; says which property and what to write.
    """

    field_separator: str = ","
    record_separator: str = "\n"
    quote: str = '"'
    quotes: Quotes = "needed"
    escape: str = '"'
    escaped: str = ""
    suppressed: str = ""
    null: str | None = None
