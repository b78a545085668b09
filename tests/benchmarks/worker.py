"""One Airflow task's work in a process of its own: `stage` writes its micro-batches, any step tells how far its memory rose.

Talks JSON over its standard streams: a job comes in, `ready` goes out, a line starts it, the result goes out.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from pathlib import Path
from typing import Any

import structlog

from airflow_provider_tungsten.replicator.batch.chain import Chain
from airflow_provider_tungsten.replicator.batch.writer import write_batch
from airflow_provider_tungsten.replicator.extractor import extract
from airflow_provider_tungsten.replicator.service import Service, parse_service
from airflow_provider_tungsten.replicator.source.connection import MySQLEndpoint
from airflow_provider_tungsten.replicator.storage import Storage, new_token, open_storage
from airflow_provider_tungsten.replicator.thl.log import Log
from tests.benchmarks.service import APPLIER, applier_folder, planned


def _peak_mb() -> float:
    """The high-water mark of this program's own memory; getrusage would include its parent's."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024  # type: ignore[index]


def _write(service: Service, thl: Storage, files: Storage, seqnos: list[int]) -> int:
    """:param seqnos: first and last of the micro-batches, planned before; without: all, planned here."""
    log = Log(thl, service.service)
    plans = Chain(files, log, service, APPLIER).locate(*seqnos) if seqnos else planned(files, log, service)[1]
    return sum(
        write_batch(log, plan, service, APPLIER, files, token=new_token()).total_rows for plan in plans
    )


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    job: dict[str, Any] = json.loads(sys.stdin.readline())
    service = parse_service(job["service"])
    thl = open_storage(job["thl"])
    files = applier_folder(open_storage(job["files"]))
    idle = _peak_mb()
    print("ready", flush=True)
    sys.stdin.readline()
    started, rows = time.time(), 0
    if job["step"] == "extract":
        rows = extract(service, MySQLEndpoint(**job["endpoint"]), thl, token=new_token()).rows
    else:
        rows = _write(service, thl, files, job.get("seqnos"))
    print(json.dumps({"rows": rows, "started": started, "ended": time.time(), "extra_mb": _peak_mb() - idle}))


if __name__ == "__main__":
    main()
