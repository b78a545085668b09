"""The S3 applier against a real S3 server: killed anywhere, run twice at once, and read while it writes."""

from __future__ import annotations

import hashlib
import itertools
import json
import multiprocessing
import os
import re
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from airflow_provider_tungsten.replicator.batch.apply import LoadResult, apply_batches
from airflow_provider_tungsten.replicator.batch.chain import Chain
from airflow_provider_tungsten.replicator.batch.manifest import BatchManifest
from airflow_provider_tungsten.replicator.batch.writer import write_batch
from airflow_provider_tungsten.replicator.s3.applier import s3_target
from airflow_provider_tungsten.replicator.service import Service, parse_service
from airflow_provider_tungsten.replicator.settings import Store
from airflow_provider_tungsten.replicator.storage import Storage, open_storage
from airflow_provider_tungsten.replicator.thl.event import Kind
from airflow_provider_tungsten.replicator.thl.log import Log
from tests.integration.s3_proxy import Proxy
from tests.stack.s3 import S3
from tests.unit.replicator.batch.logs import ITEMS, ORDERS, Logbook, rows, statement

SERVICE = {
    "service": "shop",
    "source": {"connection": "mysql", "server_id": 7},
    "thl": {"url": "/nowhere/thl"},
}
MANIFEST = re.compile(r"_batches/(\d{19})-(\d{19})\.json")
CHANGES = {"PUT", "POST", "DELETE"}


def service(files: str, **applier: Any) -> Service:
    lake = {
        "type": "s3",
        "files": {"url": files},
        "batches": {"max_transactions": 200},
        "partition_by": "commit_timestamp",
        "partition_format": "minute=%H-%M",
        **applier,
    }
    return parse_service({**SERVICE, "appliers": {"lake": lake}})


# Read once, also for children, which are forked from a process that has imported this.
boto3.setup_default_session()
boto3.client("s3", region_name="us-east-1")


def client(port: int) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id="local",
        aws_secret_access_key="local-secret",
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, retries={"mode": "standard"}),
    )


def replicate(log: Path, files: str, s3_client: Any, token: str, **applier: Any) -> LoadResult:
    """Plans, writes and applies what the log holds: all steps of an S3 applier."""
    settings = service(files, **applier)

    def open_store(store: Store) -> Storage:
        return open_storage(store.url, s3_client=s3_client)

    folder = open_store(settings.applier("lake").files).sub("shop").sub("lake")
    chain = Chain(folder, Log(open_storage(str(log)), "shop"), settings, "lake")
    chain.extend(token=token, limit=99, waiting=False)
    for plan in chain.plans():
        write_batch(chain.log, plan, settings, "lake", folder, token=token)
    target = s3_target(settings, "lake", folder, open_store, token=token)
    return apply_batches(target, chain.log, chain, folder, through=10**6)


def copied(log: Path, folder: Path) -> Path:
    """A log of its own for each feed, as a log knows one folder of an applier."""
    return Path(shutil.copytree(log, folder))


def replicate_in_child(log: Path, files: str, port: int, token: str, applier: dict[str, Any]) -> None:
    replicate(log, files, client(port), token, **applier)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A batch of two tables, one of them in two partitions, and one of an emptied table."""
    folder = tmp_path_factory.mktemp("log")
    book = Logbook(folder)
    book.add(*[rows(ORDERS, (n, f"note {n}")) if n > 50 else rows(ITEMS) for n in range(1, 69)])
    book.add(rows(ORDERS, (60, "note 60"), (60, "other"), kind=Kind.UPDATE))
    book.add(statement("truncate", table="items"))
    return folder / "thl"


@pytest.fixture
def proxy(s3: S3) -> Iterator[Proxy]:
    with Proxy(s3) as server:
        yield server


def objects(store: Storage) -> dict[str, bytes]:
    """All objects; who wrote a plan, and when the position moved, is left out."""
    found = {info.key: store.read(info.key) for info in store.list()}
    for key, data in found.items():
        if "/_batches/" in key:
            found[key] = re.sub(rb'"writer":"[^"]*"', b"", data)
        if key.endswith("commitseqno.0"):
            found[key] = re.sub(rb'"appliedLatency": "\d+"', b"", data)
        if key.endswith("_position.json"):
            found[key] = b""
    return found


def check_manifests(feed: Storage) -> int:
    """Every file that a listed manifest names is there, whole. Returns how many manifests there are."""
    listed = [match for info in feed.list("_batches/") if (match := MANIFEST.fullmatch(info.key))]
    for match in listed:
        manifest = BatchManifest.from_json(feed.read(match[0]))
        for part in (part for table in manifest.tables for part in table.parts):
            assert hashlib.sha256(feed.read(part.key)).hexdigest() == part.sha256
    return len(listed)


def kill_at(proxy: Proxy, process: Any, at: int) -> None:
    """The process ends when its change number ``at`` was carried out and the answer is on its way."""
    left = itertools.count(at, -1)

    def kill(method: str, path: str) -> bool:
        if method not in CHANGES or next(left) != 0:
            return False
        os.kill(process.pid, signal.SIGKILL)
        return True

    proxy.lose = kill


@pytest.mark.parametrize(
    "applier",
    [
        {},
        {
            "csv": {"update_opcode": True, "compression": "gzip"},
            "key_template": "table={table}/db={schema}/{partition}/{to}-{from}.{hash}.{part}.{extension}",
        },
    ],
    ids=["default", "own-names"],
)
def test_killed_at_any_change_it_leaves_the_same_objects_when_it_runs_again(
    s3: S3, proxy: Proxy, bucket: str, log: Path, tmp_path: Path, applier: dict[str, Any]
) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    direct = s3.client()
    expected = open_storage(f"s3://{bucket}/expected", s3_client=direct)
    assert replicate(copied(log, tmp_path / "log"), expected.url, proxy.client(), "t", **applier).batches == 2
    changes = sum(method in CHANGES for method, _ in proxy.requests)
    assert changes > len(objects(expected)) > 10

    for at in range(changes):
        store = open_storage(f"s3://{bucket}/{at}", s3_client=direct)
        own_log = copied(log, tmp_path / f"{at}")
        arguments = (own_log, store.url, proxy.server_port, "killed", applier)
        child = context.Process(target=replicate_in_child, args=arguments)
        kill_at(proxy, child, at)
        child.start()
        child.join()
        assert child.exitcode == -signal.SIGKILL, at
        check_manifests(store.sub("shop").sub("lake"))
        replicate(own_log, store.url, direct, "again", **applier)
        assert objects(store) == objects(expected), at


def test_after_every_single_request_manifests_name_only_what_is_there(
    s3: S3, proxy: Proxy, bucket: str, log: Path, tmp_path: Path
) -> None:
    log = copied(log, tmp_path / "log")
    feed = open_storage(f"s3://{bucket}/feed", s3_client=s3.client()).sub("shop").sub("lake")
    seen = []

    def look(method: str, path: str) -> bool:
        if method in CHANGES:
            seen.append(check_manifests(feed))
        return False

    proxy.lose = look
    replicate(log, f"s3://{bucket}/feed", proxy.client(), "t")
    assert set(seen) == {0, 1, 2}
    assert check_manifests(feed) == 2


def test_appliers_at_once_end_with_what_one_leaves(s3: S3, bucket: str, log: Path, tmp_path: Path) -> None:
    logs = [copied(log, tmp_path / name) for name in ("one", "many")]
    stores = [open_storage(f"s3://{bucket}/{name}", s3_client=s3.client()) for name in ("one", "many")]
    replicate(logs[0], stores[0].url, s3.client(), "t")
    results: list[LoadResult] = []
    threads = [
        threading.Thread(
            target=lambda token=f"t{n}": results.append(replicate(logs[1], stores[1].url, s3.client(), token))
        )
        for n in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {result.position for result in results} == {results[0].position}
    assert len(results) == 3
    assert objects(stores[1]) == objects(stores[0])
    position = json.loads(stores[1].read("shop/lake/_metadata/applier/shop/commitseqno.0"))
    assert position["seqno"] == "70"
