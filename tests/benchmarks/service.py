"""The service that is measured."""

from __future__ import annotations

from typing import Any

from airflow_provider_tungsten.replicator.batch.chain import Chain
from airflow_provider_tungsten.replicator.batch.manifest import Plan
from airflow_provider_tungsten.replicator.service import Service
from airflow_provider_tungsten.replicator.storage import Storage, new_token
from airflow_provider_tungsten.replicator.thl.appliers import FOLDER
from airflow_provider_tungsten.replicator.thl.log import Log
from tests.benchmarks.workload import SCHEMA, LogRange

NAME = "bench"
APPLIER = "redshift"
BUCKET = "bench"


def service(
    log: LogRange, batches: dict[str, int] | None = None, applier: str = "redshift"
) -> dict[str, Any]:
    """A service that begins with the range and reads to the log's end; one micro-batch unless `batches` says more.

    :param applier: its type; Redshift's takes no large values.
    """
    return {
        "service": NAME,
        "source": {
            "connection": "none",
            "server_id": 6590,
            "start": {"event_id": f"{log.file}:{log.start}"},
            "include": [f"{SCHEMA}.*"],
            "min_retention_hours": 0,
            "limits": {"max_transactions": 10**9, "max_bytes": 2**40, "max_seconds": 3600},
        },
        "thl": {"url": "/unused"},
        "appliers": {
            APPLIER: {
                "type": applier,
                "files": {"url": f"s3://{BUCKET}/files"},
                "batches": batches or {"max_transactions": 10**9, "max_rows": 10**9, "max_bytes": 2**40},
            }
        },
    }


def applier_folder(files: Storage) -> Storage:
    """Where the applier's plans and files lie."""
    return files.sub(NAME).sub(APPLIER)


def planned(files: Storage, log: Log, service: Service) -> tuple[Chain, list[Plan]]:
    """All of the log, planned for a new applier: here one log is written into many folders, one after the other."""
    for item in list(log.storage.list(FOLDER)):
        log.storage.delete(item.key)
    chain = Chain(files, log, service, APPLIER)
    return chain, chain.extend(token=new_token(), limit=1000, waiting=False)
