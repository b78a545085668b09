"""SQL text cut into tokens and put together again; knows lexical rules only, no grammar."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

MAX_IDENTIFIER = 63
"""Bytes an identifier may have: PostgreSQL's NAMEDATALEN - 1 (Redshift allows 127)."""

_TOKEN = re.compile(
    r"""(?P<space>\s+|--[^\n]*|/\*.*?\*/)
      | (?P<string>[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*')
      | (?P<quoted>"(?:[^"]|"")*")
      | (?P<word>[^\W\d][\w$]*|\#[^\W\d][\w$]*)
      | (?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)
      | (?P<parameter>\$\d+)
      | (?P<symbol>::|[-+*/<>=~!@\#%^&|`?]+?(?=--|/\*)|[-+*/<>=~!@\#%^&|`?]+|.)
    """,
    re.VERBOSE | re.DOTALL,
)


_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "b": "\b", "f": "\f"}


class Kind(Enum):
    """What a token is. SPACE is white space and comments."""

    SPACE = "space"
    STRING = "string"
    QUOTED = "quoted"
    WORD = "word"
    NUMBER = "number"
    PARAMETER = "parameter"
    SYMBOL = "symbol"


@dataclass(frozen=True)
class Token:
    """One token with its text as written."""

    kind: Kind
    text: str

    @property
    def upper(self) -> str:
        """The key word this token may be; empty for literals and quoted names, which never are one."""
        return self.text.upper() if self.kind in (Kind.WORD, Kind.SYMBOL) else ""

    @property
    def is_name(self) -> bool:
        return self.kind in (Kind.WORD, Kind.QUOTED)

    @property
    def name(self) -> str:
        """The identifier this token stands for: Redshift folds quoted ones to lower case too."""
        if self.kind is Kind.QUOTED:
            return self.text[1:-1].replace('""', '"').lower()
        return self.text.lower()

    @property
    def value(self) -> str:
        """The text inside a string literal. Backslashes stand for themselves except in E'' strings."""
        if self.text[0] in "eE":
            body = self.text[2:-1].replace("''", "'")
            return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), body, flags=re.DOTALL)
        return self.text[1:-1].replace("''", "'")


def tokenize(sql: str) -> list[Token]:
    """Every character of ``sql`` in order, so that joining the texts gives ``sql`` back."""
    return [Token(Kind(m.lastgroup), m.group()) for m in _TOKEN.finditer(sql)]


def significant(tokens: list[Token]) -> list[Token]:
    """The tokens without white space and comments."""
    return [token for token in tokens if token.kind is not Kind.SPACE]


def split_statements(tokens: list[Token]) -> list[list[Token]]:
    """The statements between semicolons; empty ones are left out."""
    statements: list[list[Token]] = [[]]
    for token in tokens:
        if token.upper == ";":
            statements.append([])
        else:
            statements[-1].append(token)
    return [statement for statement in statements if significant(statement)]


def text(tokens: list[Token]) -> str:
    """Tokens without their white space as SQL again."""
    return " ".join(token.text for token in tokens)


def identifier(name: str) -> str:
    """``name`` as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """``text`` as a SQL string literal (standard_conforming_strings is on in every backend session)."""
    return "'" + text.replace("'", "''") + "'"
