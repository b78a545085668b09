from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from airflow_provider_tungsten.replicator.errors import WriteConflictError
from airflow_provider_tungsten.replicator.storage import LocalStorage, new_token
from airflow_provider_tungsten.replicator.thl.event import ThlEvent
from airflow_provider_tungsten.replicator.thl.log import Log
from airflow_provider_tungsten.replicator.thl.segment import Head
from airflow_provider_tungsten.replicator.thl.writer import GROUP_EVENTS, LogWriter
from tests.unit.replicator.thl.support import EPOCH, SERVER, new_log, resume, seqnos, transaction, write


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return new_log(LocalStorage(tmp_path))


def head_of(log: Log) -> Head:
    head = log.head()
    assert head is not None
    return head


def writer_of(log: Log, *, token: str = "tester", events: int = 10, size: int = 2**40) -> LogWriter:
    return log.writer(head_of(log), token=token, segment_bytes=size, segment_events=events)


def append(writer: LogWriter, transactions: Iterable[list[ThlEvent]]) -> None:
    with writer:
        for events in transactions:
            writer.add(events)
            writer.commit(resume(events[-1].seqno))


def test_a_segment_ends_only_behind_a_whole_transaction(log: Log) -> None:
    write(log, [transaction(1, fragments=7), transaction(2, fragments=25), transaction(3)], per_segment=10)
    assert [(info.first, info.last) for info in log.segments(0)] == [(0, 0), (1, 2), (3, 3)]


def test_a_segment_ends_at_its_size_too(log: Log) -> None:
    writer = writer_of(log, events=10**6, size=250_000)
    append(writer, [transaction(seqno, payload=os.urandom(100_000)) for seqno in range(1, 8)])
    assert [(info.first, info.last) for info in log.segments(1)] == [(1, 3), (4, 6), (7, 7)]
    assert (writer.segments, writer.bytes > 700_000) == (3, True)


def test_next_seqno_follows_what_was_added(log: Log) -> None:
    with writer_of(log, events=2) as writer:
        assert writer.next_seqno == 1
        events = transaction(1, fragments=2)
        writer.add(events[:1])
        assert writer.next_seqno == 1
        writer.add(events[1:])
        assert writer.next_seqno == 2
        writer.commit(resume(1))
        assert writer.next_seqno == 2


def test_close_gives_the_head_that_a_new_reader_sees(log: Log, tmp_path: Path) -> None:
    writer = writer_of(log)
    assert writer.close() == head_of(log)
    writer.add(transaction(1))
    writer.commit(resume(1))
    head = writer.close()
    assert head == Log(LocalStorage(tmp_path), "shop").head()
    assert (head.first, head.last, head.first_seqno_of_segment) == (0, 1, 1)
    assert (head.resume, head.watermark, head.epoch_number) == (resume(1), resume(1).watermark, 0)
    assert head.event_id == "mysql-bin.000002:0000000000000104;27"
    assert writer.close() == head


def test_an_exception_publishes_nothing_of_the_unfinished_segment(log: Log, tmp_path: Path) -> None:
    before = set(tmp_path.rglob("*"))

    def breaks_off() -> Iterable[list[ThlEvent]]:
        yield from map(transaction, range(1, GROUP_EVENTS + 5))
        raise KeyError

    with pytest.raises(KeyError):
        append(writer_of(log, events=10**6), breaks_off())
    assert set(tmp_path.rglob("*")) == before
    assert head_of(log).last == 0


def test_what_was_added_and_not_committed_is_never_published(log: Log) -> None:
    writer = writer_of(log)
    writer.add(transaction(1))
    writer.commit(resume(1))
    writer.add(transaction(2))
    with pytest.raises(ValueError, match="seqno 2 was added and not committed"):
        writer.close()
    writer.abort()
    assert head_of(log).last == 0


def test_half_a_transaction_is_not_committed(log: Log) -> None:
    writer = writer_of(log)
    writer.add(transaction(1, fragments=2)[:1])
    with pytest.raises(ValueError, match="seqno 1 is not whole"):
        writer.commit(resume(1))


@pytest.mark.parametrize("wrong", [0, 2])
def test_events_that_do_not_continue_the_log_are_refused(log: Log, wrong: int) -> None:
    with pytest.raises(ValueError, match="do not follow"):
        append(writer_of(log, events=1), [transaction(wrong)])
    assert head_of(log).last == 0


def test_events_that_do_not_continue_the_segment_before_are_refused(log: Log) -> None:
    with pytest.raises(ValueError, match="do not follow"):
        append(writer_of(log, events=1), map(transaction, (1, 2, 4)))
    assert head_of(log).last == 2


def test_a_watermark_that_goes_back_behind_the_head_is_refused(log: Log) -> None:
    with pytest.raises(ValueError, match="going back in time"):
        append(writer_of(log, events=1), [[transaction(1)[0]._replace(watermark=EPOCH - 1)]])


def test_of_two_writers_one_wins_and_the_other_says_who(log: Log) -> None:
    loser, winner = writer_of(log, token="loser"), writer_of(log, token=new_token("dag/winner"))
    for writer in (loser, winner):
        writer.add(transaction(1))
        writer.commit(resume(1))
    winner.close()
    with pytest.raises(
        WriteConflictError, match=r"thl-0000000000000000001.parquet was already written by dag/winner "
    ):
        loser.close()
    assert [info.writer for info in log.segments(1)][0].startswith("dag/winner")


def test_the_winner_is_named_out_of_its_footer_where_files_have_no_attributes(
    log: Log, tmp_path: Path
) -> None:
    loser = writer_of(log, token="loser")
    write(log, [transaction(1)], token="footer's writer")
    os.removexattr(tmp_path / "shop" / "thl-0000000000000000001.parquet", "user.tungsten_writer")
    loser.add(transaction(1))
    loser.commit(resume(1))
    with pytest.raises(WriteConflictError, match="footer's writer"):
        loser.close()


def test_only_one_can_begin_a_log(log: Log, tmp_path: Path) -> None:
    with pytest.raises(WriteConflictError, match="written by beginner"):
        Log(LocalStorage(tmp_path), "shop").create(
            resume(), source_id=SERVER, token="late", extracted_ts=EPOCH
        )


def test_temporary_files_have_no_name(log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (scratch := tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    writer = writer_of(log, events=10**6)
    writer.add(event for seqno in range(1, GROUP_EVENTS + 5) for event in transaction(seqno))
    assert list(scratch.iterdir()) == []
    writer.commit(resume(GROUP_EVENTS + 4))
    writer.close()
    assert len(seqnos(log.scan(1))) == GROUP_EVENTS + 4
