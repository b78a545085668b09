"""The S3 applier in a local folder: where its position lies, how it moves, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_tungsten.replicator.batch import claims
from airflow_provider_tungsten.replicator.batch.apply import LoadResult, apply_batches
from airflow_provider_tungsten.replicator.batch.chain import Chain
from airflow_provider_tungsten.replicator.batch.claims import Owner, claim
from airflow_provider_tungsten.replicator.batch.manifest import Plan, TableBatch
from airflow_provider_tungsten.replicator.batch.writer import write_batch
from airflow_provider_tungsten.replicator.errors import (
    CorruptLogError,
    DivergedError,
    GapError,
    PreflightError,
    StorageError,
)
from airflow_provider_tungsten.replicator.s3 import preflight
from airflow_provider_tungsten.replicator.s3.applier import S3Target, s3_target
from airflow_provider_tungsten.replicator.s3.position import PositionFile
from airflow_provider_tungsten.replicator.settings import Store
from airflow_provider_tungsten.replicator.storage import ObjectChangedError, Storage, open_storage
from tests.unit.replicator.batch.logs import ITEMS, Logbook, make_service, rows

SMALL = {"max_transactions": 2}


class Feed(Logbook):
    """A log and an S3 applier's chain in one folder."""

    def __init__(self, folder: Path, **applier: Any) -> None:
        files = str(folder / "feed")
        super().__init__(folder, type="s3", files={"url": files}, batches=SMALL, **applier)
        self.store = open_storage(files).sub("shop").sub("redshift")
        self.place = self.store.sub("_metadata").sub("applier").sub("shop")

    def plan(self) -> list[Plan]:
        return self.chain().extend(token="t", limit=99, waiting=False)

    def write(self) -> None:
        for plan in self.plan():
            write_batch(self.log, plan, self.service, "redshift", self.store, token="t")

    def target(self) -> S3Target:
        return s3_target(self.service, "redshift", self.store, _open, token="t")

    def load(self, target: S3Target | None = None) -> LoadResult:
        return apply_batches(target or self.target(), self.log, self.chain(), self.store, through=10**6)

    def position(self) -> dict[str, str]:
        return json.loads(self.place.read("commitseqno.0"))  # type: ignore[no-any-return]


def _open(store: Store) -> Storage:
    return open_storage(store.url)


@pytest.fixture
def feed(tmp_path: Path) -> Feed:
    feed = Feed(tmp_path)
    feed.add(*[rows()] * 5)
    return feed


def test_the_position_is_the_manuals_object_all_values_strings(feed: Feed) -> None:
    feed.write()
    result = feed.load()
    assert (result.first, result.last, result.batches) == (0, 5, 3)
    position = feed.position()
    assert int(position.pop("appliedLatency")) > 0
    assert position == {
        "sourceId": "db1",
        "epochNumber": "0",
        "fragno": "0",
        "eventId": "bin.000001:0000000000000105;-1",
        "seqno": "5",
        "lastFrag": "true",
        "extractedTstamp": "5000",
        "shardId": "",
    }
    assert feed.load().batches == 0
    feed.add(rows())
    feed.write()
    assert feed.load().first == 6
    assert feed.position()["seqno"] == "6"


def test_metadata_may_lie_elsewhere_and_belongs_to_one_applier(feed: Feed, tmp_path: Path) -> None:
    metadata = {"metadata": {"url": str(tmp_path / "metadata")}}
    feed = Feed(tmp_path, **metadata)
    feed.write()
    assert feed.load().last == 5
    assert (tmp_path / "metadata" / "applier" / "shop" / "commitseqno.0").is_file()
    other = PositionFile(open_storage(str(tmp_path / "metadata/applier/shop")), "shop", "lake")
    with pytest.raises(
        PreflightError, match=r"commitseqno\.0 is the position of applier redshift of service shop"
    ):
        other.read()


def test_a_batch_that_another_load_applied_meanwhile_is_passed_over(
    feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed.write()
    slow, raced = feed.target(), []

    def another_is_quicker(table: TableBatch) -> None:
        if not raced:
            raced.append(feed.load().batches)

    monkeypatch.setattr(slow, "apply", another_is_quicker)
    assert feed.load(slow).batches == 1  # its own first one, as it sees it; the rest was there
    assert raced == [3]
    assert feed.position()["seqno"] == "5"


def test_the_position_never_goes_back(feed: Feed) -> None:
    feed.write()
    file = PositionFile(feed.place, "shop", "redshift")
    feed.load()
    position, version = file.read()
    assert position.seqno == 5
    with pytest.raises(ObjectChangedError):
        file.move(position, None, 0, "t")
    file.move(position, version, 0, "t")
    with pytest.raises(ObjectChangedError):
        file.move(position, version, 1, "t")


def test_a_position_that_was_set_to_another_place_meanwhile_stops(
    feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed.write()
    feed.load()
    feed.add(rows())
    feed.write()
    target = feed.target()

    def set_back(table: TableBatch) -> None:
        feed.place.put("commitseqno.0", json.dumps(feed.position() | {"seqno": "3"}).encode())

    monkeypatch.setattr(target, "apply", set_back)
    with pytest.raises(GapError, match="does not follow the target's position, seqno 3"):
        feed.load(target)
    assert feed.position()["seqno"] == "3"


def test_a_batch_without_its_files_is_not_applied(feed: Feed) -> None:
    feed.write()
    (gone,) = [info.key for info in feed.store.list("shop/orders/") if f"/{3:019d}-" in info.key]
    feed.store.delete(gone)
    with pytest.raises(StorageError, match="run the batch step for that range again"):
        feed.load()
    assert feed.position()["seqno"] == "2"


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"seqno": "1"}'])
def test_a_position_that_cannot_be_read_stops(feed: Feed, data: bytes) -> None:
    feed.write()
    feed.load()
    feed.place.put("commitseqno.0", data)
    with pytest.raises(CorruptLogError, match=r"commitseqno\.0 is not a position"):
        feed.load()


def test_a_position_that_does_not_say_whose_log_it_is_of_stops(feed: Feed) -> None:
    feed.write()
    feed.load()
    feed.place.delete("_owner.json")
    with pytest.raises(CorruptLogError, match=r"not _owner\.json beside it"):
        feed.load()


def test_a_feed_of_another_log_is_not_continued(feed: Feed, tmp_path: Path) -> None:
    feed.write()
    feed.load()
    other = Feed(tmp_path / "other")
    other.store, other.place = feed.store, feed.place
    other.add(*[rows()] * 7)
    with pytest.raises(DivergedError):
        other.load()
    with pytest.raises(DivergedError):
        other.plan()
    for info in list(feed.store.list()):
        feed.store.delete(info.key)
    with pytest.raises(PreflightError, match="holds the changes of THL"):
        other.plan()


def test_two_services_with_one_place_are_refused_at_preflight_and_planning(
    feed: Feed, tmp_path: Path
) -> None:
    assert preflight.findings(feed.service, "redshift", feed.log, feed.store, _open) == []
    feed.plan()
    assert preflight.findings(feed.service, "redshift", feed.log, feed.store, _open) == []
    assert "one host" in preflight.warnings(feed.service, "redshift")[0]
    crm = Feed(tmp_path / "crm")
    crm.add(rows())
    crm.service = crm.service.model_copy(update={"service": "crm"})
    place, crm.store = crm.store, claims.files_of(feed.store).sub("crm").sub("redshift")
    (finding,) = preflight.findings(crm.service, "redshift", crm.log, crm.store, _open)
    assert "feed belongs to applier redshift of service shop" in finding
    with pytest.raises(PreflightError, match="feed belongs to applier redshift of service shop"):
        crm.plan()
    assert list(crm.store.list()) == []
    crm.store = claims.files_of(place).sub("crm").sub("redshift")
    assert len(crm.plan()) == 1


def test_a_claim_for_metadata_shows_in_preflight(feed: Feed) -> None:
    claim(feed.place, Owner("shop", "elsewhere", "u"), token="t")
    (finding,) = preflight.findings(feed.service, "redshift", feed.log, feed.store, _open)
    assert "is the position of applier elsewhere" in finding


def test_a_redshift_applier_below_a_feed_is_refused_too(feed: Feed, tmp_path: Path) -> None:
    feed.plan()
    crm = make_service().model_copy(update={"service": "crm"})
    folder = feed.store.sub("nested").sub("crm").sub("redshift")
    log = Logbook(tmp_path / "crm").log
    with pytest.raises(PreflightError, match="feed belongs to applier redshift"):
        Chain(folder, log, crm, "redshift").extend(token="t", limit=1, waiting=False)


def test_own_templates_lead_to_own_folders(tmp_path: Path) -> None:
    template = "{service}/db={schema}/{table}/{from}.{part}.{hash}.{extension}"
    feed = Feed(tmp_path, key_template=template)
    feed.add(rows(), rows(ITEMS))
    feed.write()
    assert feed.load().last == 2
    folders = {info.key.rpartition("/")[0] for info in feed.store.list("shop/")}
    assert folders == {"shop/db=shop/orders", "shop/db=shop/items"}
