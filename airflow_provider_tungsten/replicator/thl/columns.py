"""THL events as Arrow columns and back. Knows the columns of a segment, nothing of files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_tungsten.replicator.binlog._fragments import Buffer
from airflow_provider_tungsten.replicator.binlog._spooled import SpooledBuffer
from airflow_provider_tungsten.replicator.spool import TableKey
from airflow_provider_tungsten.replicator.thl.event import Kind, ThlEvent

# What is made, written and read at a time: a row group.
GROUP_BYTES = 8 * 1024 * 1024
GROUP_EVENTS = 16_384
_GATHERED_EVENTS = 4 * GROUP_EVENTS
# A row group of more takes several times its size where it is written or read: it is in memory alone then.
ALONE = 2 * GROUP_BYTES

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


def one_payload(payload: bytes | memoryview | SpooledBuffer) -> pa.Array:
    """The column of one event; not copied."""
    data = pa.py_buffer(payload)
    ends = pa.array([0, data.size], pa.int32()).buffers()[1]
    return pa.Array.from_buffers(_PAYLOAD, 1, [None, ends, data])


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


def events_of(batch: pa.RecordBatch, spooled: SpooledBuffer | None = None) -> Iterator[ThlEvent]:
    """Likewise; a large payload, alone in its batch, stays where it is.

    :param spooled: what that lies in.
    """
    columns = [
        _values(batch.column(name), type_) if name in batch.schema.names else [None] * len(batch)
        for name, type_ in _TYPES.items()
    ]
    if spooled is not None:
        columns[_PLACE["payload"]] = [spooled]
    return map(ThlEvent._make, zip(*columns, strict=True))


def _values(column: pa.Array, type_: pa.DataType) -> list[Any]:
    if type_ == _LABEL:
        # One object per distinct text: a definition of a kilobyte is not made anew for every row.
        labels = [*column.dictionary.to_pylist(), None]
        return [labels[index] for index in column.indices.fill_null(-1).to_pylist()]
    if type_ == _PAYLOAD and len(column) == 1 and len(payload := contents(column)[1]) > ALONE:
        return [payload]
    if type_ == _TIME:
        column = column.cast(pa.int64())
    if type_ == _OPTIONS:
        if column.null_count == len(column):
            return [None] * len(column)
        return [None if pairs is None else dict(pairs) for pairs in column.to_pylist()]
    values: list[Any] = column.to_pylist()
    return values


def gathered(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same events in fewer batches, for who does something once a batch and label."""
    some: list[pa.RecordBatch] = []
    for batch in batches:
        some.append(batch)
        if sum(map(len, some)) >= _GATHERED_EVENTS:
            yield _one(some)
            some = []
    if some:
        yield _one(some)


def _one(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    if len(batches) == 1:
        return batches[0]
    (batch,) = pa.Table.from_batches(batches).unify_dictionaries().combine_chunks().to_batches()
    return batch


def label_keys(columns: Sequence[pa.DictionaryArray]) -> pa.Array:
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
    keys = label_keys(columns)
    numbers = (keys if where is None else pc.if_else(where, keys, None)).dictionary_encode()
    firsts = pc.index_in(numbers.dictionary, keys)
    labels = [each.of(column.take(firsts)) for each, column in zip(texts.values(), columns, strict=True)]
    return list(zip(*labels, strict=True)), numbers.indices


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
