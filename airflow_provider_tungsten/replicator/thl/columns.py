"""THL events as Arrow columns and back. Knows the columns of a segment, nothing of files."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_tungsten.replicator.binlog._fragments import Buffer
from airflow_provider_tungsten.replicator.binlog.rows import KINDS
from airflow_provider_tungsten.replicator.errors import CorruptLogError
from airflow_provider_tungsten.replicator.spool import TableKey
from airflow_provider_tungsten.replicator.thl.event import Kind, ThlEvent

# What is made, written and read at a time: a row group.
GROUP_BYTES = 8 * 1024 * 1024
GROUP_EVENTS = 16_384
# A row group of more takes several times its size where it is written or read: it is in memory alone then.
ALONE = 2 * GROUP_BYTES
# What is read at a time where each table's rows are wanted together and a row group has less of each than this.
RUN_BYTES = 256 * 1024
WINDOW_BYTES = 64 * 1024 * 1024

UNKNOWN_SHARD = "#UNKNOWN"
_LABEL = pa.dictionary(pa.int32(), pa.string())
_TIME = pa.timestamp("us", tz="UTC")
_OPTIONS = pa.map_(pa.string(), pa.string())
_PAYLOAD = pa.binary()
_TYPES: dict[str, pa.DataType] = {
    "seqno": pa.int64(),
    "fragno": pa.int32(),
    "last_frag": pa.bool_(),
    "epoch_number": pa.int64(),
    "source_id": pa.string(),
    "event_id": pa.string(),
    "gtid": pa.string(),
    "commit_ts": _TIME,
    "watermark": _TIME,
    "extracted_ts": _TIME,
    "kind": _LABEL,
    "schema_name": _LABEL,
    "table_name": _LABEL,
    "shard_id": _LABEL,
    "rows": pa.int32(),
    "definition": _LABEL,
    "payload": _PAYLOAD,
    "options": _OPTIONS,
    "payload_bytes": pa.int64(),
}
SCHEMA = pa.schema([pa.field(name, type_) for name, type_ in _TYPES.items()])
REPETITIVE = ["source_id", *(name for name, type_ in _TYPES.items() if type_ == _LABEL)]
WITHOUT_PAYLOAD = [name for name in _TYPES if name != "payload"]
_OF_RUNS = ["schema_name", "table_name", "definition", "seqno", "commit_ts", "rows", "event_id", "gtid"]
Taken = tuple[int, dict[str, Any], dict[int, dict[str, str]]]
_PLACE = {name: place for place, name in enumerate(_TYPES)}


def to_table(events: Sequence[ThlEvent]) -> pa.Table:
    """The events, at least one, as a table of ``SCHEMA``; ``payload_bytes`` is counted here, but for what is in pieces."""
    columns: list[Any] = list(zip(*events, strict=True))
    columns[-1] = [
        max(whole, len(payload or b""))
        for whole, payload in zip(columns[-1], columns[_PLACE["payload"]], strict=True)
    ]
    options = columns[_PLACE["options"]]
    columns[_PLACE["options"]] = [None if pairs is None else list(pairs.items()) for pairs in options]
    arrays = [
        pa.array(values, type_)
        for values, type_ in zip(columns, _TYPES.values(), strict=True)
        if type_ != _PAYLOAD
    ]
    arrays.insert(_PLACE["payload"], _payloads(columns[_PLACE["payload"]]))
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def _payloads(payloads: Sequence[bytes | None]) -> pa.Array:
    """One alone, which may be large, is not copied."""
    if len(payloads) > 1 or payloads[0] is None:
        return pa.array(payloads, _PAYLOAD)
    return one_payload(payloads[0])


def one_payload(payload: bytes | memoryview) -> pa.Array:
    """The column of one event; not copied."""
    ends = pa.array([0, len(payload)], pa.int32()).buffers()[1]
    return pa.Array.from_buffers(_PAYLOAD, 1, [None, ends, pa.py_buffer(payload)])


def contents(payload: pa.Array) -> tuple[pa.Array, memoryview]:
    """Of a column where each event's bytes begin, and where the last ones end; and all bytes, beginning at the first."""
    _, offsets, data = payload.buffers()
    ends = pa.Array.from_buffers(pa.int32(), len(payload) + 1, [None, offsets], offset=payload.offset)
    start, end = ends[0].as_py(), ends[-1].as_py()
    return pc.subtract(ends, pa.scalar(start, pa.int32())), memoryview(data or b"").cast("B")[start:end]


def are_continued(kinds: pa.DictionaryArray) -> pa.Array:
    """Per record whether it is a piece that continues the one before."""
    return pc.equal(kinds.indices, pc.index(kinds.dictionary, str(Kind.CONTINUED))).fill_null(False)


def _continued(table: pa.Table) -> pa.ChunkedArray:
    return pa.chunked_array(list(map(are_continued, table.column("kind").chunks)), pa.bool_())


def has_pieces(table: pa.Table) -> bool:
    """Whether the table holds pieces of an event that continue it."""
    return bool(pc.any(_continued(table)).as_py())


def to_tables(events: Iterable[ThlEvent]) -> Iterator[pa.Table]:
    """Any number of events as tables of a row group's size, a large one alone, so that no more are in memory."""
    group: list[ThlEvent] = []
    size = 0
    for event in events:
        more = len(event.payload or b"")
        if group and more > GROUP_BYTES:
            yield to_table(group)
            group, size = [], 0
        group.append(event)
        size += more
        if size >= GROUP_BYTES or len(group) >= GROUP_EVENTS:
            yield to_table(group)
            group, size = [], 0
    if group:
        yield to_table(group)


def of_fragments(taken: Taken, keys: Sequence[TableKey], source_id: str, epoch_number: int) -> pa.Table:
    """What :meth:`Fragments.take` gave, at least one row, as a table of ``SCHEMA``; its memory is not copied.

    :param keys: by the numbers that fragments have for their tables.
    """
    count, buffers, options = taken
    numbers = pc.dictionary_encode(_array(pa.int32(), count, buffers["key"]))
    used = [keys[number] for number in numbers.dictionary.to_pylist()]
    tables = numbers.indices
    columns: dict[str, Any] = {
        "epoch_number": pa.repeat(pa.scalar(epoch_number, pa.int64()), count),
        "source_id": pa.repeat(source_id, count),
        "last_frag": _array(pa.uint8(), count, buffers["last_frag"]).cast(pa.bool_()),
        "kind": pa.DictionaryArray.from_arrays(_array(pa.int32(), count, buffers["kind"]), [*map(str, Kind)]),
        "schema_name": _labels(tables, [key.schema for key in used]),
        "table_name": _labels(tables, [key.table for key in used]),
        "shard_id": _labels(tables, [key.schema or UNKNOWN_SHARD for key in used]),
        "definition": _labels(tables, [key.definition for key in used]),
        "options": pa.nulls(count, _OPTIONS),
    }
    if options:
        columns["options"] = pa.array(
            [[*pairs.items()] if (pairs := options.get(row)) is not None else None for row in range(count)],
            _OPTIONS,
        )
    return pa.Table.from_arrays(
        [
            columns[name] if name in columns else _array(type_, count, buffers[name])
            for name, type_ in _TYPES.items()
        ],
        schema=SCHEMA,
    )


def _array(type_: pa.DataType, count: int, buffers: Buffer | tuple[Buffer, Buffer]) -> pa.Array:
    parts = buffers if isinstance(buffers, tuple) else (buffers,)
    return pa.Array.from_buffers(type_, count, [None, *map(pa.py_buffer, parts)], 0)


def _labels(tables: pa.Array, labels: list[str | None]) -> pa.DictionaryArray:
    """Each table's label, by the tables' numbers; equal labels are one."""
    encoded = pc.dictionary_encode(pa.array(labels, pa.string()))
    return pa.DictionaryArray.from_arrays(encoded.indices.take(tables), encoded.dictionary)


def to_events(table: pa.Table) -> Iterator[ThlEvent]:
    """The rows of a table of ``SCHEMA``, or of one that lacks ``payload``: then it is None everywhere."""
    for batch in table.to_batches():
        yield from events_of(batch)


def events_of(batch: pa.RecordBatch) -> Iterator[ThlEvent]:
    """Likewise; a large payload, alone in its batch, stays where it is."""
    columns = [
        _values(batch.column(name), type_) if name in batch.schema.names else [None] * len(batch)
        for name, type_ in _TYPES.items()
    ]
    return map(ThlEvent._make, zip(*columns, strict=True))


def _values(column: pa.Array, type_: pa.DataType) -> list[Any]:
    if type_ == _LABEL:
        # One object per distinct text: a definition of a kilobyte is not made anew for every row.
        labels = [*column.dictionary.to_pylist(), None]
        return [labels[index] for index in column.indices.fill_null(-1).to_pylist()]
    if type_ == _PAYLOAD and len(column) == 1 and column.nbytes > ALONE:
        return [contents(column)[1]]
    if type_ == _TIME:
        column = column.cast(pa.int64())
    if type_ == _OPTIONS:
        if column.null_count == len(column):
            return [None] * len(column)
        return [None if pairs is None else dict(pairs) for pairs in column.to_pylist()]
    values: list[Any] = column.to_pylist()
    return values


@dataclass(frozen=True)
class RowRun:
    """Row events of one table and definition out of a piece of a segment: a view of its columns, nothing copied.

    :param places: of the events in the columns, in the order of the log; uint64.
    :param kinds: uint8, places in ``binlog.rows.KINDS``.
    :param seqnos, commits: int64, commit times in microseconds.
    :param counts: rows of each event, int32.
    :param offsets: of each event's row images in ``payload``, int32, and one behind the last.
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

    def rewritten(self, rewrite: Callable[[memoryview, int, int], bytes]) -> RowRun:
        """The run with other row images.

        :param rewrite: from an event's row images, its kind and its count of rows.
        """
        images, offsets = [], array("i", [0]) * (len(self.kinds) + 1)
        place = size = 0
        for number in self.places:
            changed = rewrite(
                self.payload[self.offsets[number] : self.offsets[number + 1]],
                self.kinds[number],
                self.counts[number],
            )
            images.append(changed)
            offsets[place : number + 1] = array("i", [size]) * (number + 1 - place)
            size += len(changed)
            place = number + 1
        offsets[place:] = array("i", [size]) * (len(offsets) - place)
        return replace(self, offsets=memoryview(offsets), payload=memoryview(b"".join(images)))


def to_runs(batches: Iterable[pa.RecordBatch]) -> Iterator[ThlEvent | RowRun]:
    """The rows of batches of ``SCHEMA``, one behind the other: row events as runs, one a table, the tables in the order in which
    they first appear; what is no row event comes before them, one by one.

    A run costs as much as a hundred rows, an event in it little more than its row images. So where row groups make runs of less
    than ``RUN_BYTES``, they are made of as many row groups as ``WINDOW_BYTES`` hold. A run is good until the next is asked for:
    its memory is used again.
    """
    room = _room()
    window = _Window(room)
    for batch in batches:
        kinds = _codes(batch.column("kind"))
        places = pc.indices_nonzero(pc.less(kinds, len(KINDS)))
        if len(places) < len(batch):
            others = pc.indices_nonzero(pc.equal(kinds, len(KINDS)))
            yield from to_events(pa.Table.from_batches([batch.take(others)]))
            batch, kinds = batch.take(places), kinds.take(places)
        if not window.has_room(batch):
            yield from window.runs(is_last=False)
            window = _Window(room)
        if len(batch):
            window.add(batch, kinds)
        del batch, kinds, places  # or they would be in memory beside the next
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

    def add(self, batch: pa.RecordBatch, kinds: pa.Array) -> None:
        """:raises CorruptLogError: an event without what every event has."""
        if any(batch.column(name).null_count for name in ("seqno", "commit_ts", "rows")):
            raise CorruptLogError(
                "an event of the log lacks its seqno, commit time or count of rows; restore it from a copy"
            )
        ends, images = contents(batch.column("payload").fill_null(b""))
        self._ends.append(pc.add(ends[1:], pa.scalar(self._filled, pa.int32())))
        self._take(images)
        enough = min(ALONE, len(batch.column("definition").dictionary) * RUN_BYTES)
        self._is_joined = len(images) < enough
        self._bytes += batch.nbytes
        group = pa.Table.from_batches([batch.select(_OF_RUNS)])
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

    def runs(self, *, is_last: bool) -> Iterator[RowRun]:
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
        start = 0
        for end in ends:
            first = places[start]
            schema, table, definition = (texts[numbers[first]] for texts, numbers in labels)
            yield RowRun(
                schema,
                table,
                definition,
                places[start:end],
                batch,
                *columns,
                is_last=is_last,
                _strings=strings,
            )
            start = end


def _by_table(names: Sequence[pa.DictionaryArray]) -> tuple[memoryview, list[int]]:
    """Places of the events, those of one table together, and where among them each table ends."""
    numbers = _keys(names).dictionary_encode().indices
    counts = {count["values"]: count["counts"] for count in pc.value_counts(numbers).to_pylist()}
    # Stable, and the numbers were given in the order in which the tables first appear.
    places = pc.array_sort_indices(numbers)
    return view(places, "Q"), list(accumulate(counts[number] for number in range(len(counts))))


def _keys(columns: Sequence[pa.DictionaryArray]) -> pa.Array:
    """Per event a number, the same where all labels are."""
    key = pa.scalar(0, pa.int64())
    for column in columns:
        index = column.indices.cast(pa.int64()).fill_null(-1)
        key = pc.add(pc.multiply(key, len(column.dictionary) + 1), pc.add(index, 1))
    return key


class Texts:
    """Of one column, batch after batch: a text that the batch before had, too, is the same object, which is hashed only once."""

    def __init__(self) -> None:
        self._dictionary = pa.array([], pa.string())
        self._texts: list[str] = []

    def of(self, column: pa.DictionaryArray) -> list[str]:
        """Per event its text, '' for none."""
        dictionary = column.dictionary
        if not dictionary.equals(self._dictionary):
            places = pc.index_in(dictionary, value_set=self._dictionary).fill_null(-1)
            new = iter(dictionary.filter(pc.less(places, 0)).to_pylist())
            before, self._dictionary = self._texts, dictionary
            self._texts = [next(new) if place < 0 else before[place] for place in view(places, "i")]
        numbers = column.indices.fill_null(len(dictionary))
        return [*map([*self._texts, ""].__getitem__, view(numbers, "i"))]


def numbered_labels(
    batch: pa.RecordBatch, texts: Mapping[str, Texts], where: pa.Array | None = None
) -> tuple[list[tuple[str, ...]], pa.Array]:
    """The different combinations of labels, '' for none, in the order in which they first appear; and per event the number
    of its own.

    :param texts: of the columns that are combined.
    :param where: boolean; the other events have null for a number, and their labels do not count.
    """
    columns = [batch.column(name) for name in texts]
    keys = _keys(columns)
    numbers = (keys if where is None else pc.if_else(where, keys, None)).dictionary_encode()
    firsts = pc.index_in(numbers.dictionary, keys)
    labels = [each.of(column.take(firsts)) for each, column in zip(texts.values(), columns, strict=True)]
    return list(zip(*labels, strict=True)), numbers.indices


def _texts(column: pa.DictionaryArray) -> tuple[list[str], memoryview]:
    """The texts of a column, and per event the number of its own; '' stands for none."""
    texts = column.dictionary.to_pylist()
    numbers = column.indices.cast(pa.int32()).fill_null(len(texts))
    return [*texts, ""], view(numbers, "i")


def view(column: pa.Array, code: Literal["B", "Q", "i", "q"]) -> memoryview:
    """The values of a column without nulls, in its own memory."""
    values: memoryview = memoryview(column.buffers()[1] or b"").cast("B").cast(code)
    return values[column.offset : column.offset + len(column)]


def is_continuous(table: pa.Table) -> bool:
    """Whether seqnos have no gap, fragments count up from 0 in each, and the watermark never goes back."""
    last = table.column("last_frag").slice(0, len(table) - 1)
    seqno, fragno, watermark = (table.column(name) for name in ("seqno", "fragno", "watermark"))
    next_seqno = pc.add(seqno.slice(0, len(last)), last.cast(pa.int64()))
    next_fragno = pc.if_else(last, pa.scalar(0, pa.int32()), pc.add(fragno.slice(0, len(last)), 1))
    checks = (
        pc.equal(seqno.slice(1), next_seqno),
        pc.equal(fragno.slice(1), next_fragno),
        pc.greater_equal(watermark.slice(1), watermark.slice(0, len(last))),
    )
    return all(pc.all(check).as_py() is not False for check in checks)


def count_by_table(table: pa.Table) -> dict[tuple[str, str], tuple[int, int]]:
    """Events and rows of every (schema, table) that has any; an event in pieces is one."""
    keys = ["schema_name", "table_name"]
    rows = pc.if_else(_continued(table), None, table.column("rows"))
    columns = {name: table.column(name).cast(pa.string()) for name in keys} | {"rows": rows}
    counted = (
        pa.table(columns).group_by(keys, use_threads=False).aggregate([("rows", "count"), ("rows", "sum")])
    )
    return {
        (row["schema_name"], row["table_name"]): (row["rows_count"], row["rows_sum"] or 0)
        for row in counted.to_pylist()
        if row["table_name"]
    }
