"""A source that is another than the one that was left: reset, restored, replaced, or without its last transactions."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from airflow_provider_tungsten.replicator.errors import DivergedError
from airflow_provider_tungsten.replicator.extractor import reposition
from airflow_provider_tungsten.replicator.service import Start
from airflow_provider_tungsten.replicator.storage import new_token
from tests.integration.extraction import Extraction, endpoint
from tests.integration.following import following, insert, reset
from tests.stack.mysql import MySQL


def diverged(extraction: Extraction, match: str) -> None:
    before = extraction.kinds()
    with pytest.raises(DivergedError, match=match) as caught:
        extraction.run()
    assert "parameter `reposition`" in str(caught.value)
    assert extraction.kinds() == before


def next_second() -> None:
    """A binlog file is told from another by the second in which it was begun."""
    time.sleep(1.05 - time.time() % 1)


def test_a_reset_source_is_diverged_shorter_or_longer_than_before(
    reset_server: MySQL, tmp_path: Path
) -> None:
    extraction = following(reset_server, tmp_path)
    insert(reset_server, 5)
    extraction.run()
    reset(reset_server)
    diverged(extraction, "has nothing at mysql-bin")
    insert(reset_server, 20)
    diverged(extraction, "not the file of that name|was read there before")
    reposition(
        extraction.service(),
        endpoint(reset_server),
        extraction.storage,
        Start(at="now"),
        token=new_token(),
        reason="reset",
    )
    insert(reset_server)
    extraction.run()
    assert extraction.kinds() == ["insert t 1"] * 5 + ["gap", "insert t 1"]


def test_a_reset_source_that_grew_to_the_very_same_places_is_diverged(
    reset_server: MySQL, tmp_path: Path
) -> None:
    extraction = following(reset_server, tmp_path)
    insert(reset_server, 5)
    extraction.run()
    next_second()
    reset(reset_server)
    insert(reset_server, 7)
    diverged(extraction, "not the file of that name")


def test_a_reset_source_is_diverged_where_nothing_was_read_since_the_start(
    reset_server: MySQL, tmp_path: Path
) -> None:
    insert(reset_server, 3)
    extraction = following(reset_server, tmp_path)
    next_second()
    reset(reset_server)
    insert(reset_server, 5)
    diverged(extraction, "not the file of that name")


def test_a_reset_source_is_diverged_also_where_a_file_had_just_begun(
    reset_server: MySQL, tmp_path: Path
) -> None:
    extraction = following(reset_server, tmp_path)
    insert(reset_server, 5)
    reset_server.execute("FLUSH BINARY LOGS")
    extraction.run()
    next_second()
    reset(reset_server)
    insert(reset_server, 5)
    reset_server.execute("FLUSH BINARY LOGS")
    insert(reset_server, 20)
    diverged(extraction, "not the file of that name")


def test_a_reset_source_that_went_another_way_does_not_follow(reset_server: MySQL, tmp_path: Path) -> None:
    gtids = reset_server.execute("SELECT @@gtid_mode")[0][0] == "ON"
    extraction = following(reset_server, tmp_path)
    insert(reset_server, 5)
    reset_server.execute("FLUSH BINARY LOGS")
    extraction.run()
    next_second()
    reset(reset_server)
    insert(reset_server, 20)
    reset_server.execute("FLUSH BINARY LOGS")
    diverged(extraction, ":6-20 came between" if gtids else "not the file of that name")


def test_a_restored_source_is_diverged(reset_server: MySQL, tmp_path: Path) -> None:
    extraction = following(reset_server, tmp_path)
    reset_server.stop()
    shutil.copytree(reset_server.data, tmp_path / "backup")
    reset_server.start()
    insert(reset_server, 5)
    extraction.run()
    reset_server.stop()
    shutil.rmtree(reset_server.data)
    shutil.move(tmp_path / "backup", reset_server.data)
    reset_server.start()
    diverged(extraction, "has nothing at mysql-bin|has not executed")
    insert(reset_server, 20)
    diverged(extraction, "not the file of that name")


def test_a_source_that_lost_its_last_transactions_is_diverged(reset_server: MySQL, tmp_path: Path) -> None:
    extraction = following(reset_server, tmp_path)
    insert(reset_server, 5)
    extraction.run()
    reset_server.kill()
    newest = max(reset_server.data.glob("mysql-bin.0*"))
    with newest.open("r+b") as file:
        file.truncate(newest.stat().st_size - 100)
    reset_server.start()
    diverged(extraction, "has nothing at mysql-bin|has not executed")
    insert(reset_server, 20)
    diverged(extraction, "has nothing at mysql-bin|has not executed")


def test_another_server_is_diverged(gtid_server: MySQL, plain_server: MySQL, tmp_path: Path) -> None:
    extraction = following(gtid_server, tmp_path)
    extraction.mysql = plain_server
    diverged(extraction, "this log was read from .* Without GTIDs on both")
