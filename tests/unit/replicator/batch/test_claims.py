"""A place has one owner: whoever else comes, above, below or beside, is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_tungsten.replicator.batch import claims
from airflow_provider_tungsten.replicator.batch.claims import Owner
from airflow_provider_tungsten.replicator.errors import CorruptLogError, PreflightError
from airflow_provider_tungsten.replicator.storage import LocalStorage, Storage

MINE = Owner("shop", "lake", "uuid-1")
OTHERS = Owner("crm", "lake", "uuid-2")


@pytest.fixture
def files(tmp_path: Path) -> Storage:
    return LocalStorage(tmp_path / "bucket").sub("feed")


def folder(files: Storage, owner: Owner = MINE) -> Storage:
    return files.sub(owner.service).sub(owner.applier)


def keys(store: Storage) -> list[str]:
    return [info.key for info in store.list()]


def test_a_free_place_is_taken_once_and_for_all(files: Storage) -> None:
    claims.take(folder(files), MINE, token="a")
    claims.take(folder(files), MINE, token="b")
    assert claims.owner_of(files) == MINE


@pytest.mark.parametrize("other", [OTHERS, Owner("shop", "feed", "uuid-1"), Owner("shop", "lake", "uuid-2")])
def test_another_service_applier_or_log_is_refused(files: Storage, other: Owner) -> None:
    claims.take(folder(files), MINE, token="a")
    with pytest.raises(
        PreflightError, match="feed (belongs to applier lake of service shop|holds the changes)"
    ):
        claims.take(folder(files, other), other, token="b")
    assert claims.owner_of(files) == MINE


@pytest.mark.parametrize("below", ["nested", "shop/lake/nested", "shop"])
def test_a_place_inside_anothers_or_around_it_is_refused_and_not_claimed(files: Storage, below: str) -> None:
    inner = files.sub(below)
    claims.take(folder(files), MINE, token="a")
    with pytest.raises(PreflightError, match="feed belongs to applier lake of service shop"):
        claims.take(folder(inner, OTHERS), OTHERS, token="b")
    assert claims.owner_of(inner) is None
    files.delete(claims.KEY)
    claims.take(folder(inner), MINE, token="a")
    with pytest.raises(PreflightError, match=f"feed holds {below}/_owner.json, which is not this applier's"):
        claims.take(folder(files, OTHERS), OTHERS, token="b")
    assert claims.owner_of(files) is None


def test_a_place_that_holds_something_else_is_refused_to_a_feed_only(files: Storage) -> None:
    files.put("shop/redshift/_position.json", b"")
    with pytest.raises(PreflightError, match="holds shop/redshift/_position.json"):
        claims.take(folder(files), MINE, token="a")
    assert list(claims.findings(folder(files), MINE, alone=False)) == []
    assert keys(files) == ["shop/redshift/_position.json"]


def test_what_another_names_preflight_left_stands_in_nobodys_way(files: Storage) -> None:
    folder(files, OTHERS).check_write_once()
    claims.take(folder(files), MINE, token="a")
    assert claims.owner_of(files) == MINE


def test_a_claim_that_cannot_be_read_stops(files: Storage) -> None:
    files.put(claims.KEY, b"[]")
    with pytest.raises(CorruptLogError, match="does not say whose the place is"):
        claims.take(folder(files), MINE, token="a")
