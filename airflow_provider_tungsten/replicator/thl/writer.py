"""Appends to the log: whole transactions into segments that are published write-once. Where they come from is the extractor's."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import BinaryIO

import structlog

from airflow_provider_tungsten.replicator.errors import WriteConflictError
from airflow_provider_tungsten.replicator.storage import ObjectExistsError, Storage
from airflow_provider_tungsten.replicator.thl import columns
from airflow_provider_tungsten.replicator.thl.event import Resume, ThlEvent
from airflow_provider_tungsten.replicator.thl.segment import Head, SegmentFile, SegmentInfo, SegmentReader

log = structlog.get_logger(__name__)

GROUP_BYTES = 8 * 1024 * 1024
GROUP_EVENTS = 16_384


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
        self._rows: list[ThlEvent] = []
        self._row_bytes = 0
        self._tail: ThlEvent | None = None
        self._file: SegmentFile | None = None
        self._first: ThlEvent | None = None
        self._resume: Resume | None = None
        self.segments = 0
        self.bytes = 0

    def __enter__(self) -> LogWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.abort()

    @property
    def _last(self) -> ThlEvent | None:
        return self._rows[-1] if self._rows else self._tail

    @property
    def next_seqno(self) -> int:
        """The seqno of the next event: that of a new transaction, once the last fragment of the one before is added."""
        if (last := self._last) is not None:
            return last.seqno + last.last_frag
        return self._head.last + 1 if self._head else 0

    def add(self, events: Iterable[ThlEvent]) -> None:
        """The next events, in order: a part of a transaction, a whole one, or several. Any number fits: they go to a
        temporary file as they come.

        :raises ValueError: seqnos, fragments or watermarks that do not follow each other.
        """
        rows = self._rows
        self._resume = None
        for event in events:
            rows.append(event)
            self._row_bytes += len(event.payload or b"")
            if self._row_bytes >= GROUP_BYTES or len(rows) >= GROUP_EVENTS:
                self._flush()

    def commit(self, resume: Resume) -> None:
        """All that was added so far is whole transactions. Publishes the segment if it is full.

        :param resume: where reading goes on behind them.
        :raises WriteConflictError: another writer published the segment first; the message says who.
        :raises ValueError: the last event is not the last of its transaction.
        """
        last = self._last
        if last is not None and not last.last_frag:
            raise ValueError(f"seqno {last.seqno} is not whole: its last fragment is missing")
        self._resume = resume
        events, size = (self._file.events, self._file.size) if self._file else (0, 0)
        full = (
            size + self._row_bytes >= self._segment_bytes or events + len(self._rows) >= self._segment_events
        )
        if full and last is not None:
            self._publish(resume)

    def close(self) -> Head:
        """Publishes what is left and gives the head, which is the old one if nothing was added.

        :raises WriteConflictError: as :meth:`commit`.
        :raises ValueError: something was added and not committed.
        """
        if self._rows or self._file:
            if self._resume is None:
                last = self._last
                raise ValueError(f"seqno {last.seqno if last else -1} was added and not committed")
            self._publish(self._resume)
        if self._head is None:
            raise ValueError("a new log needs its first record")
        return self._head

    def abort(self) -> None:
        """Throws away what is not published."""
        self._rows.clear()
        if self._file:
            self._file.discard()
            self._file = None

    def _flush(self) -> None:
        rows = self._rows
        if not rows:
            return
        table = columns.to_table(rows)
        if not (self._follows(rows[0]) and columns.is_continuous(table)):
            raise ValueError(
                f"events of seqnos {rows[0].seqno} to {rows[-1].seqno} do not follow seqno by seqno, fragment by fragment "
                "and without going back in time"
            )
        if self._file is None:
            self._file = SegmentFile()
            self._first = rows[0]._replace(payload=None)
        self._file.write(table)
        self._tail = rows[-1]._replace(payload=None)
        self._row_bytes = 0
        rows.clear()

    def _follows(self, event: ThlEvent) -> bool:
        tail = self._tail
        if tail is None:
            seqno, watermark = (self._head.last + 1, self._head.watermark) if self._head else (0, 0)
            return event.seqno == seqno and event.fragno == 0 and event.watermark >= watermark
        fragno = 0 if tail.last_frag else tail.fragno + 1
        place = (tail.seqno + tail.last_frag, fragno)
        return (event.seqno, event.fragno) == place and event.watermark >= tail.watermark

    def _publish(self, resume: Resume) -> None:
        self._flush()
        self._before_publish()
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
        )
        self._file = None
        try:
            size = file.finish(info)
            self._create(info.key, file.file)
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
