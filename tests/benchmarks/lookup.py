"""``python -m tests.benchmarks.lookup [million]``: how long `tungsten thl list -seqno N` takes on a log of so many million events."""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_tungsten.replicator.storage import open_storage
from airflow_provider_tungsten.replicator.thl import columns
from airflow_provider_tungsten.replicator.thl.event import Kind, Resume
from airflow_provider_tungsten.replicator.thl.log import Log
from tests.unit.replicator.batch.logs import ORDERS, image

GROUP = 16_384


def large_log(folder: Path, events: int) -> Log:
    """A log of transactions of one row, written in bulk as the extractor writes them."""
    log = Log(open_storage(str(folder)), "shop")
    log.create(Resume("uuid", "bin.000001", 4), source_id="db1", token="lookup", extracted_ts=0)
    head = log.head()
    assert head is not None
    resume = Resume("uuid", "bin.000001", 4 + 100 * events, watermark=events * 1000)
    with log.writer(head, token="lookup", segment_bytes=1 << 40, segment_events=500_000) as writer:
        for first in range(1, events + 1, GROUP):
            writer.add_tables([_group(first, min(GROUP, events + 1 - first))])
            writer.commit(resume)
    return log


def _group(first: int, count: int) -> pa.Table:
    seqnos = pa.array(range(first, first + count), pa.int64())
    times = pc.multiply(seqnos, 1000)
    payload = [image((seqno, f"order {seqno}")) for seqno in range(first, first + count)]
    event_ids = pc.binary_join_element_wise("bin.000001", pc.utf8_lpad(seqnos.cast("string"), 16, "0"), ":")
    constant = {
        "fragno": 0,
        "last_frag": True,
        "epoch_number": 0,
        "source_id": "db1",
        "kind": str(Kind.INSERT),
        "schema_name": "shop",
        "table_name": "orders",
        "shard_id": "shop",
        "rows": 1,
        "definition": ORDERS.json,
        "options": None,
        "gtid": "",
    }
    given = {
        "seqno": seqnos,
        "event_id": pc.binary_join_element_wise(event_ids, "27", ";"),
        "payload": pa.array(payload, pa.binary()),
        "payload_bytes": pa.array(map(len, payload), pa.int64()),
        **dict.fromkeys(("commit_ts", "watermark", "extracted_ts"), times),
    }
    return pa.table(
        [
            given[field.name].cast(field.type)
            if field.name in given
            else _repeated(constant[field.name], count, field.type)
            for field in columns.SCHEMA
        ],
        schema=columns.SCHEMA,
    )


def _repeated(value: object, count: int, type_: pa.DataType) -> pa.Array:
    if value is None:
        return pa.nulls(count, type_)
    if pa.types.is_dictionary(type_):
        return pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, type_.index_type), count), [value])
    return pa.repeat(pa.scalar(value, type_), count)


def main() -> None:
    events = int(float(sys.argv[1] if len(sys.argv) > 1 else "10") * 1_000_000)
    with tempfile.TemporaryDirectory(prefix="tungsten-lookup-") as name:
        started = time.perf_counter()
        large_log(Path(name), events)
        print(f"{events:,} events written in {time.perf_counter() - started:.0f} s")
        seqnos = [1, events // 2, events, *random.sample(range(1, events), 7)]
        within, whole = [], []
        for seqno in seqnos:
            started = time.perf_counter()
            found = list(Log(open_storage(name), "shop").read(seqno, seqno))
            within.append(time.perf_counter() - started)
            assert [event.seqno for event in found] == [seqno]
            command = [
                sys.executable,
                "-m",
                "airflow_provider_tungsten.replicator.cli",
                "thl",
                "list",
                "-seqno",
                str(seqno),
            ]
            started = time.perf_counter()
            done = subprocess.run(
                [*command, "--thl", name, "--service", "shop"], capture_output=True, check=True, text=True
            )
            whole.append(time.perf_counter() - started)
            assert f"SEQ# = {seqno} /" in done.stdout
        print(f"looked up in {median(within) * 1000:.0f} ms (median), {max(within) * 1000:.0f} ms at most")
        print(f"the whole command {median(whole):.2f} s (median), {max(whole):.2f} s at most")


if __name__ == "__main__":
    main()
