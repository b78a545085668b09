"""Reading goes on at another server that has, by its GTIDs, all that was read; anything else is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tenacity import wait_none

from airflow_provider_tungsten.replicator import extractor
from airflow_provider_tungsten.replicator.errors import DivergedError, LogPurgedError, TungstenError
from airflow_provider_tungsten.replicator.extractor import extract
from airflow_provider_tungsten.replicator.storage import new_token
from tests.integration.extraction import Extraction, endpoint
from tests.integration.following import purge
from tests.integration.mysql_proxy import Fate, Proxy
from tests.stack.mysql import MySQL

TABLE = "shop.t"


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MySQL]:
    with MySQL(tmp_path_factory.mktemp("first")) as server:
        server.execute(
            "CREATE DATABASE shop", f"CREATE TABLE {TABLE} (id INT AUTO_INCREMENT PRIMARY KEY, v INT)"
        )
        yield server
        server.kill()  # a clean end waits for the replication's sessions


@pytest.fixture(scope="module")
def second(first: MySQL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MySQL]:
    """A replica of the first, with the same users."""
    replica = MySQL(tmp_path_factory.mktemp("second"), options={"server-id": "2"})
    replica.password = first.password
    with replica as server:
        server.execute(
            f"CHANGE REPLICATION SOURCE TO SOURCE_HOST = '{first.host}', SOURCE_PORT = {first.port}, "
            f"SOURCE_USER = '{first.user}', SOURCE_PASSWORD = '{first.password}', SOURCE_SSL = 1, "
            "SOURCE_AUTO_POSITION = 1",
            "START REPLICA",
        )
        yield server
        server.kill()  # a clean end waits for the replication's sessions


def insert(server: MySQL, count: int = 1, tag: str = "") -> None:
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"SET gtid_next = 'AUTOMATIC{':' if tag else ''}{tag}'")
        for _ in range(count):
            cursor.execute(f"INSERT INTO {TABLE} (v) VALUES (1)")


def executed(server: MySQL) -> str:
    found: str = server.execute("SELECT @@gtid_executed")[0][0]
    return found


def uuid_of(server: MySQL) -> str:
    found: str = server.execute("SELECT @@server_uuid")[0][0]
    return found


def catch_up(first: MySQL, second: MySQL) -> None:
    assert second.execute(f"SELECT WAIT_FOR_EXECUTED_GTID_SET('{executed(first)}', 30)") == ((0,),)


def begun(server: MySQL, folder: Path) -> Extraction:
    extraction = Extraction(server, folder / "thl")
    extraction.run()
    return extraction


def check_gapless(extraction: Extraction, transactions: int) -> None:
    """Every transaction is there once; the chain of seqnos goes on in one epoch."""
    events = extraction.events()
    gtids = [event.gtid for event in events if event.kind == "insert"]
    assert len(gtids) == len(set(gtids)) == transactions
    assert [event.seqno for event in events] == list(range(len(events)))
    assert {event.epoch_number for event in events} == {0}


def refused(extraction: Extraction, error: type[TungstenError], match: str) -> None:
    before = extraction.kinds()
    with pytest.raises(error, match=match) as caught:
        extraction.run()
    assert "parameter `reposition`" in str(caught.value)
    assert extraction.kinds() == before


def test_reading_goes_on_at_a_replica_and_back_again(first: MySQL, second: MySQL, tmp_path: Path) -> None:
    extraction = begun(first, tmp_path)
    insert(first, 3)
    first.execute("FLUSH BINARY LOGS")
    insert(first, 2, "night")
    extraction.run()
    insert(first, 4, "night")
    catch_up(first, second)
    second.execute("FLUSH BINARY LOGS")
    insert(first, 1)
    catch_up(first, second)
    extraction.mysql = second
    result = extraction.run()
    assert (result.transactions, result.first, result.last) == (5, 6, 11)
    check_gapless(extraction, 10)
    assert extraction.kinds()[5:7] == ["position", "insert t 1"]
    record = extraction.events(6)[0]
    options = record.options or {}
    assert (options["from_server_uuid"], options["to_server_uuid"]) == (uuid_of(first), uuid_of(second))
    assert options["reason"] == "failover"
    assert record.event_id.startswith(options["to_event_id"].partition(";")[0])
    head = extraction.log.head()
    assert head is not None
    assert head.resume.gtid_executed == executed(second).replace("\n", "")

    insert(first, 2)
    extraction.mysql = first
    extraction.run()
    check_gapless(extraction, 12)
    catch_up(first, second)
    extraction.mysql = second
    extraction.run()
    check_gapless(extraction, 12)
    assert extraction.kinds()[11:] == ["position", "insert t 1", "insert t 1", "position"]


def test_a_replica_that_lacks_what_was_read_is_diverged_until_it_has_it(
    first: MySQL, second: MySQL, tmp_path: Path
) -> None:
    extraction = begun(first, tmp_path)
    insert(first)
    catch_up(first, second)
    second.execute("STOP REPLICA")
    try:
        insert(first, 2)
        extraction.run()
        last = int(executed(first).replace("\n", "").split(":")[1].split("-")[1])
        extraction.mysql = second
        refused(extraction, DivergedError, f"has not executed {uuid_of(first)}:{last - 1}-{last},")
    finally:
        second.execute("START REPLICA")
    catch_up(first, second)
    insert(first)
    catch_up(first, second)
    extraction.run()
    check_gapless(extraction, 4)


def test_a_replica_that_purged_what_comes_next_is_refused(
    first: MySQL, second: MySQL, tmp_path: Path
) -> None:
    extraction = begun(first, tmp_path)
    insert(first)
    extraction.run()
    insert(first, 2)
    catch_up(first, second)
    last = int(executed(first).replace("\n", "").split(":")[1].split("-")[1])
    purge(second)
    extraction.mysql = second
    refused(extraction, LogPurgedError, f"has purged transactions .*{uuid_of(first)}:{last - 1}-{last}")
    extraction.mysql = first
    extraction.run()
    check_gapless(extraction, 3)


def test_failover_inside_a_task(
    first: MySQL, second: MySQL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extractor, "WAIT", wait_none())
    extraction = begun(first, tmp_path)
    insert(first, 100)
    catch_up(first, second)
    with Proxy([Fate(first), Fate(first, 15_000), Fate(second)]) as proxy:
        through = endpoint(first, port=proxy.port, ssl_mode="disabled", ssl_ca=None)
        result = extract(extraction.service(), through, extraction.storage, token=new_token())
    assert (result.connections, result.transactions) == (2, 100)
    assert 0 < extraction.kinds().index("position") < 100
    check_gapless(extraction, 100)


def test_a_transaction_of_the_replica_itself_is_read_there_and_bars_the_way_back(
    first: MySQL, second: MySQL, tmp_path: Path
) -> None:
    extraction = begun(first, tmp_path)
    insert(first, 2)
    extraction.run()
    catch_up(first, second)
    second.execute("STOP REPLICA", "RESET REPLICA ALL")
    insert(second, 3)
    extraction.mysql = second
    extraction.run()
    check_gapless(extraction, 5)
    extraction.mysql = first
    refused(extraction, DivergedError, f"has not executed {uuid_of(second)}:1-3,")


def test_what_a_server_holds_without_having_logged_it_is_refused(
    first: MySQL, second: MySQL, tmp_path: Path
) -> None:
    extraction = begun(first, tmp_path)
    second.execute("STOP REPLICA", "RESET REPLICA ALL")
    restored = "6d7a1b1e-0c1e-11ef-9262-0242ac120002:1-5"
    second.execute(f"SET GLOBAL gtid_purged = '+{restored}'")
    extraction.mysql = second
    refused(extraction, LogPurgedError, f"not among those that are known: {restored}")
