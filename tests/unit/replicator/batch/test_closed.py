"""A skip and a batch that is just being applied, or published in a feed: one of them gives way, whoever is first."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_tungsten.replicator.batch import files
from airflow_provider_tungsten.replicator.batch.apply import apply_batches
from airflow_provider_tungsten.replicator.batch.files import manifest_key
from airflow_provider_tungsten.replicator.batch.manifest import BatchManifest, Plan, TableBatch
from airflow_provider_tungsten.replicator.batch.skips import closed_by, skipped, take_back
from airflow_provider_tungsten.replicator.batch.upload import upload_batch
from airflow_provider_tungsten.replicator.batch.writer import write_batch
from airflow_provider_tungsten.replicator.errors import (
    DataError,
    GapError,
    RangeError,
    StorageError,
    TargetUnavailableError,
)
from airflow_provider_tungsten.replicator.skipping import skip
from airflow_provider_tungsten.replicator.storage import Storage, open_storage
from tests.unit.replicator.batch.logs import ITEMS, Logbook, rows
from tests.unit.replicator.batch.test_skips import Target, branch, plans, skip_it, write


@pytest.fixture
def book(tmp_path: Path) -> Logbook:
    book = Logbook(tmp_path)
    book.add(rows(), rows(ITEMS))
    return book


@pytest.fixture
def feed(tmp_path: Path) -> Logbook:
    feed = Logbook(tmp_path, type="s3")
    feed.add(rows(), rows(ITEMS))
    return feed


def load(book: Logbook, target: Target) -> None:
    """As of a target without a lock."""
    apply_batches(target, book.log, book.chain(), book.store, through=10**9, closed_by="load")


class Busy(Target):
    """Has no lock; ``meanwhile`` happens while a table is applied."""

    def begin(self, batch: BatchManifest) -> None:  # type: ignore[override]
        self.batch = batch

    def meanwhile(self, table: TableBatch) -> None:
        pass

    def apply(self, table: TableBatch) -> None:
        self.meanwhile(table)


def test_what_a_target_without_a_lock_is_being_given_is_not_skipped(book: Logbook) -> None:
    [plan] = plans(book)
    write(book, plan)
    refused: list[str] = []

    class Asked(Busy):
        def meanwhile(self, table: TableBatch) -> None:
            with pytest.raises(RangeError, match="seqno 1 is in batch 0-2, at which load is at work"):
                skip_it(book, 1, applied=self.position.seqno)
            refused.append(table.table)

    target = Asked()
    load(book, target)
    assert (refused, target.position.seqno) == (["items", "orders"], 2)
    assert (skipped(book.store), closed_by(book.store, plan)) == ((), None)
    with pytest.raises(RangeError, match="is applied"):
        skip_it(book, 1, applied=target.position.seqno)


def test_a_batch_that_fails_lets_its_transaction_be_skipped(book: Logbook) -> None:
    class Fails(Busy):
        def meanwhile(self, table: TableBatch) -> None:
            if table.table == "items":
                raise DataError("no")

    [plan] = plans(book)
    write(book, plan)
    target = Fails()
    with pytest.raises(DataError):
        load(book, target)
    skip_it(book, 2)
    [plan] = plans(book)
    write(book, plan)
    load(book, target)
    assert target.position.seqno == 2


def test_a_skip_between_taking_up_and_applying_stops_the_load(book: Logbook) -> None:
    [plan] = plans(book)
    write(book, plan)
    target = Busy()
    begin = target.begin

    def begin_late(batch: BatchManifest) -> None:
        begin(batch)
        skip_it(book, 1)

    target.begin = begin_late  # type: ignore[method-assign]
    with pytest.raises(GapError, match="seqnos 1 are skipped since it was taken up"):
        load(book, target)
    assert (target.taken, skipped(book.store)) == ([], (1,))


def test_a_mark_of_a_load_that_was_killed_is_the_next_ones(book: Logbook) -> None:
    [plan] = plans(book)
    write(book, plan)
    book.store.put(f"_batches/{0:019d}.closed", b"killed")
    with pytest.raises(RangeError, match="killed is at work, or was killed: .* run the load step again"):
        skip_it(book, 2)
    load(book, Target())
    assert closed_by(book.store, plan) is None


def test_a_target_that_does_not_answer_is_not_skipped_anything(book: Logbook) -> None:
    plans(book)
    asked: list[int] = []

    def applied() -> int:
        asked.append(1)
        if len(asked) > 1:
            raise TargetUnavailableError("busy")
        return -1

    with pytest.raises(TargetUnavailableError):
        skip(branch(book), 1, applied=applied, who="ann", why="x", token="cli")
    assert skipped(book.store) == ()


def manifests(store: Storage) -> list[str]:
    return [
        info.key
        for info in store.list("_batches/")
        if info.key.endswith(".json") and "plan" not in info.key and "skips" not in info.key
    ]


def test_what_is_being_published_in_a_feed_is_not_skipped(
    feed: Logbook, monkeypatch: pytest.MonkeyPatch
) -> None:
    [plan] = plans(feed)
    put = files.put_manifest

    def skip_before(store: Storage, manifest: BatchManifest, token: str) -> BatchManifest:
        with pytest.raises(RangeError, match="seqno 1 is in batch 0-2, at which t is at work"):
            skip_it(feed, 1)
        return put(store, manifest, token)

    monkeypatch.setattr(files, "put_manifest", skip_before)
    manifest = write(feed, plan)
    assert manifest.plan.skipped == ()
    assert (manifests(feed.store), skipped(feed.store)) == ([manifest_key(0, 2)], ())


@pytest.mark.parametrize("staged", [False, True])
def test_a_batch_that_was_written_before_a_skip_is_not_published_after_it(
    feed: Logbook, tmp_path: Path, staged: bool
) -> None:
    staging = open_storage(str(tmp_path / "staging"))

    def publish(plan: Plan) -> None:
        if not staged:
            write(feed, plan)
            return
        service = feed.service.model_copy(deep=True)
        lake = service.appliers["redshift"].model_copy(update={"staging_folder": str(tmp_path / "staging")})
        service = service.model_copy(update={"appliers": {"redshift": lake}})
        write_batch(feed.log, plan, service, "redshift", staging, token="t")
        upload_batch(staging, feed.store, plan, token="t", is_feed=True)

    [before] = plans(feed)
    skip_it(feed, 1)
    with pytest.raises(GapError, match="seqnos 1 are skipped since it was taken up"):
        publish(before)
    assert manifests(feed.store) == []
    [after] = plans(feed)
    publish(after)
    assert manifests(feed.store) == [manifest_key(0, 2, (1,))]
    assert closed_by(feed.store, after) is None
    with pytest.raises(RangeError, match=r"seqno 2 is in the feed: .*without-.*\.json is written"):
        skip_it(feed, 2)


def test_a_range_has_one_manifest_in_a_feed(feed: Logbook) -> None:
    skip_it(feed, 1)
    [plan] = plans(feed)
    write(feed, plan)
    take_back(feed.store, 1)
    [plan] = plans(feed)
    with pytest.raises(
        StorageError, match=r"without-.*\.json is in the feed, so that seqnos \(none\) cannot be"
    ):
        write(feed, plan)
    assert manifests(feed.store) == [manifest_key(0, 2, (1,))]


def test_the_mark_of_a_task_that_was_killed_goes_when_it_is_run_again(feed: Logbook) -> None:
    [plan] = plans(feed)
    write(feed, plan)
    feed.store.put(f"_batches/{0:019d}.closed", b"killed")
    write(feed, plan)
    assert closed_by(feed.store, plan) is None
