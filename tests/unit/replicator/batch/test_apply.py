"""Who calls a target's steps, when, and what a target may answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_tungsten.replicator.batch.apply import LoadResult, apply_batches
from airflow_provider_tungsten.replicator.batch.hint import read_hint
from airflow_provider_tungsten.replicator.batch.manifest import BatchManifest, TableBatch
from airflow_provider_tungsten.replicator.batch.position import Position
from airflow_provider_tungsten.replicator.errors import DataError, GapError, TargetError
from airflow_provider_tungsten.replicator.storage import open_storage
from airflow_provider_tungsten.replicator.thl import appliers
from airflow_provider_tungsten.replicator.thl.log import Log
from airflow_provider_tungsten.replicator.thl.retention import purge
from tests.integration.batches import Feed
from tests.unit.replicator.batch.logs import ITEMS, ORDERS

ROWS: dict[Any, Any] = {ORDERS: [("I", "1", "a")], ITEMS: [("I", "1", "a"), ("I", "2", "b")]}


class Memory:
    """A target that keeps nothing but its position and a list of what it was asked."""

    def __init__(self) -> None:
        self.position = Position()
        self.steps: list[str] = []
        self.overtaken: Position | None = None

    def prepare(self) -> Position:
        self.steps.append("prepare")
        return self.position

    def begin(self, batch: BatchManifest) -> Position | None:
        self.steps.append(f"begin {batch.plan.first}-{batch.plan.last}")
        return self.overtaken

    def apply(self, table: TableBatch) -> None:
        self.steps.append(f"apply {table.table}")

    def commit(self, position: Position) -> Position:
        self.steps.append(f"commit {position.seqno}")
        self.position = position
        return position

    def release(self) -> None:
        self.steps.append("release")


@pytest.fixture
def feed(tmp_path: Path) -> Feed:
    storage = open_storage(str(tmp_path))
    return Feed(storage, files={"url": "s3://bucket/files"})


def load(target: Any, feed: Feed, through: int = 10**9) -> LoadResult:
    return apply_batches(target, feed.log, feed, feed.store, through=through)


def test_every_batch_is_begun_applied_table_by_table_and_committed(feed: Feed) -> None:
    feed.batch(ROWS)
    last = feed.batch()
    target = Memory()
    result = load(target, feed)
    assert target.steps == [
        "prepare",
        *("begin 0-2", "apply items", "apply orders", "commit 2"),
        *("begin 3-5", "commit 5"),
        "release",
    ]
    assert (result.first, result.last, result.batches, result.rows) == (0, 5, 2, 3)
    assert (
        result.position == target.position == Position(5, 0, last.event_id, "db1", last.thl_uuid, 5_000_000)
    )
    hint = read_hint(feed.store)
    assert hint is not None
    assert hint.seqno == 5


def test_what_is_applied_is_passed_over(feed: Feed) -> None:
    feed.batch(ROWS)
    feed.batch(ROWS)
    target = Memory()
    assert load(target, feed, through=2).last == 2
    target.steps.clear()
    assert load(target, feed, through=3).first == 3
    assert target.steps[1] == "begin 3-5"
    target.steps.clear()
    assert load(target, feed).batches == 0
    assert target.steps == ["prepare", "release"]


def test_a_batch_that_another_load_applied_meanwhile_is_passed_over(feed: Feed) -> None:
    feed.batch(ROWS)
    target, other = Memory(), Memory()
    load(other, feed)
    target.overtaken = other.position
    result = load(target, feed)
    assert (result.batches, result.position) == (0, other.position)
    assert target.steps == ["prepare", "begin 0-2", "release"]


def test_an_error_ends_the_load_and_releases_the_target(feed: Feed) -> None:
    class Refuses(Memory):
        def apply(self, table: TableBatch) -> None:
            super().apply(table)
            raise DataError("no")

    feed.batch(ROWS)
    target = Refuses()
    with pytest.raises(DataError):
        load(target, feed)
    assert target.steps == ["prepare", "begin 0-2", "apply items", "release"]


def test_a_target_that_lost_its_position_on_the_way_is_not_fed(feed: Feed) -> None:
    feed.batch(ROWS)
    feed.batch(ROWS)
    target = Memory()
    load(target, feed, through=0)
    target.overtaken = Position()
    with pytest.raises(GapError, match="0-2 must be applied first"):
        load(target, feed)


def test_a_commit_that_does_not_move_the_position_is_an_error(feed: Feed) -> None:
    class Forgets(Memory):
        def commit(self, position: Position) -> Position:
            return self.position

    feed.batch(ROWS)
    target, forgetful = Memory(), Forgets()
    load(target, feed)
    forgetful.position = target.position
    feed.batch(ROWS)
    with pytest.raises(TargetError, match="3-5 was committed, and yet the target is at seqno 2"):
        load(forgetful, feed)


def test_a_target_that_was_restored_is_brought_forward_out_of_the_files_of_what_the_log_lost(
    feed: Feed,
) -> None:
    for _ in range(3):
        feed.batch(ROWS)
    target, applied = Memory(), []
    for through in (2, 5, 8):
        load(target, feed, through=through)
        applied.append(target.position)
    log = Log(feed.storage.sub("thl"), "shop")
    appliers.register(log, "redshift", folder=feed.store.url, token="t")
    appliers.mirror(log, "redshift", applied[-1], token="t")
    assert purge(log, expected=(), token="t", through=5).first == 6
    target.position = applied[0]
    target.steps.clear()
    assert (load(target, feed).first, target.position) == (3, applied[-1])
    assert target.steps[1:5] == ["begin 3-5", "apply items", "apply orders", "commit 5"]
