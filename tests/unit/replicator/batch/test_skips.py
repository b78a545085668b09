"""A transaction that one applier leaves out: not planned yet, planned, or written, and what refuses to be skipped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import zstandard

from airflow_provider_tungsten.replicator.batch.apply import apply_batches
from airflow_provider_tungsten.replicator.batch.files import manifest_key, missing_files, read_manifest
from airflow_provider_tungsten.replicator.batch.manifest import BatchManifest, Plan, TableBatch
from airflow_provider_tungsten.replicator.batch.position import Position
from airflow_provider_tungsten.replicator.batch.skips import Skip, list_skips, read_skip, skipped
from airflow_provider_tungsten.replicator.batch.upload import upload_batch
from airflow_provider_tungsten.replicator.batch.writer import write_batch
from airflow_provider_tungsten.replicator.branch import Branch
from airflow_provider_tungsten.replicator.errors import (
    ConfigurationError,
    GapError,
    RangeError,
    UnsupportedError,
)
from airflow_provider_tungsten.replicator.skipping import skip
from airflow_provider_tungsten.replicator.storage import open_storage
from tests.unit.replicator.batch.logs import ITEMS, LOOSE, ORDERS, Logbook, gap, position, rows, statement


def branch(book: Logbook) -> Branch:
    chain, settings = book.chain(), book.service.appliers["redshift"]
    return Branch(
        book.service,
        "redshift",
        settings,
        book.log,
        book.store,
        None,
        chain,
        lambda store: open_storage(store.url),
    )


def skip_it(book: Logbook, seqno: int, applied: int = -1, why: str = "broken") -> Skip:
    return skip(branch(book), seqno, applied=lambda: applied, who="ann", why=why, token="cli")


def plans(book: Logbook) -> list[Plan]:
    book.chain().extend(token="t", limit=100, waiting=False)
    return list(book.chain().plans())


def write(book: Logbook, plan: Plan) -> BatchManifest:
    return write_batch(book.log, plan, book.service, "redshift", book.store, token="t")


def lines(book: Logbook, table: TableBatch) -> list[str]:
    """Opcode, seqno, row id and key of every row."""
    stored = b"".join(zstandard.decompress(book.store.read(part.key)) for part in table.parts)
    return [
        " ".join(line.replace('"', "").split(",")[place] for place in (0, 1, 2, 4))
        for line in stored.decode().splitlines()
    ]


class Target:
    """Takes batches and keeps what it was given; ``before_begin`` happens right before the lock is taken."""

    def __init__(self, before_begin: Any = lambda: None) -> None:
        self.position = Position()
        self.taken: list[BatchManifest] = []
        self.before_begin = before_begin

    def prepare(self) -> Position:
        return self.position

    def begin(self, batch: BatchManifest) -> Position:
        self.before_begin()
        self.batch = batch
        return self.position

    def apply(self, table: TableBatch) -> None:
        pass

    def commit(self, position: Position) -> Position:
        self.taken.append(self.batch)
        self.position = position
        return position

    def release(self) -> None:
        pass


def load(book: Logbook, target: Target) -> None:
    apply_batches(target, book.log, book.chain(), book.store, through=10**9)


def test_a_skip_says_what_was_in_the_transaction_and_stays(book: Logbook) -> None:
    book.add(rows(), [rows(ORDERS, (1, "a"), (2, "b")), rows(ITEMS), rows(ORDERS, (3, "c"))])
    made = skip_it(book, 2)
    head = book.log.head()
    assert head is not None
    assert made.tables == {"shop.orders": {"insert": 3}, "shop.items": {"insert": 1}}
    assert (made.who, made.why, made.event_id, made.thl_uuid) == ("ann", "broken", head.event_id, head.uuid)
    assert skip_it(book, 2, why="another reason") == made
    assert list_skips(book.store) == [made]
    assert (read_skip(book.store, 2), read_skip(book.store, 1)) == (made, None)
    assert skipped(book.store, 0, 1) == skipped(book.store, 3) == ()
    assert skipped(book.store) == skipped(book.store, 2, 2) == (2,)


def test_a_transaction_that_is_not_planned_yet_is_planned_as_nothing(book: Logbook) -> None:
    book.add(rows(), [rows(LOOSE), rows(ORDERS)], rows())
    with pytest.raises(UnsupportedError, match="no primary key"):
        book.chain().extend(token="t", limit=9, waiting=False, through=3)
    skip_it(book, 2)
    _, plan = plans(book)
    assert (plan.first, plan.last, plan.transactions, plan.rows, plan.skipped) == (2, 3, 1, 1, (2,))
    (table,) = write(book, plan).tables
    assert lines(book, table) == ["I 3 1 1"]


def test_a_transaction_that_is_planned_is_left_out_of_its_batch(book: Logbook) -> None:
    book.add(rows(), rows(ITEMS), rows())
    [before] = plans(book)
    skip_it(book, 2)
    [after] = plans(book)
    assert (before.skipped, after.skipped) == ((), (2,))
    manifest = write(book, after)
    assert [table.table for table in manifest.tables] == ["orders"]
    target = Target()
    load(book, target)
    assert target.taken == [manifest]


@pytest.mark.parametrize("seqnos", [(1,), (3,), (1, 2), (1, 2, 3)])
def test_first_last_adjacent_or_all_transactions_of_a_batch_can_be_skipped(
    book: Logbook, seqnos: tuple[int, ...]
) -> None:
    book.add(*[rows(ORDERS, (number, "x")) for number in (1, 2, 3)])
    for seqno in seqnos:
        skip_it(book, seqno)
    (plan,) = (
        plans(book) if len(seqnos) < 3 else book.chain().extend(token="t", limit=1, waiting=False, through=3)
    )
    found = [line for table in write(book, plan).tables for line in lines(book, table)]
    assert [line.split()[3] for line in found] == [str(key) for key in (1, 2, 3) if key not in seqnos]


def test_a_batch_that_is_written_is_written_anew_and_only_the_new_one_is_applied(book: Logbook) -> None:
    book.add(rows(), rows(ORDERS, (7, "bad")), rows(ITEMS))
    [plan] = plans(book)
    old = write(book, plan)
    skip_it(book, 2)
    target = Target()
    with pytest.raises(
        GapError, match=r"0-3.*has not been written: .*\.without-[0-9a-f]{16}\.json is missing"
    ):
        load(book, target)
    [plan] = plans(book)
    new = write(book, plan)
    assert write(book, plan) == new
    assert book.store.exists(manifest_key(0, 3))
    assert read_manifest(book.store, plan) == new != old
    assert not list(missing_files(book.store, new))
    load(book, target)
    assert target.taken == [new]
    assert target.position.seqno == 3
    with pytest.raises(RangeError, match="seqno 1 is applied, the target is at 3"):
        skip_it(book, 1, applied=target.position.seqno)


def test_a_load_that_holds_the_lock_already_sees_the_skip_or_the_skip_sees_the_load(book: Logbook) -> None:
    book.add(rows(), rows(ITEMS))
    [plan] = plans(book)
    write(book, plan)
    target = Target(before_begin=lambda: skip_it(book, 1, applied=target.position.seqno))
    with pytest.raises(
        GapError, match="seqnos 1 are skipped since it was taken up; nothing of it is applied"
    ):
        load(book, target)
    assert target.taken == []
    late = iter([-1, 2])
    with pytest.raises(RangeError, match="seqno 2 is applied"):
        skip(branch(book), 2, applied=lambda: next(late), who="ann", why="late", token="cli")
    assert skipped(book.store) == (1,)


def test_a_statement_is_skipped_too(book: Logbook) -> None:
    book.add(rows(), statement("truncate"), statement("moves_rows"), rows(ITEMS))
    for seqno in (2, 3):
        skip_it(book, seqno)
    (plan,) = plans(book)
    assert (plan.first, plan.last, plan.effect) == (0, 4, "rows")
    assert not any(table.truncate for table in write(book, plan).tables)
    assert [made.tables for made in list_skips(book.store)] == [
        {"shop.orders": {"truncate": 0}},
        {"shop.orders": {"ddl": 0}},
    ]


def test_a_staged_batch_goes_up_without_what_is_skipped(book: Logbook, tmp_path: Path) -> None:
    book.add(rows(), rows(ITEMS))
    staging = open_storage(str(tmp_path / "staging"))
    [plan] = plans(book)
    write_batch(book.log, plan, book.service, "redshift", staging, token="t")
    skip_it(book, 2)
    [plan] = plans(book)
    staged = write_batch(book.log, plan, book.service, "redshift", staging, token="t")
    assert upload_batch(staging, book.store, plan, token="t") == staged
    target = Target()
    load(book, target)
    assert [table.table for table in target.taken[0].tables] == ["orders"]


def test_in_a_feed_a_batch_that_is_written_is_its_readers(tmp_path: Path) -> None:
    book = Logbook(tmp_path, type="s3")
    book.add(rows(), rows(ITEMS))
    skip_it(book, 1)
    [plan] = plans(book)
    write(book, plan)
    with pytest.raises(RangeError, match=r"seqno 2 is in the feed: .*\.json is written"):
        skip_it(book, 2)


@pytest.mark.parametrize(
    ("seqno", "why", "error", "message"),
    [
        (0, "x", RangeError, "no transaction but the log's own record, start"),
        (2, "x", RangeError, "own record, position"),
        (3, "x", RangeError, "own record, gap: .*; a gap is acknowledged"),
        (4, "x", RangeError, "seqno 4 is not there"),
        (1, " ", ConfigurationError, "say why"),
    ],
)
def test_what_cannot_be_skipped_is_told(
    book: Logbook, seqno: int, why: str, error: type[Exception], message: str
) -> None:
    book.add(rows(), position(), gap())
    with pytest.raises(error, match=message):
        skip_it(book, seqno, why=why)
    assert list_skips(book.store) == []
