"""The log on a real S3 server: appended, read, raced for, and its memory while one transaction of 150 MB goes through."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from airflow_provider_tungsten.replicator.errors import RangeError, WriteConflictError
from airflow_provider_tungsten.replicator.storage import Storage, new_token, open_storage
from airflow_provider_tungsten.replicator.thl.log import Log
from airflow_provider_tungsten.replicator.thl.segment import key_of
from tests.integration.s3_proxy import Proxy, once
from tests.stack.s3 import S3
from tests.unit.replicator.thl.support import EPOCH, SECOND, new_log, resume, seqnos, transaction, write

ONE_TRANSACTION = """
import json, os, resource, sys
from airflow_provider_tungsten.replicator.storage import open_storage
from airflow_provider_tungsten.replicator.thl.log import Log
from tests.unit.replicator.thl.support import new_log, resume, transaction

MIB = 1024 * 1024
act, url = sys.argv[1:]
half = os.urandom(MIB // 2) + bytes(MIB // 2)

def fragments():
    for number, event in enumerate(transaction(1, fragments=150, payload=b"")):
        yield event._replace(rows=6667, payload=half[number:] + half[:number])

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

store = open_storage(url)
log = new_log(store) if act == "write" else Log(store, "shop")
head = log.head()
idle = peak()
if act == "write":
    with log.writer(head, token="t", segment_bytes=128 * MIB, segment_events=500_000) as writer:
        writer.add(fragments())
        writer.commit(resume(1))
    size = writer.bytes
else:
    size = sum(len(event.payload) for event in log.read(1, 1))
print(json.dumps([size, peak() - idle]))
"""


@pytest.fixture
def store(s3: S3, bucket: str) -> Storage:
    return open_storage(f"s3://{bucket}/thl", s3_client=s3.client())


def test_a_log_on_s3_is_appended_read_and_searched(store: Storage) -> None:
    log = new_log(store, 200, per_segment=40)
    assert [item.key for item in store.list()] == [
        f"shop/{key_of(first)}" for first in (0, 1, 41, 81, 121, 161)
    ]
    other = Log(store, "shop")
    head = other.head()
    assert head == log.head()
    assert seqnos(other.read(35, 170)) == list(range(35, 171))
    assert other.record(80).event_id == transaction(80)[0].event_id
    assert other.seqnos_between(EPOCH + 40 * SECOND, EPOCH + 130 * SECOND) == (41, 130)
    with pytest.raises(RangeError, match="holds 0 to 200"):
        list(other.read(200, 201))


def test_two_extractors_on_one_log_one_wins_and_the_other_stops(store: Storage) -> None:
    log = new_log(store, 3)
    head = log.head()
    assert head is not None
    with log.writer(head, token=new_token("loser"), segment_bytes=2**30, segment_events=10) as loser:
        write(Log(store, "shop"), [transaction(4)], token=new_token("dag/run/extract/try 2"))
        loser.add(transaction(4))
        loser.commit(resume(4))
        with pytest.raises(WriteConflictError, match=r"written by dag/run/extract/try 2 .*another extractor"):
            loser.close()
    assert next(Log(store, "shop").segments(4)).writer.startswith("dag/run/extract/try 2")


def test_a_segment_whose_answer_got_lost_is_not_taken_for_a_race(s3: S3, bucket: str) -> None:
    with Proxy(s3) as proxy:
        log = new_log(open_storage(f"s3://{bucket}/thl", s3_client=proxy.client()))
        proxy.lose = once("PUT")
        write(log, [transaction(1), transaction(2)])
        assert [method for method, _ in proxy.requests].count("PUT") == 3
        assert seqnos(log.scan(0)) == [0, 1, 2]


def test_one_transaction_of_a_million_rows_takes_little_memory(s3: S3, bucket: str) -> None:
    def run(act: str) -> tuple[int, int]:
        done = subprocess.run(
            [sys.executable, "-c", ONE_TRANSACTION, act, f"s3://{bucket}/thl"],
            env=os.environ | s3.env,
            stdout=subprocess.PIPE,
            check=True,
            timeout=120,
        )
        size, extra = json.loads(done.stdout.splitlines()[-1])
        print(act, size, "bytes", extra, "MB above idle")
        return size, extra

    written, write_extra = run("write")
    read, read_extra = run("read")
    assert written > 64 * 1024 * 1024
    assert read == 150 * 1024 * 1024
    assert write_extra < 100
    assert read_extra < 100
