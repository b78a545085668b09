from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_tungsten.replicator.batch.manifest import Plan
from airflow_provider_tungsten.replicator.batch.planning import by_interval, by_range, dealt, due
from airflow_provider_tungsten.replicator.errors import RangeError
from tests.unit.replicator.batch.logs import Logbook, rows

TOKEN = "test"
SECOND = 1_000_000


@pytest.fixture
def book(tmp_path: Path) -> Logbook:
    """Ten transactions, seqnos 1 to 10, committed a second apart; a micro-batch holds two."""
    book = Logbook(tmp_path, batches={"max_transactions": 2})
    book.add(*[rows()] * 10)
    return book


def spans(plans: list[Plan]) -> list[tuple[int, int]]:
    return [(plan.first, plan.last) for plan in plans]


def all_plans(book: Logbook) -> list[tuple[int, int]]:
    return spans(list(book.chain().plans()))


def test_due_is_what_follows_the_position_in_portions(book: Logbook) -> None:
    portions, position = [], -1
    while plans := due(book.chain(), position, per_run=2, token=TOKEN):
        assert len(plans) <= 2
        assert plans[0].first == position + 1
        portions.append(len(plans))
        position = plans[-1].last
    assert position == 10
    assert sum(portions) == len(all_plans(book))


def test_a_batch_that_is_not_applied_is_due_again_before_anything_else(book: Logbook) -> None:
    once = due(book.chain(), -1, per_run=3, token=TOKEN)
    book.add(*[rows()] * 10)
    assert due(book.chain(), -1, per_run=3, token=TOKEN) == once
    assert book.chain().end() == once[-1].last


def test_nothing_is_due_when_all_is_applied(book: Logbook) -> None:
    due(book.chain(), -1, per_run=100, token=TOKEN)
    assert due(book.chain(), 10, per_run=100, token=TOKEN) == []


def test_a_range_takes_its_batches_whole_and_what_is_not_applied_before(book: Logbook) -> None:
    due(book.chain(), -1, per_run=100, token=TOKEN)
    plans = spans(by_range(book.chain(), -1, 6, 7, token=TOKEN))
    assert plans == [span for span in all_plans(book) if span[0] <= 7]


def test_a_range_that_is_applied_stands_for_itself(book: Logbook) -> None:
    due(book.chain(), -1, per_run=100, token=TOKEN)
    plans = spans(by_range(book.chain(), 10, 6, 7, token=TOKEN))
    assert plans == [span for span in all_plans(book) if span[1] >= 6 and span[0] <= 7]


def test_a_range_without_an_end_reaches_to_the_end_of_the_log(book: Logbook) -> None:
    assert by_range(book.chain(), -1, 4, None, token=TOKEN)[-1].last == 10


@pytest.mark.parametrize("given", [(7, 6), (3, 11), (11, None), (None, 99)])
def test_a_range_that_does_not_exist_is_refused_with_the_one_that_does(book: Logbook, given: Any) -> None:
    with pytest.raises(RangeError, match="0 to 10"):
        by_range(book.chain(), -1, *given, token=TOKEN)
    assert all_plans(book) == []


def test_adjoining_intervals_take_every_batch_once(book: Logbook) -> None:
    due(book.chain(), -1, per_run=100, token=TOKEN)
    found = [
        span
        for begin in range(0, 12, 3)
        for span in spans(by_interval(book.chain(), 10, begin * SECOND, (begin + 3) * SECOND, token=TOKEN))
    ]
    assert found == [span for span in all_plans(book) if span[1] > 0]


def test_an_interval_also_takes_what_is_not_applied_before_it(book: Logbook) -> None:
    plans = by_interval(book.chain(), -1, 7 * SECOND, 99 * SECOND, token=TOKEN)
    assert (plans[0].first, plans[-1].last) == (0, 10)


def test_an_interval_without_commits_takes_nothing(book: Logbook) -> None:
    assert by_interval(book.chain(), -1, 50 * SECOND, 60 * SECOND, token=TOKEN) == []


def test_batches_are_dealt_out_so_that_there_are_never_too_many_tasks(book: Logbook) -> None:
    plans = due(book.chain(), -1, per_run=100, token=TOKEN)
    everything = (plans[0].first, plans[-1].last)
    assert dealt(plans, per_task=100, max_tasks=8) == [everything]
    two = dealt(plans, per_task=1, max_tasks=2)
    assert len(two) == 2
    assert (two[0][0], two[1][1]) == everything
    assert two[0][1] + 1 == two[1][0]
