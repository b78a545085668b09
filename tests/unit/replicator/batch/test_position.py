"""Whether a batch may be applied at a position."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_provider_tungsten.replicator.batch.manifest import Plan
from airflow_provider_tungsten.replicator.batch.position import Position, after, is_applied
from airflow_provider_tungsten.replicator.errors import DivergedError, GapError

PLAN = Plan(
    service="orders",
    applier="main",
    thl_uuid="u1",
    first=10,
    last=19,
    previous_epoch=3,
    previous_event_id="b.000001:9;1",
    epoch_number=4,
    event_id="b.000001:19;1",
    watermark=1_700_000_000_123_456,
    effect="rows",
    transactions=10,
    rows=10,
    image_bytes=100,
    fingerprint="f",
    writer="w",
)
BEFORE = Position(9, 3, "b.000001:9;1", "db1", "u1", 1)
AFTER = after(PLAN, "db1")


def test_the_next_batch_is_applied() -> None:
    assert not is_applied(BEFORE, PLAN)


def test_the_first_batch_is_applied_to_an_empty_target() -> None:
    assert not is_applied(Position(), replace(PLAN, first=0, previous_epoch=-1, previous_event_id=""))


def test_what_is_applied_is_not_applied_again() -> None:
    assert is_applied(AFTER, PLAN)
    assert is_applied(replace(AFTER, seqno=30, event_id="later", epoch_number=9), PLAN)


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (replace(BEFORE, seqno=8), "9-9 must be applied first"),
        (Position(), "0-9 must be applied first"),
        (replace(BEFORE, seqno=10), "inside batch 10-19"),
        (replace(BEFORE, seqno=18), "inside batch 10-19"),
    ],
)
def test_a_gap_is_refused(at: Position, text: str) -> None:
    with pytest.raises(GapError, match=text):
        is_applied(at, PLAN)


@pytest.mark.parametrize(
    "at",
    [
        replace(BEFORE, thl_uuid="u2"),
        replace(BEFORE, epoch_number=2),
        replace(BEFORE, event_id="b.000001:8;1"),
        replace(AFTER, thl_uuid="u2"),
        replace(AFTER, epoch_number=5),
        replace(AFTER, event_id="b.000001:18;1"),
        replace(AFTER, seqno=25, thl_uuid="u2"),
    ],
)
def test_another_history_is_refused(at: Position) -> None:
    with pytest.raises(DivergedError, match="batch 10-19"):
        is_applied(at, PLAN)
