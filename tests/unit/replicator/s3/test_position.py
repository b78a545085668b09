"""A feed's position that a hand deleted, set or broke: the next run goes by it, whatever was known before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_tungsten.replicator import runner, targets
from airflow_provider_tungsten.replicator.branch import Branch, open_branch
from airflow_provider_tungsten.replicator.connections import open_store
from airflow_provider_tungsten.replicator.errors import CorruptLogError, DivergedError, GapError
from airflow_provider_tungsten.replicator.runner import Applied, Connections
from airflow_provider_tungsten.replicator.service import parse_service
from airflow_provider_tungsten.replicator.thl import appliers
from tests.unit.replicator.batch.logs import Logbook, rows

KEY = "_metadata/applier/shop/commitseqno.0"


def _nobody(*_: str) -> Any:
    raise AssertionError("has no part in it")


class Lake:
    """A service with a feed in a folder; two transactions a batch."""

    def __init__(self, folder: Path) -> None:
        self.book = Logbook(folder)
        files = {"url": f"{folder}/feed"}
        self.service = parse_service(
            {
                "service": "shop",
                "source": {"connection": "mysql", "server_id": 7},
                "thl": {"url": f"{folder}/thl"},
                "appliers": {"lake": {"type": "s3", "files": files, "batches": {"max_transactions": 2}}},
            }
        )
        self.folder = folder

    def add(self, count: int) -> None:
        self.book.add(*[rows()] * count, segment_events=1)

    def run(self) -> Applied:
        connections = Connections(mysql=_nobody, store=open_store, redshift=_nobody)
        steps = ("plan", "batch", "load")
        [done] = (
            runner.Runner(self.service, connections, steps=steps, appliers=["lake"], token="t")
            .once()
            .appliers
        )
        return done

    def branch(self) -> Branch:
        return open_branch(self.service, None, open_store)

    def load(self) -> Any:
        branch = self.branch()
        return targets.load(branch, _nobody, through=branch.chain.end(), token="t")

    def change(self, **fields: str) -> None:
        folder = self.branch().folder
        folder.put(KEY, json.dumps(self.position() | fields).encode())

    def position(self) -> dict[str, str]:
        return json.loads(self.branch().folder.read(KEY))  # type: ignore[no-any-return]

    def files(self) -> dict[str, tuple[int, int]]:
        """Names of all but what keeps the position, each with what tells whether it was written anew."""
        root = self.folder / "feed"
        stats = {str(path.relative_to(root)): path.stat() for path in root.rglob("*") if path.is_file()}
        return {
            name: (stat.st_ino, stat.st_mtime_ns)
            for name, stat in stats.items()
            if "_metadata" not in name and not name.endswith("_position.json")
        }


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path)
    lake.add(5)
    lake.run()
    assert lake.position()["seqno"] == "5"
    assert lake.run().load is None
    return lake


@pytest.mark.parametrize("owner_too", [False, True])
def test_a_position_that_was_deleted_is_reached_again_and_no_file_is_written(
    lake: Lake, owner_too: bool
) -> None:
    before, position = lake.files(), lake.position()
    folder = lake.branch().folder
    folder.delete(KEY)
    if owner_too:
        folder.delete(KEY.replace("commitseqno.0", "_owner.json"))
    done = lake.run()
    assert done.load is not None
    assert (done.load.first, done.load.last, done.load.batches) == (0, 5, 3)
    assert lake.position() | {"appliedLatency": ""} == position | {"appliedLatency": ""}
    assert lake.files() == before
    assert lake.run().load is None


def test_a_position_that_was_set_back_to_the_end_of_a_batch_is_gone_on_from(lake: Lake) -> None:
    before = lake.files()
    lake.change(seqno="2", eventId="bin.000001:0000000000000102;-1", extractedTstamp="2000")
    done = lake.run()
    assert done.load is not None
    assert (done.load.first, done.load.last) == (3, 5)
    assert lake.files() == before


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"seqno": "1", "eventId": "bin.000001:0000000000000101;-1"},
            GapError,
            "1 is not the end of a micro-batch",
        ),
        ({"seqno": "2"}, DivergedError, "the log has bin.000001:0000000000000102;-1"),
        ({"epochNumber": "3"}, DivergedError, "the target is at seqno 5 .*, epoch 3"),
        ({"eventId": ""}, DivergedError, "the target is at seqno 5 "),
        ({"seqno": "6"}, DivergedError, "seqnos up to 5"),
        ({"seqno": "five"}, CorruptLogError, r"commitseqno\.0 is not a position"),
        ({"lastFrag": "false"}, CorruptLogError, "inside a transaction"),
    ],
)
def test_a_position_that_does_not_fit_stops_every_step_though_all_is_applied(
    lake: Lake, changes: dict[str, str], error: type[Exception], message: str
) -> None:
    before = lake.files()
    lake.change(**changes)
    for step in (lake.run, lake.load):
        with pytest.raises(error, match=message):
            step()
    assert lake.files() == before
    lake.add(3)
    with pytest.raises(error):
        lake.run()
    assert lake.files() == before


def test_the_log_is_kept_for_a_feed_whose_position_was_set_back(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.add(5)
    lake.run()
    branch = lake.branch()
    assert appliers.positions(branch.log)["lake"].seqno == 5
    targets.keep_for_feeds(lake.service, branch.log, open_store)
    assert appliers.positions(branch.log)["lake"].seqno == 5
    lake.change(seqno="2", eventId="bin.000001:0000000000000102;-1")
    targets.keep_for_feeds(lake.service, branch.log, open_store)
    assert appliers.positions(branch.log)["lake"].seqno == -1
    lake.run()
    assert appliers.positions(branch.log)["lake"].seqno == 5
