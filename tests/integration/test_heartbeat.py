"""The heartbeat on a real server: how it comes into the log, who it concerns, and what preflight asks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from airflow_provider_tungsten.replicator.errors import (
    ConfigurationError,
    PreflightError,
    UnsupportedError,
)
from airflow_provider_tungsten.replicator.source.connection import connect
from airflow_provider_tungsten.replicator.source.heartbeat import beat, heartbeat_grant
from airflow_provider_tungsten.replicator.source.preflight import preflight
from airflow_provider_tungsten.replicator.storage import open_storage
from airflow_provider_tungsten.replicator.thl.event import Kind, ThlEvent
from tests.integration.extraction import NAME, Extraction, endpoint, service
from tests.stack.mariadb import MariaDB
from tests.stack.mysql import MySQL

Server = MySQL | MariaDB


@pytest.fixture(params=["mysql", "mariadb"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server whose replication user may write the heartbeat of the service."""
    server: Server = request.getfixturevalue(request.param)
    server.execute(heartbeat_grant(server.user, NAME))
    yield server
    server.execute(
        f"REVOKE CREATE, SELECT, INSERT, UPDATE ON `tungsten_{NAME}`.* FROM '{server.user}'@'%'",
        f"DROP DATABASE IF EXISTS tungsten_{NAME}",
    )


@pytest.fixture
def shop(server: Server, tmp_path: Path) -> Extraction:
    return Extraction(server, tmp_path / "thl", exclude=["sys.*"])  # type: ignore[arg-type]


def heartbeats(shop: Extraction) -> list[ThlEvent]:
    return [event for event in shop.events(1) if event.kind == Kind.HEARTBEAT]


def test_every_extraction_begins_with_a_heartbeat_and_the_log_ends_with_it(shop: Extraction) -> None:
    first = shop.run(heartbeat=True)
    before = time.time()
    second = shop.run(heartbeat=True)
    assert (second.transactions, second.rows, second.reason, second.lag_seconds) == (1, 0, "head", 0.0)
    assert second.watermark / 1e6 > before - 5 > first.watermark / 1e6 - 60
    found = heartbeats(shop)
    assert [event.options for event in found] == [{"heartbeat": "extraction"}] * 2
    assert (found[-1].schema_name, found[-1].table_name, found[-1].definition) == ("", "", None)
    assert found[-1].seqno == second.last
    assert found[-1].event_id.startswith(f"{shop.log.head().resume.file}:")  # type: ignore[union-attr]
    assert not [kind for kind in shop.kinds() if kind.startswith(("insert", "update"))]


def test_a_heartbeat_by_command_is_known_by_its_name_whatever_the_settings(shop: Extraction) -> None:
    shop.run()
    for name in ("before the release", "ÄÖÜ ☂"):
        beat(endpoint(shop.mysql), NAME, name)
    shop.run()
    assert [event.options for event in heartbeats(shop)] == [
        {"heartbeat": "before the release"},
        {"heartbeat": "ÄÖÜ ☂"},
    ]


def test_in_one_transaction_with_rows_both_are_kept(shop: Extraction) -> None:
    shop.mysql.execute("CREATE DATABASE hb", "CREATE TABLE hb.t (id INT PRIMARY KEY)")
    try:
        shop.run(heartbeat=True)
        last = shop.log.head().last  # type: ignore[union-attr]
        shop.mysql.execute(
            "BEGIN",
            "INSERT INTO hb.t VALUES (1)",
            f"UPDATE tungsten_{NAME}.heartbeat SET name = 'inside'",
            "INSERT INTO hb.t VALUES (2)",
            "COMMIT",
            f"DELETE FROM tungsten_{NAME}.heartbeat",
        )
        shop.run()
        assert shop.kinds(last + 1) == ["insert t 1", "heartbeat", "insert t 1"]
    finally:
        shop.mysql.execute("DROP DATABASE hb")


def test_heartbeats_of_other_services_are_passed_over_unless_they_are_included(
    shop: Extraction, tmp_path: Path
) -> None:
    shop.mysql.execute("CREATE DATABASE tungsten_other")
    try:
        shop.run()
        other = Extraction(shop.mysql, tmp_path / "other", include=["*.*", "tungsten_other.*"])
        other.run()
        user = {"user": shop.mysql.root, "password": shop.mysql.root_password}
        beat(endpoint(shop.mysql, **user), "other", "theirs")
        beat(endpoint(shop.mysql, **user), "other", "theirs again")
        shop.run()
        other.run()
        assert not [kind for kind in shop.kinds() if "heartbeat" in kind]
        assert [kind for kind in other.kinds() if "heartbeat" in kind][-2:] == [
            "insert heartbeat 1",
            "update heartbeat 1",
        ]
    finally:
        shop.mysql.execute("DROP DATABASE tungsten_other")


def test_another_table_in_its_place_stops_with_the_way_out(shop: Extraction) -> None:
    shop.run()
    shop.mysql.execute(
        f"CREATE DATABASE tungsten_{NAME}",
        f"CREATE TABLE tungsten_{NAME}.heartbeat (id INT PRIMARY KEY, note VARCHAR(10))",
        f"INSERT INTO tungsten_{NAME}.heartbeat VALUES (1, 'x')",
    )
    with pytest.raises(UnsupportedError, match=r"\w+\.\d+:\d+.*heartbeat has other columns.*drop it"):
        shop.run()


@pytest.mark.parametrize("name", ["", "x" * 129])
def test_a_name_that_does_not_fit_is_refused(name: str, mysql: MySQL) -> None:
    with pytest.raises(ConfigurationError, match="1 to 128 characters"):
        beat(endpoint(mysql), NAME, name)


def findings(mysql: MySQL, folder: Path, name: str = NAME) -> list[str]:
    settings = service(folder, heartbeat=True).model_copy(update={"service": name})
    with closing(connect(endpoint(mysql))) as connection, pytest.raises(PreflightError) as caught:
        preflight(connection, endpoint(mysql), settings, open_storage(str(folder)))
    return caught.value.findings


def test_preflight_names_the_privileges_that_are_missing(mysql: MySQL, tmp_path: Path) -> None:
    grant = "GRANT CREATE, SELECT, INSERT, UPDATE ON `tungsten_quiet`.* TO 'tungsten'@'%'"
    expected = f"source.heartbeat needs the privilege INSERT, UPDATE, CREATE: {grant}"
    assert findings(mysql, tmp_path, "quiet") == [expected]
    with pytest.raises(
        PreflightError, match=r"a privilege for the heartbeat is missing .*GRANT CREATE, SELECT"
    ):
        beat(endpoint(mysql), "quiet", "x")


def test_a_server_that_is_read_only_or_a_replica_is_not_written_to(mysql: MySQL, tmp_path: Path) -> None:
    try:
        mysql.execute("SET GLOBAL read_only = ON")
        [finding] = findings(mysql, tmp_path)
        assert finding.startswith(
            "source.heartbeat writes a row, and the server is read-only (read_only): switch"
        )
        mysql.execute("CREATE DATABASE IF NOT EXISTS tungsten_quiet", heartbeat_grant(mysql.user, "quiet"))
        with pytest.raises(PreflightError, match=r"cannot be written .*read-only.*`tungsten heartbeat`"):
            beat(endpoint(mysql), "quiet", "x")
    finally:
        mysql.execute("SET GLOBAL read_only = OFF", "DROP DATABASE IF EXISTS tungsten_quiet")
    mysql.execute("CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = 1")
    try:
        [finding] = findings(mysql, tmp_path)
        assert finding.startswith("source.heartbeat writes a row, and the server is a replica")
    finally:
        mysql.execute("RESET REPLICA ALL")
