"""`make demo`: the shop sells, the DAG replicates, the terminal shows what arrives; `--once` ends it and compares."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table

from airflow_provider_tungsten.replicator.storage import open_storage
from airflow_provider_tungsten.replicator.thl.event import RECORD_KINDS
from airflow_provider_tungsten.replicator.thl.log import Log
from tests.stack import shop
from tests.stack.compare import TableResult, compare
from tests.stack.stack import Stack, exit_on_sigterm

BUCKET = "shop-replication"
DAG = "tungsten_shop"
WRITING_SECONDS = 60
CATCH_UP_SECONDS = 150

console = Console()


@contextmanager
def step(text: str) -> Iterator[None]:
    """Says what is going on and how long it took."""
    started = time.monotonic()
    with console.status(text):
        yield
    console.print(f"  [green]✓[/] {text} [dim]{time.monotonic() - started:.1f} s[/]")


def service() -> dict[str, Any]:
    """The demo's service file, as data."""
    return {
        "service": "shop",
        "source": {
            "connection": "mysql_shop",
            "server_id": 6501,
            "start": "earliest",
            "include": [f"{shop.SCHEMA}.*"],
        },
        "thl": {"url": f"s3://{BUCKET}/thl"},
        "appliers": {"redshift": {"files": {"url": f"s3://{BUCKET}/batches"}, "region": "us-east-1"}},
    }


@dataclass(frozen=True)
class Progressed:
    """How far the replication is: seqnos, rows in the target, and how old the target is."""

    extracted: int
    applied: int
    rows: int
    lag_seconds: float | None
    idle: bool


class Observer:
    """Looks at THL and target from outside, the way a person would."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._log = Log(open_storage(f"s3://{BUCKET}/thl", s3_client=stack.s3.client()), "shop")
        self._target = stack.redshift.connect()
        self._source = stack.mysql.connect()
        self._target.autocommit = True

    def look(self) -> Progressed:
        head = self._log.head()
        applied = self._position()
        if head is None:
            return Progressed(-1, -1, 0, None, False)
        behind = []
        if applied < head.last:
            behind = [
                event for event in self._log.scan(applied + 1, head.last) if event.kind not in RECORD_KINDS
            ]
        with self._source.cursor() as cursor:
            cursor.execute("SHOW BINARY LOG STATUS")
            file, position = cursor.fetchone()[:2]
        drained = (head.resume.file, head.resume.position) == (file, position)
        oldest = behind[0].commit_ts if behind else head.watermark
        lag = 0.0 if drained and not behind else time.time() - oldest / 1e6
        return Progressed(head.last, applied, self._rows(), lag, drained and not behind)

    def _query(self, sql: str) -> list[Any]:
        with self._target.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def _position(self) -> int:
        if not self._query("SELECT 1 FROM information_schema.tables WHERE table_name = 'trep_commit_seqno'"):
            return -1
        rows = self._query('SELECT seqno FROM "tungsten_shop"."trep_commit_seqno"')
        return int(rows[0][0]) if rows else -1

    def _rows(self) -> int:
        tables = self._query(
            f"SELECT table_name FROM information_schema.tables WHERE table_schema = '{shop.SCHEMA}'"
        )
        if not tables:
            return 0
        union = " UNION ALL ".join(
            f'SELECT COUNT(*) AS n FROM "{shop.SCHEMA}"."{name}"' for (name,) in tables
        )
        return int(self._query(f"SELECT SUM(n) FROM ({union}) x")[0][0])

    def compare(self) -> list[TableResult]:
        self._target.autocommit = False
        return compare(self._source, self._target, shop.SCHEMA, list(shop.TABLES))


class Screen:
    """The progress bars."""

    def __init__(self) -> None:
        self.progress = Progress(
            TextColumn("{task.description:>22}"),
            BarColumn(24),
            TextColumn("{task.fields[text]}"),
            console=console,
        )
        self._bars: dict[str, TaskID] = {
            name: self.progress.add_task(name, total=1, text="")
            for name in ("written by the shop", "extracted", "in Redshift")
        }

    def show(self, writer: shop.Writer, seen: Progressed) -> None:
        total = max(writer.transactions, seen.extracted, 1)
        lag = "…" if seen.lag_seconds is None else f"{seen.lag_seconds:.0f} s"
        texts = {
            "written by the shop": (
                writer.transactions,
                f"{writer.transactions:,} transactions, {writer.rows:,} changes",
            ),
            "extracted": (max(seen.extracted, 0), f"seqno {seen.extracted:,}"),
            "in Redshift": (
                max(seen.applied, 0),
                f"seqno {seen.applied:,}, {seen.rows:,} rows, lag {lag}",
            ),
        }
        for name, (completed, text) in texts.items():
            self.progress.update(self._bars[name], total=total, completed=completed, text=text)


def watch(
    observer: Observer, writer: shop.Writer, until: Callable[[Progressed], bool], seconds: float
) -> bool:
    """Shows progress every second; True when ``until`` said so, False when the time was up."""
    screen = Screen()
    deadline = time.monotonic() + seconds
    with Live(screen.progress, console=console, refresh_per_second=4):
        while time.monotonic() < deadline:
            seen = observer.look()
            screen.show(writer, seen)
            if until(seen):
                return True
            time.sleep(1)
    return False


def report(results: list[TableResult]) -> bool:
    """Prints the comparison; True when all is equal."""
    table = Table("table", "rows in MySQL", "rows in Redshift", "missing", "extra", "different", "")
    for result in results:
        verdict = "[green]equal[/]" if result.equal else f"[red]{result.detail}[/]"
        figures = (result.source_rows, result.target_rows, result.missing, result.extra, result.differing)
        table.add_row(result.table, *(f"{figure:,}" for figure in figures), verdict)
    console.print(table)
    return all(result.equal and result.source_rows for result in results)


def sell(stack: Stack, writer: shop.Writer, opened: float, once: bool) -> bool:
    """Watches until Ctrl-C; once: until the shop has sold for a minute, and then until all has arrived. True when it has.

    :param opened: when the shop did, by the monotonic clock.
    """
    observer = Observer(stack)
    assert stack.airflow is not None
    if not once:
        watch(observer, writer, lambda _: False, float("inf"))
    watch(observer, writer, lambda _: False, WRITING_SECONDS - (time.monotonic() - opened))
    writer.stop()
    console.print("The shop is closed; one more run takes what is left.")
    stack.airflow.trigger(DAG)
    if not watch(observer, writer, lambda seen: seen.idle, CATCH_UP_SECONDS):
        console.print(f"[red]Not everything has arrived after {CATCH_UP_SECONDS} s.[/]")
        return False
    return report(observer.compare())


def run(stack: Stack, once: bool) -> bool:
    """True when the demo did what it should."""
    assert stack.airflow is not None
    stack.launch()
    with step("MySQL, S3 and the local Redshift start"):
        stack.wait_for_data_servers()
    with step("a shop opens: seven tables, every type"):
        stack.s3.create_bucket(BUCKET)
        shop.create(stack.mysql.connect())
        writer = shop.Writer(stack.mysql.connect)
        writer.fill()
        writer.start()
        opened = time.monotonic()
    with step("Airflow starts"):
        stack.airflow.wait()
        stack.airflow.wait_for_dag(DAG)
        stack.airflow.unpause(DAG)
    console.print(
        f"\nAirflow: [bold]{stack.airflow.url}/dags/{DAG}[/]\nuser [bold]{stack.airflow.user}[/]"
        f"  password [bold]{stack.airflow.password}[/]{'' if once else '   (Ctrl-C ends it all)'}\n"
    )
    return sell(stack, writer, opened, once)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--once", action="store_true", help="stop after a minute, compare, and exit")
    once = parser.parse_args().once
    exit_on_sigterm()
    stack = Stack(airflow=True, services={"shop": service()})
    try:
        right = run(stack, once)
    except KeyboardInterrupt:
        right = not once
    finally:
        with step("everything ends"):
            stack.stop()
    raise SystemExit(0 if right else 1)


if __name__ == "__main__":
    main()
