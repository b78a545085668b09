"""`make bench`: extraction, CSV and load against mysql-replication on the same logs; figures go to build/bench.json."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import structlog
from rich.console import Console
from rich.table import Table

from airflow_provider_tungsten.replicator.batch.chain import Chain
from airflow_provider_tungsten.replicator.batch.writer import write_batch
from airflow_provider_tungsten.replicator.extractor import extract
from airflow_provider_tungsten.replicator.redshift.load import load
from airflow_provider_tungsten.replicator.service import Service, parse_service
from airflow_provider_tungsten.replicator.source.connection import MySQLEndpoint
from airflow_provider_tungsten.replicator.storage import Storage, new_token, open_storage
from airflow_provider_tungsten.replicator.thl.log import Log
from tests.benchmarks import peer, workload
from tests.benchmarks.workload import LogRange
from tests.stack.mysql import MySQL
from tests.stack.redshift import Redshift
from tests.stack.s3 import S3

REPORT = Path("build/bench.json")
BUCKET = "bench"
APPLIER = "redshift"
RUNS = 3
SMALL = 300_000
BULK = 600_000
PEER = 12_000
PEAK_ROWS, PEAK_NOTE = 1_000_000, 180
# The server shares the machine with what is measured; how it syncs its own log is not part of the figures.
MYSQL_OPTIONS = {"innodb-flush-log-at-trx-commit": "0", "sync-binlog": "0", "max-binlog-size": "1G"}

console = Console()


def service(log: LogRange, files: str = f"s3://{BUCKET}/files") -> dict[str, Any]:
    """A service that starts with the range and reads to the log's end."""
    return {
        "service": "bench",
        "source": {
            "connection": "none",
            "server_id": 6590,
            "start": {"event_id": f"{log.file}:{log.start}"},
            "include": [f"{workload.SCHEMA}.*"],
            "min_retention_hours": 0,
        },
        "thl": {"url": "/unused"},
        "appliers": {APPLIER: {"files": {"url": files}, "batches": {"max_rows": 10**9, "max_bytes": 2**40}}},
    }


class Bench:
    """The servers, a scratch folder and the figures."""

    def __init__(self, folder: Path, mysql: MySQL, s3: S3, redshift: Redshift) -> None:
        self.folder = folder
        self.mysql = mysql
        self.s3 = s3
        self.redshift = redshift
        self.figures: dict[str, float] = {}
        self.endpoint = MySQLEndpoint(
            host=mysql.host, port=mysql.port, user=mysql.user, password=mysql.password
        )
        self._scratch = 0

    def scratch(self) -> Path:
        self._scratch += 1
        path = self.folder / f"scratch-{self._scratch}"
        path.mkdir()
        return path

    def extract(self, log: LogRange) -> tuple[float, Storage, Service]:
        """Seconds of the fastest path a user has: into a local THL. Median of several runs."""
        checked = parse_service(service(log))
        seconds = []
        for _ in range(RUNS):
            thl = open_storage(str(self.scratch()))
            started = time.perf_counter()
            result = extract(checked, self.endpoint, thl, token=new_token())
            seconds.append(time.perf_counter() - started)
            if result.rows != log.rows:
                raise RuntimeError(f"extracted {result.rows} rows of {log.rows}")
        return median(seconds), thl, checked

    def batch(
        self, thl: Storage, checked: Service, files: Callable[[], Storage]
    ) -> tuple[float, Chain, Storage]:
        """Seconds of planning and writing everything in the log."""
        log = Log(thl, checked.service)
        seconds = []
        for _ in range(RUNS):
            store = files()
            chain = Chain(store, log, checked, APPLIER)
            started = time.perf_counter()
            for plan in chain.extend(token=new_token(), limit=1000, waiting=False):
                write_batch(log, plan, checked, APPLIER, store, token=new_token())
            seconds.append(time.perf_counter() - started)
        return median(seconds), chain, store

    def measure(self) -> None:
        with self.mysql.connect() as connection:
            workload.prepare(connection)
            small = workload.small_transactions(connection, SMALL)
            peer_small = self._peer(small)
            oltp_seconds, _, _ = self.extract(small)
            bulk = workload.bulk_transaction(connection, BULK)
            peer_bulk = self._peer(bulk)
            bulk_seconds, thl, checked = self.extract(bulk)
            csv_seconds, _, _ = self.batch(thl, checked, lambda: open_storage(str(self.scratch())))
            self.figures |= {
                "extract_oltp_tx_per_s": small.transactions / oltp_seconds,
                "extract_oltp_vs_mysql_replication": small.transactions / oltp_seconds / peer_small,
                "extract_bulk_mb_per_s": bulk.megabytes / bulk_seconds,
                "csv_rows_per_s": bulk.rows / csv_seconds,
                "csv_vs_mysql_replication": bulk.rows / csv_seconds / peer_bulk,
                "load_rows_per_s": self._load(thl, checked, bulk.rows),
            }
            peak = workload.bulk_transaction(connection, PEAK_ROWS, PEAK_NOTE)
            self.figures |= self._peaks(peak)

    def _peer(self, log: LogRange) -> float:
        settings = {
            "host": self.mysql.host,
            "port": self.mysql.port,
            "user": self.mysql.user,
            "passwd": self.mysql.password,
        }
        return peer.rows_per_second(settings, log, PEER)

    def _load(self, thl: Storage, checked: Service, rows: int) -> float:
        store = (
            open_storage(f"s3://{BUCKET}/files", s3_client=self.s3.client()).sub(checked.service).sub(APPLIER)
        )
        log = Log(thl, checked.service)
        chain = Chain(store, log, checked, APPLIER)
        for plan in chain.extend(token=new_token(), limit=1000, waiting=False):
            write_batch(log, plan, checked, APPLIER, store, token=new_token())
        started = time.perf_counter()
        result = load(self.redshift.connect, log, chain, store, checked, APPLIER, through=chain.end())
        seconds = time.perf_counter() - started
        if result.rows != rows:
            raise RuntimeError(f"loaded {result.rows} rows of {rows}")
        return rows / seconds

    def _peaks(self, log: LogRange) -> dict[str, float]:
        job = {
            "service": service(log),
            "endpoint": {
                "host": self.mysql.host,
                "port": self.mysql.port,
                "user": self.mysql.user,
                "password": self.mysql.password,
            },
            "thl": str(self.scratch()),
            "files": str(self.scratch()),
        }
        return {f"peak_extra_mb_{step}": _peak(job | {"step": step}) for step in ("extract", "batch")}


def _peak(job: dict[str, Any]) -> float:
    command = [sys.executable, "-m", "tests.benchmarks.peak"]
    done = subprocess.run(command, input=json.dumps(job), stdout=subprocess.PIPE, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1])["extra_mb"])


def report(figures: dict[str, float]) -> None:
    table = Table("figure", "value")
    table.columns[1].justify = "right"
    for name, value in figures.items():
        table.add_row(name, f"{value:,.1f}" if value < 1000 else f"{value:,.0f}")
    console.print(table)
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps({name: round(value, 2) for name, value in figures.items()}, indent=2) + "\n")
    console.print(f"written to {REPORT}")


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory(prefix="tungsten-bench-") as name:
        folder = Path(name)
        with MySQL(folder / "mysql", options=MYSQL_OPTIONS) as mysql, S3() as s3:
            s3.create_bucket(BUCKET)
            with Redshift(folder / "redshift", s3) as redshift:
                bench = Bench(folder, mysql, s3, redshift)
                with console.status("measuring; about two minutes"):
                    bench.measure()
    report(bench.figures)


if __name__ == "__main__":
    main()
