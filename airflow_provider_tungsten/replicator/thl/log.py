"""The log of one service: finds, reads and begins it. Appending is the writer's; what events mean is others' business."""

from __future__ import annotations

import uuid
from bisect import bisect_right, insort
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING

import pyarrow as pa

from airflow_provider_tungsten.replicator.errors import CorruptLogError, DivergedError, RangeError
from airflow_provider_tungsten.replicator.storage import ObjectMissingError, Storage
from airflow_provider_tungsten.replicator.thl.event import Kind, Resume, ThlEvent
from airflow_provider_tungsten.replicator.thl.low_water import find_low_water
from airflow_provider_tungsten.replicator.thl.pieces import Joined
from airflow_provider_tungsten.replicator.thl.runs import RowRun, needed, to_runs
from airflow_provider_tungsten.replicator.thl.segment import (
    Head,
    SegmentInfo,
    SegmentReader,
    first_of,
    key_of,
)

if TYPE_CHECKING:
    from airflow_provider_tungsten.replicator.thl.writer import LogWriter

_PAGE = 1000


class Log:
    """The segments of a service, ``<service>/thl-<first seqno>.parquet`` below ``storage``.

    Segments never change, so footers once read are kept; one object serves one task.
    """

    def __init__(self, storage: Storage, service: str) -> None:
        self.service = service
        self._storage = storage.sub(service)
        self._infos: dict[int, SegmentInfo] = {}
        self._known: list[int] = []
        self._first: int | None = None
        self._low_water: int | None = None

    @property
    def storage(self) -> Storage:
        """The folder of the segments. What else lies there: catalogs, which resume points name, low-water records and the
        register of appliers."""
        return self._storage

    @property
    def url(self) -> str:
        """The folder of the segments."""
        return self._storage.url

    def _place(self, info: SegmentInfo) -> str:
        return f"{self.url}/{info.key}"

    # Finding

    def _names(self, after: int) -> Iterator[int]:
        """First seqnos of the segments whose name is greater than ``after``'s, in order."""
        start_after = key_of(after) if after >= 0 else ""
        return (first_of(item.key) for item in self._storage.list("thl-", start_after))

    def _open(self, first: int) -> SegmentReader:
        key = key_of(first)
        place = f"{self.url}/{key}"
        try:
            reader = SegmentReader(self._storage.open(key), place)
        except ObjectMissingError as error:
            raise CorruptLogError(f"{place} is missing from the log; restore it from a copy") from error
        info = reader.info
        if (info.service, info.first) != (self.service, first):
            raise CorruptLogError(
                f"{place} holds seqno {info.first} ff. of service {info.service}: it was renamed or moved here"
            )
        if first not in self._infos:
            self._infos[first] = info
            insort(self._known, first)
        return reader

    def _info(self, first: int) -> SegmentInfo:
        return self._infos.get(first) or self._open(first).info

    def _newest(self) -> int | None:
        """First seqno of the newest segment; None: the log is empty.

        Leaps ahead over the names, so that a log of many segments costs a few pages of a listing, not all of them.
        """
        page = list(islice(self._names(self._known[-1] if self._known else -1), _PAGE))
        if not page:
            return self._known[-1] if self._known else None
        leap = page[-1] - page[0] if len(page) == _PAGE else 0
        newest, more = page[-1], len(page) == _PAGE
        while more:
            page = list(islice(self._names(newest + leap), _PAGE))
            newest = page[-1] if page else newest
            more = len(page) == _PAGE or (not page and leap > 0)
            leap = leap * 2 if page else leap // 8
        return newest

    def head(self) -> Head | None:
        """The end of the log as it is now; None where there is no log yet.

        :raises CorruptLogError: the newest segment cannot be read.
        """
        while (newest := self._newest()) is not None:
            try:
                info = self.info(newest)
            except RangeError:
                continue  # newer ones have come, and it is purged
            self._find_first()
            return Head(first=self.first_seqno(), segment=info)
        return None

    def first_seqno(self) -> int:
        """The first seqno the log holds. What lies before a low-water record, half deleted perhaps, is none of it.

        :raises RangeError: the log is empty.
        """
        if self._first is None:
            self._find_first()
        if self._first is None:
            raise RangeError(f"{self.url} holds no log yet: extract first")
        return self._first

    def _find_first(self) -> None:
        """Looks again: a purge may have moved it."""
        self._low_water = find_low_water(self._storage)
        if self._low_water is not None:
            self._first = self._low_water
        elif self._first is None:
            self._first = next(self._names(-1), None)

    def info(self, first: int) -> SegmentInfo:
        """The footer of the segment that begins with seqno ``first``.

        :raises RangeError: it was purged.
        :raises CorruptLogError: there is none, or it is damaged.
        """
        with self._unless_purged(first):
            return self._info(first)

    def _check_range(self, first: int, last: int | None) -> int:
        """:returns: ``last``, or the log's where it is None."""
        known = self._infos[self._known[-1]].last if self._known else -1
        if last is None or last > known:
            head = self.head()
            known = head.last if head else known
        exists = f"the log {self.url} holds {self.first_seqno()} to {known}"
        last = known if last is None else last
        if first > last:
            raise RangeError(f"seqnos {first} to {last} are no range: the first is behind the last; {exists}")
        if first < self.first_seqno() or last > known:
            what = f"seqno {first} is not" if first == last else f"seqnos {first} to {last} are not all"
            raise RangeError(f"{what} there: {exists}{self._purged()}")
        return last

    def _purged(self) -> str:
        """What a message says of the log's beginning."""
        if self._low_water is None:
            return ""
        return (
            f". What lies before {self._low_water}, the low-water mark, was purged and is gone: take a range from there on; "
            "the rows of before can only come from a fresh copy of the tables"
        )

    @contextmanager
    def _unless_purged(self, seqno: int) -> Iterator[None]:
        """Tells what is missing because it was purged while it was read from what is missing for no good reason."""
        try:
            yield
        except (CorruptLogError, ObjectMissingError) as error:
            self._find_first()
            if self._low_water is None or seqno >= self._low_water:
                raise
            raise RangeError(
                f"seqno {seqno} of the log {self.url} was purged while it was read{self._purged()}"
            ) from error

    def _locate(self, seqno: int) -> SegmentInfo:
        """The segment that holds a seqno of the log."""
        place = bisect_right(self._known, seqno)
        if place and (known := self._infos[self._known[place - 1]]).last >= seqno:
            return known
        behind = next(self._names(seqno), None)
        first = self._newest() if behind is None else self._info(behind).previous_first
        info = self._info(first) if first is not None and first >= 0 else None
        if info is None or not info.first <= seqno <= info.last:
            raise CorruptLogError(
                f"{self.url} has no segment that holds seqno {seqno}: restore it from a copy"
            )
        return info

    def segments(self, first: int, last: int | None = None) -> Iterator[SegmentInfo]:
        """Footers of the segments that hold ``first`` to ``last`` (None: the head), each checked to continue the one before.

        :raises RangeError: not in the log, or purged while it is read; the message tells the range that is.
        :raises DivergedError: a segment that belongs to another history.
        :raises CorruptLogError: a segment is missing or damaged.
        """
        last = self._check_range(first, last)
        with self._unless_purged(first):
            yield from self._segments(first, last)

    def _segments(self, first: int, last: int) -> Iterator[SegmentInfo]:
        info = self._locate(first)
        names = self._names(info.first)
        yield info
        while info.last < last:
            following = next(names, None)
            if following is None:
                raise CorruptLogError(f"{self.url} ends at seqno {info.last}: a segment behind it is missing")
            before, info = info, self._info(following)
            self._check_continues(before, info)
            yield info

    def _check_continues(self, before: SegmentInfo, info: SegmentInfo) -> None:
        both = f"{self._place(info)} does not continue {before.key}"
        if info.uuid != before.uuid:
            raise DivergedError(
                f"{both}: its log is {info.uuid}, the other's {before.uuid}. Segments of two logs lie in one folder; "
                "move those away that do not belong"
            )
        if info.previous_last != before.last or info.first != before.last + 1:
            raise CorruptLogError(
                f"{both}: that ends at seqno {before.last}, this goes on behind {info.previous_last}; restore what is missing"
            )
        if info.previous_event_id != before.event_id:
            raise DivergedError(
                f"{both}: event id {before.event_id} there, {info.previous_event_id} expected. One of them was restored "
                "from another history; move away what does not belong"
            )

    # Reading

    def read(self, first: int, last: int) -> Iterator[ThlEvent]:
        """Whole events of the range, a row group (8 MB of payload, or one event) in memory at a time.

        :raises RangeError, DivergedError, CorruptLogError: as :meth:`segments`.
        """
        return self._events(first, last, payload=True)

    def read_runs(
        self, first: int, last: int, without: Sequence[int] = (), *, ids: bool = True
    ) -> Iterator[ThlEvent | list[RowRun]]:
        """The same as :meth:`read` for whoever wants the rows of each table and not the order between tables: row events
        come as runs of several tables, and as much of the log in memory at a time as a run can be made of (:func:`~.thl.runs.to_runs`).

        :param without: seqnos that are left out, in order.
        :param ids: whether event ids and GTIDs are read, too, which takes as long as small rows themselves.
        """
        yield from to_runs(self._batches(first, last, without, needed(ids=ids)))

    def _batches(
        self, first: int, last: int, without: Sequence[int], names: Sequence[str]
    ) -> Iterator[Joined]:
        for seqno in (*without, last + 1):
            if first < seqno:
                for info in self.segments(first, seqno - 1):
                    with self._unless_purged(info.first):
                        yield from self._open(info.first).batches(first, seqno - 1, names)
            first = seqno + 1

    def scan(self, first: int, last: int | None = None) -> Iterator[ThlEvent]:
        """The same without payloads (their column is not read), up to the head where ``last`` is None."""
        return self._events(first, last, payload=False)

    def scan_columns(self, first: int, last: int, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The same by columns: those that are named, a row group or less at a time."""
        for info in self.segments(first, last):
            with self._unless_purged(info.first):
                yield from self._open(info.first).columns(first, last, names)

    def _events(self, first: int, last: int | None, *, payload: bool) -> Iterator[ThlEvent]:
        last = self._check_range(first, last)
        for info in self.segments(first, last):
            with self._unless_purged(info.first):
                yield from self._open(info.first).events(first, last, payload=payload)

    def record(self, seqno: int) -> ThlEvent:
        """The last fragment of a seqno, without its payload.

        :raises RangeError: not in the log; the message tells the range that is.
        """
        self._check_range(seqno, seqno)
        with self._unless_purged(seqno):
            return self._open(self._locate(seqno).first).record(seqno)

    def gaps(self, head: Head) -> Iterator[ThlEvent]:
        """The ``gap`` records that the log still holds, newest first: every epoch but the first begins with one.

        :raises RangeError: as :meth:`record`.
        """
        epoch = head.epoch_number
        while epoch >= max(head.first, 1):
            yield self.record(epoch)
            if epoch == head.first:
                return
            epoch = self.record(epoch - 1).epoch_number

    def seqnos_between(self, after: int, until: int) -> tuple[int, int] | None:
        """First and last seqno whose watermark is greater than ``after`` and at most ``until``, both in microseconds.

        :returns: None where there is none.
        :raises RangeError: purged while it was looked for.
        """
        head = self.head()
        if head is None:
            return None
        with self._unless_purged(head.first):
            first, end = self._first_behind(head, after), self._first_behind(head, until)
        return (first, end - 1) if first < end else None

    def _first_behind(self, head: Head, watermark: int) -> int:
        """The first seqno with a greater watermark; one behind the head where there is none."""
        if head.watermark <= watermark:
            return head.last + 1
        low, high = head.first, head.last
        while low < high:
            info = self._locate((low + high) // 2)
            if info.watermark <= watermark:
                low = info.last + 1
            elif info.first_watermark > watermark:
                high = max(low, info.first)
            else:
                return self._open(info.first).first_behind(watermark)
        return low

    # Writing

    def create(
        self,
        resume: Resume,
        *,
        source_id: str,
        token: str,
        extracted_ts: int,
        options: Mapping[str, str] | None = None,
    ) -> Head:
        """Begins the log with seqno 0, the ``start`` record, and gives it its uuid.

        :param resume: where reading will begin.
        :param options: of the record, besides where it starts and the uuid.
        :raises WriteConflictError: another writer began it first.
        :raises CorruptLogError: there was a log here, which has been purged; its end is missing.
        """
        if (low_water := find_low_water(self._storage)) is not None:
            raise CorruptLogError(
                f"{self.url} held a log that was purged up to seqno {low_water}, and its segments behind that are missing: "
                "restore them from a copy, or begin a new log in another folder (thl.url)"
            )
        thl_uuid = str(uuid.uuid4())
        start = {
            "thl_uuid": thl_uuid,
            "server_uuid": resume.server_uuid,
            "file": resume.file,
            "position": str(resume.position),
            "gtid_executed": resume.gtid_executed,
        }
        event = ThlEvent(
            seqno=0,
            fragno=0,
            last_frag=True,
            epoch_number=0,
            source_id=source_id,
            event_id=resume.event_id,
            gtid="",
            commit_ts=extracted_ts,
            watermark=resume.watermark,
            extracted_ts=extracted_ts,
            kind=Kind.START,
            schema_name="",
            table_name="",
            shard_id="",
            rows=0,
            definition=None,
            payload=None,
            options=start | dict(options or {}),
        )
        with _log_writer()(self._storage, self.service, thl_uuid, token=token) as writer:
            writer.add([event])
            writer.commit(resume)
            return writer.close()

    def writer(
        self,
        head: Head,
        *,
        token: str,
        segment_bytes: int,
        segment_events: int,
        before_publish: Callable[[], None] = lambda: None,
    ) -> LogWriter:
        """Appends behind ``head``, whoever else does too: one of them wins.

        :param segment_bytes: file size at which a segment ends; ``segment_events``: its number of events.
        :param before_publish: as :class:`LogWriter` has it.
        """
        return _log_writer()(
            self._storage,
            self.service,
            head.uuid,
            head,
            token=token,
            segment_bytes=segment_bytes,
            segment_events=segment_events,
            before_publish=before_publish,
        )


def _log_writer() -> type[LogWriter]:
    # Imported here: structlog brings a terminal's formatting along, which who only reads need not wait for.
    from airflow_provider_tungsten.replicator.thl.writer import LogWriter

    return LogWriter
