"""Plans and batches on a real object store: several at once end in one chain and one batch."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest

from airflow_provider_tungsten.replicator.batch.chain import Chain
from airflow_provider_tungsten.replicator.batch.manifest import BatchManifest, Plan
from airflow_provider_tungsten.replicator.batch.upload import upload_batch
from airflow_provider_tungsten.replicator.batch.writer import write_batch
from airflow_provider_tungsten.replicator.errors import PreflightError, UnsupportedError
from airflow_provider_tungsten.replicator.storage import Storage, new_token, open_storage
from airflow_provider_tungsten.replicator.thl.log import Log
from tests.integration.extraction import Extraction
from tests.integration.s3_proxy import Proxy
from tests.stack.mysql import MySQL
from tests.stack.s3 import S3
from tests.unit.replicator.batch.logs import ITEMS, ORDERS, Logbook, make_service, rows

T = TypeVar("T")
SMALL = {"batches": {"max_transactions": 3}}


@pytest.fixture
def store(s3: S3, bucket: str) -> Storage:
    return open_storage(f"s3://{bucket}/prefix", s3_client=s3.client())


def at_once(*jobs: Callable[[], T]) -> list[T]:
    """Runs them in threads that begin together."""
    barrier = threading.Barrier(len(jobs))

    def run(job: Callable[[], T]) -> T:
        barrier.wait()
        return job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(run, jobs))


def objects(store: Storage) -> dict[str, bytes]:
    return {info.key: store.read(info.key) for info in store.list()}


def other_process(book: Logbook, **applier: Any) -> Chain:
    """A chain that shares no cache with any other."""
    chain = book.chain(**applier)
    chain.log = Log(book.storage.sub("thl"), "shop")
    return chain


def test_planners_at_once_on_a_growing_log_make_one_chain(store: Storage) -> None:
    book = Logbook(store)
    for turn in range(4):
        book.add(*[rows()] * (5 + turn))
        settings: list[dict[str, Any]] = [SMALL, {"batches": {"max_transactions": 2}}, {}]
        chains = [other_process(book, **each) for each in settings]

        def plan(chain: Chain) -> list[Plan]:
            return chain.extend(token=new_token(), limit=10, waiting=False)

        at_once(*[lambda chain=chain: plan(chain) for chain in chains])  # type: ignore[misc]
    head = book.log.head()
    plans = list(book.chain().plans())
    assert [plan.first for plan in plans] == [0, *(plan.last + 1 for plan in plans[:-1])]
    assert head is not None
    assert plans[-1].last == head.last


def test_a_chain_does_not_begin_in_a_store_that_overwrites(s3: S3, bucket: str) -> None:
    with Proxy(s3) as proxy:
        book = Logbook(open_storage(f"s3://{bucket}/prefix", s3_client=proxy.client()))
        book.add(rows())
        proxy.deaf_to = {"PUT"}
        with pytest.raises(PreflightError, match="ignores If-None-Match on PUT"):
            book.chain().extend(token=new_token(), limit=10, waiting=False)
        assert list(book.chain().plans()) == []


def test_writers_at_once_on_one_batch_end_with_one_manifest(store: Storage) -> None:
    book = Logbook(store)
    book.add(*[rows(ORDERS, (n, "\\N" if n % 7 else None)) for n in range(50)], rows(ITEMS))
    (plan,) = book.chain().extend(token="planner", limit=1, waiting=False)

    def write() -> BatchManifest:
        log = Log(store.sub("thl"), "shop")
        return write_batch(log, plan, book.service, "redshift", book.store, token=new_token())

    manifests = at_once(write, write, write)
    assert manifests[0] == manifests[1] == manifests[2]
    parts = [part.key for table in manifests[0].tables for part in table.parts]
    once = objects(book.store)
    assert set(parts) <= set(once)
    assert write() == manifests[0]
    assert objects(book.store) == once


def test_a_batch_written_by_way_of_a_staging_folder_is_the_same(store: Storage, tmp_path: Path) -> None:
    book = Logbook(store)
    book.add(*[rows(ORDERS, (n, "x")) for n in range(20)], rows(ITEMS))
    (plan,) = book.chain().extend(token="planner", limit=1, waiting=False)
    staging = open_storage(str(tmp_path))
    write_batch(book.log, plan, book.service, "redshift", staging, token=new_token())
    staged = at_once(*[lambda: upload_batch(staging, book.store, plan, token=new_token())] * 2)
    assert write_batch(book.log, plan, book.service, "redshift", book.store, token=new_token()) == staged[0]


def test_what_mysql_logged_is_cut_at_its_statements_and_written_value_by_value(
    mysql: MySQL, database: str, tmp_path: Path
) -> None:
    source = Extraction(mysql, tmp_path / "thl", include=[f"{database}.*"])
    source.run()
    mysql.execute(
        "CREATE TABLE orders (id INT PRIMARY KEY, note VARCHAR(40))",
        "INSERT INTO orders VALUES (1, ''), (2, NULL)",
        "UPDATE orders SET id = 3 WHERE id = 2",
        "TRUNCATE orders",
        "CREATE TABLE copies (id INT PRIMARY KEY) AS SELECT 7 AS id",
        "ALTER TABLE orders ADD more INT",
        "INSERT INTO orders VALUES (4, '\\\\N', NULL)",
        "CREATE TABLE loose (id INT)",
        "INSERT INTO loose VALUES (1)",
        "INSERT INTO orders VALUES (5, 'x', 1)",
        "ALTER TABLE loose ADD PRIMARY KEY (id)",
        database=database,
    )
    source.run()
    book = Logbook(tmp_path / "chain")
    book.log = source.log

    def written(**applier: Any) -> list[tuple[str, list[str]]]:
        service = make_service(csv={"compression": "none"}, **applier)
        chain = Chain(book.store, book.log, service, "redshift")
        found = []
        for plan in chain.extend(token="t", limit=99, waiting=False):
            manifest = write_batch(book.log, plan, service, "redshift", book.store, token="t")
            tables = [
                f"{table.table} {table.truncate and 'truncated' or ''}"
                + "".join(book.store.read(part.key).decode() for part in table.parts)
                for table in manifest.tables
            ]
            found.append((plan.effect, [re.sub(r",\d+,(\d+),[^,]*,", r",\1,", text) for text in tables]))
        return found

    assert written() == [
        ("records", []),
        ("ddl", []),
        ("rows", ["orders I,1,1,\nI,2,2,\\N\nD,3,2,\\N\nI,4,3,\\N\n"]),
        ("truncate", ["orders truncated"]),
        ("rows", ["copies I,1,7\n"]),
        ("ddl", []),
        ("rows", ["orders I,1,4,\\N,@NULL1@\n"]),
        ("ddl", []),
    ]
    with pytest.raises(UnsupportedError, match="loose has no primary key"):
        written()
    assert written(exclude=["*.loose"]) == [("rows", ["orders I,1,5,x,1\n"])]


PEAK = """
import json, re, sys
from pathlib import Path
from airflow_provider_tungsten.replicator.batch.writer import write_batch
from tests.unit.replicator.batch.logs import Logbook
# Not getrusage: its maximum begins with the memory of the process that started this one.
def peak(): return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024
book = Logbook(Path(sys.argv[1]))
idle = peak()
plan, = book.chain().extend(token="t", limit=1, waiting=False)
manifest = write_batch(book.log, plan, book.service, "redshift", book.store, token="t")
print(json.dumps([manifest.total_rows, peak() - idle]))
"""


def test_a_transaction_of_a_million_rows_is_written_in_little_memory(tmp_path: Path) -> None:
    chunks = [
        rows(ORDERS, *[(number, f"{number:0140d}") for number in range(start, start + 5000)])
        for start in range(0, 1_000_000, 5000)
    ]
    Logbook(tmp_path).add(chunks)
    done = subprocess.run([sys.executable, "-c", PEAK, tmp_path], capture_output=True, text=True, check=True)
    total, extra_mb = json.loads(done.stdout.splitlines()[-1])
    assert total == 1_000_000
    assert extra_mb < 300
    print(f"peak memory above idle: {extra_mb:.0f} MB")
