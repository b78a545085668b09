from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from airflow_provider_tungsten.replicator.errors import CorruptLogError, DivergedError, RangeError
from airflow_provider_tungsten.replicator.storage import LocalStorage, ObjectInfo
from airflow_provider_tungsten.replicator.thl import log as log_module
from airflow_provider_tungsten.replicator.thl.event import Kind
from airflow_provider_tungsten.replicator.thl.log import Log
from airflow_provider_tungsten.replicator.thl.segment import Head, SegmentInfo, key_of
from airflow_provider_tungsten.replicator.thl.writer import LogWriter
from tests.unit.replicator.thl.support import (
    EPOCH,
    SECOND,
    SERVER,
    new_log,
    resume,
    seqnos,
    transaction,
    write,
)


class Counting(LocalStorage):
    """Knows what was asked of it."""

    opened: list[str] = []
    listed: list[str] = []

    def open(self, key: str) -> BinaryIO:
        self.opened.append(key)
        return super().open(key)

    def list(self, prefix: str = "", start_after: str = "") -> Iterator[ObjectInfo]:
        self.listed.append(start_after)
        return super().list(prefix, start_after)

    def sub(self, prefix: str) -> Counting:
        return Counting(Path(self.url) / prefix)


@pytest.fixture
def counting(tmp_path: Path) -> Counting:
    Counting.opened, Counting.listed = [], []
    return Counting(tmp_path)


def test_a_new_log_begins_with_its_start_record(tmp_path: Path) -> None:
    log = Log(LocalStorage(tmp_path), "shop")
    assert log.head() is None
    head = log.create(resume(), source_id=SERVER, token="t", extracted_ts=EPOCH, options={"start": "now"})
    assert log.head() == head
    record = log.record(0)
    assert (record.kind, record.event_id, record.source_id) == (Kind.START, resume().event_id, SERVER)
    assert record.options == {
        "thl_uuid": head.uuid,
        "server_uuid": SERVER,
        "file": "mysql-bin.000002",
        "position": "4",
        "gtid_executed": f"{SERVER}:1-0",
        "start": "now",
    }
    assert (head.first, head.last, head.resume) == (0, 0, resume())


def test_any_range_is_read_whole_and_nothing_else(tmp_path: Path) -> None:
    log = new_log(LocalStorage(tmp_path), 47)
    for first in range(0, 48, 3):
        for last in range(first, 48, 4):
            assert seqnos(log.read(first, last)) == list(range(first, last + 1))
    assert seqnos(log.scan(33)) == list(range(33, 48))
    assert all(event.payload is None for event in log.scan(1))


def test_a_range_that_does_not_exist_is_refused_with_the_one_that_does(tmp_path: Path) -> None:
    log = new_log(LocalStorage(tmp_path), 12)
    for first, last in ((5, 13), (13, 13), (-1, 2)):
        with pytest.raises(RangeError, match=r"holds 0 to 12"):
            list(log.read(first, last))
    with pytest.raises(RangeError, match=r"7 to 3 are no range.*holds 0 to 12"):
        list(log.read(7, 3))
    with pytest.raises(RangeError, match=r"holds 0 to 12"):
        log.record(13)
    with pytest.raises(RangeError, match=r"holds 0 to 12"):
        list(log.scan(13))
    with pytest.raises(RangeError, match=r"holds no log yet"):
        list(Log(LocalStorage(tmp_path), "other").scan(0))


def test_a_reader_sees_what_is_appended_while_it_lives(tmp_path: Path) -> None:
    log = new_log(LocalStorage(tmp_path), 3)
    assert seqnos(log.scan(0)) == [0, 1, 2, 3]
    write(Log(LocalStorage(tmp_path), "shop"), [transaction(4), transaction(5)])
    assert seqnos(log.read(4, 5)) == [4, 5]
    head = log.head()
    assert head is not None
    assert head.last == 5


def test_the_record_of_a_seqno_is_its_last_fragment(tmp_path: Path) -> None:
    log = new_log(LocalStorage(tmp_path))
    megabyte = bytes(1024 * 1024)
    write(
        log, [transaction(1), transaction(2, fragments=20, payload=megabyte), transaction(3)], per_segment=100
    )
    for seqno, fragno in ((1, 0), (2, 19), (3, 0)):
        record = log.record(seqno)
        assert (record.seqno, record.fragno, record.last_frag, record.payload) == (seqno, fragno, True, None)


def test_seqnos_between_finds_what_a_look_at_every_record_finds(tmp_path: Path) -> None:
    log = new_log(LocalStorage(tmp_path))
    marks = [1, 1, 4, 4, 4, 5, 9, 9, 12, 12, 12, 12, 12, 20, 21, 21, 22, 30]
    events = [
        transaction(seqno)[0]._replace(watermark=EPOCH + mark * SECOND)
        for seqno, mark in enumerate(marks, start=1)
    ]
    write(log, [[event] for event in events], per_segment=3)
    all_marks = [0, *marks]
    for after in range(-1, 32):
        for until in range(-1, 32):
            found = [seqno for seqno, mark in enumerate(all_marks) if after < mark <= until]
            expected = (found[0], found[-1]) if found else None
            assert log.seqnos_between(EPOCH + after * SECOND, EPOCH + until * SECOND) == expected


def test_seqnos_between_of_no_log_is_none(tmp_path: Path) -> None:
    assert Log(LocalStorage(tmp_path), "shop").seqnos_between(0, 2**62) is None


def test_a_range_opens_only_the_segments_that_hold_it(counting: Counting) -> None:
    new_log(counting, 200, per_segment=2)
    Counting.opened = []
    log = Log(counting, "shop")
    assert seqnos(log.read(101, 104)) == [101, 102, 103, 104]
    assert len(set(counting.opened)) <= 4
    Counting.opened = []
    assert log.record(103).seqno == 103
    assert counting.opened == [key_of(103)]


def test_a_point_in_time_is_found_by_binary_search(counting: Counting) -> None:
    new_log(counting, 500, per_segment=2)
    Counting.opened = []
    log = Log(counting, "shop")
    assert log.seqnos_between(EPOCH + 100 * SECOND, EPOCH + 399 * SECOND) == (101, 399)
    assert len(set(counting.opened)) < 45


@pytest.mark.parametrize(("count", "step"), [(1, 7), (99, 7), (100, 1), (101, 7), (201, 1), (9_345, 7)])
def test_the_head_of_a_long_log_is_found_by_leaps(
    counting: Counting, count: int, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "_PAGE", 100)
    folder = Path(counting.url) / "shop"
    folder.mkdir()
    for number in range(count):
        (folder / key_of(number * step)).touch()
    last = count * step - 1
    info = SegmentInfo("u", "shop", last, last, "", "e:1", 0, 0, 0, 0, 0, "", resume(), "w")
    writer = LogWriter(counting.sub("shop"), "shop", "u", Head(0, info), token="t")
    writer.add(transaction(last + 1))
    writer.commit(resume())
    assert writer.close() == (log := Log(counting, "shop")).head()
    assert counting.opened == [key_of(last + 1)]
    assert len(counting.listed) <= 25
    Counting.listed = []
    log.head()
    assert len(counting.listed) == 2  # what is new, and whether something was purged


def test_a_missing_segment_is_told(tmp_path: Path) -> None:
    new_log(LocalStorage(tmp_path), 50)
    (tmp_path / "shop" / key_of(21)).unlink()
    with pytest.raises(CorruptLogError, match=r"ends at seqno 20, this goes on behind 30"):
        list(Log(LocalStorage(tmp_path), "shop").scan(0))
    with pytest.raises(CorruptLogError, match=r"thl-0000000000000000021.parquet is missing"):
        list(Log(LocalStorage(tmp_path), "shop").read(25, 26))


def test_segments_of_two_logs_in_one_folder_diverge(tmp_path: Path) -> None:
    new_log(LocalStorage(tmp_path / "one"), 30)
    new_log(LocalStorage(tmp_path / "two"), 30)
    shutil.copy(tmp_path / "two" / "shop" / key_of(11), tmp_path / "one" / "shop")
    with pytest.raises(DivergedError, match=r"000011.parquet does not continue .*Segments of two logs"):
        list(Log(LocalStorage(tmp_path / "one"), "shop").scan(0))


def test_a_segment_restored_from_another_history_of_the_same_log_diverges(tmp_path: Path) -> None:
    log = new_log(LocalStorage(tmp_path / "one"), 10)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    write(log, [transaction(seqno) for seqno in range(11, 31)])
    other = [
        transaction(seqno)[0]._replace(event_id=f"mysql-bin.000009:{seqno};1") for seqno in range(11, 31)
    ]
    write(Log(LocalStorage(tmp_path / "two"), "shop"), [[event] for event in other])
    shutil.copy(tmp_path / "two" / "shop" / key_of(21), tmp_path / "one" / "shop")
    with pytest.raises(DivergedError, match=r"event id mysql-bin.000002:0000000000002004;27 there"):
        list(Log(LocalStorage(tmp_path / "one"), "shop").scan(0))


def test_a_renamed_segment_is_refused(tmp_path: Path) -> None:
    new_log(LocalStorage(tmp_path), 10)
    (tmp_path / "shop" / key_of(1)).rename(tmp_path / "shop" / key_of(2))
    with pytest.raises(CorruptLogError, match="holds seqno 1 ff. of service shop: it was renamed"):
        Log(LocalStorage(tmp_path), "shop").head()


def test_a_log_whose_oldest_segments_were_removed_begins_later(tmp_path: Path) -> None:
    new_log(LocalStorage(tmp_path), 50)
    for first in (0, 1, 11):
        (tmp_path / "shop" / key_of(first)).unlink()
    log = Log(LocalStorage(tmp_path), "shop")
    head = log.head()
    assert head is not None
    assert (head.first, head.last, log.first_seqno()) == (21, 50, 21)
    assert seqnos(log.scan(21)) == list(range(21, 51))
    assert log.seqnos_between(0, EPOCH + 30 * SECOND) == (21, 30)
    with pytest.raises(RangeError, match="holds 21 to 50"):
        list(log.scan(20))


def test_the_gaps_of_a_log_are_those_that_it_still_holds(tmp_path: Path) -> None:
    log = new_log(LocalStorage(tmp_path))
    epochs = [0, 2, 2, 4, 5]
    made = [(*transaction(seqno),) for seqno in range(1, 6)]
    write(
        log,
        [
            [event._replace(epoch_number=epoch) for event in each]
            for each, epoch in zip(made, epochs, strict=True)
        ],
        per_segment=1,
    )
    for first, gaps in enumerate([[5, 4, 2]] * 3 + [[5, 4]] * 2 + [[5]]):
        log = Log(LocalStorage(tmp_path), "shop")
        head = log.head()
        assert head is not None
        assert (head.first, [gap.seqno for gap in log.gaps(head)]) == (first, gaps)
        (tmp_path / "shop" / key_of(first)).unlink()
