"""THL events as Arrow columns and back. Knows the columns of a segment, nothing of files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_tungsten.replicator.thl.event import ThlEvent

_LABEL = pa.dictionary(pa.int32(), pa.string())
_TIME = pa.timestamp("us", tz="UTC")
_OPTIONS = pa.map_(pa.string(), pa.string())
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
    "payload": pa.binary(),
    "options": _OPTIONS,
    "payload_bytes": pa.int64(),
}
SCHEMA = pa.schema([pa.field(name, type_) for name, type_ in _TYPES.items()])
REPETITIVE = ["source_id", *(name for name, type_ in _TYPES.items() if type_ == _LABEL)]
WITHOUT_PAYLOAD = [name for name in _TYPES if name != "payload"]
_PLACE = {name: place for place, name in enumerate(_TYPES)}


def to_table(events: Sequence[ThlEvent]) -> pa.Table:
    """The events, at least one, as a table of ``SCHEMA``; ``payload_bytes`` is counted here."""
    columns: list[Any] = list(zip(*events, strict=True))
    columns[-1] = [len(payload) if payload else 0 for payload in columns[_PLACE["payload"]]]
    options = columns[_PLACE["options"]]
    columns[_PLACE["options"]] = [None if pairs is None else list(pairs.items()) for pairs in options]
    return pa.Table.from_arrays(
        [pa.array(values, type_) for values, type_ in zip(columns, _TYPES.values(), strict=True)],
        schema=SCHEMA,
    )


def to_events(table: pa.Table) -> Iterator[ThlEvent]:
    """The rows of a table of ``SCHEMA``, or of one that lacks ``payload``: then it is None everywhere."""
    for batch in table.to_batches():
        columns = [
            _values(batch.column(name), type_) if name in batch.schema.names else [None] * len(batch)
            for name, type_ in _TYPES.items()
        ]
        yield from map(ThlEvent._make, zip(*columns, strict=True))


def _values(column: pa.Array, type_: pa.DataType) -> list[Any]:
    if type_ == _LABEL:
        # One object per distinct text: a definition of a kilobyte is not made anew for every row.
        labels = [*column.dictionary.to_pylist(), None]
        return [labels[index] for index in column.indices.fill_null(-1).to_pylist()]
    if type_ == _TIME:
        return column.cast(pa.int64()).to_pylist()  # type: ignore[no-any-return]
    if type_ == _OPTIONS:
        if column.null_count == len(column):
            return [None] * len(column)
        return [None if pairs is None else dict(pairs) for pairs in column.to_pylist()]
    return column.to_pylist()  # type: ignore[no-any-return]


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
    """Events and rows of every (schema, table) that has any."""
    keys = ["schema_name", "table_name"]
    columns = {name: table.column(name).cast(pa.string()) for name in keys} | {"rows": table.column("rows")}
    counted = (
        pa.table(columns).group_by(keys, use_threads=False).aggregate([("rows", "count"), ("rows", "sum")])
    )
    return {
        (row["schema_name"], row["table_name"]): (row["rows_count"], row["rows_sum"])
        for row in counted.to_pylist()
        if row["table_name"]
    }
