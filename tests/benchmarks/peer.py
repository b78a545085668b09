"""The peer: what mysql-replication makes of the same log, decoding every row and nothing else."""

from __future__ import annotations

import time
from typing import Any

from pymysqlreplication import BinLogStreamReader
from pymysqlreplication.row_event import DeleteRowsEvent, UpdateRowsEvent, WriteRowsEvent

from tests.benchmarks.workload import LogRange


def rows_per_second(settings: dict[str, Any], log: LogRange, limit: int) -> float:
    """Rows a second over the first `limit` rows of the range; with single-row transactions, transactions a second."""
    stream = BinLogStreamReader(
        connection_settings=settings,
        server_id=6599,
        blocking=False,
        resume_stream=True,
        log_file=log.file,
        log_pos=log.start,
        only_events=[WriteRowsEvent, UpdateRowsEvent, DeleteRowsEvent],
    )
    started, rows = time.perf_counter(), 0
    for event in stream:
        rows += len(event.rows)
        if rows >= limit:
            break
    seconds = time.perf_counter() - started
    stream.close()
    return rows / seconds
