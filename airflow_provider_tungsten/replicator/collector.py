"""What an open transaction will leave in the log: row images by table and operation, and statements, as fragments.

Where a transaction begins and ends is the assembler's business.
"""

from __future__ import annotations

from airflow_provider_tungsten.replicator.binlog.constants import EventType
from airflow_provider_tungsten.replicator.binlog.events import Rows, parse_rows
from airflow_provider_tungsten.replicator.binlog.framing import Event
from airflow_provider_tungsten.replicator.binlog.partial import PartialUpdates
from airflow_provider_tungsten.replicator.binlog.rows import RowLayout
from airflow_provider_tungsten.replicator.binlog.table_map import KnownTables, TableMaps, table_name
from airflow_provider_tungsten.replicator.errors import CorruptLogError, UnsupportedError
from airflow_provider_tungsten.replicator.filters.tables import TableFilter
from airflow_provider_tungsten.replicator.spool import Fragment, Spool, TableKey
from airflow_provider_tungsten.replicator.thl.event import Kind

FRAGMENT_BYTES = 1024 * 1024
_CACHED_TABLE_MAPS = 10_000
_DUMMY_TABLE_ID = 0xFFFFFF.to_bytes(6, "little")


class _Table:
    """A table map of an included table, with what its rows need."""

    __slots__ = ("columns", "frames", "keep", "key", "layout", "name", "partial")

    def __init__(self, maps: TableMaps, table_filter: TableFilter, body: bytes) -> None:
        definition = maps.definition(body)
        names = [column.name for column in definition.columns]
        excluded = (
            table_filter.excluded_columns(definition.schema, definition.table, names) | definition.hidden
        )
        self.name = definition.name
        self.columns = len(names)
        self.layout = RowLayout(definition)
        self.partial = PartialUpdates(definition)
        self.keep: list[bool] | None = [name not in excluded for name in names] if excluded else None
        if excluded:
            definition = definition.without(excluded)
        self.key = TableKey(definition.schema, definition.table, definition.json)
        # Event type → the bytes in front of the row images that were last seen, and what they say.
        self.frames: dict[int, tuple[bytes, Rows]] = {}


class Collector:
    """Takes the events inside transactions, one transaction after the other.

    Small transactions are many: what is the same in all of a table's is found by the bytes that say it.

    :param spool_bytes: what a transaction may take in memory.
    :param known: names what table maps leave out; see :meth:`forget_tables`.

    Attributes: ``open``: whether there is a transaction; ``skip``: rows are not kept until the transaction ends; ``rows``: of the open transaction.
    """

    def __init__(self, table_filter: TableFilter, spool_bytes: int, known: KnownTables | None = None) -> None:
        self.open = False
        self.skip = False
        self.rows = 0
        self._filter = table_filter
        self._spool_bytes = spool_bytes
        self._spool = Spool(spool_bytes)
        self._maps = TableMaps(known)
        self._known_tables: dict[bytes, _Table | None] = {}
        self._open_tables: dict[bytes, _Table | None] = {}
        # Row images of one table and operation that are not yet a fragment:
        self._images: list[bytes] = []
        self._bytes = 0
        self._rows = 0
        self._table: _Table | None = None
        self._kind = Kind.INSERT

    def on_table_map(self, event: Event) -> None:
        """:raises CorruptLogError: outside of any transaction."""
        if not self.open:
            raise CorruptLogError(f"{event.place}: a TABLE_MAP outside of any transaction")
        if self.skip:
            return
        body = event.body
        try:
            self._open_tables[body[:6]] = self._known_tables[body]
        except KeyError:
            if len(self._known_tables) >= _CACHED_TABLE_MAPS:
                self._known_tables.clear()
            included = self._filter.includes(*table_name(body))
            table = _Table(self._maps, self._filter, body) if included else None
            self._known_tables[body] = self._open_tables[body[:6]] = table

    def on_rows(self, event: Event) -> None:
        """Partial updates are kept as whole ones.

        :raises UnsupportedError: images without all columns.
        :raises CorruptLogError: no table map in front, or images that do not fit it.
        """
        if self.skip:
            return
        body = event.body
        try:
            table = self._open_tables[body[:6]]
        except KeyError:
            if body[:6] == _DUMMY_TABLE_ID and parse_rows(event).payload_offset == len(body):
                return  # it holds no row and only ends a statement
            raise CorruptLogError(f"{event.place}: rows without a TABLE_MAP before them") from None
        if table is None:
            return
        if event.type == EventType.PARTIAL_UPDATE_ROWS:
            event = table.partial.whole_event(event)
            body = event.body
        frame = table.frames.get(event.type)
        if frame is None or not body.startswith(frame[0]):
            frame = _frame(event, table)
        rows = frame[1]
        self._add(table, rows.kind, body[rows.payload_offset :])

    def _add(self, table: _Table, kind: Kind, images: bytes) -> None:
        per_row = 2 if kind is Kind.UPDATE else 1
        count = table.layout.count(images, per_row)
        if table.keep is not None:
            images = table.layout.drop(images, count * per_row, table.keep)
        if self._images and (
            table is not self._table or kind is not self._kind or self._bytes + len(images) > FRAGMENT_BYTES
        ):
            self._end_fragment()
        self._images.append(images)
        self._bytes += len(images)
        self._rows += count
        self._table = table
        self._kind = kind

    def forget_tables(self) -> None:
        """What is known of tables otherwise has changed."""
        self._maps.forget()
        self._known_tables.clear()
        self._open_tables.clear()

    def add_statement(self, kind: Kind, schema: str, table: str, text: str, options: dict[str, str]) -> None:
        """A statement that is part of the transaction, or all of it."""
        self._end_fragment()
        self._spool.add(Fragment(kind, TableKey(schema, table, None), 0, text.encode(), options))

    def _end_fragment(self) -> None:
        images, table = self._images, self._table
        if images and table is not None:
            payload = images[0] if len(images) == 1 else b"".join(images)
            self._spool.add(Fragment(self._kind, table.key, self._rows, payload))
            self.rows += self._rows
            self._images = []
            self._bytes = self._rows = 0

    @property
    def fragments(self) -> Spool:
        """Of the open transaction; rows that come later begin a new one."""
        self._end_fragment()
        return self._spool

    def cut(self, mark: int) -> None:
        """Takes back all but the first `mark` fragments."""
        self._end_fragment()
        self.rows -= self._spool.cut(mark)

    def hand_over(self) -> tuple[int, Spool]:
        """The rows and fragments of the open transaction, which are the caller's from now on."""
        fragments = self.fragments
        rows = self.rows
        self._spool = Spool(self._spool_bytes)
        self.rows = 0
        return rows, fragments

    def forget(self) -> None:
        """The transaction is over. Fragments that wait on disk stay with whoever holds them."""
        if self._spool.on_disk:
            self._spool = Spool(self._spool_bytes)
        else:
            self._spool.clear()
        if self._images:
            self._images = []
            self._bytes = self._rows = 0
        self.rows = 0
        self.skip = self.open = False
        self._open_tables.clear()


def _frame(event: Event, table: _Table) -> tuple[bytes, Rows]:
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
    frame = table.frames[event.type] = (event.body[: rows.payload_offset], rows)
    return frame
