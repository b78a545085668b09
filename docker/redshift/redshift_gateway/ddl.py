"""CREATE TABLE and ALTER TABLE in PostgreSQL's terms: physical attributes dropped, keys not enforced, types mapped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from redshift_gateway.errors import SqlError, syntax_error, unsupported
from redshift_gateway.strict import RESERVED
from redshift_gateway.tokens import Kind, Token, identifier, text
from redshift_gateway.types import column_type

NOTHING = "RESET (fillfactor)"
"""An ALTER TABLE action that checks the table's existence and changes nothing."""
ALTER_COLUMN = "ALTER TABLE ALTER COLUMN"


@dataclass(frozen=True)
class Rewritten:
    """A DDL statement for PostgreSQL.

    ``query`` is what follows AS in CREATE TABLE AS, not rewritten yet; ``alone`` names what must not run in a
    transaction; ``resized`` is the table, column and length of an ALTER COLUMN … TYPE VARCHAR.
    """

    sql: str
    domains: frozenset[int] = frozenset()
    query: list[Token] = field(default_factory=list)
    alone: str | None = None
    resized: tuple[str, str, int] | None = None


class _Reader:
    """The tokens of a statement, read from the left."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._at = 0

    @property
    def rest(self) -> list[Token]:
        return self._tokens[self._at :]

    def peek(self) -> str:
        return self._tokens[self._at].upper if self._at < len(self._tokens) else ""

    def accept(self, *words: str) -> bool:
        """Step over ``words`` if they come next."""
        if [token.upper for token in self.rest[: len(words)]] != list(words):
            return False
        self._at += len(words)
        return True

    def take(self) -> Token:
        if self._at >= len(self._tokens):
            raise syntax_error(self._tokens[-1].text, "The statement ends too early.")
        self._at += 1
        return self._tokens[self._at - 1]

    def skip(self, count: int) -> None:
        self._at += count

    def name(self) -> str:
        """One plain name, folded. A reserved word must be quoted, as Redshift demands."""
        token = self.take()
        if not token.is_name or (token.kind is Kind.WORD and token.upper in RESERVED):
            raise syntax_error(token.text, "A reserved word as a name must be quoted.")
        return token.name

    def qualified_name(self) -> str:
        parts = [self.name()]
        while self.accept("."):
            parts.append(self.name())
        return ".".join(identifier(part) for part in parts)

    def parenthesized(self) -> list[Token]:
        """The tokens inside the parentheses that come next."""
        if not self.accept("("):
            raise syntax_error(self.rest[0].text if self.rest else "end of input")
        depth = 1
        inner: list[Token] = []
        while True:
            token = self.take()
            depth += {"(": 1, ")": -1}.get(token.upper, 0)
            if not depth:
                return inner
            inner.append(token)


def split_commas(tokens: list[Token]) -> list[list[Token]]:
    """The parts between commas outside parentheses."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        depth += {"(": 1, ")": -1}.get(token.upper, 0)
        if token.upper == "," and not depth:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def is_create_table(words: list[Token]) -> bool:
    kinds = [token.upper for token in words[1:4] if token.upper not in ("LOCAL", "TEMP", "TEMPORARY")]
    return kinds[:1] == ["TABLE"]


def create_table(words: list[Token]) -> Rewritten:
    """Rewrite CREATE TABLE and CREATE TABLE AS. Raises SqlError for what Redshift refuses."""
    reader = _Reader(words)
    head = []
    while not reader.accept("TABLE"):
        head.append(reader.take().upper)
    if reader.accept("IF", "NOT", "EXISTS"):
        exists = "IF NOT EXISTS "
    else:
        exists = ""
    temporary = (
        "TEMPORARY " if {"TEMP", "TEMPORARY"} & set(head) or reader.rest[0].text.startswith("#") else ""
    )
    table = reader.qualified_name()
    elements = split_commas(reader.parenthesized()) if reader.peek() == "(" else []
    _skip_attributes(reader)
    start = f"CREATE {temporary}TABLE {exists}{table}"
    if reader.accept("AS"):
        names = f" ({', '.join(identifier(_Reader(e).name()) for e in elements)})" if elements else ""
        return Rewritten(f"{start}{names} AS", query=_spaced(reader.rest))
    if reader.rest:
        raise syntax_error(reader.rest[0].text, "This is no table attribute of Redshift's.")
    if not elements:
        raise syntax_error(words[-1].text, "A table needs columns.")
    columns, domains = _elements(elements, table)
    return Rewritten(f"{start} ({', '.join(columns)})", domains)


def _spaced(tokens: list[Token]) -> list[Token]:
    return [part for token in tokens for part in (token, Token(Kind.SPACE, " "))]


def _skip_attributes(reader: _Reader) -> None:
    while True:
        if reader.accept("BACKUP") or reader.accept("DISTSTYLE"):
            reader.take()
        elif reader.accept("DISTKEY"):
            reader.parenthesized()
        elif reader.accept("SORTKEY", "AUTO") or reader.accept("ENCODE", "AUTO"):
            continue
        elif (
            reader.accept("COMPOUND", "SORTKEY")
            or reader.accept("INTERLEAVED", "SORTKEY")
            or reader.accept("SORTKEY")
        ):
            reader.parenthesized()
        else:
            return


def _elements(elements: list[list[Token]], table: str) -> tuple[list[str], frozenset[int]]:
    columns: list[_Column] = []
    likes: list[str] = []
    keys: set[str] = set()
    for element in elements:
        reader = _Reader(element)
        if reader.accept("LIKE"):
            likes.append(_like(reader))
        elif (key := _table_constraint(reader)) is not None:
            keys.update(key)
        else:
            columns.append(_column(reader, table))
    names = {column.name for column in columns}
    if keys - names:
        raise SqlError("42703", f'column "{min(keys - names)}" named in key does not exist')
    texts = likes + [column.sql(column.name in keys) for column in columns]
    return texts, frozenset(c.varbyte for c in columns if c.varbyte is not None)


def _like(reader: _Reader) -> str:
    source = reader.qualified_name()
    defaults = " INCLUDING DEFAULTS" if reader.accept("INCLUDING", "DEFAULTS") else ""
    reader.accept("EXCLUDING", "DEFAULTS")
    if reader.rest:
        raise syntax_error(reader.rest[0].text, "LIKE takes INCLUDING or EXCLUDING DEFAULTS only.")
    return f"LIKE {source}{defaults}"


def _table_constraint(reader: _Reader) -> set[str] | None:
    """Columns that a table's key makes NOT NULL (none for UNIQUE and FOREIGN KEY); None if this is no constraint."""
    if reader.accept("CONSTRAINT"):
        reader.name()
        if reader.peek() not in ("PRIMARY", "UNIQUE", "FOREIGN"):
            raise unsupported(
                "Constraint type not supported", "Redshift has PRIMARY KEY, UNIQUE and FOREIGN KEY."
            )
    if reader.accept("PRIMARY", "KEY"):
        return {_Reader(part).name() for part in split_commas(reader.parenthesized())}
    if reader.accept("UNIQUE"):
        reader.parenthesized()
        return set()
    if reader.accept("FOREIGN", "KEY"):
        reader.parenthesized()
        _references(reader)
        return set()
    if reader.peek() in ("CHECK", "EXCLUDE"):
        raise unsupported(f"{reader.peek()} constraints are not supported on Redshift tables.")
    return None


def _references(reader: _Reader) -> None:
    if not reader.accept("REFERENCES"):
        raise syntax_error(reader.peek())
    reader.qualified_name()
    if reader.peek() == "(":
        reader.parenthesized()


@dataclass
class _Column:
    name: str
    type_sql: str
    varbyte: int | None
    attributes: list[str] = field(default_factory=list)
    not_null: bool = False

    def sql(self, in_key: bool = False) -> str:
        null = ["NOT NULL"] if self.not_null or in_key else []
        return " ".join([identifier(self.name), self.type_sql, *self.attributes, *null])


def _column(reader: _Reader, table: str) -> _Column:
    name = reader.name()
    shape = column_type(reader.rest, f"{table.replace(chr(34), '')}.{name}")
    reader.skip(shape.tokens)
    column = _Column(name, shape.sql, shape.varbyte)
    while reader.rest:
        _attribute(reader, column)
    return column


def _attribute(reader: _Reader, column: _Column) -> None:
    token = reader.take()
    handlers: dict[str, Callable[[], None]] = {
        "DEFAULT": lambda: column.attributes.append("DEFAULT " + _expression(reader)),
        "IDENTITY": lambda: column.attributes.append(_identity(reader, "ALWAYS")),
        "GENERATED": lambda: column.attributes.append(_generated(reader)),
        "ENCODE": lambda: reader.skip(1),
        "DISTKEY": lambda: None,
        "SORTKEY": lambda: None,
        "NULL": lambda: None,
        "UNIQUE": lambda: None,
        "COLLATE": lambda: _collate(reader),
    }
    if token.upper in handlers:
        handlers[token.upper]()
    elif (token.upper == "NOT" and reader.accept("NULL")) or (
        token.upper == "PRIMARY" and reader.accept("KEY")
    ):
        column.not_null = True
    elif token.upper == "REFERENCES":
        reader.qualified_name()
        if reader.peek() == "(":
            reader.parenthesized()
    else:
        raise syntax_error(token.text, "This is no column attribute of Redshift's.")


_ENDS_DEFAULT = {"NOT", "NULL", "ENCODE", "DISTKEY", "SORTKEY", "UNIQUE", "PRIMARY", "REFERENCES", "COLLATE"}


def _expression(reader: _Reader) -> str:
    """A default's expression: up to the next column attribute outside parentheses."""
    tokens: list[Token] = []
    depth = 0
    while reader.rest and (depth or not tokens or reader.peek() not in _ENDS_DEFAULT):
        token = reader.take()
        depth += {"(": 1, ")": -1}.get(token.upper, 0)
        tokens.append(Token(Kind.WORD, "pg_catalog.sysdate()") if token.upper == "SYSDATE" else token)
    return text(tokens)


def _identity(reader: _Reader, when: str) -> str:
    numbers = text(reader.parenthesized()).replace(" ", "").split(",")
    if len(numbers) != 2:
        raise syntax_error("IDENTITY", "IDENTITY takes a seed and a step.")
    return f"GENERATED {when} AS IDENTITY (START WITH {numbers[0]} INCREMENT BY {numbers[1]})"


def _generated(reader: _Reader) -> str:
    if not reader.accept("BY", "DEFAULT", "AS", "IDENTITY"):
        raise syntax_error("GENERATED", "Redshift has GENERATED BY DEFAULT AS IDENTITY(seed, step) only.")
    return _identity(reader, "BY DEFAULT")


def _collate(reader: _Reader) -> None:
    if reader.take().upper not in ("CASE_SENSITIVE", "CS"):
        raise unsupported("COLLATE CASE_INSENSITIVE is not built into this gateway")


def alter_table(words: list[Token]) -> Rewritten:
    """Rewrite ALTER TABLE. Redshift takes one action a statement."""
    reader = _Reader(words[2:])
    table = reader.qualified_name()
    actions = split_commas(reader.rest)
    if len(actions) > 1:
        raise syntax_error(",", "Redshift takes one action an ALTER TABLE.")
    start = f"ALTER TABLE {table}"
    if reader.accept("ADD"):
        return _add(reader, start, table)
    if reader.accept("ALTER"):
        return _alter(reader, start, table)
    if reader.accept("DROP", "CONSTRAINT"):
        reader.name()
        return Rewritten(f"{start} {NOTHING}")
    if reader.accept("APPEND"):
        raise unsupported("ALTER TABLE APPEND is not built into this gateway")
    if reader.peek() not in ("DROP", "RENAME", "OWNER"):
        raise syntax_error(reader.peek())
    if "EXISTS" in [token.upper for token in reader.rest]:
        raise syntax_error("IF", "Redshift has no IF EXISTS in ALTER TABLE.")
    rest = [identifier(t.name) if t.kind is Kind.QUOTED else t.text for t in reader.rest]
    return Rewritten(f"{start} {' '.join(rest)}")


def _add(reader: _Reader, start: str, table: str) -> Rewritten:
    if _table_constraint(reader) is not None:
        return Rewritten(f"{start} {NOTHING}")
    reader.accept("COLUMN")
    if reader.peek() == "IF":
        raise syntax_error("IF", "Redshift has no ADD COLUMN IF NOT EXISTS.")
    column = _column(reader, table)
    if any("IDENTITY" in attribute for attribute in column.attributes):
        raise unsupported("ALTER TABLE ADD COLUMN cannot add an identity column")
    if column.not_null and not any(a.startswith("DEFAULT") for a in column.attributes):
        raise SqlError(
            "0A000", "ALTER TABLE ADD COLUMN defined as NOT NULL must have a non-null default expression"
        )
    domains = frozenset() if column.varbyte is None else frozenset({column.varbyte})
    return Rewritten(f"{start} ADD COLUMN {column.sql()}", domains)


def _alter(reader: _Reader, start: str, table: str) -> Rewritten:
    if reader.peek() in ("DISTKEY", "DISTSTYLE", "SORTKEY", "COMPOUND", "ENCODE"):
        return Rewritten(f"{start} {NOTHING}", alone="ALTER TABLE ALTER " + reader.peek())
    reader.accept("COLUMN")
    name = reader.name()
    if reader.accept("ENCODE"):
        return Rewritten(f"{start} {NOTHING}", alone=ALTER_COLUMN)
    if not reader.accept("TYPE"):
        raise syntax_error(reader.peek(), "Redshift alters a column's TYPE or ENCODE only.")
    shape = column_type(reader.rest, name)
    if shape.varchar is None or reader.rest[shape.tokens :]:
        raise unsupported(f'cannot alter column "{name}": target data type must be varchar')
    return Rewritten(
        f"{start} ALTER COLUMN {identifier(name)} TYPE {shape.sql}", resized=(table, name, shape.varchar)
    )
