"""Runs one step in a process of its own and prints how far its memory rose above the idle process, in MB."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from airflow_provider_tungsten.replicator.batch.chain import Chain
from airflow_provider_tungsten.replicator.batch.writer import write_batch
from airflow_provider_tungsten.replicator.extractor import extract
from airflow_provider_tungsten.replicator.service import parse_service
from airflow_provider_tungsten.replicator.source.connection import MySQLEndpoint
from airflow_provider_tungsten.replicator.storage import new_token, open_storage
from airflow_provider_tungsten.replicator.thl.log import Log


def _peak_mb() -> float:
    """The high-water mark of this program's own memory; getrusage would include its parent's."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024  # type: ignore[index]


def main() -> None:
    job = json.loads(sys.stdin.read())
    service = parse_service(job["service"])
    thl = open_storage(job["thl"])
    files = open_storage(job["files"])
    idle = _peak_mb()
    if job["step"] == "extract":
        extract(service, MySQLEndpoint(**job["endpoint"]), thl, token=new_token())
    else:
        log = Log(thl, service.service)
        chain = Chain(files, log, service, "redshift")
        for plan in chain.extend(token=new_token(), limit=100, waiting=False):
            write_batch(log, plan, service, "redshift", files, token=new_token())
    print(json.dumps({"extra_mb": _peak_mb() - idle}))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    main()
