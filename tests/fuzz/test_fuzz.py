"""Broken binlogs are refused with our own errors, or taken in whole; a part of what `python -m tests.fuzz` does."""

from __future__ import annotations

import faulthandler
import os
import random
import re
import signal
import subprocess
import sys

import pytest

from airflow_provider_tungsten.replicator.binlog.constants import EventType
from tests.corpus.reading import needs_corpus
from tests.fuzz import made
from tests.fuzz import run as runner
from tests.fuzz.__main__ import corpus_files
from tests.fuzz.material import Material, material_of
from tests.fuzz.run import run

EVENTS = 20_000


def test_broken_logs_are_refused_or_taken_in_whole() -> None:
    """Those of the corpus, where it is, and those made by hand. In a process of its own: it forks, and pytest's has threads by then."""
    command = [sys.executable, "-m", "tests.fuzz", "--events", str(EVENTS), "--seed", "20"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    events, accepted = re.search(r"([\d,]+) events, ([\d,]+) accepted", done.stdout).groups()  # type: ignore[union-attr]
    assert events == f"{EVENTS:,}"
    assert EVENTS / 10 < int(accepted.replace(",", "")) < EVENTS * 9 / 10  # both ends are reached


@needs_corpus
def test_every_event_of_the_servers_that_are_understood_is_broken() -> None:
    older = {
        EventType.UNKNOWN,
        EventType.START_V3,
        *range(EventType.LOAD, EventType.APPEND_BLOCK),
        EventType.EXEC_LOAD,
        EventType.NEW_LOAD,
        *range(EventType.PRE_GA_WRITE_ROWS, EventType.PRE_GA_DELETE_ROWS + 1),
    }
    logs = [path.read_bytes() for path in corpus_files()]
    coverage = material_of([*logs, *made.logs()]).coverage()
    assert {*EventType} - older <= coverage.keys()
    assert coverage.keys() - {*EventType}  # and some that nobody knows


def _crash(material: Material, dice: random.Random) -> bool:
    faulthandler.disable()
    os.kill(os.getpid(), signal.SIGSEGV)
    return True


def _hang(material: Material, dice: random.Random) -> bool:
    while True:
        pass


def _gorge(material: Material, dice: random.Random) -> bool:
    return bool(bytearray(64 << 30))


def _slip(material: Material, dice: random.Random) -> bool:
    raise IndexError("not ours")


@pytest.mark.parametrize(
    ("target", "words"),
    [(_crash, "SIGSEGV"), (_hang, "hangs"), (_gorge, "MemoryError"), (_slip, "IndexError: not ours")],
)
def test_a_fault_is_seen_and_named(target: object, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "EVENT_SECONDS", 5.0)
    monkeypatch.setattr(runner, "TARGETS", dict.fromkeys(runner.TARGETS, (target, 1)))
    report = run(Material(), events=3, seed=1, faults=1)
    assert len(report.faults) == 1
    assert words in report.faults[0]
    assert report.faults[0].startswith("event 0 (")
