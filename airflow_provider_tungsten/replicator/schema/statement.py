"""Reads the DDL statements that make, change, rename and drop tables and databases. What they do to a table is :mod:`.table`'s."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from airflow_provider_tungsten.replicator.filters.tokens import NotUnderstoodError, Reader, Table
from airflow_provider_tungsten.replicator.schema.declaration import (
    Declaration,
    Key,
    at_key,
    read_charset,
    read_declaration,
    read_key,
    read_parts,
)
from airflow_provider_tungsten.replicator.schema.session import Session

DEFAULT = "default"
"""As a character set: that of the database, or of the server."""


@dataclass
class CreateTable:
    """:param like: the table that is copied, instead of declarations.
    :param charset: '' where none is named.
    """

    table: Table
    keep_existing: bool
    like: Table | None = None
    columns: list[Declaration] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)
    charset: str = ""


class Change(NamedTuple):
    """A column that is added, or changed from what was called ``old``."""

    old: str | None
    declaration: Declaration


@dataclass
class AlterTable:
    """All actions of one ALTER TABLE, or of a CREATE or DROP INDEX. MySQL takes them together: names mean what they meant
    before the statement, except behind AFTER.

    :param dropped_keys: by name; also constraints that are no keys.
    :param convert, charset: '' where none is named.
    :param visibility: of columns that are SET VISIBLE or INVISIBLE.
    """

    table: Table
    dropped: list[str] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    renamed: list[tuple[str, str]] = field(default_factory=list)
    dropped_keys: list[str] = field(default_factory=list)
    renamed_keys: list[tuple[str, str]] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)
    convert: str = ""
    charset: str = ""
    new_name: Table | None = None
    visibility: dict[str, bool] = field(default_factory=dict)


@dataclass
class RenameTables:
    """In this order, one after the other."""

    pairs: list[tuple[Table, Table]]


@dataclass
class DropTables:
    tables: list[Table]


@dataclass
class Database:
    """:param verb: CREATE, ALTER or DROP.
    :param charset: '' where none is named.
    """

    verb: str
    name: str
    charset: str = ""
    keep_existing: bool = False


Ddl = CreateTable | AlterTable | RenameTables | DropTables | Database


def read_statement(sql: str, session: Session) -> Ddl | None:
    """What a statement does to the definitions of tables; None: nothing.

    :raises NotUnderstoodError: it may do something, but is not of a known form.
    """
    reader = session.words(sql)
    verb = reader.next()
    if verb == "RENAME":
        return _rename(reader)
    if verb not in ("CREATE", "ALTER", "DROP"):
        return None
    return _object(verb, reader, session)


def _object(verb: str, reader: Reader, session: Session) -> Ddl | None:
    replaces = reader.skip("OR", "REPLACE")
    reader.skip_any("ONLINE", "OFFLINE")
    reader.skip("IGNORE")
    if reader.skip_any("DATABASE", "SCHEMA"):
        return _database(verb, reader)
    if reader.skip("TABLE") or reader.skip("TABLES"):
        if verb == "CREATE":
            return _create(reader, session, replaces)
        return _alter(reader, session) if verb == "ALTER" else _drop(reader)
    if verb == "DROP" and reader.skip("VIEW"):
        return _drop_views(reader)
    unique = reader.skip("UNIQUE")
    reader.skip_any("FULLTEXT", "SPATIAL")
    if reader.skip_any("INDEX", "KEY"):
        return _index(verb, reader, unique)
    return None


def _rename(reader: Reader) -> RenameTables | None:
    if not (reader.skip("TABLE") or reader.skip("TABLES")):
        return None
    reader.skip("IF", "EXISTS")
    pairs = []
    while True:
        old = reader.table()
        reader.expect("TO")
        pairs.append((old, reader.table()))
        if not reader.skip(","):
            return RenameTables(pairs)


def _drop(reader: Reader) -> DropTables:
    reader.skip("IF", "EXISTS")
    return DropTables(reader.tables())


def _drop_views(reader: Reader) -> DropTables | None:
    """A view's name is no table's, though a CREATE TABLE IF NOT EXISTS met it; with IF EXISTS it may be one, which stays."""
    return None if reader.skip("IF", "EXISTS") else DropTables(reader.tables())


def _database(verb: str, reader: Reader) -> Database:
    exists = reader.skip("IF", "NOT", "EXISTS") or reader.skip("IF", "EXISTS")
    options = ("CHARACTER", "CHARSET", "CHAR", "COLLATE", "DEFAULT", "ENCRYPTION", "READ", "UPGRADE", "")
    name = reader.schema if verb == "ALTER" and reader.peek() in options else reader.name()
    return Database(verb, name, _charset_among(reader), exists)


def _index(verb: str, reader: Reader, unique: bool) -> AlterTable:
    reader.skip("IF", "NOT", "EXISTS") or reader.skip("IF", "EXISTS")
    name = reader.name()
    if not reader.skip_to("ON"):
        raise NotUnderstoodError("an index without a table")
    alter = AlterTable(reader.table())
    if verb == "CREATE":
        alter.keys.append(Key(name, "unique" if unique else "other", read_parts(reader)))
    else:
        alter.dropped_keys.append(name)
    return alter


def _create(reader: Reader, session: Session, replaces: bool) -> CreateTable:
    exists = reader.skip("IF", "NOT", "EXISTS")
    create = CreateTable(reader.table(), keep_existing=exists and not replaces)
    if reader.skip("LIKE"):
        create.like = reader.table()
        return create
    body = reader.parenthesised()
    if body.skip("LIKE"):
        create.like = body.table()
        return create
    for item in body.actions():
        _declare(item, session, create.columns, create.keys)
    create.charset = _charset_among(reader)
    return create


def _declare(item: Reader, session: Session, columns: list[Declaration], keys: list[Key]) -> None:
    """A column, a key or a constraint of CREATE TABLE."""
    if at_key(item):
        key = read_key(item)
        if key is not None:
            keys.append(key)
        return
    columns.append(read_declaration(item, session))


def _charset_among(reader: Reader) -> str:
    """The character set that options name; what else they say changes no definition.

    :raises NotUnderstoodError: they hold a SELECT.
    """
    found = ""
    while reader:
        charset = read_charset(reader)
        if charset is not None:
            found = charset
        elif reader.skip_any("PARTITION", "START"):
            return found
        elif reader.peek() in ("SELECT", "WITH", "VALUES", "TABLE"):
            raise NotUnderstoodError("a table made by a SELECT")
        else:
            reader.next()
    return found


# ALTER TABLE


def _alter(reader: Reader, session: Session) -> AlterTable:
    reader.skip("IF", "EXISTS")
    alter = AlterTable(reader.table())
    for action in reader.actions():
        if not action:
            continue
        word = action.peek()
        if word in _ACTIONS:
            action.next()
            _ACTIONS[word](action, alter, session)
        elif word in _OPTIONS:
            alter.charset = _charset_among(action) or alter.charset
        elif word not in _WITHOUT_EFFECT:
            raise NotUnderstoodError(f"ALTER TABLE, near {action.rest}")
        if word == "ORDER" or "PARTITION" in action.words:
            break  # commas behind it belong to it, and it is the last action
    return alter


def _add(action: Reader, alter: AlterTable, session: Session) -> None:
    if action.peek() == "PARTITION":
        return
    if at_key(action):
        key = read_key(action)
        if key is not None:
            alter.keys.append(key)
        return
    action.skip("COLUMN")
    action.skip("IF", "NOT", "EXISTS")
    if action.peek() != "(":
        alter.changes.append(Change(None, read_declaration(action, session)))
        return
    columns: list[Declaration] = []
    for item in action.parenthesised().actions():
        _declare(item, session, columns, alter.keys)
    alter.changes += [Change(None, column) for column in columns]


def _drop_action(action: Reader, alter: AlterTable, session: Session) -> None:
    if action.peek() == "PARTITION":
        return
    if action.skip("PRIMARY"):
        action.skip("KEY")
        alter.dropped_keys.append("PRIMARY")
    elif action.skip("FOREIGN") or action.skip("CHECK"):
        return
    elif action.skip_any("INDEX", "KEY", "CONSTRAINT"):
        action.skip("IF", "EXISTS")
        alter.dropped_keys.append(action.name())
    else:
        action.skip("COLUMN")
        action.skip("IF", "EXISTS")
        alter.dropped.append(_column_name(action))


def _column_name(action: Reader) -> str:
    """A column's name, the table's and the schema's in front of it or not."""
    name = action.name()
    while action.skip("."):
        name = action.name()
    return name


def _change(action: Reader, alter: AlterTable, session: Session) -> None:
    action.skip("COLUMN")
    action.skip("IF", "EXISTS")
    alter.changes.append(Change(_column_name(action), read_declaration(action, session)))


def _modify(action: Reader, alter: AlterTable, session: Session) -> None:
    action.skip("COLUMN")
    action.skip("IF", "EXISTS")
    name = _column_name(action)
    alter.changes.append(Change(name, read_declaration(action, session, name)))


def _rename_action(action: Reader, alter: AlterTable, session: Session) -> None:
    if action.skip("COLUMN"):
        old = action.name()
        action.expect("TO")
        alter.renamed.append((old, action.name()))
    elif action.skip_any("INDEX", "KEY"):
        old = action.name()
        action.expect("TO")
        alter.renamed_keys.append((old, action.name()))
    else:
        action.skip_any("TO", "AS", "=")
        alter.new_name = action.table()


def _alter_column(action: Reader, alter: AlterTable, session: Session) -> None:
    if action.peek() in ("INDEX", "CHECK", "CONSTRAINT"):
        return
    action.skip("COLUMN")
    name = _column_name(action)
    if action.skip("SET") and action.peek() in ("VISIBLE", "INVISIBLE"):
        alter.visibility[name.lower()] = action.next() == "VISIBLE"


def _convert(action: Reader, alter: AlterTable, session: Session) -> None:
    action.skip("PARTITION")
    action.expect("TO")
    alter.convert = _charset_among(action) or DEFAULT


_Action = Callable[[Reader, AlterTable, Session], None]
_ACTIONS: dict[str, _Action] = {
    "ADD": _add,
    "DROP": _drop_action,
    "CHANGE": _change,
    "MODIFY": _modify,
    "RENAME": _rename_action,
    "CONVERT": _convert,
    "ALTER": _alter_column,
}
_OPTIONS = frozenset(
    {
        *(
            "DEFAULT",
            "CHARACTER",
            "CHARSET",
            "CHAR",
            "COLLATE",
            "ENGINE",
            "TYPE",
            "AUTO_INCREMENT",
            "CHECKSUM",
        ),
        *(
            "AVG_ROW_LENGTH",
            "COMMENT",
            "COMPRESSION",
            "CONNECTION",
            "DATA",
            "INDEX",
            "DELAY_KEY_WRITE",
            "UNION",
        ),
        *(
            "ENCRYPTION",
            "ENGINE_ATTRIBUTE",
            "INSERT_METHOD",
            "KEY_BLOCK_SIZE",
            "MAX_ROWS",
            "MIN_ROWS",
            "PASSWORD",
        ),
        *("PACK_KEYS", "ROW_FORMAT", "SECONDARY_ENGINE", "SECONDARY_ENGINE_ATTRIBUTE", "STATS_AUTO_RECALC"),
        *("STATS_PERSISTENT", "STATS_SAMPLE_PAGES", "TABLESPACE", "AUTOEXTEND_SIZE"),
    }
)
_WITHOUT_EFFECT = frozenset(
    {
        *("ALGORITHM", "LOCK", "FORCE", "ENABLE", "DISABLE", "DISCARD", "IMPORT", "ORDER", "WITH", "WITHOUT"),
        *(
            "PARTITION",
            "REMOVE",
            "REORGANIZE",
            "COALESCE",
            "TRUNCATE",
            "EXCHANGE",
            "ANALYZE",
            "CHECK",
        ),
        *("OPTIMIZE", "REPAIR", "REBUILD", "UPGRADE", "SECONDARY_LOAD", "SECONDARY_UNLOAD"),
    }
)
