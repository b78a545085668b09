"""Row events of the log as runs: those of one table together, the way the encoder takes them. Reads columns, knows nothing of
files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate

import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_tungsten.replicator.binlog._spooled import SpooledBuffer
from airflow_provider_tungsten.replicator.binlog.rows import KINDS
from airflow_provider_tungsten.replicator.errors import CorruptLogError
from airflow_provider_tungsten.replicator.thl.columns import ALONE, contents, label_keys, to_events, view
from airflow_provider_tungsten.replicator.thl.event import ThlEvent
from airflow_provider_tungsten.replicator.thl.pieces import Joined

# What is read at a time where each table's rows are wanted together and a row group has less of each than this.
RUN_BYTES = 256 * 1024
WINDOW_BYTES = 64 * 1024 * 1024
_IDS = ("event_id", "gtid")
_OF_RUNS = ("schema_name", "table_name", "definition", "seqno", "commit_ts", "rows", *_IDS)
_BESIDE = ("kind", "fragno", "last_frag", "payload", "payload_bytes", "options")


def needed(*, ids: bool) -> list[str]:
    """Columns of a segment that runs are made of.

    :param ids: whether event ids and GTIDs are wanted.
    """
    return [name for name in _OF_RUNS + _BESIDE if ids or name not in _IDS]


@dataclass(frozen=True)
class RowRun:
    """Row events of one table and definition out of a piece of a segment: a view of its columns, nothing copied.

    :param places: of the events in the columns, in the order of the log; uint64.
    :param kinds: uint8, places in ``binlog.rows.KINDS``.
    :param seqnos, commits: int64, commit times in microseconds.
    :param counts: rows of each event, int32.
    :param offsets: of each event's row images in ``payload``, int32, and one behind the last.
    :param spooled: what ``payload`` lies in, where it is that of a large event: whoever reads it pages it out as they go.
    :param is_last: no event of that table and definition follows in the range that is read.
    """

    schema_name: str
    table_name: str
    definition: str
    places: memoryview
    batch: pa.RecordBatch
    kinds: memoryview
    seqnos: memoryview
    commits: memoryview
    counts: memoryview
    offsets: memoryview
    payload: memoryview
    spooled: SpooledBuffer | None = field(default=None, kw_only=True)
    is_last: bool = field(default=False, kw_only=True)
    _strings: dict[str, list[str | None]] = field(
        default_factory=dict, repr=False, compare=False, kw_only=True
    )

    @property
    def event_ids(self) -> list[str | None]:
        return self._texts("event_id")

    @property
    def gtids(self) -> list[str | None]:
        return self._texts("gtid")

    def _texts(self, name: str) -> list[str | None]:
        """Of all events in the columns; made once for all runs of them."""
        if name not in self._strings:
            self._strings[name] = self.batch.column(name).to_pylist()
        return self._strings[name]

    @cached_property
    def rows(self) -> int:
        places = pa.Array.from_buffers(pa.uint64(), len(self.places), [None, pa.py_buffer(self.places)])
        return int(pc.sum(self.batch.column("rows").take(places), min_count=0).as_py())

    def piece(self, start: int, end: int) -> RowRun:
        """The run's events from the one at ``places[start]`` to the one before ``places[end]``."""
        return replace(self, places=self.places[start:end])


def to_runs(batches: Iterable[Joined]) -> Iterator[ThlEvent | list[RowRun]]:
    """The rows of batches, one behind the other: row events as runs of several tables at a time, one a table, in the order in
    which they first appear; what is no row event comes before them, one by one.

    A run costs as much as a hundred rows, an event in it little more than its row images. So where row groups make runs of less
    than ``RUN_BYTES``, they are made of as many row groups as ``WINDOW_BYTES`` hold. Runs are good until more is asked for:
    their memory is used again.
    """
    room = _room()
    window = _Window(room)
    for batch, spooled in batches:
        kinds = _codes(batch.column("kind"))
        places = pc.indices_nonzero(pc.less(kinds, len(KINDS)))
        if len(places) < len(batch):
            others = pc.indices_nonzero(pc.equal(kinds, len(KINDS)))
            yield from to_events(pa.Table.from_batches([batch.take(others)]))
            batch, kinds = batch.take(places), kinds.take(places)
        if spooled is not None or not window.has_room(batch):
            yield from window.runs(is_last=False)
            window = _Window(room)
        if len(batch):
            window.add(batch, kinds, spooled)
        del batch, spooled, kinds, places  # or they would take their room beside the next
        if window.is_large:
            yield from window.runs(is_last=False)
            room = _room()  # large ones take memory enough
            window = _Window(room)
    yield from window.runs(is_last=True)


def _room() -> memoryview:
    """For a window. Pages of it that are never touched take no memory."""
    return memoryview(pa.allocate_buffer(WINDOW_BYTES)).cast("B")


def _codes(column: pa.DictionaryArray) -> pa.Array:
    """Per event its place in ``KINDS``, or one behind them."""
    labels = column.dictionary.to_pylist()
    codes = pa.array([KINDS.index(label) if label in KINDS else len(KINDS) for label in labels], pa.uint8())
    return codes.take(column.indices).fill_null(len(KINDS))


class _Window:
    """Row events. Where there is too little of each table, those that come next join them: their payloads are brought together
    at once, so that none stays in memory twice.

    :param room: for them, ``WINDOW_BYTES``.
    """

    def __init__(self, room: memoryview) -> None:
        self._room = room
        self._groups: list[pa.Table] = []
        self._ends: list[pa.Array] = [pa.array([0], pa.int32())]
        self._payload = memoryview(b"")
        self._spooled: SpooledBuffer | None = None
        self._filled = 0
        self._bytes = 0
        self._is_joined = True

    def has_room(self, batch: pa.RecordBatch) -> bool:
        """A large one needs none but its own."""
        if not self._groups:
            return True
        return self._is_joined and batch.nbytes <= ALONE and self._bytes + batch.nbytes <= WINDOW_BYTES

    @property
    def is_large(self) -> bool:
        """Whether the next row group must not come before this is used up."""
        return self._filled > ALONE and not self._is_joined

    def add(self, batch: pa.RecordBatch, kinds: pa.Array, spooled: SpooledBuffer | None) -> None:
        """
        :param spooled: what the payload of the batch lies in, which is then the only one.
        :raises CorruptLogError: an event without what every event has.
        """
        if any(batch.column(name).null_count for name in ("seqno", "commit_ts", "rows")):
            raise CorruptLogError(
                "an event of the log lacks its seqno, commit time or count of rows; restore it from a copy"
            )
        self._spooled = spooled
        ends, images = contents(batch.column("payload").fill_null(b""))
        self._ends.append(pc.add(ends[1:], pa.scalar(self._filled, pa.int32())))
        self._take(images)
        enough = min(ALONE, len(batch.column("definition").dictionary) * RUN_BYTES)
        self._is_joined = len(images) < enough
        self._bytes += batch.nbytes
        group = pa.Table.from_batches(
            [batch.select([name for name in _OF_RUNS if name in batch.schema.names])]
        )
        self._groups.append(group.append_column("code", kinds))

    def _take(self, images: memoryview) -> None:
        if not self._groups:
            self._payload = images
        else:
            if len(self._groups) == 1:
                first, self._payload = self._payload, self._room
                self._payload[: self._filled] = first
            self._payload[self._filled : self._filled + len(images)] = images
        self._filled += len(images)

    def runs(self, *, is_last: bool) -> Iterator[list[RowRun]]:
        """All together, if there are any."""
        if not self._groups:
            return
        (batch,) = pa.concat_tables(self._groups).unify_dictionaries().combine_chunks().to_batches()
        columns: tuple[memoryview, ...] = (
            view(batch.column("code"), "B"),
            view(batch.column("seqno"), "q"),
            view(batch.column("commit_ts"), "q"),
            view(batch.column("rows"), "i"),
            view(pa.concat_arrays(self._ends), "i"),
            self._payload[: self._filled],
        )
        names = [batch.column(name) for name in ("schema_name", "table_name", "definition")]
        places, ends = _by_table(names)
        labels = [_texts(column) for column in names]
        strings: dict[str, list[str | None]] = {}
        runs = []
        start = 0
        for end in ends:
            first = places[start]
            schema, table, definition = (texts[numbers[first]] for texts, numbers in labels)
            run = RowRun(
                schema,
                table,
                definition,
                places[start:end],
                batch,
                *columns,
                spooled=self._spooled,
                is_last=is_last,
                _strings=strings,
            )
            runs.append(run)
            start = end
        yield runs


def _by_table(names: Sequence[pa.DictionaryArray]) -> tuple[memoryview, list[int]]:
    """Places of the events, those of one table together, and where among them each table ends."""
    numbers = label_keys(names).dictionary_encode().indices
    counts = {count["values"]: count["counts"] for count in pc.value_counts(numbers).to_pylist()}
    # Stable, and the numbers were given in the order in which the tables first appear.
    places = pc.array_sort_indices(numbers)
    return view(places, "Q"), list(accumulate(counts[number] for number in range(len(counts))))


def _texts(column: pa.DictionaryArray) -> tuple[list[str], memoryview]:
    """The texts of a column, and per event the number of its own; '' stands for none."""
    texts = column.dictionary.to_pylist()
    numbers = column.indices.cast(pa.int32()).fill_null(len(texts))
    return [*texts, ""], view(numbers, "i")
