from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from airflow_provider_tungsten.replicator.errors import CorruptLogError, RangeError, WriteConflictError
from airflow_provider_tungsten.replicator.storage import LocalStorage
from airflow_provider_tungsten.replicator.thl import appliers, retention
from airflow_provider_tungsten.replicator.thl.appliers import Applied
from airflow_provider_tungsten.replicator.thl.log import Log
from airflow_provider_tungsten.replicator.thl.low_water import find_low_water, read_low_water
from airflow_provider_tungsten.replicator.thl.retention import Purged, purge
from airflow_provider_tungsten.replicator.thl.settings import Retention
from tests.unit.replicator.thl.support import EPOCH, SECOND, new_log, resume, seqnos, transaction, write

# Segments: 0, then ten seqnos each.
ENDS = (0, 10, 20, 30, 40)


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return new_log(LocalStorage(tmp_path), 40)


def applied(log: Log, seqno: int, name: str = "redshift") -> None:
    appliers.register(log, name, folder=f"s3://bucket/{name}", token="planner")
    head = log.head()
    assert head is not None
    appliers.mirror(log, name, Applied(seqno, 0, "e", 0, head.uuid), token="load")


def purged(log: Log, **how: object) -> Purged:
    return purge(log, expected=(), token="tester", **how)  # type: ignore[arg-type]


def held(log: Log) -> list[int]:
    return [int(item.key[4:23]) for item in log.storage.list("thl-")]


def fresh(log: Log) -> Log:
    return Log(LocalStorage(Path(log.url).parent), "shop")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("7d", timedelta(days=7)),
        ("36h", timedelta(hours=36)),
        ("90m", timedelta(minutes=90)),
        ("45s", timedelta(seconds=45)),
        ("P7DT12H", timedelta(days=7, hours=12)),
    ],
)
def test_an_age_is_written_short_or_in_iso(given: str, expected: timedelta) -> None:
    settings = Retention.model_validate({"max_age": given})
    assert settings.max_age == expected
    assert Retention.model_validate(settings.model_dump(mode="json")) == settings


@pytest.mark.parametrize("given", ["7", 7, "0d", "-1d", "a week", "7 days ago"])
def test_an_age_that_is_none_is_refused(given: object) -> None:
    with pytest.raises(ValidationError):
        Retention.model_validate({"max_age": given})


def test_without_settings_everything_is_kept(log: Log) -> None:
    applied(log, 40)
    assert purged(log) == Purged(0, 0, 0, "")
    assert len(held(log)) == 5


def test_whole_segments_go_through_a_seqno(log: Log) -> None:
    applied(log, 40)
    gone = purged(log, through=25)
    assert (gone.first, gone.segments, gone.held_by) == (21, 3, "")
    assert held(log) == [21, 31]
    assert seqnos(log.read(21, 40)) == list(range(21, 41))
    assert fresh(log).first_seqno() == 21


def test_the_newest_segment_never_goes(log: Log) -> None:
    applied(log, 40)
    purged(log, through=40)
    assert held(log) == [31]
    write(log, [transaction(41)])
    assert seqnos(fresh(log).read(31, 41)) == list(range(31, 42))


def test_the_slowest_applier_holds_also_the_segment_of_its_position(log: Log) -> None:
    applied(log, 40)
    applied(log, 20, "lake")
    gone = purged(log, retention=Retention(max_bytes=1))
    assert (gone.first, gone.segments) == (11, 2)
    assert gone.held_by == "applier lake is known to have applied up to seqno 20"
    with pytest.raises(RangeError, match=r"through seqno 30: applier lake is known .* 20"):
        purged(log, through=30)
    applied(log, 21, "lake")
    assert purged(log, through=20).first == 21
    appliers.remove(log, "lake", "ann")
    assert purged(log, retention=Retention(max_bytes=1)).first == 31


def test_nothing_goes_before_every_applier_of_the_service_has_begun(log: Log) -> None:
    everything = Retention(max_bytes=1)
    assert purged(log, retention=everything) == Purged(0, 0, 0, "no applier is registered with it")
    applied(log, 40)
    gone = purge(log, expected=["redshift", "lake"], token="t", retention=everything)
    assert gone == Purged(0, 0, 0, "applier lake has applied nothing yet")
    applied(log, 40, "lake")
    appliers.remove(log, "lake", "ann")
    assert purge(log, expected=["redshift", "lake"], token="t", retention=everything).first == 31


def test_age_is_that_of_a_segments_last_commit(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    applied(log, 40)
    monkeypatch.setattr(retention.time, "time_ns", lambda: (EPOCH + 100 * SECOND) * 1000)
    assert purged(log, retention=Retention(max_age=timedelta(seconds=90))).segments == 1
    assert purged(log, retention=Retention(max_age=timedelta(seconds=80))).first == 11
    assert purged(log, retention=Retention(max_age=timedelta(seconds=79))).first == 21


def test_size_is_that_of_all_segments_and_either_limit_is_enough(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied(log, 40)
    sizes = [item.size for item in log.storage.list("thl-")]
    assert purged(log, retention=Retention(max_bytes=sum(sizes))).segments == 0
    gone = purged(log, retention=Retention(max_bytes=sum(sizes) - sizes[0] - 1))
    assert (gone.first, gone.bytes) == (11, sizes[0] + sizes[1])
    monkeypatch.setattr(retention.time, "time_ns", lambda: (EPOCH + 100 * SECOND) * 1000)
    both = Retention(max_age=timedelta(seconds=75), max_bytes=sum(sizes))
    assert purged(log, retention=both).first == 21


def test_a_dry_run_deletes_nothing(log: Log) -> None:
    applied(log, 40)
    assert purged(log, through=25, dry_run=True).first == 21
    assert len(held(log)) == 5
    assert find_low_water(log.storage) is None


def test_what_was_purged_is_refused_with_the_low_water_mark(log: Log) -> None:
    applied(log, 40)
    old = fresh(log)
    assert old.first_seqno() == 0
    purged(log, through=20)
    for read in (log, fresh(log), old):
        with pytest.raises(RangeError, match=r"21, the low-water mark, was purged"):
            list(read.read(15, 25))
        with pytest.raises(RangeError, match=r"21, the low-water mark"):
            read.record(20)
    for seqno in (-1, 41):
        with pytest.raises(RangeError, match="does not exist: the log .* holds 21 to 40"):
            purged(log, through=seqno)
    found = log.seqnos_between(EPOCH, EPOCH + 22 * SECOND)
    assert found == (21, 22)


def test_the_low_water_record_names_the_record_before(log: Log) -> None:
    applied(log, 40)
    last = log.record(20)
    purged(log, through=20)
    found, head = read_low_water(log.storage), log.head()
    assert found is not None
    assert head is not None
    assert (found.seqno, found.thl_uuid, found.writer) == (21, head.uuid, "tester")
    assert (found.epoch_number, found.event_id, found.watermark) == (0, last.event_id, last.watermark)


def test_a_reader_that_is_overtaken_by_a_purge_is_told_so(log: Log) -> None:
    applied(log, 40)
    events = fresh(log).read(0, 40)
    assert next(events).seqno == 0
    purged(log, through=30)
    with pytest.raises(RangeError, match=r"was purged while it was read.*31, the low-water mark"):
        list(events)


def test_a_segment_that_is_missing_above_the_mark_is_still_damage(log: Log) -> None:
    applied(log, 40)
    purged(log, through=10)
    log.storage.delete(log.info(21).key)
    with pytest.raises(CorruptLogError):
        list(fresh(log).read(11, 40))


def test_a_half_deleted_log_begins_at_the_mark_and_is_finished_by_the_next_purge(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied(log, 40)
    monkeypatch.setattr(retention, "_finish", lambda thl: None)
    purged(log, through=30)
    log.storage.delete(log.info(11).key)
    monkeypatch.undo()
    assert held(log) == [0, 1, 21, 31]
    half = fresh(log)
    assert half.first_seqno() == 31
    head = half.head()
    assert head is not None
    assert head.first == 31
    assert [info.first for info in half.segments(31)] == [31]
    assert purged(log).segments == 0
    assert held(log) == [31]


def test_a_writer_that_slept_through_a_purge_adds_nothing(log: Log) -> None:
    head = log.head()
    assert head is not None
    writer = log.writer(head, token="sleeper", segment_bytes=2**40, segment_events=10**6)
    writer.add(transaction(41))
    write(log, [transaction(seqno) for seqno in range(41, 61)])
    applied(log, 60)
    purged(log, through=50)
    writer.commit(resume(41))
    with pytest.raises(WriteConflictError, match="written by another extractor and purged since"):
        writer.close()
    writer.abort()
    assert fresh(log).first_seqno() == 51
    purged(log)
    assert held(log) == [51]


def test_a_log_that_was_purged_is_not_begun_again_in_its_place(log: Log) -> None:
    applied(log, 40)
    purged(log, through=20)
    for item in list(log.storage.list("thl-")):
        log.storage.delete(item.key)
    with pytest.raises(CorruptLogError, match=r"purged up to seqno 21.*another folder"):
        fresh(log).create(resume(), source_id="s", token="t", extracted_ts=EPOCH)


def test_catalogs_go_with_the_last_segment_that_names_them(tmp_path: Path) -> None:
    log = new_log(LocalStorage(tmp_path))
    for seqno, name in enumerate(["a", "b", "a", "c"], 1):
        head = log.head()
        assert head is not None
        log.storage.create(f"catalog-{name}", b"", token="t") if not log.storage.exists(
            f"catalog-{name}"
        ) else None
        with log.writer(head, token="t", segment_bytes=1, segment_events=1) as writer:
            writer.add(transaction(seqno))
            writer.commit(replace(resume(seqno), catalog=f"catalog-{name}"))
    applied(log, 4)
    left = []
    for through in (1, 2, 3):
        purged(log, through=through)
        left.append("".join(item.key[-1] for item in log.storage.list("catalog-")))
    assert left == ["abc", "ac", "c"]


def _purge_and_die(folder: Path, deletions: int) -> None:
    """Is killed at one of the deletions."""
    counted = iter(range(10**6))

    class Dying(LocalStorage):
        def delete(self, key: str) -> None:
            if next(counted) >= deletions:
                os.kill(os.getpid(), signal.SIGKILL)
            super().delete(key)

        def sub(self, prefix: str) -> Dying:
            return Dying(Path(self.url) / prefix)

    purge(Log(Dying(folder), "shop"), expected=(), token="dying", through=30)


@pytest.mark.parametrize("deletions", range(4))
def test_a_purge_that_is_killed_is_finished_by_the_next(log: Log, deletions: int) -> None:
    applied(log, 40)
    process = multiprocessing.get_context("fork").Process(
        target=_purge_and_die, args=(Path(log.url).parent, deletions)
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert len(held(log)) == 5 - deletions
    assert seqnos(fresh(log).read(31, 40)) == list(range(31, 41))
    write(log, [transaction(41)])
    applied(log, 41)
    assert purged(log, through=31).segments == 0
    assert held(log) == [31, 41]


def test_two_purges_at_once_do_what_one_does(log: Log) -> None:
    applied(log, 40)
    barrier = threading.Barrier(2)
    failures: list[Exception] = []

    def run(through: int) -> None:
        barrier.wait()
        try:
            purged(fresh(log), through=through)
        except Exception as error:
            if "holds 31 to 40" not in str(error):  # else the other was quicker
                failures.append(error)

    threads = [threading.Thread(target=run, args=(through,)) for through in (20, 30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert held(log) == [31]
    assert fresh(log).first_seqno() == 31


def test_a_purge_that_meets_another_one_at_work_leaves_the_rest_to_it(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied(log, 40)
    listed = list(log.storage.list("thl-"))
    slow = fresh(log)
    monkeypatch.setattr(retention, "_segments", lambda thl, first: iter(listed))
    found = retention._floor(slow, ())
    monkeypatch.setattr(retention, "_floor", lambda thl, expected: purged_by_another(log, monkeypatch, found))
    assert purged(slow, retention=Retention(max_age=timedelta(seconds=1))) == Purged(31, 0, 0, "")


def purged_by_another(log: Log, monkeypatch: pytest.MonkeyPatch, found: tuple[int, str]) -> tuple[int, str]:
    with monkeypatch.context() as patch:
        patch.setattr(retention, "_floor", lambda thl, expected: found)
        purged(fresh(log), through=30)
    return found
