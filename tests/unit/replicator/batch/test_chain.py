"""The chain of plans: contiguous, decided once, whoever extends it and however often."""

from __future__ import annotations

import tempfile
import tracemalloc
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_tungsten.replicator.batch.chain import check_range, plan_key
from airflow_provider_tungsten.replicator.batch.manifest import Plan
from airflow_provider_tungsten.replicator.batch.writer import write_batch
from airflow_provider_tungsten.replicator.errors import (
    ConfigurationError,
    DivergedError,
    GapError,
    RangeError,
    UnsupportedError,
)
from airflow_provider_tungsten.replicator.storage import new_token, open_storage
from airflow_provider_tungsten.replicator.thl import appliers
from airflow_provider_tungsten.replicator.thl.event import event_id
from airflow_provider_tungsten.replicator.thl.retention import purge
from airflow_provider_tungsten.replicator.thl.settings import Retention
from tests.unit.replicator.batch.logs import ITEMS, WIDER, Logbook, gap, heartbeat, position, rows, statement


def extend(
    book: Logbook, limit: int = 1000, waiting: bool = False, through: int | None = None, **applier: Any
) -> list[Plan]:
    return book.chain(**applier).extend(token=new_token(), limit=limit, waiting=waiting, through=through)


def spans(plans: Iterator[Plan] | list[Plan]) -> list[tuple[int, int]]:
    return [(plan.first, plan.last) for plan in plans]


def test_plans_begin_at_seqno_0_and_follow_each_other(book: Logbook) -> None:
    book.add(rows(), rows())
    (first,) = extend(book)
    book.add(rows(ITEMS))
    (second,) = extend(book)
    assert spans(book.chain().plans()) == [(0, 2), (3, 3)]
    assert (first.previous_epoch, first.previous_event_id) == (-1, "")
    assert (second.previous_epoch, second.previous_event_id) == (0, event_id("bin.000001", 102))
    head = book.log.head()
    assert head is not None
    assert (second.thl_uuid, second.epoch_number, second.event_id) == (head.uuid, 0, head.event_id)
    assert second.watermark == 3_000_000


def test_nothing_new_plans_nothing(book: Logbook) -> None:
    assert extend(book) == []
    book.add(rows())
    assert len(extend(book)) == 1
    assert extend(book) == []
    assert book.chain().end() == 1


def test_a_tail_with_nothing_to_load_is_left_to_grow(book: Logbook) -> None:
    book.add(position(), rows(ITEMS))
    assert extend(book, exclude=["shop.items"]) == []
    book.add(rows())
    assert spans(extend(book, exclude=["shop.items"])) == [(0, 3)]


def test_a_tail_grows_while_a_batch_waits_and_full_batches_are_planned(book: Logbook) -> None:
    small = {"batches": {"max_transactions": 2}}
    book.add(rows(), rows(), rows())
    assert spans(extend(book, waiting=True, **small)) == [(0, 2)]
    assert spans(extend(book, **small)) == [(3, 3)]


def test_a_range_cuts_the_tail_that_it_needs_and_no_more(book: Logbook) -> None:
    book.add(rows(), rows())
    assert spans(extend(book, waiting=True, through=1)) == [(0, 2)]
    book.add(rows(), position())
    assert extend(book, waiting=True, through=2) == []
    assert spans(extend(book, waiting=True, through=3)) == [(3, 4)]
    book.add(position())
    assert spans(extend(book, through=5)) == [(5, 5)]


def test_no_more_plans_than_the_limit(book: Logbook) -> None:
    book.add(*[rows()] * 6)
    small = {"batches": {"max_transactions": 1}}
    assert spans(extend(book, limit=2, **small)) == [(0, 1), (2, 2)]
    assert spans(extend(book, limit=9, **small)) == [(3, 3), (4, 4), (5, 5), (6, 6)]


def test_a_lost_race_adopts_the_winners_plan_and_goes_on_behind_it(book: Logbook) -> None:
    book.add(*[rows()] * 3)
    winner = extend(book)[0]
    book.store.delete(plan_key(0))
    chain = book.chain(batches={"max_transactions": 1})
    plan_before = chain._last_plan
    # The winner's plan appears after the loser has looked for the chain's end.
    calls = []

    def late() -> Plan | None:
        found = plan_before()
        if not calls:
            book.add(*[rows()] * 2)
            book.store.create(plan_key(0), winner.to_json(), token=new_token())
        calls.append(found)
        return found

    chain._last_plan = late  # type: ignore[method-assign]
    assert spans(chain.extend(token=new_token(), limit=9, waiting=False)) == [(0, 3), (4, 4), (5, 5)]
    assert book.chain().pending(-1).__next__() == winner


def test_a_gap_behind_records_that_wait_for_more_is_told_all_the_same(book: Logbook) -> None:
    book.add(rows(), heartbeat())
    assert spans(extend(book)) == [(0, 2)]
    book.add(heartbeat(), gap(), rows())
    with pytest.raises(GapError, match="seqno 4"):
        extend(book)
    book.chain().acknowledge_gap(4, new_token())
    assert spans(extend(book)) == [(3, 3), (4, 5)]


def test_a_gap_stops_planning_until_it_is_acknowledged(book: Logbook) -> None:
    book.add(rows(), gap(), rows())
    assert spans(extend(book)) == [(0, 1)]
    with pytest.raises(GapError, match="seqno 2"):
        extend(book)
    assert extend(book, waiting=True) == []
    with pytest.raises(GapError, match="seqno 2"):
        extend(book, waiting=True, through=3)
    with pytest.raises(RangeError, match="seqno 1 is no gap record"):
        book.chain().acknowledge_gap(1, new_token())
    book.chain().acknowledge_gap(2, new_token())
    book.chain().acknowledge_gap(2, new_token())
    (plan,) = extend(book)
    assert (plan.first, plan.last, plan.previous_epoch, plan.epoch_number) == (2, 3, 0, 2)


def test_what_is_refused_can_be_excluded_at_once(book: Logbook) -> None:
    book.add(rows(ITEMS), statement("moves_rows"), rows(ITEMS))
    assert spans(extend(book)) == [(0, 1)]
    with pytest.raises(UnsupportedError, match=r"shop\.orders"):
        extend(book)
    assert spans(extend(book, exclude=["shop.orders"])) == [(2, 3)]


def test_the_same_log_gives_the_same_plans(tmp_path: Path) -> None:
    log = [rows(), statement("truncate"), rows(WIDER), rows(), rows(ITEMS), gap(), rows()]
    books = [Logbook(tmp_path / name, batches={"max_transactions": 2}) for name in ("a", "b")]
    for book in books:
        book.add(*log)
        book.chain().acknowledge_gap(6, new_token())
    once = extend(books[0])
    portions = [plan for _ in range(9) for plan in extend(books[1], limit=1)]
    assert spans(once) == spans(portions) == [(0, 1), (2, 2), (3, 3), (4, 5), (6, 7)]
    assert [plan.effect for plan in once] == ["rows", "truncate", "rows", "rows", "rows"]


@settings(max_examples=15)
@given(data=st.data())
def test_plans_never_overlap_and_leave_nothing_out(data: st.DataObject) -> None:
    """Whatever the log holds and however it grows between attempts under changing limits."""
    kinds = st.sampled_from(
        [
            rows(),
            rows(ITEMS),
            rows(WIDER),
            position(),
            statement("truncate"),
            statement("schema"),
            [rows(), rows(ITEMS)],
        ]
    )
    with tempfile.TemporaryDirectory() as folder:
        book = Logbook(Path(folder))
        for _ in range(data.draw(st.integers(1, 4))):
            book.add(*data.draw(st.lists(kinds, min_size=1, max_size=12)))
            extend(
                book,
                limit=data.draw(st.integers(1, 4)),
                waiting=data.draw(st.booleans()),
                batches={"max_transactions": data.draw(st.integers(1, 5))},
                exclude=data.draw(st.sampled_from([[], ["shop.items"]])),
            )
        head = book.log.head()
        assert head is not None
        extend(book, through=head.last)
        plans = list(book.chain().plans())
        assert [plan.first for plan in plans] == [0, *(plan.last + 1 for plan in plans[:-1])]
        assert plans[-1].last == head.last
        for before, plan in zip(plans, plans[1:], strict=False):
            assert (plan.previous_epoch, plan.previous_event_id) == (before.epoch_number, before.event_id)


def test_a_backlog_of_5000_batches_is_planned_in_portions_with_flat_memory(
    book: Logbook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", lambda _: None)  # 10,000 of them are the disk's time, not planning's
    book.add(*[rows()] * 5000)
    small = {"batches": {"max_transactions": 1}}
    extend(book, limit=10, **small)
    tracemalloc.start()
    extend(book, limit=500, **small)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    while extend(book, limit=500, **small):
        pass
    assert book.chain().end() == 5000
    assert sum(1 for _ in book.chain().plans()) == 5000
    assert peak < 20e6


# What does not belong together


def test_a_rebuilt_log_is_diverged(tmp_path: Path, book: Logbook) -> None:
    book.add(rows(), rows())
    extend(book)
    other = Logbook(tmp_path / "other")
    other.add(rows(), rows(), rows())
    other.store = book.store
    with pytest.raises(DivergedError, match="wiped, rebuilt or restored"):
        extend(other)


def test_a_log_that_is_shorter_than_the_plans_or_gone_is_diverged(tmp_path: Path, book: Logbook) -> None:
    book.add(rows(), rows())
    extend(book, batches={"max_transactions": 1})
    other = Logbook(tmp_path / "other")
    other.store = book.store
    with pytest.raises(DivergedError, match="wiped, rebuilt or restored"):
        extend(other)
    other.log = type(other.log)(open_storage(str(tmp_path / "nowhere")), "shop")
    with pytest.raises(DivergedError, match="wiped, rebuilt or restored"):
        extend(other)


# Selecting


@pytest.fixture
def planned(book: Logbook) -> Logbook:
    """Batches 0–2, 3–4, 5–6, 7–7 at seconds 2, 4, 6, 7."""
    book.add(*[rows()] * 7)
    extend(book, batches={"max_transactions": 2})
    return book


def test_pending_is_what_lies_behind_the_position(planned: Logbook) -> None:
    assert spans(planned.chain().pending(-1)) == [(0, 2), (3, 4), (5, 6), (7, 7)]
    assert spans(planned.chain().pending(2)) == [(3, 4), (5, 6), (7, 7)]
    assert spans(planned.chain().pending(2, through=5)) == [(3, 4), (5, 6)]
    assert spans(planned.chain().pending(7)) == []


def test_a_position_may_be_the_logs_first_seqno(book: Logbook) -> None:
    book.add(statement("truncate"))
    assert spans(extend(book)) == [(0, 0), (1, 1)]
    assert spans(book.chain().pending(0)) == [(1, 1)]


@pytest.mark.parametrize("position", [3, 8])
def test_a_position_that_is_no_batchs_end_is_refused(planned: Logbook, position: int) -> None:
    with pytest.raises(GapError, match=f"position {position}"):
        list(planned.chain().pending(position))


def test_locate_finds_the_batches_that_overlap(planned: Logbook) -> None:
    assert spans(planned.chain().locate(1, 1)) == [(0, 2)]
    assert spans(planned.chain().locate(2, 3)) == [(0, 2), (3, 4)]
    assert spans(planned.chain().locate(6, 99)) == [(5, 6), (7, 7)]
    assert spans(planned.chain().locate(8, 9)) == []


def test_every_batch_lies_in_exactly_one_of_adjoining_intervals(planned: Logbook) -> None:
    def interval(after: float, until: float) -> tuple[int, int] | None:
        return planned.chain().plans_in_interval(int(after * 1e6), int(until * 1e6))

    assert interval(-1, 1) is None
    assert interval(-1, 2) == (0, 2)
    assert interval(2, 4.5) == (3, 4)
    assert interval(4.5, 5.5) is None
    assert interval(5.5, 9) == (5, 7)
    assert interval(6, 7) == (7, 7)
    assert interval(9, 10) is None


def test_the_end_of_a_long_chain_is_found(book: Logbook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_tungsten.replicator.batch.chain._PAGE", 3)
    book.add(*[rows()] * 40)
    extend(book, batches={"max_transactions": 1})
    chain = book.chain()
    assert chain.end() == 40
    for seqno in range(41):
        (plan,) = chain.locate(seqno, seqno)
        assert plan.first <= seqno <= plan.last


def test_a_range_that_does_not_exist_is_refused_with_the_one_that_does(book: Logbook) -> None:
    book.add(rows(), rows())
    for first, last in [(3, None), (None, 3), (0, 9), (-1, 2), (2, 1)]:
        with pytest.raises(RangeError, match="holds seqnos 0 to 2"):
            check_range(book.log, first, last)
    check_range(book.log, 0, 2)
    check_range(book.log, None, None)


def test_the_fingerprint_follows_what_makes_the_bytes_and_nothing_else(book: Logbook) -> None:
    same = book.chain().fingerprint
    assert book.chain(batches={"max_rows": 9}, connection="other").fingerprint == same
    changed: list[dict[str, Any]] = [
        {"exclude": ["a.b"]},
        {"include": ["a.b"]},
        {"exclude_columns": ["a.b.c"]},
        {"csv": {"compression": "gzip"}},
        {"batches": {"part_bytes": 1 << 20}},
    ]
    assert len({same, *(book.chain(**settings).fingerprint for settings in changed)}) == 6


def test_plans_are_read_as_they_are_asked_for(planned: Logbook) -> None:
    assert spans(list(islice(planned.chain().plans(3), 1))) == [(3, 4)]


def purge_all_but_the_newest(book: Logbook) -> int:
    """:returns: the first seqno that is left."""
    head = book.log.head()
    assert head is not None
    appliers.register(book.log, "first", folder="s3://bucket/first", token="t")
    appliers.mirror(book.log, "first", appliers.Applied(head.last, 0, "e", 0, head.uuid), token="t")
    return purge(book.log, expected=(), token="t", retention=Retention(max_bytes=1)).first


def test_an_applier_that_begins_on_a_purged_log_asks_for_the_state_of_its_target(book: Logbook) -> None:
    book.add(rows(), rows(), segment_events=1)
    assert purge_all_but_the_newest(book) == 2
    with pytest.raises(
        GapError, match=r"begins at seqno 2, .* behind bin.000001:0*101;.*acknowledge_gap` set to 1"
    ):
        extend(book)
    book.chain().acknowledge_gap(1, "t")
    (purged,) = extend(book, limit=1)
    (plan,) = extend(book)
    assert (purged.first, purged.last, purged.effect, purged.transactions) == (0, 1, "records", 0)
    assert (purged.event_id, plan.previous_event_id) == (event_id("bin.000001", 101),) * 2
    assert (plan.first, plan.last, plan.transactions) == (2, 2, 1)
    manifest = write_batch(book.log, purged, book.service, "redshift", book.store, token="t")
    assert (manifest.plan, manifest.tables) == (purged, ())
    book.add(rows())
    assert spans(extend(book)) == [(3, 3)]
    with pytest.raises(
        RangeError, match=r"from_seqno 1 does not exist: .* 2 to 3; what lies before 2, the low-water mark"
    ):
        check_range(book.log, 1, 3)


def test_a_chain_goes_on_right_behind_what_was_purged_and_no_later(book: Logbook) -> None:
    book.add(rows(), segment_events=1)
    extend(book)
    book.add(rows(), rows(), segment_events=1)
    appliers.remove(book.log, "redshift", "t")
    assert purge_all_but_the_newest(book) == 3
    chain = book.chain()
    with pytest.raises(ConfigurationError, match="was removed from the log"):
        chain.extend(token="t", limit=9, waiting=False)
    removed = book.log.storage
    for key in ("registered", "removed"):
        removed.delete(f"appliers/redshift/{key}.json")
    with pytest.raises(
        GapError, match=r"goes on behind seqno 1, but the THL begins at 3: what lies between was purged"
    ):
        extend(book)
