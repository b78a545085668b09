"""What an open transaction will leave in the log: row images by table and operation, and statements, as fragments.

Plain events come here once a table at most: `binlog._assembly` knows then what to do. Where a transaction begins and ends
is the assembler's business.
"""

from __future__ import annotations

import json
from functools import cached_property
from typing import cast

from typing_extensions import Buffer

from airflow_provider_tungsten.replicator.binlog._assembly import Assembly, Table
from airflow_provider_tungsten.replicator.binlog._spooled import SpooledBuffer
from airflow_provider_tungsten.replicator.binlog.constants import EventType
from airflow_provider_tungsten.replicator.binlog.definition import TableDefinition
from airflow_provider_tungsten.replicator.binlog.events import Query, Rows, parse_rows
from airflow_provider_tungsten.replicator.binlog.framing import Event
from airflow_provider_tungsten.replicator.binlog.partial import PartialUpdates
from airflow_provider_tungsten.replicator.binlog.rows import RowLayout
from airflow_provider_tungsten.replicator.binlog.table_map import KnownTables, TableMaps, table_name
from airflow_provider_tungsten.replicator.errors import CorruptLogError, UnsupportedError
from airflow_provider_tungsten.replicator.filters.ddl import Statement, classify, redact
from airflow_provider_tungsten.replicator.filters.tables import HEARTBEAT_TABLE, TableFilter
from airflow_provider_tungsten.replicator.schema.session import Session
from airflow_provider_tungsten.replicator.source.heartbeat import check_heartbeat_table, heartbeat_name
from airflow_provider_tungsten.replicator.spool import Fragment, Spool, TableKey
from airflow_provider_tungsten.replicator.thl.event import Kind
from airflow_provider_tungsten.replicator.thl.pieces import in_pieces

_KINDS = tuple(Kind)
_CACHED_TABLE_MAPS = 10_000
# Of table maps, or of a single one; what is known of their tables takes up to a hundred times as much.
_CACHED_BYTES = 4 << 20
_LARGEST_MAP = 16 << 20
_LARGEST_HEARTBEAT = 1 << 20
_LEFT_TO_PYTHON = 251  # columns beyond which the compiled part leaves rows alone
_DUMMY_TABLE_ID = 0xFFFFFF.to_bytes(6, "little")


class _Table(Table):
    """A table map of an included table, with what its rows need."""

    name: str
    logged: str

    @cached_property
    def partial(self) -> PartialUpdates:
        """Made when the first partial update comes: most tables never have one."""
        return PartialUpdates(TableDefinition.from_json(self.logged))


class _Heartbeat(Table):
    """The table map of the service's own heartbeat; its rows are left to Python."""

    @classmethod
    def made(cls) -> _Heartbeat:
        return cls(0, RowLayout(TableDefinition("", "", (), ())), _LEFT_TO_PYTHON, None)


class Collector:
    """Takes the events inside transactions that are not plain, one transaction after the other.

    :param assembly: keeps the open transaction's fragments; those that outgrow memory are kept here, on disk.
    :param spool_bytes: what a transaction that is handed over may take in memory.
    :param known: names what table maps leave out; see :meth:`forget_tables`.
    :param heartbeats: schema of the service's own heartbeat, whose changes become records; None: they are passed over.
    :param folds_names: as :class:`~.assembler.Assembler` has it.
    """

    def __init__(
        self,
        assembly: Assembly,
        table_filter: TableFilter,
        spool_bytes: int,
        known: KnownTables | None = None,
        heartbeats: str | None = None,
        *,
        folds_names: bool = False,
    ) -> None:
        self._heartbeat = (heartbeats, HEARTBEAT_TABLE)
        self._assembly = assembly
        self._fragments = assembly.fragments
        self._filter = table_filter
        self._folds_names = folds_names
        self._maps = TableMaps(known)
        self._tables: dict[bytes, Table | None] = {}
        self._cached_bytes = 0
        self._spool_bytes = spool_bytes
        self._spool = Spool(0)
        self._rows = 0  # in the spool

    def on_table_map(self, event: Event) -> None:
        """:raises CorruptLogError: outside of any transaction."""
        if self._assembly._gtid is None:
            raise CorruptLogError(f"{event.place}: a TABLE_MAP outside of any transaction")
        if self._assembly.skip:
            return
        if len(event.body) > _LARGEST_MAP:
            raise UnsupportedError(
                f"{event.place}: it has {len(event.body)} bytes: more than any table needs"
            )
        body = bytes(event.body)
        try:
            table = self._tables[body[6:]]
        except KeyError:
            self._cached_bytes += len(body)
            if len(self._tables) >= _CACHED_TABLE_MAPS or self._cached_bytes > _CACHED_BYTES:
                self._tables.clear()
                self._maps.forget()
                self._cached_bytes = len(body)
            table = self._tables[body[6:]] = self._table(body)
        self._assembly.know(body, table)

    def _table(self, body: bytes) -> Table | None:
        """None: it is excluded."""
        name = table_name(body)
        if name == self._heartbeat:
            check_heartbeat_table(body, name[0])
            return _Heartbeat.made()
        return self._included(body, name) if self._filter.includes(*name) else None

    def _included(self, body: bytes, name: tuple[str, str]) -> _Table:
        if len(body) > _CACHED_BYTES:
            raise UnsupportedError(
                f"{'.'.join(name)}: its TABLE_MAP has {len(body)} bytes, more than are kept in memory of a table (4 MiB); "
                "exclude the table"
            )
        definition = self._maps.definition(body)
        names = [column.name for column in definition.columns]
        excluded = (
            self._filter.excluded_columns(definition.schema, definition.table, names) | definition.hidden
        )
        left = definition.without(excluded) if excluded else definition
        key = self._fragments.number(TableKey(left.schema, left.table, left.json))
        keep = [name not in excluded for name in names] if excluded else None
        table = _Table(key, RowLayout(definition), len(names), keep)
        table.name, table.logged = definition.name, definition.json
        return table

    def forget_tables(self) -> None:
        """What is known of tables otherwise has changed: every table map is parsed anew."""
        self._maps.forget()
        self._tables.clear()
        self._assembly.forget_tables()

    def on_rows(self, event: Event) -> None:
        """Partial updates are kept as whole ones.

        :raises UnsupportedError: images without all columns.
        :raises CorruptLogError: no table map in front, or images that do not fit it.
        """
        if self._assembly.skip:
            return
        body = event.body
        known, table = self._assembly.open_table(bytes(body[:6]))
        if not known:
            if body[:6] == _DUMMY_TABLE_ID and parse_rows(event).payload_offset == len(body):
                return  # it holds no row and only ends a statement
            raise CorruptLogError(f"{event.place}: rows without a TABLE_MAP before them")
        if table is None:
            return
        if isinstance(table, _Heartbeat):
            self._add_heartbeat(event)
            return
        if event.type == EventType.PARTIAL_UPDATE_ROWS:
            event = table.partial.whole_event(event)
        rows = _frame(event, table)
        self._add(table, rows.kind, memoryview(event.body)[rows.payload_offset :])

    def _add_heartbeat(self, event: Event) -> None:
        rows = parse_rows(event)
        if len(event.body) > _LARGEST_HEARTBEAT:
            raise UnsupportedError(
                f"{event.place}: rows of the heartbeat in {len(event.body)} bytes: it has one"
            )
        if rows.kind is not Kind.DELETE:
            name = heartbeat_name(bytes(event.body[rows.payload_offset :]))
            self.add(Fragment(Kind.HEARTBEAT, TableKey("", "", None), 0, b"", {"heartbeat": name}))

    def _add(self, table: _Table, kind: Kind, images: bytes | memoryview | SpooledBuffer) -> None:
        per_row = 2 if kind is Kind.UPDATE else 1
        count = table.layout.count(images, per_row)
        if table.keep is not None:
            images = table.layout.drop(images, count * per_row, table.keep)
        if count:
            self._assembly._add_fragment(table.key, _KINDS.index(kind), count, images)

    def on_statement(self, event: Event, query: Query) -> bool:
        """A statement that is part of the transaction, or all of it: kept where it is about included tables. Tells
        whether nothing of it matters to anybody else, which its beginning may show.

        :raises UnsupportedError: it changes rows, or is too long to be read.
        """
        backslashes = Session.of(query, None).backslashes
        statement = classify(query.sql, query.schema, backslashes=backslashes, cut=query.cut)
        if self._folds_names:
            statement = statement.folded
        if statement.effect == "dml":
            _check_statement_format(event, statement)
        elif query.cut and statement.effect != "none":
            raise _too_long(event, statement)
        elif statement.effect != "none":
            self._add_statement(query, statement, backslashes)
        return statement.settled

    def _add_statement(self, query: Query, statement: Statement, backslashes: bool) -> None:
        tables = [table for table in statement.tables if self._filter.touches(*table)]
        text = query.sql
        if statement.effect == "unknown":
            tables, text = [(query.schema, "")], redact(query.sql, backslashes=backslashes)
        if tables:
            options = {
                "effect": statement.effect,
                "tables": json.dumps(statement.tables),
                "schema": query.schema,
            }
            kind = Kind.TRUNCATE if statement.effect == "truncate" else Kind.DDL
            self.add(Fragment(kind, TableKey(*tables[0], None), 0, text.encode(), options))

    # The open transaction's fragments, for whoever cuts them back or keeps them elsewhere

    def add(self, fragment: Fragment) -> None:
        number = self._fragments.number(fragment.table)
        self._assembly._add_fragment(
            number, _KINDS.index(fragment.kind), fragment.rows, fragment.payload, fragment.options
        )

    def mark(self) -> int:
        """How many fragments there are; rows that come later begin a new one. See :meth:`cut`."""
        return len(self._spool) + self._fragments.mark()

    def cut(self, mark: int) -> None:
        """Takes back all but the first `mark` fragments."""
        if not mark:
            self.forget()
            return
        self._fragments.cut(max(0, mark - len(self._spool)))
        if mark < len(self._spool):
            self._rows -= self._spool.cut(mark)

    def spill(self) -> None:
        """Moves the fragments in memory to disk."""
        self._move(self._spool)
        self._assembly._spooled = True

    def spill_with(
        self, table: int, kind: int, rows: int, payload: Buffer, options: dict[str, str] | None
    ) -> None:
        """Likewise, and one behind them that never was in memory."""
        self.spill()
        whole = Fragment(_KINDS[kind], self._fragments.keys[table], rows, cast(bytes, payload), options)
        for piece in in_pieces(whole):
            self._spool.add(piece)
        self._rows += rows

    def _move(self, spool: Spool) -> None:
        for kind, key, rows, payload, options in self._fragments.fragments():
            spool.add(Fragment(_KINDS[kind], self._fragments.keys[key], rows, payload, options))
            self._rows += rows
        self._fragments.cut(0)

    def hand_over(self) -> tuple[int, Spool]:
        """The rows and fragments of the open transaction, which are the caller's from now on."""
        spool = self._spool if self._assembly._spooled else Spool(self._spool_bytes)
        self._move(spool)
        rows = self._rows
        self._begin()
        return rows, spool

    def forget(self) -> None:
        """The transaction's fragments are worth nothing."""
        self._fragments.cut(0)
        if self._assembly._spooled:
            self._spool.clear()
            self._begin()

    def _begin(self) -> None:
        self._spool = Spool(0)
        self._rows = 0
        self._assembly._spooled = False


def _frame(event: Event, table: _Table) -> Rows:
    rows = parse_rows(event)
    if rows.columns != table.columns:
        raise CorruptLogError(
            f"{event.place}: rows of {table.name} have {rows.columns} columns, its TABLE_MAP {table.columns}"
        )
    if not rows.full_image:
        raise UnsupportedError(
            f"{event.place}: rows of {table.name} lack columns: a session has binlog_row_image other than FULL. "
            "SET it to FULL there; exclude the table, or start behind this place with the DAG's parameter `reposition`"
        )
    return rows


def _check_statement_format(event: Event, statement: Statement) -> None:
    """Row changes of MySQL's own tables do not matter, and have no triggers; any other is lost to us."""
    if statement.tables and all(schema in TableFilter.SYSTEM_SCHEMAS for schema, _ in statement.tables):
        return
    on = "".join(f" on {schema}.{table}" for schema, table in statement.tables)
    raise UnsupportedError(
        f"{event.place}: {statement.keyword}{on} in statement format: a session has binlog_format other than ROW. SET it "
        "to ROW there; start behind this place with the DAG's parameter `reposition` and load the table again"
    )


def _too_long(event: Event, statement: Statement) -> UnsupportedError:
    return UnsupportedError(
        f"{event.place}: a statement ({statement.keyword or 'a comment first'}) of {len(event.body)} bytes, and of more than "
        "4 MiB only those are passed over whose beginning shows that they touch no table; start behind it with the DAG's "
        "parameter `reposition` and load the tables that it touches again"
    )
