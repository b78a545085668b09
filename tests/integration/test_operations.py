"""What an operator does to a running service, on real servers: skip a transaction, keep the log short, on S3."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from airflow_provider_tungsten.replicator.batch.skips import Skip, list_skips
from airflow_provider_tungsten.replicator.batch.writer import write_batch
from airflow_provider_tungsten.replicator.branch import Branch, open_branch
from airflow_provider_tungsten.replicator.errors import GapError, RangeError, TargetError, UnsupportedError
from airflow_provider_tungsten.replicator.extraction import ExtractResult
from airflow_provider_tungsten.replicator.extractor import extract
from airflow_provider_tungsten.replicator.runner import Connections
from airflow_provider_tungsten.replicator.service import Service, parse_service
from airflow_provider_tungsten.replicator.settings import Store
from airflow_provider_tungsten.replicator.skipping import skip
from airflow_provider_tungsten.replicator.source.heartbeat import heartbeat_grant
from airflow_provider_tungsten.replicator.status import ApplierStatus, read_status
from airflow_provider_tungsten.replicator.storage import Storage, new_token, open_storage
from airflow_provider_tungsten.replicator.targets import load
from airflow_provider_tungsten.replicator.thl import appliers
from airflow_provider_tungsten.replicator.thl.appliers import Applied
from airflow_provider_tungsten.replicator.thl.log import Log
from airflow_provider_tungsten.replicator.thl.retention import purge
from airflow_provider_tungsten.replicator.thl.settings import Retention
from tests.integration.extraction import endpoint
from tests.integration.s3_proxy import Proxy
from tests.integration.test_s3_feed import CHANGES, client, kill_at
from tests.stack.mysql import MySQL
from tests.stack.redshift import Redshift
from tests.stack.s3 import S3
from tests.unit.replicator.thl.support import new_log, seqnos, transaction, write

EVERYTHING = {"max_bytes": 1}


class Shop:
    """A service from MySQL to Redshift, its log and its files on S3; every step by hand."""

    def __init__(self, mysql: MySQL, redshift: Redshift, s3: S3, bucket: str, database: str) -> None:
        self.mysql, self.redshift, self.s3 = mysql, redshift, s3
        self.database = database
        self.service: Service = parse_service(
            {
                "service": database,
                "source": {
                    "connection": "none",
                    "server_id": 6511,
                    "include": [f"{database}.*"],
                    "heartbeat": True,
                },
                "thl": {"url": f"s3://{bucket}/thl", "retention": EVERYTHING},
                "appliers": {
                    "redshift": {
                        "files": {"url": f"s3://{bucket}/files"},
                        "exclude": [f"{database}.quiet", f"{database}._*"],
                    }
                },
            }
        )
        mysql.execute(
            heartbeat_grant(mysql.user, database),
            f"CREATE TABLE {database}.t (id INT PRIMARY KEY, note VARCHAR(20))",
        )

    def open_store(self, store: Store) -> Storage:
        return open_storage(store.url, s3_client=self.s3.client())

    def branch(self) -> Branch:
        return open_branch(self.service, None, self.open_store)

    def commit(self, *statements: str) -> None:
        self.mysql.execute(*(statement.format(f"{self.database}.t") for statement in statements))

    def extract(self) -> ExtractResult:
        return extract(
            self.service, endpoint(self.mysql), self.open_store(self.service.thl), token=new_token()
        )

    def plan(self) -> None:
        branch = self.branch()
        branch.chain.extend(token=new_token(), limit=99, waiting=False)

    def write(self) -> None:
        branch = self.branch()
        for plan in branch.chain.plans(self.applied() + 1):
            write_batch(branch.log, plan, branch.service, branch.name, branch.folder, token=new_token())

    def load(self) -> None:
        result = load(
            self.branch(), lambda *connections: self.redshift.connect, through=10**9, token=new_token()
        )
        assert result.warnings == ()

    def all_steps(self) -> None:
        self.extract()
        self.plan()
        self.write()
        self.load()

    def applied(self) -> int:
        tables = self.redshift.execute(
            f"SELECT 1 FROM information_schema.tables WHERE table_schema = 'tungsten_{self.database}'"
        )
        if not tables:
            return -1
        [(seqno,)] = self.redshift.execute(f"SELECT seqno FROM tungsten_{self.database}.trep_commit_seqno")
        return int(seqno)

    def skip(self, seqno: int) -> Skip:
        return skip(self.branch(), seqno, applied=self.applied, who="ann", why="not for us", token="cli")

    def seqno_of(self, key: int) -> int:
        """Of the transaction that inserted it: of the last ones, one row each, in order of their keys."""
        log = self.branch().log
        [(last,)] = self.mysql.execute(f"SELECT MAX(id) FROM {self.database}.t")
        inserts = [event.seqno for event in log.scan(log.first_seqno()) if event.kind == "insert"]
        return inserts[key - last - 1]

    def status(self) -> ApplierStatus:
        connections = Connections(
            mysql=lambda connection: endpoint(self.mysql),
            store=self.open_store,
            redshift=lambda *names: self.redshift.connect,
        )
        [applier] = read_status(self.service, [self.branch()], connections).appliers
        return applier

    def rows(self) -> list[int]:
        found = self.redshift.execute(f"SELECT id FROM {self.database}.t ORDER BY 1")
        return [int(row[0]) for row in found]


@pytest.fixture
def shop(mysql: MySQL, redshift: Redshift, s3: S3, bucket: str, database: str) -> Iterator[Shop]:
    yield Shop(mysql, redshift, s3, bucket, database)
    mysql.execute(f"DROP DATABASE IF EXISTS tungsten_{database}")


def test_a_transaction_is_skipped_in_every_state_and_the_log_is_kept_short_meanwhile(shop: Shop) -> None:
    insert = "INSERT INTO {} VALUES (%d, 'x')"
    shop.extract()
    shop.commit(insert % 1, insert % 2)
    shop.all_steps()
    assert shop.rows() == [1, 2]
    # Not planned yet.
    shop.commit(insert % 3, insert % 4)
    shop.extract()
    assert shop.skip(shop.seqno_of(4)).tables == {f"{shop.database}.t": {"insert": 1}}
    shop.plan()
    shop.write()
    shop.load()
    assert shop.rows() == [1, 2, 3]
    # Planned.
    shop.commit(insert % 5, insert % 6)
    shop.extract()
    shop.plan()
    shop.skip(shop.seqno_of(5))
    shop.write()
    shop.load()
    assert shop.rows() == [1, 2, 3, 6]
    # Written.
    shop.commit(insert % 7, insert % 8)
    shop.extract()
    shop.plan()
    shop.write()
    written = shop.skip(shop.seqno_of(8))
    with pytest.raises(GapError, match="has not been written"):
        shop.load()
    shop.write()
    shop.load()
    assert shop.rows() == [1, 2, 3, 6, 7]
    # Applied.
    with pytest.raises(RangeError, match=f"seqno {written.seqno - 1} is applied"):
        shop.skip(written.seqno - 1)
    assert len(list_skips(shop.branch().folder)) == 3
    # What is applied is gone but for the newest segment, or the one of the position.
    log = shop.branch().log
    assert log.first_seqno() > 0
    assert appliers.positions(log)["redshift"].seqno == shop.applied()
    assert log.info(log.first_seqno()).last >= shop.applied()


def test_behind_the_swap_of_an_online_schema_change_replication_goes_on(shop: Shop) -> None:
    shop.extract()
    shop.commit("INSERT INTO {0} VALUES (1, 'x')", "INSERT INTO {0} VALUES (2, 'x')")
    shop.all_steps()
    ghost = f"{shop.database}._t_gho"
    shop.commit(
        f"CREATE TABLE {ghost} LIKE {{0}}",
        f"ALTER TABLE {ghost} ADD more INT, MODIFY note VARCHAR(40)",
        f"INSERT INTO {ghost} (id, note) SELECT id, note FROM {{0}}",
        "DELETE FROM {0} WHERE id = 2",
        f"DELETE FROM {ghost} WHERE id = 2",
        f"RENAME TABLE {{0}} TO {shop.database}._t_del, {ghost} TO {{0}}",
        "INSERT INTO {0} VALUES (3, 'y', 7)",
        "UPDATE {0} SET more = 5 WHERE id = 1",
    )
    shop.extract()
    shop.plan()
    with pytest.raises(UnsupportedError, match="tungsten skip") as caught:
        shop.plan()
    [swap] = re.findall(r"`tungsten skip --seqno (\d+)`", str(caught.value))
    shop.skip(int(swap))
    shop.plan()
    shop.write()
    with pytest.raises(TargetError, match="run: ALTER TABLE") as refused:
        shop.load()
    with shop.redshift.connect() as connection, connection.cursor() as cursor:
        connection.autocommit = True
        for statement in re.findall("run: (.*)", str(refused.value)):
            cursor.execute(statement)
    shop.load()
    query = f"SELECT id, note, more FROM {shop.database}.t ORDER BY id"
    assert shop.redshift.execute(query) == shop.mysql.execute(query) == ((1, "x", 5), (3, "y", 7))


def test_an_idle_source_has_a_true_lag_and_leaves_the_target_alone(shop: Shop) -> None:
    shop.extract()
    shop.extract()
    assert (shop.status().seqno, shop.status().behind) == (-1, 0)
    shop.commit("INSERT INTO {} VALUES (1, 'x')")
    shop.all_steps()
    applied = shop.applied()
    assert applied > 0
    first, second = shop.extract(), shop.extract()
    assert second.watermark > first.watermark
    assert (second.lag_seconds, second.transactions) == (0.0, 1)
    shop.plan()
    assert shop.branch().chain.end() == applied
    shop.commit(
        f"CREATE TABLE {shop.database}.quiet (id INT PRIMARY KEY)",
        f"INSERT INTO {shop.database}.quiet VALUES (1)",
    )
    last = shop.extract()
    idle = shop.status()
    assert (idle.seqno, idle.behind, idle.catch_up) == (applied, 0, 0.0)
    assert idle.relative_latency == pytest.approx(time.time() - last.watermark / 1e6, abs=5)
    shop.commit("INSERT INTO {} VALUES (2, 'x')")
    shop.extract()
    shop.extract()
    waits = shop.seqno_of(2)
    late = shop.status()
    head = shop.branch().log.head()
    assert head is not None
    assert (late.seqno, late.behind) == (applied, head.last - waits + 1)
    assert late.relative_latency is not None
    record = shop.branch().log.record(waits - 1)
    assert late.relative_latency == pytest.approx(time.time() - record.watermark / 1e6, abs=5)
    # For all but root: the source's clock is ahead of ours.
    shop.mysql.execute("SET GLOBAL init_connect = 'SET timestamp = UNIX_TIMESTAMP(SYSDATE(6)) + 1000'")
    try:
        ahead = shop.status().relative_latency
    finally:
        shop.mysql.execute("SET GLOBAL init_connect = ''")
    assert ahead is not None
    assert ahead == pytest.approx(late.relative_latency + 1000, abs=60)
    schemas = shop.redshift.execute("SELECT schema_name FROM information_schema.schemata")
    assert not [name for (name,) in schemas if "heartbeat" in name]


# On S3, without MySQL


@pytest.fixture
def store(s3: S3, bucket: str) -> Storage:
    return open_storage(f"s3://{bucket}/thl", s3_client=s3.client())


def registered(log: Log, applied: int) -> None:
    head = log.head()
    assert head is not None
    appliers.register(log, "redshift", folder="s3://bucket/files", token="planner")
    appliers.mirror(log, "redshift", Applied(applied, 0, "e", 0, head.uuid), token="load")


def test_a_reader_of_s3_that_is_overtaken_by_a_purge_gets_a_range_error(store: Storage) -> None:
    log = new_log(store)
    chunk = [transaction(seqno, payload=os.urandom(1 << 20)) for seqno in range(1, 31)]
    write(log, chunk, per_segment=100)
    write(log, [transaction(31), transaction(32)], per_segment=1)
    registered(log, 32)
    readers = [Log(store, "shop").read(1, 32), Log(store, "shop").read_runs(0, 32)]
    assert [next(iter(reader)) is not None for reader in readers] == [True, True]
    assert purge(log, expected=(), token="t", through=31).first == 32
    for reader in readers:
        with pytest.raises(RangeError, match="was purged while it was read.*32, the low-water mark"):
            list(reader)
    assert [item.key for item in store.list("shop/thl-")] == ["shop/thl-0000000000000000032.parquet"]


def purge_in_child(url: str, port: int) -> None:
    log = Log(open_storage(url, s3_client=client(port)), "shop")
    purge(log, expected=("redshift",), token="killed", retention=Retention(max_bytes=1))


def test_a_purge_on_s3_that_is_killed_anywhere_is_finished_by_the_next(s3: S3, bucket: str) -> None:
    """Between the low-water record and the first deletion, behind each deletion, and when all is done."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    changes = ["PUT", "DELETE", "DELETE", "DELETE"]
    for at in range(len(changes)):
        store = open_storage(f"s3://{bucket}/{at}", s3_client=s3.client())
        write(log := new_log(store), [transaction(seqno) for seqno in range(1, 5)], per_segment=1)
        registered(log, 3)
        with Proxy(s3) as proxy:
            child = context.Process(target=purge_in_child, args=(store.url, proxy.server_port))
            kill_at(proxy, child, at)
            child.start()
            child.join()
            assert child.exitcode == -signal.SIGKILL
            assert [method for method, _ in proxy.requests if method in CHANGES] == changes[: at + 1]
        begun = Log(store, "shop")
        assert begun.first_seqno() == 3
        assert seqnos(begun.read(3, 4)) == [3, 4]
        with pytest.raises(RangeError):
            list(begun.read(2, 4))
        write(begun, [transaction(5)])
        again = purge(Log(store, "shop"), expected=("redshift",), token="t", retention=Retention(max_bytes=1))
        assert (again.first, again.segments) == (3, 0)
        held = [item.key for item in store.list("shop/thl-")]
        assert held == [f"shop/thl-{seqno:019d}.parquet" for seqno in (3, 4, 5)]
        assert appliers.positions(begun)["redshift"].seqno == 3


def test_purges_beside_extraction_and_planning_never_take_what_is_needed(store: Storage) -> None:
    log = new_log(store, 1)
    registered(log, 0)
    failures: list[BaseException] = []
    done = threading.Event()

    def purging() -> None:
        try:
            while not done.wait(0.02):
                purge(Log(store, "shop"), expected=("redshift",), token="t", retention=Retention(max_bytes=1))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=purging) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for seqno in range(2, 14):
            write(log, [transaction(seqno)], per_segment=1)
            fresh = Log(store, "shop")
            applied = seqno - 4
            assert seqnos(fresh.read(max(applied, 0), seqno)) == list(range(max(applied, 0), seqno + 1))
            if applied > 0:
                registered(fresh, applied)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert purge(log, expected=(), token="t", retention=Retention(max_bytes=1)).held_by.endswith("seqno 9")
    assert Log(store, "shop").first_seqno() == 9
