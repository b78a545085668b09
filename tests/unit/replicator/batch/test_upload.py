"""From the staging folder to the final store: everything, checked, and the batch manifest last."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_tungsten.replicator.batch.files import manifest_key
from airflow_provider_tungsten.replicator.batch.manifest import BatchManifest, Plan
from airflow_provider_tungsten.replicator.batch.upload import upload_batch
from airflow_provider_tungsten.replicator.batch.writer import write_batch
from airflow_provider_tungsten.replicator.errors import CorruptLogError, StorageError
from airflow_provider_tungsten.replicator.storage import Storage, open_storage
from airflow_provider_tungsten.replicator.storage.base import WRITE_ONCE_CHECK
from tests.unit.replicator.batch.logs import ITEMS, Logbook, rows


@pytest.fixture
def book(tmp_path: Path) -> Logbook:
    book = Logbook(tmp_path)
    book.add(rows(), rows(ITEMS))
    return book


@pytest.fixture
def staging(tmp_path: Path) -> Storage:
    return open_storage(str(tmp_path / "staging"))


@pytest.fixture
def plan(book: Logbook) -> Plan:
    return book.chain().extend(token="t", limit=1, waiting=False)[0]


@pytest.fixture
def staged(book: Logbook, plan: Plan, staging: Storage) -> BatchManifest:
    return write_batch(book.log, plan, book.service, "redshift", staging, token="t")


def upload(book: Logbook, staging: Storage, token: str = "u") -> BatchManifest:
    (plan,) = book.chain().plans()
    return upload_batch(staging, book.store, plan, token=token)


def test_the_stored_batch_is_the_one_that_was_staged(
    book: Logbook, staging: Storage, staged: BatchManifest
) -> None:
    assert upload(book, staging) == staged
    names = {info.key for info in staging.list()}
    assert {info.key for info in book.store.list()} == names | {
        "_batches/0000000000000000000.plan.json",
        WRITE_ONCE_CHECK,
    }
    assert all(book.store.read(name) == staging.read(name) for name in names)


def test_what_is_stored_already_is_adopted(
    book: Logbook, plan: Plan, staging: Storage, staged: BatchManifest
) -> None:
    first = staged.tables[0].parts[0].key
    book.store.create(first, staging.read(first), token="an attempt that died")
    assert upload(book, staging) == staged
    assert upload(book, open_storage("/nowhere"), "another") == staged
    assert write_batch(book.log, plan, book.service, "redshift", book.store, token="v") == staged


def test_a_damaged_staged_part_is_not_stored(book: Logbook, staging: Storage, staged: BatchManifest) -> None:
    staging.put(staged.tables[1].parts[0].key, b"damaged")
    with pytest.raises(CorruptLogError, match="does not hold what its manifest says"):
        upload(book, staging)
    assert not book.store.exists(manifest_key(0, 2))


@pytest.mark.usefixtures("plan")
def test_a_batch_that_was_never_staged_is_refused(book: Logbook, staging: Storage) -> None:
    with pytest.raises(StorageError, match="not in the staging folder"):
        upload(book, staging)
