"""What filters cost: nanoseconds a value for each kind of transform, and microseconds a row for a callable, beside the encoder's own.

``python -m tests.benchmarks.filters``; each figure is the least of several turns, less that of the same rows as they are.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Mapping

import pyarrow as pa

from airflow_provider_tungsten.replicator.binlog.definition import Column, TableDefinition
from airflow_provider_tungsten.replicator.binlog.output import (
    DropOnValue,
    HeaderValue,
    Output,
    OutputColumn,
    Transform,
)
from airflow_provider_tungsten.replicator.binlog.rows import CsvEncoder
from airflow_provider_tungsten.replicator.filters.python import Change, RowStep
from airflow_provider_tungsten.replicator.filters.rows import RowFilters
from airflow_provider_tungsten.replicator.thl.runs import RowRun

ROWS = 100_000
TURNS = 5
KEEP, DROP = OutputColumn(), OutputColumn(keep=False)
TEXT = Column("c", "varchar", 15, 400, charset="utf8mb4", length=100)
TABLE = TableDefinition("s", "t", (Column("id", "int", 3), TEXT), ("id",))
MAIL = "somebody.or.other@example.org"


def payload(text: str) -> bytes:
    raw = text.encode()
    return b"".join(
        b"\x00" + number.to_bytes(4, "little") + len(raw).to_bytes(2, "little") + raw
        for number in range(ROWS)
    )


def least(work: Callable[[], object]) -> float:
    times = []
    for _ in range(TURNS):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return min(times)


def encoding(output: Output, text: str) -> float:
    encoder = CsvEncoder(TABLE, ["opcode", "seqno", "row_id"], output=output)
    data = payload(text)
    return least(lambda: encoder.encode(data, "insert", seqno=1, row_id=1, commit_ts=0))


def same(text: str | None) -> str | None:
    return text


def unchanged(change: Change) -> Change:
    return change


def with_transform(*transforms: Transform) -> Output:
    return Output((KEEP, OutputColumn(True, transforms)))


def transforms() -> Mapping[str, tuple[Output, str]]:
    """By name: what is done, and to which text."""
    salt = b"0123456789abcdef0123456789abcdef"
    return {
        "dropcolumn": (Output((KEEP, DROP)), MAIL),
        "rowadddbname": (Output(back=("shop", "2892647586")), MAIL),
        "customcdc": (Output(back=tuple(HeaderValue)), MAIL),
        "droponvalue": (Output(rules=(DropOnValue(1, ("x",)),)), MAIL),
        "mask to_null": (with_transform(Transform("null")), MAIL),
        "mask constant": (with_transform(Transform("constant", "hidden")), MAIL),
        "mask keep_last": (with_transform(Transform("keep_last", count=4)), MAIL),
        "mask sha256": (with_transform(Transform("sha256", salt=salt)), MAIL),
        "truncatetext": (with_transform(Transform("truncate", count=10)), MAIL),
        "cast bigint": (with_transform(Transform("cast", "bigint")), "1234567890"),
        "cast decimal": (with_transform(Transform("cast", "decimal(18,4)")), "1234567.5"),
        "cast double": (with_transform(Transform("cast", "double")), "1234567.5"),
        "cast datetime": (with_transform(Transform("cast", "datetime(6)")), "2024-02-29 10:11:12"),
        "cast varchar": (with_transform(Transform("cast", "varchar(100)")), MAIL),
        "zerodate2null": (with_transform(Transform("zero_date_null")), "2024-02-29"),
        "python, a value": (with_transform(Transform("python", "same", call=same)), MAIL),
    }


def rows_cost() -> float:
    """Seconds a row for a callable that does nothing, the way to it and back included."""
    data = payload(MAIL)
    step = RowStep("unchanged", unchanged, "s", "t", ((0, "id"), (1, "c")))
    filters = RowFilters(TABLE, Output((KEEP, KEEP)), (step,))
    views = [memoryview(array(code, [value])) for code, value in (("B", 0), ("q", 1), ("q", 0), ("i", ROWS))]
    run = RowRun(
        "s",
        "t",
        TABLE.json,
        memoryview(array("Q", [0])),
        pa.RecordBatch.from_pylist([]),
        *views,
        memoryview(array("i", [0, len(data)])),
        memoryview(data),
    )
    return least(lambda: filters.filtered(run)) / ROWS


def costs() -> dict[str, float]:
    """Nanoseconds a value; of `python, a row` a row of two columns."""
    found = {}
    for name, (output, text) in transforms().items():
        found[name] = 1e9 * (encoding(output, text) - encoding(Output(), text)) / ROWS
    found["python, a row"] = 1e9 * rows_cost()
    return found


if __name__ == "__main__":
    print(f"{'a row as it is':20}{1e9 * encoding(Output(), MAIL) / ROWS:8.0f} ns")
    for name, cost in costs().items():
        print(f"{name:20}{cost:8.0f} ns")
