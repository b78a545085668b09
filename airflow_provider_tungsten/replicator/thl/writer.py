"""Appends to the log: whole transactions into segments that are published write-once. Where they come from is the extractor's."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import BinaryIO, NamedTuple

import pyarrow as pa
import structlog

from airflow_provider_tungsten.replicator.errors import WriteConflictError
from airflow_provider_tungsten.replicator.storage import ObjectExistsError, Storage
from airflow_provider_tungsten.replicator.thl import columns
from airflow_provider_tungsten.replicator.thl.columns import ALONE, GROUP_BYTES, GROUP_EVENTS
from airflow_provider_tungsten.replicator.thl.event import Resume, ThlEvent
from airflow_provider_tungsten.replicator.thl.low_water import find_low_water
from airflow_provider_tungsten.replicator.thl.segment import (
    FORMAT,
    WITHOUT_PIECES,
    Head,
    SegmentFile,
    SegmentInfo,
    SegmentReader,
)

log = structlog.get_logger(__name__)


class _Edge(NamedTuple):
    """The first or the last row of something."""

    seqno: int
    fragno: int
    last_frag: bool
    epoch_number: int
    event_id: str
    watermark: int

    @classmethod
    def of(cls, table: pa.Table, row: int) -> _Edge:
        values = {name: table.column(name)[row] for name in cls._fields}
        watermark = values.pop("watermark").value
        return cls(**{name: value.as_py() for name, value in values.items()}, watermark=watermark)


class LogWriter:
    """Writes one segment after the other behind a head. A context manager: what is not published when it is left by an
    exception is thrown away; left without one, it is closed.

    :param storage: the folder of the segments.
    :param uuid: of the log.
    :param head: what the next segment continues; None: nothing, this is the log's first.
    :param before_publish: called before every segment: what must be durable when the log moves on.
    """

    def __init__(
        self,
        storage: Storage,
        service: str,
        uuid: str,
        head: Head | None = None,
        *,
        token: str,
        segment_bytes: int = 128 * 1024 * 1024,
        segment_events: int = 500_000,
        before_publish: Callable[[], None] = lambda: None,
    ) -> None:
        self._storage = storage
        self._service = service
        self._uuid = uuid
        self._head = head
        self._token = token
        self._segment_bytes = segment_bytes
        self._segment_events = segment_events
        self._before_publish = before_publish
        self._rows: list[pa.Table] = []  # not yet a row group
        self._row_bytes = self._row_count = 0
        self._rows_alone = False
        self._tail: _Edge | None = None
        self._file: SegmentFile | None = None
        self._first: _Edge | None = None
        self._file_events = 0
        self._most_bytes = 0
        self._encoder: ThreadPoolExecutor | None = None
        self._encoding: deque[Future[None]] = deque()
        self._resume: Resume | None = None
        self.segments = 0
        self.bytes = 0

    def __enter__(self) -> LogWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.close()
        finally:
            self.abort()

    @property
    def next_seqno(self) -> int:
        """The seqno of the next event: that of a new transaction, once the last fragment of the one before is added."""
        if (last := self._tail) is not None:
            return last.seqno + last.last_frag
        return self._head.last + 1 if self._head else 0

    def add(self, events: Iterable[ThlEvent]) -> None:
        """The next events, in order: a part of a transaction, a whole one, or several.

        :raises ValueError: seqnos, fragments or watermarks that do not follow each other.
        """
        self.add_tables(columns.to_tables(events))

    def add_tables(self, tables: Iterable[pa.Table]) -> None:
        """The next rows, in order, of `columns.SCHEMA`. Any number fits: they go to a temporary file as they come.

        :raises ValueError: seqnos, fragments or watermarks that do not follow each other.
        """
        self._resume = None
        for table in tables:
            first, last = _Edge.of(table, 0), _Edge.of(table, len(table) - 1)
            if not (self._follows(first) and columns.is_continuous(table)):
                raise ValueError(
                    f"events of seqnos {first.seqno} to {last.seqno} do not follow seqno by seqno, fragment by fragment "
                    "and without going back in time"
                )
            self._first = self._first or first
            self._tail = last
            size = table.column("payload").nbytes
            if self._row_bytes + size > ALONE:
                self._flush()
            self._rows.append(table)
            self._row_count += len(table)
            self._rows_alone = self._rows_alone or size > ALONE or columns.has_pieces(table)
            del table  # or it would be in memory beside the next
            self._row_bytes += size
            if self._row_bytes >= GROUP_BYTES or self._row_count >= GROUP_EVENTS:
                self._flush()

    def commit(self, resume: Resume) -> None:
        """All that was added so far is whole transactions. Publishes the segment if it is full.

        :param resume: where reading goes on behind them.
        :raises WriteConflictError: another writer published the segment first; the message says who.
        :raises ValueError: the last event is not the last of its transaction.
        """
        last = self._tail
        if last is not None and not last.last_frag:
            raise ValueError(f"seqno {last.seqno} is not whole: its last fragment is missing")
        self._resume = resume
        if self._first is not None and self._is_full():
            self._publish(resume)

    def _is_full(self) -> bool:
        if self._file_events + self._row_count >= self._segment_events:
            return True
        # How much a row group takes in the file is known when it is encoded: waited for only where it matters.
        if self._most_bytes + self._row_bytes < self._segment_bytes:
            return False
        self._wait(0)
        self._most_bytes = self._file.size if self._file else 0
        return self._most_bytes + self._row_bytes >= self._segment_bytes

    def close(self) -> Head:
        """Publishes what is left and gives the head, which is the old one if nothing was added.

        :raises WriteConflictError: as :meth:`commit`.
        :raises ValueError: something was added and not committed.
        """
        if self._first is not None:
            if self._resume is None:
                last = self._tail
                raise ValueError(f"seqno {last.seqno if last else -1} was added and not committed")
            self._publish(self._resume)
        if self._head is None:
            raise ValueError("a new log needs its first record")
        return self._head

    def abort(self) -> None:
        """Throws away what is not published."""
        if self._encoder:
            self._encoder.shutdown(cancel_futures=True)
        self._encoding.clear()
        self._rows.clear()
        if self._file:
            self._file.discard()
            self._file = None

    def _flush(self) -> None:
        if not self._rows:
            return
        table = pa.concat_tables(self._rows) if len(self._rows) > 1 else self._rows[0]
        if self._file is None or self._encoder is None:
            self._file, self._encoder = SegmentFile(), ThreadPoolExecutor(1, "tungsten-thl")
        # One group is encoded while the next is made; a third waits for them, and one of large rows is in memory alone.
        alone = self._rows_alone
        self._wait(0 if alone else 1)
        self._encoding.append(self._encoder.submit(self._file.write, table))
        self._file_events += len(table)
        self._most_bytes += table.nbytes
        self._rows.clear()
        self._row_bytes = self._row_count = 0
        self._rows_alone = False
        if alone:
            del table
            self._wait(0)
            pa.default_memory_pool().release_unused()

    def _wait(self, left: int) -> None:
        """Until no more than so many groups are to be encoded."""
        while len(self._encoding) > left:
            self._encoding.popleft().result()

    def _follows(self, event: _Edge) -> bool:
        tail = self._tail
        if tail is None:
            seqno, watermark = (self._head.last + 1, self._head.watermark) if self._head else (0, 0)
            return event.seqno == seqno and event.fragno == 0 and event.watermark >= watermark
        fragno = 0 if tail.last_frag else tail.fragno + 1
        place = (tail.seqno + tail.last_frag, fragno)
        return (event.seqno, event.fragno) == place and event.watermark >= tail.watermark

    def _publish(self, resume: Resume) -> None:
        self._flush()
        low_water = find_low_water(self._storage)
        self._before_publish()
        self._wait(0)
        if self._encoder:
            self._encoder.shutdown()
        file, first, last, before = self._file, self._first, self._tail, self._head
        assert file is not None
        assert first is not None
        assert last is not None
        info = SegmentInfo(
            uuid=self._uuid,
            service=self._service,
            first=first.seqno,
            last=last.seqno,
            first_event_id=first.event_id,
            event_id=last.event_id,
            epoch_number=last.epoch_number,
            first_watermark=first.watermark,
            watermark=last.watermark,
            previous_first=before.segment.first if before else -1,
            previous_last=before.last if before else -1,
            previous_event_id=before.event_id if before else "",
            resume=resume,
            writer=self._token,
            tables=file.tables,
            format=FORMAT if file.has_pieces else WITHOUT_PIECES,
        )
        self._file = self._first = self._encoder = None
        self._file_events = self._most_bytes = 0
        try:
            size = file.finish(info)
            self._create(info.key, file.file)
            self._check_purged(info, low_water)
        finally:
            file.discard()
        self._head = Head(first=before.first if before else info.first, segment=info)
        self._resume = None
        self.segments += 1
        self.bytes += size
        log.info(
            "segment written",
            service=self._service,
            first=info.first,
            last=info.last,
            events=file.events,
            bytes=size,
            key=info.key,
        )

    def _check_purged(self, info: SegmentInfo, low_water: int | None) -> None:
        """A purge is seen afterwards, if not before: its low-water record comes before it deletes anything."""
        found = find_low_water(self._storage)
        if found is not None and info.first < found:
            raise WriteConflictError(
                f"{self._storage.url}/{info.key} had been written by another extractor and purged since (the log begins at "
                f"{found}): this one read the log's end too long ago. Nothing of its segment counts; the next goes on "
                "behind the other's"
            )
        if found != low_water:
            self._before_publish()  # what the segment names may have been deleted as no longer needed

    def _create(self, key: str, content: BinaryIO) -> None:
        try:
            self._storage.create(key, content, token=self._token)
        except ObjectExistsError as error:
            place = f"{self._storage.url}/{key}"
            winner = error.token or SegmentReader(self._storage.open(key), place).info.writer
            raise WriteConflictError(
                f"{place} was already written by {winner}: another extractor appends to this log. "
                "This one wrote nothing of its segment; the next goes on behind the other's"
            ) from None
