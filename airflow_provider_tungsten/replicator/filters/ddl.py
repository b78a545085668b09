"""Tells what a statement out of the binlog does to tables and their rows; whether that matters is for others to decide.

Words, not a grammar: sqlglot 30 gives up on half of MySQL's ALTER TABLE (DROP PARTITION, RENAME AS, EXCHANGE) and drops
`/*!…*/`, which MySQL executes, so a token reader that cannot fail decides, and what it does not know is `unknown`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, NamedTuple

from airflow_provider_tungsten.replicator.filters.tokens import (
    Dialect,
    NotUnderstoodError,
    Reader,
    Table,
    pattern,
)
from airflow_provider_tungsten.replicator.filters.tokens import reader as words_of

Effect = Literal["none", "create", "schema", "truncate", "moves_rows", "rewrites", "dml", "unknown"]

# From the least to the worst: of several actions in one ALTER TABLE the worst counts.
_RANK: tuple[Effect, ...] = ("none", "schema", "rewrites", "moves_rows")

# Statements that change no rows of a table, by their first word. Account statements may hold passwords.
_HARMLESS = frozenset(
    {
        *("GRANT", "REVOKE", "SET", "ANALYZE", "OPTIMIZE", "REPAIR", "CHECK", "CHECKSUM", "FLUSH", "INSTALL"),
        *("UNINSTALL", "LOCK", "UNLOCK", "USE", "PURGE", "RESET", "CACHE", "CHANGE", "START", "STOP", "SHOW"),
        *("RELEASE", "KILL", "CLONE", "BINLOG"),
    }
)
_DML = frozenset({"INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD", "WITH", "CALL", "SELECT", "DO"})
# What CREATE, ALTER, DROP and RENAME may name besides tables, indexes and databases; none of it holds rows that are logged.
_WITHOUT_ROWS = frozenset(
    {
        "TEMPORARY",
        *("USER", "ROLE", "VIEW", "PROCEDURE", "FUNCTION", "TRIGGER", "EVENT", "SERVER", "TABLESPACE"),
        *("LOGFILE", "INSTANCE", "RESOURCE", "SPATIAL_REFERENCE", "LIBRARY"),
    }
)
_CLAUSES_BEFORE_OBJECT = frozenset(
    {"OR", "REPLACE", "UNDO", "UNIQUE", "FULLTEXT", "ONLINE", "OFFLINE", "AGGREGATE"}
)
_MOVING_PARTITION = frozenset({"DROP", "TRUNCATE", "EXCHANGE", "DISCARD", "IMPORT"})
_KEEPING_PARTITION = frozenset({"ANALYZE", "CHECK", "OPTIMIZE", "REPAIR", "REBUILD"})
_NOT_A_COLUMN = frozenset(
    {
        "INDEX",
        "KEY",
        "UNIQUE",
        "FULLTEXT",
        "SPATIAL",
        "PRIMARY",
        "CONSTRAINT",
        "FOREIGN",
        "CHECK",
        "PARTITION",
    }
)
_FILLING_WORDS = frozenset({"GENERATED", "AS", "AUTO_INCREMENT", "SERIAL"})
_BEGINNING = 1 << 16  # characters of a longer statement that are looked at first
_COMPUTED_DEFAULTS = frozenset(
    {"(", "CURRENT_TIMESTAMP", "NOW", "LOCALTIME", "LOCALTIMESTAMP", "CURRENT_DATE", "CURRENT_TIME"}
)


class Statement(NamedTuple):
    """What a statement does, and to which tables; a table name of '' stands for every table of the schema.

    Effects: ``none`` (no table's rows or columns; its text may hold passwords and must not be kept), ``create``,
    ``schema`` (columns, indexes, options; the rows keep their values), ``truncate``, ``moves_rows`` (rows vanish or
    change their table without row events), ``rewrites`` (values change without row events), ``dml`` (a row change in
    statement format), ``unknown``.

    :param settled: it changes no definition, and what stands behind the beginning of a long one changes nothing of that.
    """

    effect: Effect
    tables: tuple[Table, ...] = ()
    keyword: str = ""
    settled: bool = False

    @property
    def folded(self) -> Statement:
        """On a server that keeps names in lower case."""
        return self._replace(tables=tuple((schema.lower(), table.lower()) for schema, table in self.tables))


def classify(sql: str, default_schema: str, *, backslashes: bool = True, cut: bool = False) -> Statement:
    """What `sql` does; names without a schema belong to `default_schema`. What is not known is ``unknown``.

    :param backslashes: as in :class:`Dialect`.
    :param cut: `sql` is only the statement's beginning.
    :raises UnsupportedError: more words than are read.
    """
    dialect = Dialect(backslashes=backslashes)
    if cut or len(sql) > _BEGINNING:
        statement = _of_beginning(words_of(sql[:_BEGINNING], default_schema, dialect))
        if cut or statement.settled:
            return statement
    reader = words_of(sql, default_schema, dialect)
    keyword = reader.next()
    try:
        effect, tables = _classify(keyword, reader)
    except NotUnderstoodError:
        effect, tables = "unknown", []
    return Statement(effect, tuple(dict.fromkeys(tables)), keyword)


def _of_beginning(reader: Reader) -> Statement:
    """Settled, or ``unknown``."""
    keyword = reader.next()
    effect: Effect = "unknown"
    tables: list[Table] = []
    if keyword in _DML:
        effect, tables = "dml", _dml_tables(keyword, reader)
    elif keyword in _HARMLESS or (
        keyword in ("CREATE", "ALTER", "DROP") and _object_kind(reader) in _WITHOUT_ROWS
    ):
        effect = "none"
    if effect == "unknown" or not reader:  # the word that tells may be cut short
        return Statement("unknown", (), keyword)
    return Statement(effect, tuple(tables), keyword, settled=True)


def redact(sql: str, *, backslashes: bool = True) -> str:
    """`sql` with every quoted text taken out: for statements that are not understood and may hold a password."""
    quoted = ("text", "double")
    return pattern(backslashes).sub(lambda match: "'?'" if match.lastgroup in quoted else match.group(), sql)


def _classify(keyword: str, reader: Reader) -> tuple[Effect, list[Table]]:
    if keyword in _HARMLESS or keyword == "":
        return "none", []
    if keyword in _DML:
        return "dml", _dml_tables(keyword, reader)
    if keyword == "TRUNCATE":
        reader.skip("TABLE")
        return "truncate", [reader.table()]
    if keyword == "RENAME":
        return _rename(reader)
    if keyword in ("CREATE", "ALTER", "DROP"):
        return _object(keyword, reader)
    raise NotUnderstoodError


def _dml_tables(keyword: str, reader: Reader) -> list[Table]:
    """The table a row change names first, where that is easily told."""
    while reader.peek() in ("LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "QUICK", "IGNORE", "INTO", "FROM"):
        reader.next()
    if keyword not in ("INSERT", "REPLACE", "UPDATE", "DELETE"):
        return []
    try:
        return [reader.table()]
    except NotUnderstoodError:
        return []


def _rename(reader: Reader) -> tuple[Effect, list[Table]]:
    if reader.peek() == "USER":
        return "none", []
    if not (reader.skip("TABLE") or reader.skip("TABLES")):
        raise NotUnderstoodError
    reader.skip("IF", "EXISTS")
    tables = []
    while True:
        tables.append(reader.table())
        _skip_wait(reader)
        if not reader.skip("TO"):
            raise NotUnderstoodError
        tables.append(reader.table())
        if not reader.skip(","):
            return "moves_rows", tables


def _object(keyword: str, reader: Reader) -> tuple[Effect, list[Table]]:
    """CREATE, ALTER and DROP of anything. OR REPLACE drops first (MariaDB)."""
    drops = keyword == "DROP" or reader.peek() == "OR"
    kind = _object_kind(reader)
    if kind in _WITHOUT_ROWS:
        return "none", []
    if kind in ("DATABASE", "SCHEMA"):
        if not drops:
            return "none", []
        reader.skip("IF", "EXISTS")
        return "moves_rows", [(reader.name(), "")]
    if kind in ("INDEX", "KEY"):
        return "schema", _index_table(reader)
    if kind not in ("TABLE", "TABLES"):
        raise NotUnderstoodError
    if keyword == "CREATE":
        reader.skip("IF", "NOT", "EXISTS")
        return "moves_rows" if drops else "create", [reader.table()]
    if keyword == "DROP":
        reader.skip("IF", "EXISTS")
        return "moves_rows", reader.tables()
    return _alter_table(reader)


def _object_kind(reader: Reader) -> str:
    """The word that says what is created, altered or dropped, behind OR REPLACE, DEFINER = …, ALGORITHM = … and such."""
    while True:
        word = reader.next()
        if word in _CLAUSES_BEFORE_OBJECT:
            continue
        if word == "DEFINER":
            _skip_account(reader)
        elif word == "ALGORITHM":
            reader.skip("=")
            reader.next()
        elif word == "SQL":
            reader.skip("SECURITY")
            reader.next()
        elif word == "SPATIAL":
            return "SPATIAL_REFERENCE" if reader.skip("REFERENCE") else _object_kind(reader)
        elif word == "JSON":
            while reader.peek() not in ("VIEW", ""):
                reader.next()
        else:
            return word


def _skip_account(reader: Reader) -> None:
    """``= user@host`` in any of its spellings, or ``= CURRENT_USER()``."""
    reader.skip("=")
    reader.next()
    if reader.skip("(", ")"):
        return
    if reader.peek() == "@":
        reader.next()
        reader.next()
        while reader.skip("."):
            reader.next()
    elif reader.peek().startswith("@"):
        reader.next()


def _index_table(reader: Reader) -> list[Table]:
    if not reader.skip_to("ON"):
        raise NotUnderstoodError
    return [reader.table()]


def _skip_wait(reader: Reader) -> None:
    """How long MariaDB waits for a table's lock."""
    if reader.skip("WAIT"):
        reader.next()
    reader.skip("NOWAIT")


def _alter_table(reader: Reader) -> tuple[Effect, list[Table]]:
    reader.skip("IF", "EXISTS")
    tables = [reader.table()]
    _skip_wait(reader)
    worst: Effect = "none"
    for action in reader.actions():
        worst = max(worst, _action_effect(action.words), key=_RANK.index)
        tables += _second_table(action)
    return worst, tables


def _action_effect(words: list[str]) -> Effect:
    first, second = (*words, "", "")[:2]
    if first == "RENAME":
        return "schema" if second in ("COLUMN", "INDEX", "KEY") else "moves_rows"
    if second == "PARTITION" and first in _MOVING_PARTITION:
        return "moves_rows"
    if second == "TABLESPACE" and first in ("DISCARD", "IMPORT"):
        return "moves_rows"
    if (second == "PARTITION" and first in _KEEPING_PARTITION) or words in (
        ["ENABLE", "KEYS"],
        ["DISABLE", "KEYS"],
    ):
        return "none"
    if first in ("MODIFY", "CHANGE", "CONVERT"):
        return "rewrites"
    if "ENGINE" in words and "BLACKHOLE" in words:
        return "moves_rows"
    if first == "ADD" and second not in _NOT_A_COLUMN:
        return _add_column_effect(words)
    return "schema"


def _add_column_effect(words: list[str]) -> Effect:
    """ADD COLUMN gives rows that are there values nobody logs, unless its default is a constant or NULL."""
    if not _FILLING_WORDS.isdisjoint(words):
        return "rewrites"
    defaults = {after for word, after in pairwise(words) if word == "DEFAULT"}
    return "schema" if defaults.isdisjoint(_COMPUTED_DEFAULTS) else "rewrites"


def _second_table(action: Reader) -> list[Table]:
    """The other table of RENAME [TO|AS|=] and of EXCHANGE PARTITION … WITH TABLE."""
    if action.skip("RENAME") and action.peek() not in ("COLUMN", "INDEX", "KEY"):
        for word in ("TO", "AS", "="):
            action.skip(word)
        return [action.table()]
    if action.skip("EXCHANGE") and action.skip_to("WITH", "TABLE"):
        return [action.table()]
    return []
