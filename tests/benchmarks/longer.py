"""A long log out of a short one, where a server would take minutes to make it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_tungsten.replicator.storage import new_token, open_storage
from airflow_provider_tungsten.replicator.thl.columns import SCHEMA
from airflow_provider_tungsten.replicator.thl.log import Log
from airflow_provider_tungsten.replicator.thl.segment import Head
from tests.benchmarks.service import NAME
from tests.benchmarks.workload import LogRange


def longer(log: LogRange, thl: Path, target: Path, times: int) -> LogRange:
    """Writes into ``target`` a THL that holds the transactions of ``thl`` so many times over, one time behind the other."""
    source, copy = Log(open_storage(str(thl)), NAME), Log(open_storage(str(target)), NAME)
    head = source.head()
    assert head is not None
    begun = copy.create(
        head.resume, source_id="bench", token=new_token(), extracted_ts=0, options={"long": str(times)}
    )
    limits = {"segment_bytes": 128 * 1024 * 1024, "segment_events": 500_000}
    with copy.writer(begun, token=new_token(), **limits) as writer:
        for number in range(times):
            for table in _copies(source, head, number):
                writer.add_tables([table])
            writer.commit(head.resume)
    return replace(log, transactions=log.transactions * times, rows=log.rows * times, size=log.size * times)


def _copies(source: Log, head: Head, number: int) -> Iterator[pa.Table]:
    """All behind the first record, under the seqnos that follow ``number`` times as many."""
    for batch in source.scan_columns(1, head.last, SCHEMA.names):
        changed = {
            "seqno": pc.add(batch.column("seqno"), number * head.last),
            "watermark": pa.repeat(pa.scalar(head.watermark, pa.int64()), len(batch)).cast(
                batch.column("watermark").type
            ),
        }
        yield pa.table(
            [changed.get(name, batch.column(name)) for name in batch.schema.names], schema=batch.schema
        )
