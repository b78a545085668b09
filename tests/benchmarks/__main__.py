"""`make bench`: every step against the peers on the same logs, in one run; figures go to build/bench.json.

Ours and the peers take turns, since a machine is faster in one minute than in the next; each figure is a median.
"""

from __future__ import annotations

import json
import logging
import os
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

from airflow_provider_tungsten.replicator.batch.apply import apply_batches
from airflow_provider_tungsten.replicator.batch.chain import Chain
from airflow_provider_tungsten.replicator.batch.presets import PRESETS, Csv
from airflow_provider_tungsten.replicator.batch.writer import write_batch
from airflow_provider_tungsten.replicator.binlog.definition import TableDefinition
from airflow_provider_tungsten.replicator.binlog.rows import CsvEncoder
from airflow_provider_tungsten.replicator.extractor import extract
from airflow_provider_tungsten.replicator.redshift.load import Target
from airflow_provider_tungsten.replicator.runner import Connections, Runner
from airflow_provider_tungsten.replicator.service import parse_service
from airflow_provider_tungsten.replicator.source.connection import MySQLEndpoint
from airflow_provider_tungsten.replicator.storage import Storage, new_token, open_storage
from airflow_provider_tungsten.replicator.thl.event import ROW_KINDS
from airflow_provider_tungsten.replicator.thl.log import Log
from tests.benchmarks import peers, report
from tests.benchmarks.longer import longer
from tests.benchmarks.service import APPLIER, BUCKET, NAME, applier_folder, planned, service
from tests.benchmarks.workload import LogRange, Workload
from tests.stack.mariadb import MariaDB
from tests.stack.mysql import MySQL
from tests.stack.provision import Missing, mariadb_root
from tests.stack.redshift import Redshift
from tests.stack.s3 import S3

ROUNDS = 3
SMALL = 300_000
BULK = 1_000_000
FEW = 100_000
MANY = 10_000_000
TABLES = (1, 100, 1000)
SPREAD = 1_000_000
LONG = 10
PEAK = 1_000_000
LARGE = 900  # MB of a row; a packet of MySQL's has 1 GiB
LIMITS = {"mysql_replication": 12_000, "mysql_event_stream": 60_000, "zongji": 40_000}
# The server shares the machine with what is measured; how it syncs its own log is not part of the figures.
MYSQL_OPTIONS = {
    "innodb-flush-log-at-trx-commit": "0",
    "sync-binlog": "0",
    "max-binlog-size": "1G",
    "max-allowed-packet": "1G",
}

console = Console()


class Bench:
    """The servers, a scratch folder and the figures."""

    def __init__(self, folder: Path, mysql: MySQL, s3: S3, redshift: Redshift) -> None:
        self.folder = folder
        self.mysql = mysql
        self.s3 = s3
        self.redshift = redshift
        self.endpoint = {
            "host": mysql.host,
            "port": mysql.port,
            "user": mysql.user,
            "password": mysql.password,
        }
        self.workload = Workload(mysql.connect())
        self.figures: dict[str, float] = {}
        self.absent: list[str] = []
        self._scratch = 0

    def scratch(self) -> Path:
        self._scratch += 1
        path = self.folder / f"scratch-{self._scratch}"
        path.mkdir()
        return path

    # The steps

    def extract(self, log: LogRange) -> tuple[float, Path]:
        """Seconds into a local THL, the fastest path a user has; and its folder."""
        path = self.scratch()
        started = time.perf_counter()
        result = extract(
            parse_service(service(log)),
            MySQLEndpoint(**self.endpoint),
            open_storage(str(path)),
            token=new_token(),
        )
        seconds = time.perf_counter() - started
        if result.rows != log.rows:
            raise RuntimeError(f"extracted {result.rows} rows of {log.rows}")
        return seconds, path

    def batch(self, log: LogRange, thl: Path) -> float:
        """Seconds of planning and writing everything in the log as one batch into a folder."""
        checked = parse_service(service(log))
        started = time.perf_counter()
        self._write(
            Log(open_storage(str(thl)), NAME), checked, applier_folder(open_storage(str(self.scratch())))
        )
        return time.perf_counter() - started

    def _write(self, log: Log, checked: Any, store: Storage) -> Chain:
        chain, plans = planned(store, log, checked)
        for plan in plans:
            write_batch(log, plan, checked, APPLIER, store, token=new_token())
        return chain

    def plan(self, log: LogRange, thl: Path) -> float:
        """Seconds of planning everything in the log, cut as by default, into a folder."""
        checked = parse_service(service(log, {"max_transactions": 100_000}))
        store, source = applier_folder(open_storage(str(self.scratch()))), Log(open_storage(str(thl)), NAME)
        started = time.perf_counter()
        planned(store, source, checked)
        return time.perf_counter() - started

    def encoder(self, thl: Path, preset: str = "redshift") -> Callable[[], float]:
        """Rows a second of the encoder alone, over row images that lie in memory."""
        log = Log(open_storage(str(thl)), NAME)
        head = log.head()
        assert head is not None
        events = [event for event in log.read(0, head.last) if event.kind in ROW_KINDS]
        definition = TableDefinition.from_json(events[0].definition or "")
        dialect = Csv(preset=preset).dialect
        csv = CsvEncoder(definition, ("opcode", "seqno", "row_id", "commit_timestamp"), dialect=dialect)

        def rate() -> float:
            started = time.perf_counter()
            for event in events:
                csv.encode(
                    event.payload or b"", event.kind, seqno=event.seqno, row_id=1, commit_ts=event.commit_ts
                )
            return sum(event.rows for event in events) / (time.perf_counter() - started)

        return rate

    def stage(self, log: LogRange, thl: Path, batches: dict[str, int]) -> float:
        """CSV rows a second from the THL into S3 by two processes, each mapped over half of the micro-batches."""
        body = service(log, batches)
        url = f"s3://{BUCKET}/stage-{self.scratch().name}"
        store = applier_folder(open_storage(url, s3_client=self.s3.client()))
        _, plans = planned(store, Log(open_storage(str(thl)), NAME), parse_service(body))
        halves = plans[: len(plans) // 2], plans[len(plans) // 2 :]
        job = {"step": "stage", "service": body, "thl": str(thl), "files": url}
        results = self.work([job | {"seqnos": [half[0].first, half[-1].last]} for half in halves if half])
        seconds = max(result["ended"] for result in results) - min(result["started"] for result in results)
        return float(sum(result["rows"] for result in results)) / seconds

    def work(self, jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Runs each job in a process of its own; they begin together when all are ready."""
        command = [sys.executable, "-m", "tests.benchmarks.worker"]
        environment = {**os.environ, **self.s3.env}
        workers = [
            subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
            )
            for _ in jobs
        ]
        for worker, job in zip(workers, jobs, strict=True):
            self._say(worker, json.dumps(job))
            self._hear(worker)
        for worker in workers:
            self._say(worker, "go")
        return [json.loads(self._hear(worker)) for worker in workers]

    def _say(self, worker: subprocess.Popen[str], line: str) -> None:
        assert worker.stdin is not None
        worker.stdin.write(line + "\n")
        worker.stdin.flush()

    def _hear(self, worker: subprocess.Popen[str]) -> str:
        assert worker.stdout is not None
        line = worker.stdout.readline()
        if not line:
            raise RuntimeError("a worker ended early")
        return line

    # The measurements

    def turns(self, rounds: int = ROUNDS, **measures: Callable[[], float]) -> dict[str, float]:
        """Median of each measure, all of them taken in turn; without those that cannot run here."""
        values: dict[str, list[float]] = {name: [] for name in measures}
        for _ in range(rounds):
            for name, measure in measures.items():
                if name in values:
                    try:
                        values[name].append(measure())
                    except peers.NotHere as reason:
                        self.absent.append(str(reason))
                        del values[name]
        return {name: median(found) for name, found in values.items()}

    def peers(self, log: LogRange) -> dict[str, Callable[[], float]]:
        return {name: self._peer(getattr(peers, name), log, limit) for name, limit in LIMITS.items()}

    def _peer(self, measure: Callable[..., float], log: LogRange, limit: int) -> Callable[[], float]:
        return lambda: measure(self.mysql, log, limit)

    def measure(self) -> None:
        for step in (self.oltp, self.growth, self.bulk, self.tables, self.peaks):
            started = time.perf_counter()
            step()
            console.log(f"{step.__name__}: {time.perf_counter() - started:.0f} s")

    def oltp(self) -> None:
        log = self.workload.small_transactions(SMALL)
        rates = self.turns(
            ours=lambda: log.transactions / self.extract(log)[0],
            raw_packets=lambda: peers.raw_packets(self.mysql, log),
            mysqlbinlog_v=lambda: peers.mysqlbinlog_v(self.mysql, log),
            **self.peers(log),
        )
        self.figures["extract_oltp_tx_per_s"] = rates["ours"]
        self._ratios("extract_oltp", rates)
        _, thl = self.extract(log)
        batches = {"max_transactions": SMALL // 8}
        self.figures |= self.turns(
            plan_oltp_events_per_s=lambda: log.transactions / self.plan(log, thl),
            stage_oltp_rows_per_s=lambda: self.stage(log, thl, batches),
        )
        self.figures["end_to_end_oltp_tx_per_s"] = self._end_to_end(log)
        self._peak("extract_oltp", "extract", log)

    def _end_to_end(self, log: LogRange) -> float:
        """Transactions a second out of the server's log into the target: the whole pass of one process, step after step."""
        body = service(log, {"max_transactions": SMALL // 8})
        body["thl"]["url"] = str(self.scratch())
        schemas = {"target_schema": "end_to_end", "staging_schema": "end_to_end_staging"}
        body["appliers"][APPLIER] |= {"files": {"url": f"s3://{BUCKET}/end-to-end"}, **schemas}
        client = self.s3.client()
        connections = Connections(
            mysql=lambda _: MySQLEndpoint(**self.endpoint),
            store=lambda store: open_storage(store.url, s3_client=client),
            redshift=lambda *_: self.redshift.connect,
        )
        started = time.perf_counter()
        runner = Runner(parse_service(body), connections, appliers=[APPLIER], token=new_token())
        load = runner.once().appliers[0].load
        if load is None or load.position.seqno != log.transactions:
            raise RuntimeError("not everything was loaded")
        return log.transactions / (time.perf_counter() - started)

    def _ratios(self, figure: str, rates: dict[str, float]) -> None:
        for name, rate in rates.items():
            if name != "ours":
                self.figures[f"{figure}_vs_{name}"] = rates["ours"] / rate

    def growth(self) -> None:
        """The same rates at ten and a hundred times the rows."""
        for rows in (FEW, BULK, MANY):
            log = self.workload.bulk(rows)
            rounds = ROUNDS if rows < MANY else 1
            extracted = [self.extract(log) for _ in range(rounds)]
            thl = extracted[-1][1]
            written = self.turns(rounds, rate=lambda log=log, thl=thl: log.rows / self.batch(log, thl))
            self.figures[f"growth_extract_rows_per_s_{rows}"] = rows / median(each for each, _ in extracted)
            self.figures[f"growth_csv_rows_per_s_{rows}"] = written["rate"]
        for step in ("extract", "csv"):
            rates = {rows: self.figures[f"growth_{step}_rows_per_s_{rows}"] for rows in (FEW, MANY)}
            self.figures[f"growth_{step}_{MANY}_vs_{FEW}"] = rates[MANY] / rates[FEW]

    def bulk(self) -> None:
        log = self.workload.bulk(BULK)
        rates = self.turns(
            ours=lambda: log.megabytes / self.extract(log)[0],
            mysqlbinlog_raw=lambda: peers.mysqlbinlog_raw(self.mysql, log),
            mysqlbinlog_v=lambda: peers.mysqlbinlog_v(self.mysql, log) / log.rows * log.megabytes,
        )
        self.figures["extract_bulk_mb_per_s"] = rates["ours"]
        self._ratios("extract_bulk", rates)
        _, thl = self.extract(log)
        rates = self.turns(
            ours=self.encoder(thl),
            batch=lambda: log.rows / self.batch(log, thl),
            mysqlbinlog_v=lambda: peers.mysqlbinlog_v_file(self.mysql, log),
            **self.peers(log),
            **self._mariadb(),
        )
        self.figures["csv_encode_rows_per_s"] = ours = rates["ours"]
        self.figures["csv_rows_per_s"] = rates["batch"]
        self.figures["csv_vs_mysql_replication"] = rates["batch"] / rates["mysql_replication"]
        for name in ("mysqlbinlog_v", "mariadb_binlog_v"):
            if name in rates:
                self.figures[f"csv_vs_{name}"] = ours / rates[name]
        for name in LIMITS:
            if name in rates:
                self.figures[f"csv_encode_vs_{name}"] = ours / rates[name]
        rates = self.turns(**{preset: self.encoder(thl, preset) for preset in PRESETS if preset != "custom"})
        for preset in rates.keys() - {"redshift"}:
            self.figures[f"csv_encode_{preset}_vs_redshift"] = rates[preset] / rates["redshift"]
        batches = {"max_rows": BULK // 10}
        self.figures |= self.turns(stage_s3_rows_per_s=lambda: self.stage(log, thl, batches))
        self.figures["load_rows_per_s"] = self._load(log, thl)

    def _mariadb(self) -> dict[str, Callable[[], float]]:
        """MariaDB's own log of the same rows, for its own program."""
        if not (mariadb_root() / "usr/bin/mariadb-binlog").exists():
            self.absent.append("mariadb-binlog: not among the MariaDB programs in the cache")
            return {}
        try:
            with MariaDB(
                self.folder / "mariadb", options={"max-binlog-size": "1G", "sync-binlog": "0"}
            ) as server:
                connection = server.connect()
                with connection.cursor() as cursor:
                    log = Workload(connection, mysql=False).bulk(FEW * 3, each=FEW)
                    cursor.execute("FLUSH BINARY LOGS")
                file = server.data / log.file
        except Missing as reason:
            self.absent.append(f"mariadb-binlog: {reason}")
            return {}
        return {"mariadb_binlog_v": lambda: peers.mariadb_binlog_v_file(mariadb_root(), file, log.rows)}

    def tables(self) -> None:
        """The same rows over more and more tables; also where the log is so long that no table's share fits into memory."""
        long: dict[int, tuple[LogRange, Path]] = {}
        for number in TABLES:
            log = self.workload.interleaved(SPREAD, number)
            seconds, thl = self.extract(log)
            rates = self.turns(rate=lambda log=log, thl=thl: log.rows / self.batch(log, thl))
            self.figures[f"extract_rows_per_s_{number}_tables"] = log.rows / seconds
            self.figures[f"csv_rows_per_s_{number}_tables"] = rates["rate"]
            path = self.scratch()
            long[number] = longer(log, thl, path, LONG), path
        self._peak("batch_1000_tables", "batch", log, thl)
        rates = self.turns(
            **{
                f"csv_rows_per_s_{number}_tables_{log.rows}": lambda log=log, thl=thl: (
                    log.rows / self.batch(log, thl)
                )
                for number, (log, thl) in long.items()
            }
        )
        self.figures |= rates
        alone, *others = rates
        for name in others:
            self.figures[f"{name.replace('_rows_per_s', '')}_vs_1_table"] = rates[name] / rates[alone]
        for number in TABLES[1:]:
            log, thl = long[number]
            self._peak(f"batch_{number}_tables_{log.rows}", "batch", log, thl)

    def _load(self, log: LogRange, thl: Path) -> float:
        checked = parse_service(service(log))
        store = applier_folder(open_storage(f"s3://{BUCKET}/files", s3_client=self.s3.client()))
        source = Log(open_storage(str(thl)), NAME)
        chain = self._write(source, checked, store)
        started = time.perf_counter()
        target = Target(self.redshift.connect, NAME, APPLIER, checked.applier(APPLIER), store)
        result = apply_batches(target, source, chain, store, through=chain.end())
        seconds = time.perf_counter() - started
        if result.rows != log.rows:
            raise RuntimeError(f"loaded {result.rows} rows of {log.rows}")
        return log.rows / seconds

    def peaks(self) -> None:
        """Of every step in a process of its own, at one transaction of PEAK rows."""
        large = self.workload.bulk(PEAK, each=PEAK, note=180)
        thl = self._peak("extract", "extract", large)
        self._peak("batch", "batch", large, thl)
        self._peak("stage", "batch", large, thl, f"s3://{BUCKET}/peak")
        compressed = self.workload.bulk(PEAK, each=PEAK, note=180, compressed=True)
        self._peak("extract_compressed", "extract", compressed)
        large = self.workload.large(2, LARGE)
        thl = self._peak("extract_large_rows", "extract", large)
        self._peak("batch_large_rows", "batch", large, thl, applier="s3")
        peaks = [value for name, value in self.figures.items() if name.startswith("peak_extra_mb")]
        self.figures["peak_extra_mb_max"] = max(peaks)

    def _peak(
        self,
        name: str,
        step: str,
        log: LogRange,
        thl: Path | None = None,
        files: str = "",
        applier: str = "redshift",
    ) -> Path:
        thl = thl or self.scratch()
        checked = service(log, applier=applier)
        job = {"step": step, "service": checked, "endpoint": self.endpoint, "thl": str(thl)}
        (result,) = self.work([job | {"files": files or str(self.scratch())}])
        if result["rows"] != log.rows:
            raise RuntimeError(f"{name}: {result['rows']} rows of {log.rows}")
        self.figures[f"peak_extra_mb_{name}"] = result["extra_mb"]
        return thl


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory(prefix="tungsten-bench-") as name:
        folder = Path(name)
        with MySQL(folder / "mysql", options=MYSQL_OPTIONS) as mysql, S3() as s3:
            s3.create_bucket(BUCKET)
            with Redshift(folder / "redshift", s3) as redshift:
                bench = Bench(folder, mysql, s3, redshift)
                with console.status("measuring; about nine minutes"):
                    bench.measure()
    report.write(bench.figures, bench.absent)


if __name__ == "__main__":
    main()
