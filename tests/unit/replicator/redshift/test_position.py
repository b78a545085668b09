"""Whether a batch may be applied at a position, and the text of the statements about it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from airflow_provider_tungsten.replicator.batch.manifest import Plan
from airflow_provider_tungsten.replicator.errors import DivergedError, GapError
from airflow_provider_tungsten.replicator.redshift import position
from airflow_provider_tungsten.replicator.redshift.ddl import Relation
from airflow_provider_tungsten.replicator.redshift.position import Position

TABLE = Relation("tungsten_orders", "trep_commit_seqno")
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
AFTER = position.after(PLAN, "db1")


def test_the_next_batch_is_applied() -> None:
    assert not position.is_applied(BEFORE, PLAN)


def test_the_first_batch_is_applied_to_an_empty_target() -> None:
    assert not position.is_applied(
        Position(), replace(PLAN, first=0, previous_epoch=-1, previous_event_id="")
    )


def test_what_is_applied_is_not_applied_again() -> None:
    assert position.is_applied(AFTER, PLAN)
    assert position.is_applied(replace(AFTER, seqno=30, event_id="later", epoch_number=9), PLAN)


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
        position.is_applied(at, PLAN)


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
        position.is_applied(at, PLAN)


def test_statements() -> None:
    assert position.lock(TABLE) == 'LOCK "tungsten_orders"."trep_commit_seqno"'
    assert position.create(TABLE) == (
        'CREATE TABLE IF NOT EXISTS "tungsten_orders"."trep_commit_seqno" (task_id INTEGER, seqno BIGINT, '
        "fragno SMALLINT, last_frag BOOLEAN, source_id VARCHAR(256), epoch_number BIGINT, eventid VARCHAR(256), "
        "applied_latency INTEGER, update_timestamp TIMESTAMP, shard_id VARCHAR(128), extract_timestamp TIMESTAMP, "
        "applier VARCHAR(64), thl_uuid VARCHAR(64)) DISTSTYLE ALL"
    )
    assert position.select(TABLE) == (
        "SELECT seqno, epoch_number, eventid, source_id, thl_uuid, extract_timestamp "
        'FROM "tungsten_orders"."trep_commit_seqno" WHERE applier = %s'
    )
    assert position.insert_first(TABLE) == (
        'INSERT INTO "tungsten_orders"."trep_commit_seqno" (task_id, seqno, fragno, last_frag, source_id, epoch_number, '
        "eventid, applied_latency, update_timestamp, shard_id, extract_timestamp, applier, thl_uuid) "
        "VALUES (0, -1, -1, TRUE, '', -1, '', 0, GETDATE(), '', '1970-01-01', %s, '')"
    )
    assert position.update(TABLE) == (
        'UPDATE "tungsten_orders"."trep_commit_seqno" SET seqno = %s, fragno = 0, last_frag = TRUE, source_id = %s, '
        "epoch_number = %s, eventid = %s, applied_latency = %s, update_timestamp = GETDATE(), extract_timestamp = %s, "
        "thl_uuid = %s WHERE applier = %s AND seqno = %s"
    )


def test_the_update_is_fenced_by_the_old_seqno_and_tells_the_latency() -> None:
    committed = datetime(2023, 11, 14, 22, 13, 20, 123456)
    assert position.update_arguments("main", BEFORE, AFTER, 1_700_000_007.5) == (
        19, "db1", 4, "b.000001:19;1", 7, committed, "u1", "main", 9,
    )  # fmt: skip
    assert position.from_row((19, 4, "b.000001:19;1", "db1", "u1", committed)) == AFTER
