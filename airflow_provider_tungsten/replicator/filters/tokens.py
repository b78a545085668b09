"""Words of a SQL statement as MySQL's lexer takes them, and a reader over them. What they mean is for others to say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Literal, NamedTuple

from airflow_provider_tungsten.replicator.errors import UnsupportedError

Table = tuple[str, str]
Kind = Literal["backtick", "double", "text", "word", "sign"]

# Possessive, or a long literal takes a hundred times its size.
_PATTERN = r"""
      (?P<skip>\s+ | /\*(?!M?!).*?(?:\*/|\Z) | /\*M?!(?P<version>\d{{5,6}}(?!\d))? | \*/ | --(?=[\s]|\Z)[^\n]* | \#[^\n]*)
    | `(?P<backtick>(?:[^`]++|``)*+)`
    | "(?P<double>(?:{in_double}|"")*+)"
    | '(?P<text>(?:{in_text}|'')*+)'
    | (?P<word>[\w$@\u0080-\U0010ffff]+)
    | (?P<sign>.)
    """
_MOST_WORDS = 400_000
# MySQL keeps names in utf8mb3, and takes a question mark for what that cannot hold.
_BEYOND_BMP = re.compile("[\U00010000-\U0010ffff]")
_ESCAPES = {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a", "%": "\\%", "_": "\\_"}


@lru_cache(maxsize=2)
def pattern(backslashes: bool) -> re.Pattern[str]:
    """Matches one word; its group tells what it is."""
    in_double, in_text = (r'[^"\\]++|\\.', r"[^'\\]++|\\.") if backslashes else ('[^"]++', "[^']++")
    return re.compile(_PATTERN.format(in_double=in_double, in_text=in_text), re.VERBOSE | re.DOTALL)


class Dialect(NamedTuple):
    """How a session had its statements read.

    :param ansi_quotes: whether "…" is a name; None: it may be either, whichever fits.
    :param backslashes: whether a backslash escapes in literals (``sql_mode`` without NO_BACKSLASH_ESCAPES).
    :param version: of the server, as 80034; what `/*!80035 … */` holds is a comment to it. None: all is executed.
    """

    ansi_quotes: bool | None = None
    backslashes: bool = True
    version: int | None = None


class Token(NamedTuple):
    """:param upper: the word in upper case; of what is quoted the quote alone, so that it is never taken for a keyword."""

    upper: str
    text: str
    kind: Kind


class NotUnderstoodError(Exception):
    """The statement is not of a known form."""


class Reader:
    """Tokens of a statement or of a part of it, read from the left; behind the end every word is ''."""

    def __init__(self, tokens: list[Token], default_schema: str, dialect: Dialect) -> None:
        self._tokens = tokens
        self._at = 0
        self._dialect = dialect
        self.schema = default_schema

    @property
    def words(self) -> list[str]:
        """All that is left."""
        return [token.upper for token in self._tokens[self._at :]]

    def __bool__(self) -> bool:
        return self._at < len(self._tokens)

    def peek(self, ahead: int = 0) -> str:
        at = self._at + ahead
        return self._tokens[at].upper if at < len(self._tokens) else ""

    def next(self) -> str:
        word = self.peek()
        self._at += 1
        return word

    def skip(self, *words: str) -> bool:
        """Step over `words` when they come next, in that order."""
        if all(self.peek(i) == word for i, word in enumerate(words)):
            self._at += len(words)
            return True
        return False

    def expect(self, *words: str) -> None:
        """:raises NotUnderstoodError: something else comes next."""
        if not self.skip(*words):
            raise NotUnderstoodError(f"near {self.rest}")

    def skip_any(self, *words: str) -> bool:
        """Step over one of `words`."""
        return any(self.skip(word) for word in words)

    def skip_to(self, *words: str) -> bool:
        """Step behind the next place where `words` stand; False when there is none."""
        while self.peek():
            if self.skip(*words):
                return True
            self._at += 1
        return False

    @property
    def rest(self) -> str:
        """The next words, for messages; no literal is shown."""
        shown = [
            "'…'" if token.kind == "text" else token.text
            for token in self._tokens[max(self._at - 1, 0) : self._at + 4]
        ]
        return " ".join(shown) or "the end"

    def _take(self) -> Token:
        token = self._tokens[self._at] if self else Token("", "", "sign")
        self._at += 1
        return token

    def name(self) -> str:
        """:raises NotUnderstoodError: something else than an identifier comes next."""
        token = self._take()
        if token.kind not in ("backtick", "word") and not (
            token.kind == "double" and self._dialect.ansi_quotes is not False
        ):
            self._at -= 1
            raise NotUnderstoodError(f"near {self.rest}")
        return _BEYOND_BMP.sub("?", token.text)

    @property
    def at_string(self) -> bool:
        kind = self._tokens[self._at].kind if self else "sign"
        return kind == "text" or (kind == "double" and not self._dialect.ansi_quotes)

    def string(self) -> str:
        """The value of a literal, of pieces one after the other too.

        :raises NotUnderstoodError: something else comes next.
        """
        value = ""
        while self.at_string:
            token = self._take()
            quote = '"' if token.kind == "double" else "'"
            value += _value(token.text, quote, self._dialect.backslashes)
            if not self.at_string:
                return value
        raise NotUnderstoodError(f"near {self.rest}")

    def table(self) -> Table:
        first = self.name()
        if self.skip("."):
            return first, self.name()
        if not self.schema:
            raise NotUnderstoodError("a table without a schema")
        return self.schema, first

    def tables(self) -> list[Table]:
        found = [self.table()]
        while self.skip(","):
            found.append(self.table())
        return found

    def parenthesised(self) -> Reader:
        """What stands between the parentheses that come next; reading goes on behind them.

        :raises NotUnderstoodError: there are none, or they are not closed.
        """
        self.expect("(")
        begin, depth = self._at, 1
        while depth:
            word = self.next()
            if not word:
                raise NotUnderstoodError("a parenthesis that is not closed")
            depth += (word == "(") - (word == ")")
        return Reader(self._tokens[begin : self._at - 1], self.schema, self._dialect)

    def actions(self) -> Iterator[Reader]:
        """What is left, cut at the commas outside of parentheses."""
        action: list[Token] = []
        depth = 0
        for token in self._tokens[self._at :]:
            depth += (token.upper == "(") - (token.upper == ")")
            if token.upper == "," and not depth:
                yield Reader(action, self.schema, self._dialect)
                action = []
            else:
                action.append(token)
        yield Reader(action, self.schema, self._dialect)


def _value(raw: str, quote: str, backslashes: bool) -> str:
    escapes = r"\\(.)|" + quote * 2 if backslashes else quote * 2
    return re.sub(
        escapes,
        lambda match: _ESCAPES.get(match[1], match[1]) if match.lastindex else quote,
        raw,
        flags=re.DOTALL,
    )


def tokens(sql: str, dialect: Dialect) -> Iterator[Token]:
    """The words of `sql`, without blanks and comments; `/*!…*/` and `/*M!…*/`, which MySQL and MariaDB execute, are none."""
    token = pattern(dialect.backslashes)
    at = 0
    while match := token.match(sql, at):
        at = match.end()
        kind = match.lastgroup
        if kind in ("skip", "version"):
            version = match["version"]
            if version and dialect.version is not None and int(version) > dialect.version:
                end = sql.find("*/", at)
                at = len(sql) if end < 0 else end + 2
        elif kind == "backtick":
            yield Token("`", match["backtick"].replace("``", "`"), "backtick")
        elif kind == "double":
            text = match["double"] if dialect.ansi_quotes is False else match["double"].replace('""', '"')
            yield Token('"', text, "double")
        elif kind == "text":
            yield Token("'", match["text"], "text")
        elif match.group() != "\0":
            text = match.group()
            yield Token(text.upper(), text, "word" if kind == "word" else "sign")


def reader(sql: str, default_schema: str, dialect: Dialect) -> Reader:
    """`sql` from its first word on; names without a schema belong to `default_schema`.

    :raises UnsupportedError: more words than are read.
    """
    found = list(islice(tokens(sql, dialect), _MOST_WORDS + 1))
    if len(found) > _MOST_WORDS:
        raise UnsupportedError(
            f"a statement of more than {_MOST_WORDS} words is not read; start behind it with the DAG's parameter `reposition` "
            "and load the tables that it touches again"
        )
    return Reader(found, default_schema, dialect)


def statements(script: str, dialect: Dialect) -> Iterator[str]:
    """The statements of a script, which semicolons end."""
    begin = 0
    for match in pattern(dialect.backslashes).finditer(script):
        if match.lastgroup == "sign" and match.group() == ";":
            yield script[begin : match.start()]
            begin = match.end()
