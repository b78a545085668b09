"""What a disk without space does to the log: the writer says so, publishes nothing, and leaves nothing running."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_tungsten.replicator.storage import LocalStorage
from airflow_provider_tungsten.replicator.thl.log import Log
from tests.unit.replicator.thl.support import new_log

# A process whose files end at 3 MB: its temporary file meets what a full disk would tell it.
WRITING = """
import os, resource, signal, sys, threading
from airflow_provider_tungsten.replicator.errors import StorageError
from airflow_provider_tungsten.replicator.storage import LocalStorage
from airflow_provider_tungsten.replicator.thl.log import Log
from tests.unit.replicator.thl.support import resume, transaction

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, 3_000_000))
log = Log(LocalStorage(sys.argv[1]), "shop")
group, count = (int(text) for text in sys.argv[2:])
try:
    with log.writer(log.head(), token="t", segment_bytes=2**40, segment_events=10**6) as writer:
        for seqno in range(1, count + 1):
            writer.add(transaction(seqno, payload=os.urandom(group)))
            writer.commit(resume(seqno))
except StorageError as error:
    caught = error
print(caught)
print([thread.name for thread in threading.enumerate()])
"""
GROUP = 8 * 1024 * 1024  # one transaction is encoded at once


@pytest.mark.parametrize("count", [3, 1], ids=["on the way", "when it is left"])
def test_a_full_disk_ends_the_writer_and_nothing_is_published(tmp_path: Path, count: int) -> None:
    new_log(LocalStorage(tmp_path))
    before = {path: path.stat() for path in tmp_path.rglob("*")}
    command = [sys.executable, "-c", WRITING, str(tmp_path), str(GROUP), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    message, threads = done.stdout.splitlines()
    assert message.startswith("cannot write a segment's temporary file: ")
    assert "File too large" in message
    assert message.endswith("or set TMPDIR")
    assert threads == "['MainThread']"
    assert {path: path.stat() for path in tmp_path.rglob("*")}.keys() == before.keys()
    head = Log(LocalStorage(tmp_path), "shop").head()
    assert head is not None
    assert head.last == 0
