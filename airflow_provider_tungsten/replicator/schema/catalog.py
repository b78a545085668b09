"""The definitions of all tables at one moment of the log: they name what table maps leave out and follow the DDL."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace

from airflow_provider_tungsten.replicator.binlog.constants import ColumnType
from airflow_provider_tungsten.replicator.binlog.definition import Column, TableDefinition
from airflow_provider_tungsten.replicator.binlog.table_map import BareColumn, BareTable
from airflow_provider_tungsten.replicator.errors import CorruptLogError, UnsupportedError
from airflow_provider_tungsten.replicator.filters.ddl import classify
from airflow_provider_tungsten.replicator.filters.tokens import NotUnderstoodError, Table
from airflow_provider_tungsten.replicator.schema.column import UNKNOWN, ColumnSpec, check_shown, with_charset
from airflow_provider_tungsten.replicator.schema.session import Session
from airflow_provider_tungsten.replicator.schema.statement import (
    DEFAULT,
    AlterTable,
    CreateTable,
    Database,
    Ddl,
    DropTables,
    RenameTables,
    read_statement,
)
from airflow_provider_tungsten.replicator.schema.table import TableSchema, altered, created

_VERSION = 1
_MEND = (
    "SET PERSIST binlog_row_metadata = FULL on the source (or leave it) and start behind this place with the DAG's "
    "parameter `reposition`; or begin a new log with a schema dump of its place; or exclude the table"
)
_UNNAMED = "the log does not name its columns (binlog_row_metadata is not FULL)"

# Temporal types as MySQL before 5.6.4 stores them, in tables that were never rebuilt since: DDL does not tell.
_BEFORE_5_6_4 = {
    ColumnType.TIMESTAMP2: ColumnType.TIMESTAMP,
    ColumnType.DATETIME2: ColumnType.DATETIME,
    ColumnType.TIME2: ColumnType.TIME,
}


class Catalog:
    """Tables by schema and name.

    :param charsets: default character set of each schema.
    :param tables: a text instead of a table says why it is not known any more.
    :param whole: whether a table that is not here does not exist; else that holds for the schemas of `charsets` only,
        and others may have been made before the log began.
    :param folds: whether names differ by more than their case (``lower_case_table_names`` is not 0).
    """

    def __init__(
        self,
        charsets: Mapping[str, str],
        tables: Mapping[Table, TableSchema | str],
        *,
        whole: bool,
        folds: bool = False,
    ) -> None:
        self._charsets = {name.lower() if folds else name: charset for name, charset in charsets.items()}
        self._tables = dict(tables)
        self._whole = whole
        self._folds = folds
        self._bytes: bytes | None = None

    @classmethod
    def empty(cls) -> Catalog:
        """Knows nothing and learns from DDL alone."""
        return cls({}, {}, whole=False)

    def copy(self) -> Catalog:
        """As it is now."""
        copy = Catalog(self._charsets, self._tables, whole=self._whole, folds=self._folds)
        copy._bytes = self._bytes
        return copy

    def __len__(self) -> int:
        return len(self._tables)

    # As bytes

    def to_bytes(self) -> bytes:
        """JSON; the same catalog always gives the same bytes."""
        if self._bytes is None:
            tables = [
                f"[{json.dumps([*key], ensure_ascii=False)},"
                f"{table.json if isinstance(table, TableSchema) else json.dumps(table, ensure_ascii=False)}]"
                for key, table in sorted(self._tables.items())
            ]
            head = {
                "version": _VERSION,
                "whole": self._whole,
                "folds": self._folds,
                "charsets": dict(sorted(self._charsets.items())),
            }
            text = json.dumps(head, ensure_ascii=False, separators=(",", ":")).removesuffix("}")
            self._bytes = (text + ',"tables":[\n' + ",\n".join(tables) + "\n]}\n").encode()
        return self._bytes

    @property
    def digest(self) -> str:
        """SHA-256 of the content, in hex."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    @classmethod
    def from_bytes(cls, raw: bytes) -> Catalog:
        """:raises CorruptLogError: not what :meth:`to_bytes` wrote."""
        try:
            body = json.loads(raw)
            if body["version"] != _VERSION:
                raise CorruptLogError(f"a catalog of version {body['version']} is not understood")
            tables = {
                (schema, name): table if isinstance(table, str) else TableSchema.from_json(table)
                for (schema, name), table in body["tables"]
            }
            return cls(body["charsets"], tables, whole=body["whole"], folds=body["folds"])
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise CorruptLogError(f"a catalog that cannot be read ({type(error).__name__})") from None

    # Following the log

    def apply(self, sql: str, session: Session, place: str) -> bool:
        """Takes in a statement, and tells whether anything changed. One that is not understood makes its tables unknown.

        :param place: ``file:position`` of the statement, for messages.
        """
        try:
            statement = read_statement(sql, session)
            if statement is None:
                return False
            self._take(statement, session, place)
        except NotUnderstoodError as error:
            self._lose(sql, session, f"the DDL statement at {place} is not understood ({error})")
        self._bytes = None
        return True

    def _take(self, statement: Ddl, session: Session, place: str) -> None:
        if isinstance(statement, CreateTable):
            self._create(statement, session, place)
        elif isinstance(statement, AlterTable):
            self._alter(statement, session)
        elif isinstance(statement, RenameTables):
            for old, new in statement.pairs:
                self._rename(old, new)
        elif isinstance(statement, DropTables):
            for table in statement.tables:
                self._tables.pop(self._key(table), None)
        else:
            self._database(statement, session)

    def _key(self, table: Table) -> Table:
        return (table[0].lower(), table[1].lower()) if self._folds else table

    def _charset(self, schema: str) -> str:
        return self._charsets.get(schema.lower() if self._folds else schema, UNKNOWN)

    def _create(self, statement: CreateTable, session: Session, place: str) -> None:
        key = self._key(statement.table)
        if statement.keep_existing and key in self._tables:
            return
        if statement.keep_existing and not self._whole and key[0] not in self._charsets:
            self._tables[key] = (
                f"the statement at {place} makes it IF NOT EXISTS, and what existed is not known"
            )
        elif statement.like is not None:
            missing = f"the statement at {place} makes it LIKE another table that is not known"
            self._tables[key] = self._tables.get(self._key(statement.like), missing)
        else:
            table = created(statement, self._charset(statement.table[0]))
            if session.shown:
                check_shown(table.columns)
            self._tables[key] = table

    def _alter(self, statement: AlterTable, session: Session) -> None:
        key = self._key(statement.table)
        table = self._tables.get(key)
        if isinstance(table, TableSchema):
            default = self._charset(session.schema) if session.schema else session.server_charset
            self._tables[key] = altered(table, statement, default)
        if statement.new_name is not None:
            self._rename(statement.table, statement.new_name)

    def _rename(self, old: Table, new: Table) -> None:
        table = self._tables.pop(self._key(old), None)
        if table is None:
            self._tables.pop(self._key(new), None)
        else:
            self._tables[self._key(new)] = table

    def _database(self, statement: Database, session: Session) -> None:
        name = statement.name.lower() if self._folds else statement.name
        if statement.verb == "DROP":
            self._charsets.pop(name, None)
            for key in [key for key in self._tables if key[0] == name]:
                del self._tables[key]
            return
        charset = session.server_charset if statement.charset == DEFAULT else statement.charset
        if statement.verb == "ALTER":
            self._charsets[name] = charset or self._charsets.get(name, UNKNOWN)
        elif not (statement.keep_existing and (name in self._charsets or not self._whole)):
            self._charsets[name] = charset or session.server_charset

    def _lose(self, sql: str, session: Session, reason: str) -> None:
        """Forgets the tables that a statement names; all of the schema where it cannot be told which these are."""
        found = classify(sql, session.schema, backslashes=session.backslashes).tables
        tables = [self._key(table) for table in found or [(session.schema, "")]]
        for schema, name in tables:
            lost = [(schema, name)] if name else [key for key in self._tables if key[0] == schema]
            self._tables.update(dict.fromkeys(lost, reason))

    def definitions(self) -> Iterator[TableDefinition]:
        """The tables that are known, by name, as table maps with all names would describe them."""
        for (schema, name), table in sorted(self._tables.items()):
            if isinstance(table, TableSchema):
                columns = tuple(column.described() for column in table.columns)
                yield TableDefinition(schema, name, columns, table.primary_key)

    # Naming what the log does not

    def complete(self, bare: BareTable) -> TableDefinition:
        """The definition that the table map would give if it named everything.

        :raises UnsupportedError: the table is not known, or the log describes another one.
        """
        name = f"{bare.schema}.{bare.table}"
        table = self._tables.get(self._key((bare.schema, bare.table)))
        if not isinstance(table, TableSchema):
            reason = table or "no statement that made it was met since reading began, when it was not known"
            raise UnsupportedError(f"{name}: {_UNNAMED}, and {reason}; {_MEND}")
        known = [_resolved(*pair) for pair in zip(table.columns, bare.columns, strict=False)]
        if (untold := next((spec.name for spec in known if spec.charset == UNKNOWN), None)) is not None:
            raise UnsupportedError(
                f"{name}: {_UNNAMED}, and nothing tells the character set of {untold}: its DDL leaves it to the database, "
                f"which was made before reading began; {_MEND}"
            )
        difference = next(_differences(table.columns, bare.columns), None)
        if difference is not None:
            raise UnsupportedError(
                f"{name}: {_UNNAMED}, and they are not those that its DDL statements lead to: {difference}. It was "
                "changed by a statement that is not in the log (sql_log_bin = 0), or the schema dump was not taken where "
                f"reading began; {_MEND}"
            )
        filled = (_filled(*pair) for pair in zip(table.columns, bare.columns, strict=True))
        return TableDefinition(bare.schema, bare.table, tuple(filled), table.primary_key)


def _resolved(spec: ColumnSpec, bare: BareColumn) -> ColumnSpec:
    """With the character set that the log tells, where nothing else does."""
    if spec.charset != UNKNOWN or bare.charset is None:
        return spec
    return with_charset(spec, bare.charset)


def _filled(spec: ColumnSpec, bare: BareColumn) -> Column:
    return replace(_resolved(spec, bare).described(), code=int(bare.code), meta=bare.meta)


def _differences(specs: tuple[ColumnSpec, ...], columns: tuple[BareColumn, ...]) -> Iterator[str]:
    """What keeps a table of the catalog from being the one that the log describes."""
    if len(specs) != len(columns):
        yield f"{len(columns)} columns in the log, {len(specs)} expected"
        return
    for number, (given, bare) in enumerate(zip(specs, columns, strict=True), 1):
        spec = _resolved(given, bare)
        place = f"column {number}, expected to be {spec.name}"
        expected = spec.described()
        old = _BEFORE_5_6_4.get(ColumnType(expected.code)) if not expected.scale else None
        if bare.code != expected.code and bare.code != old:
            yield f"{place}, has the type code {int(bare.code)} in the log, not {expected.code} ({spec.type})"
        elif bare.code == expected.code and bare.meta != expected.meta:
            yield f"{place}, a {spec.type}, has the type metadata {bare.meta:#x} in the log, not {expected.meta:#x}"
        elif bare.unsigned not in (None, expected.unsigned):
            yield f"{place}, is {'unsigned' if bare.unsigned else 'signed'} in the log"
        elif bare.charset not in (None, expected.charset or "binary"):
            yield f"{place}, has the character set {bare.charset} in the log, not {expected.charset or 'binary'}"
        elif bare.nullable != expected.nullable:
            yield f"{place}, may {'' if bare.nullable else 'not '}be NULL in the log"
