"""Binlog events to committed transactions, as rows of the THL. Knows no server and no log: events come in, rows wait.

Plain transactions are taken in by the compiled part (`binlog._assembly`), which keeps the state of the open transaction and
of the last whole one; the handlers here get what it leaves: events that are rare, and those that do not look right.

Fails closed: what is not understood stops, with its place.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import NamedTuple, NoReturn

import pyarrow as pa
from typing_extensions import Buffer

from airflow_provider_tungsten.replicator import records
from airflow_provider_tungsten.replicator.binlog._assembly import Assembly
from airflow_provider_tungsten.replicator.binlog.constants import EventType, is_skippable
from airflow_provider_tungsten.replicator.binlog.events import (
    Gtid,
    Query,
    is_begin,
    is_commit,
    parse_execute_load,
    parse_format_description,
    parse_gtid,
    parse_query,
    parse_rotate,
    parse_xa_prepare,
    parse_xa_statement,
    server_version,
)
from airflow_provider_tungsten.replicator.binlog.executed import parse_executed
from airflow_provider_tungsten.replicator.binlog.framing import Event, EventStream, payload_events
from airflow_provider_tungsten.replicator.binlog.gtid import GtidSet
from airflow_provider_tungsten.replicator.binlog.mariadb import (
    COMPRESSED_EVENTS,
    MariadbGtid,
    MariadbPosition,
    decompressed,
    parse_mariadb_gtid,
)
from airflow_provider_tungsten.replicator.collector import Collector
from airflow_provider_tungsten.replicator.errors import CorruptLogError, DivergedError, UnsupportedError
from airflow_provider_tungsten.replicator.filters.tables import TableFilter
from airflow_provider_tungsten.replicator.records import Origin
from airflow_provider_tungsten.replicator.rollbacks import Rollbacks
from airflow_provider_tungsten.replicator.savepoints import parse_savepoint
from airflow_provider_tungsten.replicator.schema.tables import Tables
from airflow_provider_tungsten.replicator.thl import columns
from airflow_provider_tungsten.replicator.thl.columns import GROUP_BYTES, GROUP_EVENTS
from airflow_provider_tungsten.replicator.thl.event import Resume, event_id
from airflow_provider_tungsten.replicator.xa import Prepared, XaStore

_NO_GTID = Gtid("", 0, "", 0, 0, 0)
# Older servers write none where GTIDs are off: a transaction begins with BEGIN, or is a statement alone.
_ANONYMOUS_GTIDS = (5, 7, 6)
FRAGMENT_BYTES = 1024 * 1024
_KNOWN_TABLES = 10_000
_ANOTHER_HISTORY = (
    "the source's log was reset, restored or replaced. The DAG's parameter `reposition` starts at a place of the new "
    "history and records the gap, behind which the tables must be loaded again"
)


class Limits(NamedTuple):
    """Reading ends behind the first transaction that reaches one of these.

    :param transactions: kept ones. ``bytes``: of log.
    :param file, position: the log's end when reading began.
    """

    transactions: int
    bytes: int
    file: str
    position: int


class Assembler(Assembly):
    """Takes events in the order of the log and keeps the rows of whole transactions until they are drained.

    :param resume: where the events begin: at ``transaction_start`` where there is one, and then the first transaction is
        only compared with the one we hold; else at ``position``.
    :param xa: keeps what is prepared.
    :param spool_bytes: what a transaction may take in memory before its commit.
    :param tables: the definitions at ``resume``, where the log does not name columns.
    :param heartbeats: schema of the service's own heartbeat, whose changes become records.
    :param folds_names: whether the names that statements use mean those in lower case.
    """

    def __init__(
        self,
        resume: Resume,
        origin: Origin,
        table_filter: TableFilter,
        limits: Limits,
        xa: XaStore,
        *,
        spool_bytes: int,
        tables: Tables | None = None,
        heartbeats: str | None = None,
        folds_names: bool = False,
    ) -> None:
        super().__init__(limits, spool_bytes, GROUP_BYTES, GROUP_EVENTS, FRAGMENT_BYTES)
        self._origin = origin
        self._limits = limits
        self._xa = xa
        # Behind the last whole transaction:
        self._server_uuid = resume.server_uuid
        self._file = resume.file
        self._position = resume.position
        self._executed = parse_executed(resume.gtid_executed)
        self._last_start = resume.transaction_start
        self._last_gtid = resume.transaction_gtid
        self._last_ts = resume.transaction_ts
        self._watermark = resume.watermark
        self._file_created = resume.file_created
        self._expected = resume if resume.transaction_start is not None else None
        # Of the open transaction:
        self._without_gtids = False
        self._prepared_before: Prepared | None = None
        self._collector = collector = Collector(
            self, table_filter, spool_bytes, tables, heartbeats, folds_names=folds_names
        )
        self._rollbacks = Rollbacks(collector)
        self._tables = tables
        # Results:
        self._ready: list[Iterable[pa.Table]] = []
        self.next_seqno = origin.next_seqno
        self._handlers: dict[int, Callable[[Event], None]] = {
            EventType.GTID: self._on_gtid,
            EventType.ANONYMOUS_GTID: self._on_gtid,
            EventType.GTID_TAGGED: self._on_gtid,
            EventType.MARIADB_GTID: self._on_gtid,
            EventType.QUERY: self._on_query,
            EventType.TABLE_MAP: collector.on_table_map,
            EventType.WRITE_ROWS: collector.on_rows,
            EventType.UPDATE_ROWS: collector.on_rows,
            EventType.DELETE_ROWS: collector.on_rows,
            EventType.WRITE_ROWS_V1: collector.on_rows,
            EventType.UPDATE_ROWS_V1: collector.on_rows,
            EventType.DELETE_ROWS_V1: collector.on_rows,
            EventType.PARTIAL_UPDATE_ROWS: collector.on_rows,
            EventType.XID: self._commit,
            EventType.TRANSACTION_PAYLOAD: self._on_payload,
            EventType.XA_PREPARE: self._on_xa_prepare,
            **dict.fromkeys(COMPRESSED_EVENTS, self._on_compressed),
            EventType.EXECUTE_LOAD_QUERY: self._on_load,
            EventType.ROTATE: self._on_rotate,
            EventType.FORMAT_DESCRIPTION: self._on_format_description,
            EventType.INCIDENT: self._on_incident,
        }

    @property
    def resume(self) -> Resume:
        """Behind the last whole transaction."""
        self._sync()
        return Resume(
            server_uuid=self._server_uuid,
            file=self._file,
            position=self._position,
            gtid_executed=str(self._executed),
            transaction_start=self._last_start,
            transaction_gtid=self._last_gtid,
            transaction_ts=self._last_ts,
            watermark=self._watermark,
            file_created=self._file_created,
            xa=self._xa.names,
            catalog=self._tables.name if self._tables else "",
        )

    @property
    def open_at(self) -> int | None:
        """Where the transaction begins whose end was not read yet."""
        return None if self._gtid is None else self._start

    def end(self, reason: str) -> None:
        """Ask for the end: at once, or behind the open transaction, or the one that is met again."""
        self._asked_to_end = reason
        self._end_between()

    def _end_between(self) -> None:
        """Where no transaction is open."""
        if self._gtid is None and self._expected is None:
            self.ended = self._asked_to_end

    @property
    def unverified(self) -> DivergedError | None:
        """Until the last transaction we hold was met again: what it means when reading fails, or ends, before that."""
        return None if self._expected is None else DivergedError(self._another(self._expected))

    def feed(self, stream: EventStream, chunk: bytes | memoryview) -> Iterator[None]:
        """Takes in the next piece of the log, up to the event that ends reading; see ``ended``. Yields when so much waits
        that it should be drained.

        :raises UnsupportedError: something that is not understood, or must not stand in the log.
        :raises CorruptLogError: events that do not fit together.
        :raises DivergedError: the first transaction is not the one we hold.
        """
        self._extracted_ts = time.time_ns() // 1000
        self.paused = bool(self.ended)
        stream.feed_to(self, chunk)
        while self.paused and not self.ended:
            yield
            self.paused = False
            stream.feed_to(self, b"")

    def take(self, events: Iterable[Event]) -> None:
        """Takes in events that do not come from a stream."""
        self._extracted_ts = time.time_ns() // 1000
        for event in events:
            self.take_event(event)

    def drain(self) -> Iterator[pa.Table]:
        """The rows of all whole transactions that were taken in since the last call. To be used up before the next event."""
        ready, self._ready = self._ready, []
        yield from chain.from_iterable(ready)
        if self.fragments.whole:
            yield self._taken()
        # Not between a table map and its rows.
        if len(self.fragments.keys) > _KNOWN_TABLES and self._gtid is None and self.fragments.forget_keys():
            self._collector.forget_tables()

    def _taken(self) -> pa.Table:
        origin = self._origin
        return columns.of_fragments(
            self.fragments.take(), self.fragments.keys, origin.source_id, origin.epoch_number
        )

    def _on_event(self, event: Event) -> None:
        self._handlers.get(event.type, self._on_other)(event)

    def _spill(self) -> None:
        self._collector.spill()

    def _spill_with(
        self, table: int, kind: int, rows: int, payload: Buffer, options: dict[str, str] | None
    ) -> None:
        self._collector.spill_with(table, kind, rows, payload, options)

    # Where transactions begin and end

    def _on_gtid(self, event: Event) -> None:
        if self._gtid is not None:
            raise CorruptLogError(
                f"{event.place}: a transaction begins inside the one of {self._file}:{self._start}"
            )
        if event.type == EventType.MARIADB_GTID:
            self._on_mariadb_gtid(event)
            return
        if not isinstance(self._executed, GtidSet):
            raise _mixed_gtids(event)
        gtid = parse_gtid(event.type, event.body)
        self._open(event, gtid)
        self._sync()
        self.skip = self._expected is not None or (
            gtid.gno != 0 and self._executed.has(gtid.source_id, gtid.gno, gtid.tag)
        )

    def _open(self, event: Event, gtid: Gtid | MariadbGtid) -> None:
        self._gtid = gtid
        self._start = event.start

    def _on_mariadb_gtid(self, event: Event) -> None:
        """Begins the transaction, too: no BEGIN follows."""
        if not isinstance(self._executed, MariadbPosition):
            if self._executed:
                raise _mixed_gtids(event)
            self._executed = MariadbPosition()
        gtid = parse_mariadb_gtid(event)
        self._open(event, gtid)
        self._begun = not gtid.standalone
        self.skip = self._expected is not None

    def _on_query(self, event: Event) -> None:
        body = event.body
        if self._gtid is None and self._without_gtids:
            self._open(event, _NO_GTID)
            self.skip = self._expected is not None
        if is_begin(body):
            if self._gtid is None or self._begun:
                raise CorruptLogError(f"{event.place}: a BEGIN without a GTID before it")
            self._thread = int.from_bytes(body[:4], "little")
            self._begun = True
        elif is_commit(body):
            self._commit(event)
        else:
            self._on_statement(event, parse_query(body))

    def _commit(self, event: Event, prepared: Prepared | None = None) -> None:
        """The open transaction is whole: its fragments, or those it `prepared`, get a seqno, if there are any."""
        if self._gtid is None:
            raise CorruptLogError(f"{event.place}: it ends a transaction that did not begin")
        if prepared is not None and len(prepared.fragments):
            self._prepared_before = prepared
            self._spooled = True
        super()._commit(event)

    def _on_commit(self) -> None:
        """Behind a transaction that was marked as ``_special``."""
        self._rollbacks.clear()
        if self._tables is not None:
            self._tables.commit()

    def _keep_spooled(self, place: str) -> int:
        """Lets the open transaction, which is not in memory, wait behind those before it; its rows."""
        if self.fragments.whole:
            self._ready.append([self._taken()])
        if (prepared := self._prepared_before) is not None:
            rows, fragments = prepared.rows, prepared.fragments
            self._prepared_before, self._spooled = None, False
        else:
            rows, fragments = self._collector.hand_over()
        times = (self._last_gtid, self._last_ts, self._watermark, self._extracted_ts)
        self._ready.append(
            columns.to_tables(records.of_transaction(fragments, self.next_seqno, self._origin, place, times))
        )
        self.paused = True
        return rows

    def _compare(self, expected: Resume, found: tuple[str, int, str, int]) -> None:
        """The first transaction must be the one that was read last before."""
        if found != (expected.file, expected.position, expected.transaction_gtid, expected.transaction_ts):
            raise DivergedError(self._another(expected))
        self._expected = None

    def _another(self, expected: Resume) -> str:
        return (
            f"{expected.file}:{expected.transaction_start}: this is not the transaction "
            f"{expected.transaction_gtid or '(without GTID)'} that was read there before, which ended at "
            f"{expected.position}: {_ANOTHER_HISTORY}"
        )

    # Events that are rare

    def _on_statement(self, event: Event, query: Query) -> None:
        if self._gtid is None:
            raise CorruptLogError(f"{event.place}: a statement outside of any transaction")
        head = query.sql[:9].upper()
        if head == "ROLLBACK":
            self._on_rollback(event)
        elif not query.cut and (statement := parse_savepoint(query.sql)):
            if not self.skip:
                self._special = True
                self._rollbacks.on_savepoint(statement, event.place)
        elif head.startswith("XA "):
            self._on_xa(event, query)
        else:
            if not (self.skip or self._gtid.void):
                settled = self._collector.on_statement(event, query)
                self._special = True
                if not settled and self._tables is not None and self._tables.apply(query, event.place):
                    self._collector.forget_tables()
            if not self._begun:
                self._thread = query.thread_id
                self._commit(event)

    def _on_load(self, event: Event) -> None:
        self._on_statement(event, parse_execute_load(event.body))

    def _on_compressed(self, event: Event) -> None:
        self.take_event(decompressed(event))

    def _on_rollback(self, event: Event) -> None:
        self._rollbacks.all(event.place)
        self._commit(event)

    def _on_xa(self, event: Event, query: Query) -> None:
        verb, xid = parse_xa_statement(query.sql)
        if verb == "START":
            self._thread = query.thread_id
            self._begun = True
        elif verb == "END":
            return
        elif self.skip:
            self._commit(event)
        elif verb == "ROLLBACK":
            self._xa.discard(xid)
            self._commit(event)
        else:
            self._thread = query.thread_id
            self._commit(event, self._xa.take(xid, event.place))

    def _on_xa_prepare(self, event: Event) -> None:
        """Rows of one phase are committed; of two they wait."""
        one_phase, xid = parse_xa_prepare(event.body)
        if self._gtid is not None and not (one_phase or self.skip):
            rows, fragments = self._collector.hand_over()
            place = event_id(event.file, event.end, self._thread)
            self._xa.hold(xid, self.next_seqno, Prepared(place, str(self._gtid), rows, fragments))
        self._commit(event)

    def _on_payload(self, event: Event) -> None:
        """One that is passed over is read, too: the time of its end stands inside."""
        for inner in payload_events(event):
            self.take_event(inner)
        if self._gtid is not None:
            raise CorruptLogError(f"{event.place}: a compressed transaction without its end")

    def _on_rotate(self, event: Event) -> None:
        target = parse_rotate(event.body)
        if target.file == self._file:
            return
        if self._gtid is not None:
            raise CorruptLogError(
                f"{event.place}: the file ends inside the transaction that begins at {self._start}"
            )
        if self._file == self._limits.file:
            self._asked_to_end = "head"
        self._file, self._position = target.file, target.position
        self._last_start, self._last_gtid, self._last_ts = None, "", 0
        self._file_created = 0

    def _on_format_description(self, event: Event) -> None:
        """Opens every file and every dump. When the file was begun tells it from one of the same name."""
        if self._file_created not in (0, event.timestamp):
            raise DivergedError(
                f"{event.file}:{self._position}: this is not the file of that name that was read before, but one that was "
                f"begun later or earlier: {_ANOTHER_HISTORY}"
            )
        self._file_created = event.timestamp
        version = server_version(parse_format_description(event.body).server_version)
        self._without_gtids = version < _ANONYMOUS_GTIDS
        self._rollbacks.begin_file(version)
        self._end_between()

    def _on_incident(self, event: Event) -> NoReturn:
        raise UnsupportedError(
            f"{event.place}: the source says that its log lacks events here; start behind this place with "
            "the DAG's parameter `reposition` and load the tables again"
        )

    def _on_other(self, event: Event) -> None:
        if not is_skippable(event.type, event.flags):
            raise UnsupportedError(
                f"{event.place}: it is not understood, and nothing is skipped; start behind this "
                "place with the DAG's parameter `reposition`"
            )


def _mixed_gtids(event: Event) -> CorruptLogError:
    return CorruptLogError(
        f"{event.place}: it does not belong to the log that was read before: one of MySQL and MariaDB "
        "follows the other"
    )
