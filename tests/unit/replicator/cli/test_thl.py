"""`tungsten thl info`, `index`, `tail`, `dsctl` and `purge`."""

from __future__ import annotations

import json
import os
import pty
import shlex
import signal
from pathlib import Path

import pytest

from airflow_provider_tungsten.replicator.cli.output import INTERRUPTED, NOT_AGREED, WRONG_ARGUMENTS
from airflow_provider_tungsten.replicator.thl import appliers
from airflow_provider_tungsten.replicator.thl.appliers import Applied
from airflow_provider_tungsten.replicator.thl.segment import key_of
from tests.unit.replicator.batch.logs import Logbook, position, rows
from tests.unit.replicator.cli.commands import Shop, objects, run


@pytest.fixture
def four_files(book: Logbook) -> Logbook:
    """Seqnos 0; 1 and 2; 3 and 4; 5."""
    book.add(*[rows() for _ in range(5)], segment_events=2)
    return book


def apply_up_to(book: Logbook, seqno: int) -> None:
    appliers.register(book.log, "redshift", folder="s3://bucket/files", token="t")
    event = book.log.record(seqno)
    head = book.log.head()
    assert head is not None
    at = Applied(seqno, event.epoch_number, event.event_id, event.watermark, head.uuid)
    appliers.mirror(book.log, "redshift", at, token="t")


def keys(book: Logbook) -> list[str]:
    return [item.key for item in book.log.storage.list("thl-")]


def test_info_tells_what_the_log_holds(four_files: Logbook, shop: Shop) -> None:
    apply_up_to(four_files, 3)
    [found] = objects(shop("info", "--json"))
    sizes = [item.size for item in four_files.log.storage.list("thl-")]
    assert (
        found.items()
        >= {
            "logDirectory": four_files.log.url,
            "logFiles": 4,
            "logSizeInBytes": sum(sizes),
            "oldestFile": key_of(0),
            "newestFile": key_of(5),
            "minSeqno": 0,
            "maxSeqno": 5,
            "events": 6,
            "minTime": "",
            "maxTime": "1970-01-01 00:00:05.000000",
            "latestEventId": "bin.000001:0000000000000105;-1",
        }.items()
    )
    assert found["appliers"]["redshift"]["seqno"] == 3
    text = shop("info").stdout
    assert "\nmaxSeqno           5\n" in text
    assert "applier redshift: applied up to seqno 3, bin.000001:0000000000000103;-1\n" in text


def test_index_is_a_line_a_file(four_files: Logbook, shop: Shop) -> None:
    entries = objects(shop("index", "-json"))
    assert [(entry["file"], entry["minSeqno"], entry["maxSeqno"]) for entry in entries] == [
        (key_of(0), 0, 0),
        (key_of(1), 1, 2),
        (key_of(3), 3, 4),
        (key_of(5), 5, 5),
    ]
    assert [entry["bytes"] for entry in entries] == [
        item.size for item in four_files.log.storage.list("thl-")
    ]
    lines = shop("index", "-low", 2, "-high", 3).stdout.splitlines()
    assert [line.split()[:3] for line in lines] == [
        ["file", "minSeqno", "maxSeqno"],
        [key_of(1), "1", "2"],
        [key_of(3), "3", "4"],
    ]


@pytest.mark.parametrize("command", ["info", "index", "tail", "purge", "export", "list"])
def test_a_log_that_is_not_there_is_said(command: str, shop: Shop) -> None:
    arguments = ["--keep", "7d"] if command == "purge" else []
    result = shop(command, *arguments)
    assert (result.exit_code, result.stdout) == (WRONG_ARGUMENTS, "")
    assert "/thl/shop holds no log yet: extract first, or see whether --thl and --service" in result.stderr
    assert json.loads(shop(command, *arguments, "--json").stdout)["error"] == "RangeError"


def test_tail_shows_the_end(four_files: Logbook, shop: Shop) -> None:
    assert [event["seqno"] for event in objects(shop("tail", "-n", 2, "-json", "-headers"))] == [4, 5]
    assert shop("tail", "-n", 1).stdout.startswith("SEQ# = 5 / ")
    assert shop("tail", "-n", 0).stdout == ""


@pytest.mark.usefixtures("interruptible")
def test_tail_follows_what_is_appended_until_it_is_interrupted(tmp_path: Path, shop: Shop) -> None:
    with shop.start("tail", "-f", "-headers", "--interval", "0.1") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        book = Logbook(tmp_path)
        assert process.stdout.readline().startswith(b"0\t")
        book.add(position(), position())
        assert process.stdout.readline().startswith(b"1\t")
        assert process.stdout.readline().startswith(b"2\t")
        book.add(position())
        assert process.stdout.readline().startswith(b"3\t")
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == b""
    assert process.returncode == INTERRUPTED


def test_dsctl_prints_the_command_that_sets_the_position(four_files: Logbook, shop: Shop) -> None:
    words = shlex.split(shop("dsctl", "-seqno", 4).stdout)
    assert words[:3] == ["tungsten", "position", "set"]
    event_id = "bin.000001:0000000000000104;-1"
    assert words[3:] == ["--seqno", "4", "--epoch", "0", "--event-id", event_id, "--source-id", "db1"]
    assert shop("dsctl", "-seqno", 9).exit_code == WRONG_ARGUMENTS


def test_purge_deletes_whole_files_behind_the_slowest_applier(four_files: Logbook, shop: Shop) -> None:
    apply_up_to(four_files, 5)
    [planned] = objects(shop("purge", "-high", 4, "--dry-run", "--json"))
    assert (planned["segments"], planned["first"], planned["purged"]) == (3, 5, False)
    assert len(keys(four_files)) == 4
    assert "deleted: 2 files, " in (text := shop("purge", "--before", 4, "-y").stdout)
    assert "the log begins at seqno 3\n" in text
    assert keys(four_files) == [key_of(3), key_of(5)]
    assert [event["seqno"] for event in objects(shop("list", "-json", "-headers"))] == [3, 4, 5]


def test_purge_by_age_and_size_keeps_the_newest_file(four_files: Logbook, shop: Shop) -> None:
    apply_up_to(four_files, 5)
    assert "to delete: nothing\n" in shop("purge", "--keep-bytes", "1GB", "--dry-run").stdout
    assert "deleted: 3 files" in shop("purge", "--keep", "7d", "-y").stdout
    assert keys(four_files) == [key_of(5)]


def test_purge_refuses_what_an_applier_needs(four_files: Logbook, shop: Shop) -> None:
    apply_up_to(four_files, 2)
    result = shop("purge", "-high", 4, "-y")
    assert result.exit_code == WRONG_ARGUMENTS
    assert "applier redshift is known to have applied up to seqno 2" in result.stderr
    assert "no more goes: applier redshift" in shop("purge", "--keep", "7d", "-y").stdout
    assert keys(four_files) == [key_of(1), key_of(3), key_of(5)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "say what goes"),
        (("-high", 2, "--keep", "7d"), "say what goes"),
        (("-high", 2, "--before", 2), "one of --high and --before"),
        (("-low", 2, "-high", 3), "old end only: it begins at seqno 0"),
        (("-high", 99, "-y"), "seqno 99 does not exist"),
        (("--keep", "seven days"), "--keep seven days is no age: write one like 7d"),
        (("--keep", "0d"), "--keep 0d is no age"),
        (("--keep-bytes", "much"), "--keep-bytes much is no size: write one like 500MB"),
        (("--keep-bytes", "0"), "--keep-bytes 0 is no size"),
        (("-high", 2), "Nobody is here to answer"),
    ],
)
def test_purge_deletes_nothing_by_mistake(
    four_files: Logbook, shop: Shop, arguments: tuple[object, ...], said: str
) -> None:
    apply_up_to(four_files, 5)
    result = shop("purge", *arguments)
    assert result.exit_code == WRONG_ARGUMENTS
    assert said in result.stderr
    assert len(keys(four_files)) == 4


@pytest.mark.parametrize(("answer", "status", "left"), [(b"n\n", NOT_AGREED, 4), (b"y\n", 0, 1)])
def test_purge_asks_whoever_is_there(
    four_files: Logbook, shop: Shop, answer: bytes, status: int, left: int
) -> None:
    apply_up_to(four_files, 5)
    leader, follower = pty.openpty()
    os.write(leader, answer)
    with shop.start("purge", "-high", 4, stdin=follower) as process:
        assert process.stderr is not None
        assert b"Delete 3 files, " in process.stderr.read()
    os.close(follower)
    os.close(leader)
    assert process.returncode == status
    assert len(keys(four_files)) == left


def test_every_command_has_an_example_in_its_help(shop: Shop) -> None:
    for command in ("list", "info", "index", "tail", "purge", "export", "dsctl"):
        assert f"tungsten thl {command} " in run("thl", command, "--help").stdout
