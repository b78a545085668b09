from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_tungsten.replicator.errors import ConfigurationError, DivergedError
from airflow_provider_tungsten.replicator.storage import LocalStorage
from airflow_provider_tungsten.replicator.thl import appliers
from airflow_provider_tungsten.replicator.thl.appliers import Applied
from airflow_provider_tungsten.replicator.thl.log import Log
from tests.unit.replicator.thl.support import new_log


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return new_log(LocalStorage(tmp_path), 20)


def register(log: Log, name: str = "redshift", folder: str = "s3://bucket/files") -> None:
    appliers.register(log, name, folder=folder, token="planner")


def position(log: Log, seqno: int) -> Applied:
    head = log.head()
    assert head is not None
    record = log.record(seqno)
    return Applied(seqno, record.epoch_number, record.event_id, record.watermark, head.uuid)


def at(log: Log, name: str = "redshift") -> int:
    return appliers.positions(log)[name].seqno


def test_an_applier_is_known_from_its_registration_on(log: Log) -> None:
    assert appliers.positions(log) == {}
    register(log)
    register(log)
    register(log, "lake", "s3://bucket/lake")
    assert appliers.positions(log) == {"lake": Applied(), "redshift": Applied()}
    assert log.head() == Log(log.storage.sub(".."), "shop").head()


def test_a_position_is_mirrored_and_a_late_writer_moves_nothing_back(log: Log) -> None:
    register(log)
    appliers.mirror(log, "redshift", Applied(), token="load")
    assert at(log) == -1
    for seqno in (4, 12, 12, 7):
        appliers.mirror(log, "redshift", position(log, seqno), token="load")
    assert at(log) == 12
    assert appliers.positions(log)["redshift"].event_id == log.record(12).event_id
    appliers.mirror(log, "redshift", position(log, 13), token="load")
    names = [item.key for item in log.storage.list("appliers/")]
    assert names == [
        "appliers/redshift/position-0000000000000000013.json",
        "appliers/redshift/registered.json",
    ]


def test_a_late_writers_object_does_not_count(log: Log) -> None:
    register(log)
    appliers.mirror(log, "redshift", position(log, 12), token="load")
    key = "appliers/redshift/position-0000000000000000004.json"
    log.storage.create(
        key, log.storage.read("appliers/redshift/position-0000000000000000012.json"), token="late"
    )
    assert at(log) == 12


def test_a_removed_applier_is_refused_with_the_way_out(log: Log) -> None:
    register(log)
    appliers.mirror(log, "redshift", position(log, 12), token="load")
    removal = appliers.remove(log, "redshift", "ann")
    assert (removal.writer, removal.seqno) == ("ann", 12)
    assert appliers.remove(log, "redshift", "bob") == removal
    assert appliers.positions(log) == {}
    assert appliers.removed(log) == {"redshift": removal}
    for attempt in (
        lambda: register(log),
        lambda: appliers.mirror(log, "redshift", position(log, 13), token="load"),
        lambda: appliers.check_not_removed(log, "redshift"),
    ):
        with pytest.raises(
            ConfigurationError, match=r"removed from the log .* by ann at .*another applier name"
        ):
            attempt()


def test_an_unknown_applier_cannot_be_removed(log: Log) -> None:
    register(log)
    with pytest.raises(ConfigurationError, match=r"no applier 'lake'; it has: redshift"):
        appliers.remove(log, "lake", "ann")


def test_one_name_is_one_folder(log: Log) -> None:
    register(log)
    with pytest.raises(ConfigurationError, match="keeps its batches in s3://bucket/files, not in s3://other"):
        register(log, folder="s3://other")


def test_what_was_applied_of_another_log_does_not_count(log: Log) -> None:
    register(log)
    appliers.mirror(log, "redshift", position(log, 12), token="load")
    for item in list(log.storage.list("thl-")):
        log.storage.delete(item.key)
    anew = new_log(LocalStorage(Path(log.url).parent), 3)
    assert at(anew) == -1
    with pytest.raises(DivergedError, match="wiped or rebuilt"):
        register(anew)
