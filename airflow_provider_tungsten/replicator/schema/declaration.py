"""Reads column and key declarations, as they stand in CREATE TABLE and ALTER TABLE. Statements are :mod:`.statement`'s."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal, NamedTuple

from airflow_provider_tungsten.replicator.binlog.definition import GEOMETRIES
from airflow_provider_tungsten.replicator.filters.tokens import NotUnderstoodError, Reader
from airflow_provider_tungsten.replicator.schema.column import (
    BLOBS,
    LABELLED,
    TEXTS,
    TEXTUAL,
    UNKNOWN,
    ColumnSpec,
)
from airflow_provider_tungsten.replicator.schema.session import Session

FIRST = ""
"""As a position: in front of all columns."""

_INTEGERS = {
    **dict.fromkeys(("TINYINT", "INT1", "BOOL", "BOOLEAN"), "tinyint"),
    **dict.fromkeys(("SMALLINT", "INT2"), "smallint"),
    **dict.fromkeys(("MEDIUMINT", "INT3", "MIDDLEINT"), "mediumint"),
    **dict.fromkeys(("INT", "INTEGER", "INT4"), "int"),
    **dict.fromkeys(("BIGINT", "INT8"), "bigint"),
    "YEAR": "year",
}
_DECIMALS = frozenset({"DECIMAL", "DEC", "NUMERIC", "FIXED"})
_TEMPORALS = frozenset({"TIME", "DATETIME", "TIMESTAMP"})
_SINGLE_FLOAT_DIGITS = 24
_VECTOR_DIMENSIONS = 2048
_KEY_WORDS = frozenset(
    {"PRIMARY", "UNIQUE", "INDEX", "KEY", "FULLTEXT", "SPATIAL", "CONSTRAINT", "FOREIGN", "CHECK"}
)
_CHARSET_ATTRIBUTES = {"ASCII": "latin1", "UNICODE": "ucs2", "BYTE": "binary"}
_ALIASES = {"utf8": "utf8mb3"}
# Attributes that change nothing of what is known of a column, with the number of words behind them.
_IDLE_ATTRIBUTES = {"VISIBLE": 0, "COLUMN_FORMAT": 1, "STORAGE": 1, "SRID": 1, "ENFORCED": 0}


class Part(NamedTuple):
    """A column of a key; '' for an expression.

    :param prefix: characters or bytes that the key takes of it; 0: all.
    """

    column: str
    prefix: int = 0


class Key(NamedTuple):
    """:param name: '' where MySQL is to choose one."""

    name: str
    kind: Literal["primary", "unique", "other"]
    parts: tuple[Part, ...]


class Declaration(NamedTuple):
    """:param keys: that the column's own attributes make.
    :param position: ``FIRST``, the column it stands behind, or None.
    """

    spec: ColumnSpec
    keys: tuple[Key, ...] = ()
    position: str | None = None


def charset_of(name: str) -> str:
    """Character sets and collations are named with or without quotes, in any case."""
    lower = name.lower()
    return _ALIASES.get(lower, lower)


def charset_of_collation(name: str) -> str:
    return charset_of(name.partition("_")[0])


def word_or_string(reader: Reader) -> str:
    return reader.string() if reader.at_string else reader.name()


def read_charset(reader: Reader) -> str | None:
    """``CHARACTER SET [=] x`` or ``CHARSET [=] x`` if it comes next, ``COLLATE [=] x`` too; ``default`` for DEFAULT."""
    if reader.skip("CHARACTER", "SET") or reader.skip("CHAR", "SET") or reader.skip("CHARSET"):
        reader.skip("=")
        return charset_of(word_or_string(reader))
    if reader.skip("COLLATE"):
        reader.skip("=")
        return charset_of_collation(word_or_string(reader))
    return None


def at_key(reader: Reader) -> bool:
    """Whether a key or constraint is declared next, not a column."""
    return reader.peek() in _KEY_WORDS


def read_key(reader: Reader) -> Key | None:
    """A key; None for a constraint that is none.

    :raises NotUnderstoodError: neither.
    """
    name = ""
    if reader.skip("CONSTRAINT") and reader.peek() not in ("PRIMARY", "UNIQUE", "FOREIGN", "CHECK"):
        name = reader.name()
    if reader.peek() in ("FOREIGN", "CHECK"):
        return None
    kind: Literal["primary", "unique", "other"] = "other"
    if reader.skip("PRIMARY", "KEY"):
        kind, name = "primary", "PRIMARY"
    else:
        if reader.skip("UNIQUE"):
            kind = "unique"
        else:
            reader.skip_any("FULLTEXT", "SPATIAL")
        reader.skip_any("INDEX", "KEY")
        reader.skip("IF", "NOT", "EXISTS")
        if reader.peek() not in ("(", "USING"):
            name = reader.name()
    if reader.skip_any("USING", "TYPE"):
        reader.next()
    return Key(name, kind, read_parts(reader))


def read_parts(reader: Reader) -> tuple[Part, ...]:
    """:raises NotUnderstoodError: no list of key parts comes next."""
    parts = []
    for part in reader.parenthesised().actions():
        if part.peek() == "(":
            parts.append(Part(""))
            continue
        column = part.name()
        prefix = part.parenthesised().next() if part.peek() == "(" else "0"
        if not prefix.isdigit():
            raise NotUnderstoodError(f"the key part {column}")
        parts.append(Part(column, int(prefix)))
    return tuple(parts)


def read_declaration(reader: Reader, session: Session, name: str | None = None) -> Declaration:
    """A column's declaration, its name in front unless it is given.

    :raises NotUnderstoodError: a type or an attribute that is not known.
    """
    return _Declared(reader, session, reader.name() if name is None else name).read()


def _numbers(reader: Reader) -> list[int]:
    if reader.peek() != "(":
        return []
    numbers = [argument.words for argument in reader.parenthesised().actions()]
    if not all(len(words) == 1 and words[0].isdecimal() for words in numbers):
        raise NotUnderstoodError(f"near {reader.rest}")
    return [int(words[0]) for words in numbers]


class _Declared:
    """A column's type and attributes, put together word by word."""

    def __init__(self, reader: Reader, session: Session, name: str) -> None:
        self._reader = reader
        self._session = session
        self._name = name
        self._spec = ColumnSpec(name, "")
        self._null: bool | None = None
        self._keys: list[Key] = []

    def read(self) -> Declaration:
        self._spec = self._type()
        position = None
        while self._reader.peek() not in ("", "PARTITION", "REMOVE"):
            if self._reader.skip("FIRST"):
                position = FIRST
            elif self._reader.skip("AFTER"):
                position = self._reader.name()
            else:
                self._attribute()
        nullable = self._null
        if nullable is None:
            nullable = self._spec.type != "timestamp" or self._session.timestamps_nullable
        return Declaration(replace(self._spec, nullable=nullable), tuple(self._keys), position)

    # Types

    def _type(self) -> ColumnSpec:
        reader, word = self._reader, self._reader.next()
        if word in _INTEGERS:
            _numbers(reader)
            return self._of(_INTEGERS[word], unsigned=word == "YEAR" or self._sign())
        if word == "SERIAL":
            self._null = False
            self._keys.append(Key("", "unique", (Part(self._name),)))
            return self._of("bigint", unsigned=True)
        if word in _DECIMALS:
            precision, scale = (*_numbers(reader), 0, 0)[:2]
            return self._of("decimal", unsigned=self._sign(), length=precision or 10, scale=scale)
        if word in ("FLOAT", "FLOAT4", "FLOAT8", "DOUBLE", "REAL"):
            return self._of(self._floating(word), unsigned=self._sign())
        if word in _TEMPORALS:
            return self._of(word.lower(), scale=(*_numbers(reader), 0)[0])
        if word == "BIT":
            return self._of("bit", length=(*_numbers(reader), 1)[0])
        if word == "VECTOR":
            return self._of("vector", length=(*_numbers(reader), _VECTOR_DIMENSIONS)[0])
        kind = {"GEOMETRYCOLLECTION": "geomcollection"}.get(word, word.lower())
        if kind in GEOMETRIES or kind in ("date", "json"):
            return self._of(kind)
        if kind in LABELLED:
            return self._of(kind, charset=UNKNOWN, members=self._members())
        return self._textual(word)

    def _of(self, kind: str, **known: Any) -> ColumnSpec:
        return ColumnSpec(self._name, kind, **known)

    def _floating(self, word: str) -> str:
        self._reader.skip("PRECISION")
        numbers = _numbers(self._reader)
        if word == "REAL":
            return self._session.real_type
        if word in ("FLOAT8", "DOUBLE"):
            return "double"
        return "double" if len(numbers) == 1 and numbers[0] > _SINGLE_FLOAT_DIGITS else "float"

    def _sign(self) -> bool:
        unsigned = False
        while self._reader.peek() in ("UNSIGNED", "SIGNED", "ZEROFILL"):
            unsigned |= self._reader.next() != "SIGNED"
        return unsigned

    def _members(self) -> tuple[str, ...]:
        return tuple(_label(member) for member in self._reader.parenthesised().actions())

    def _textual(self, word: str) -> ColumnSpec:
        reader, charset = self._reader, UNKNOWN
        kind = word.lower()
        if kind in BLOBS or kind in TEXTS:
            return self._large(kind)
        if word == "LONG":
            return self._long()
        if word in ("NATIONAL", "NCHAR", "NVARCHAR"):
            charset = "utf8mb3"
            word = reader.next() if word == "NATIONAL" else word.removeprefix("N")
        if word in ("CHAR", "CHARACTER"):
            varying = reader.skip("VARYING") or (
                charset != UNKNOWN and reader.skip_any("VARCHAR", "VARCHARACTER")
            )
            word = "VARCHAR" if varying else "CHAR"
        kind = {"VARCHARACTER": "varchar"}.get(word, word.lower())
        if kind not in ("char", "varchar", "binary", "varbinary"):
            raise NotUnderstoodError(f"the type of column {self._name}, near {reader.rest}")
        length = (*_numbers(reader), 1)[0]
        return self._of(kind, charset=charset if kind in TEXTUAL else None, length=length)

    def _large(self, kind: str) -> ColumnSpec:
        numbers = _numbers(self._reader)
        if numbers == [0]:
            kind = f"tiny{kind}"
        return self._of(kind, charset=UNKNOWN if kind in TEXTS else None, length=sum(numbers))

    def _long(self) -> ColumnSpec:
        if self._reader.skip("VARBINARY"):
            return self._of("mediumblob")
        if not (self._reader.skip("CHAR", "VARYING") or self._reader.skip("CHARACTER", "VARYING")):
            self._reader.skip_any("VARCHAR", "VARCHARACTER")
        return self._of("mediumtext", charset=UNKNOWN)

    # Attributes

    def _attribute(self) -> None:
        reader = self._reader
        if (charset := read_charset(reader)) is not None:
            if self._spec.charset == UNKNOWN and charset != "default":
                self._spec = replace(self._spec, charset=charset)
            return
        word = reader.next()
        handler = _ATTRIBUTES.get(word)
        if handler is not None:
            handler(self)
        elif word in _CHARSET_ATTRIBUTES:
            self._spec = replace(self._spec, charset=_CHARSET_ATTRIBUTES[word])
        elif word in _IDLE_ATTRIBUTES:
            for _ in range(_IDLE_ATTRIBUTES[word]):
                reader.next()
        else:
            raise NotUnderstoodError(f"column {self._name}, near {reader.rest}")

    def _on_not(self) -> None:
        word = self._reader.next()
        if word == "NULL":
            self._null = False
        elif word not in ("ENFORCED", "SECONDARY"):
            raise NotUnderstoodError(f"column {self._name}, near {self._reader.rest}")

    def _on_null(self) -> None:
        self._null = True

    def _on_default(self) -> None:
        _skip_value(self._reader)

    def _on_on(self) -> None:
        self._reader.expect("UPDATE")
        self._reader.next()
        _numbers(self._reader)

    def _on_auto_increment(self) -> None:
        self._null = False
        self._spec = replace(self._spec, auto_increment=True)

    def _on_invisible(self) -> None:
        self._spec = replace(self._spec, invisible=True)

    def _on_serial(self) -> None:
        self._reader.expect("DEFAULT", "VALUE")
        self._null = False
        self._keys.append(Key("", "unique", (Part(self._name),)))

    def _on_primary(self) -> None:
        self._reader.skip("KEY")
        self._keys.append(Key("PRIMARY", "primary", (Part(self._name),)))

    def _on_unique(self) -> None:
        self._reader.skip("KEY")
        self._keys.append(Key("", "unique", (Part(self._name),)))

    def _on_string(self) -> None:
        self._reader.skip("=")
        self._reader.string()

    def _on_generated(self) -> None:
        self._reader.expect("ALWAYS", "AS")
        self._on_as()

    def _on_as(self) -> None:
        self._reader.parenthesised()
        stored = self._reader.skip_any("STORED", "PERSISTENT")
        self._reader.skip("VIRTUAL")
        self._spec = replace(self._spec, virtual=not stored)

    def _on_constraint(self) -> None:
        if self._reader.peek() != "CHECK":
            self._reader.name()

    def _on_check(self) -> None:
        self._reader.parenthesised()

    def _on_references(self) -> None:
        reader = self._reader
        reader.table()
        if reader.peek() == "(":
            reader.parenthesised()
        if reader.skip("MATCH"):
            reader.next()
        while reader.peek() == "ON" and reader.peek(1) in ("DELETE", "UPDATE"):
            reader.skip("ON")
            reader.next()
            if not (reader.skip("SET") or reader.skip("NO")):
                reader.next()
            elif not reader.skip_any("NULL", "DEFAULT", "ACTION"):
                raise NotUnderstoodError(f"column {self._name}, near {reader.rest}")

    def _on_binary(self) -> None:
        """Orders by code point; the character set stays."""


_ATTRIBUTES: dict[str, Callable[[_Declared], None]] = {
    "NOT": _Declared._on_not,
    "NULL": _Declared._on_null,
    "DEFAULT": _Declared._on_default,
    "ON": _Declared._on_on,
    "AUTO_INCREMENT": _Declared._on_auto_increment,
    "INVISIBLE": _Declared._on_invisible,
    "SERIAL": _Declared._on_serial,
    "PRIMARY": _Declared._on_primary,
    "KEY": _Declared._on_primary,
    "UNIQUE": _Declared._on_unique,
    "COMMENT": _Declared._on_string,
    "ENGINE_ATTRIBUTE": _Declared._on_string,
    "SECONDARY_ENGINE_ATTRIBUTE": _Declared._on_string,
    "GENERATED": _Declared._on_generated,
    "AS": _Declared._on_as,
    "CONSTRAINT": _Declared._on_constraint,
    "CHECK": _Declared._on_check,
    "REFERENCES": _Declared._on_references,
    "BINARY": _Declared._on_binary,
}


def _skip_value(reader: Reader) -> None:
    """A literal, a function or an expression in parentheses."""
    if reader.peek() == "(":
        reader.parenthesised()
        return
    reader.skip_any("+", "-")
    if reader.at_string:
        reader.string()
        return
    word = reader.next()
    if reader.at_string:  # an introducer, or X'…', B'…', N'…', DATE'…'
        reader.string()
    elif reader.peek() == "(":
        reader.parenthesised()
    elif word == "." or word[:1].isdigit():
        _skip_rest_of_number(word, reader)


def _skip_rest_of_number(word: str, reader: Reader) -> None:
    if word == "." or reader.skip(".") and re.match(r"\d|E\d*$", reader.peek()):
        word = reader.next()
    if re.fullmatch(r"\d*E", word) and reader.skip_any("+", "-"):
        reader.next()


def _label(reader: Reader) -> str:
    """A member of ENUM or SET: a literal, or bytes in hex."""
    if reader.at_string:
        return reader.string()
    word = reader.next()
    digits = reader.string() if word == "X" else word.removeprefix("0X")
    try:
        label = bytes.fromhex(digits).decode("ascii")
    except ValueError:
        label = "\0"
    if not label.isprintable():
        raise NotUnderstoodError("a label whose bytes depend on its character set")
    return label
