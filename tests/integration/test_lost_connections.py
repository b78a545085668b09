"""A connection that is lost in any way is taken up again within the task; no transaction is lost or doubled by it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tenacity import wait_none

from airflow_provider_tungsten.replicator import extractor
from airflow_provider_tungsten.replicator.errors import ConfigurationError, SourceUnavailableError
from airflow_provider_tungsten.replicator.extraction import ExtractResult, Progress
from airflow_provider_tungsten.replicator.extractor import extract
from airflow_provider_tungsten.replicator.source import stream
from airflow_provider_tungsten.replicator.source.stream import Replica, open_dump
from airflow_provider_tungsten.replicator.storage import new_token
from tests.integration.extraction import SERVER_ID, Extraction, endpoint
from tests.integration.mysql_proxy import Fate, Proxy
from tests.stack.mysql import MySQL

TABLE = "shop.t"


@pytest.fixture(scope="module", params=["ON", "OFF"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MySQL]:
    """A server with GTIDs and one without."""
    options = {"gtid-mode": request.param, "enforce-gtid-consistency": request.param}
    with MySQL(tmp_path_factory.mktemp("mysql"), options=options) as server:
        server.execute(
            "CREATE DATABASE shop",
            f"CREATE TABLE {TABLE} (id INT AUTO_INCREMENT PRIMARY KEY, v LONGBLOB)",
        )
        yield server


@pytest.fixture
def extraction(server: MySQL, tmp_path: Path) -> Extraction:
    """A service that has begun its log at the server's present end."""
    extraction = Extraction(server, tmp_path / "thl")
    extraction.run()
    return extraction


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extractor, "WAIT", wait_none())


def insert(server: MySQL, count: int, size: int = 1) -> None:
    server.execute(*[f"INSERT INTO {TABLE} (v) VALUES (REPEAT('x', {size}))"] * count)


def run(
    extraction: Extraction,
    proxy: Proxy | None = None,
    *,
    progress: Callable[[Progress], None] | None = None,
    limits: dict[str, Any] | None = None,
    **changes: Any,
) -> ExtractResult:
    through = {"port": proxy.port, "ssl_mode": "disabled", "ssl_ca": None} if proxy else {}
    return extract(
        extraction.service(limits=limits or {}),
        endpoint(extraction.mysql, **through, **changes),
        extraction.storage,
        token=new_token(),
        progress=progress,
    )


def check_gapless(extraction: Extraction, transactions: int) -> None:
    """Every transaction is there once and in order, and nothing else."""
    events = extraction.events(1)
    assert [event.kind for event in events] == ["insert"] * transactions
    assert [event.seqno for event in events] == list(range(1, transactions + 1))
    assert len({event.event_id for event in events}) == transactions
    assert [event.event_id for event in events] == sorted(event.event_id for event in events)


def test_reading_goes_on_wherever_the_connection_was_cut(server: MySQL, extraction: Extraction) -> None:
    insert(server, 300)
    whole = Fate(server)
    fates = [fate for limit in (9_000, 20_000, 3_000, 33_333) for fate in (whole, Fate(server, limit))]
    with Proxy([*fates, whole]) as proxy:
        result = run(extraction, proxy)
    assert (result.connections, result.transactions, result.reason) == (5, 300, "head")
    check_gapless(extraction, 300)


def test_what_was_prepared_is_neither_lost_nor_doubled(server: MySQL, extraction: Extraction) -> None:
    values = f"INSERT INTO {TABLE} (v) VALUES ('x')"
    for number in range(20):
        xid = f"'{number}'"
        server.execute(f"XA START {xid}", values, f"XA END {xid}", f"XA PREPARE {xid}")
        insert(server, 2)
        server.execute(f"XA COMMIT {xid}")
    whole = Fate(server)
    fates = [fate for limit in (2_000, 6_000, 3_000, 5_000) for fate in (whole, Fate(server, limit))]
    with Proxy([*fates, whole]) as proxy:
        result = run(extraction, proxy)
    assert (result.connections, result.transactions) == (5, 60)
    check_gapless(extraction, 60)


def test_limits_hold_over_all_connections(server: MySQL, extraction: Extraction) -> None:
    insert(server, 300)
    with Proxy([Fate(server), Fate(server, 30_000), Fate(server)]) as proxy:
        result = run(extraction, proxy, limits={"max_transactions": 200})
    assert (result.connections, result.transactions, result.reason) == (2, 200, "max_transactions")
    check_gapless(extraction, 200)
    assert result.lag_seconds > 0
    assert extraction.run().lag_seconds == 0
    check_gapless(extraction, 300)


def test_a_stream_that_falls_silent_is_opened_again(server: MySQL, extraction: Extraction) -> None:
    insert(server, 100)
    with Proxy([Fate(server), Fate(server, 15_000, "silent"), Fate(server)]) as proxy:
        result = run(extraction, proxy, read_timeout=1)
    assert (result.connections, result.transactions) == (2, 100)
    check_gapless(extraction, 100)


def test_an_event_that_was_broken_on_its_way_is_read_once_more(server: MySQL, extraction: Extraction) -> None:
    insert(server, 100)
    with Proxy([Fate(server), Fate(server, 15_000, "noise"), Fate(server)]) as proxy:
        result = run(extraction, proxy)
    assert (result.connections, result.transactions) == (2, 100)
    check_gapless(extraction, 100)


def test_a_server_that_stays_away_is_given_up_and_what_was_whole_is_kept(
    server: MySQL, extraction: Extraction
) -> None:
    insert(server, 100)
    with Proxy([Fate(server), Fate(server, 15_000), Fate(None)]) as proxy:
        with pytest.raises(SourceUnavailableError):
            run(extraction, proxy)
        assert proxy.accepted == 2 + extractor.CONNECTIONS - 1
    assert 0 < len(extraction.kinds()) < 100
    with Proxy([Fate(server), Fate(server, 5_000), Fate(None)]) as proxy:
        with pytest.raises(SourceUnavailableError, match="was lost at mysql-bin"):
            run(extraction, proxy, limits={"max_seconds": 0.001})
        assert proxy.accepted == 2
    extraction.run()
    check_gapless(extraction, 100)


# In the middle of a log that is larger than what lies in the sockets' buffers


with_gtids = pytest.mark.parametrize("server", ["ON"], indirect=True)


def in_the_middle(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> Callable[[Progress], None]:
    """A `progress` that acts once, while the server is still sending."""
    monkeypatch.setattr(extractor, "PROGRESS_SECONDS", -1)
    acts = [act]

    def progress(_: Progress) -> None:
        if acts:
            acts.pop()()

    return progress


def kill_dumps(server: MySQL) -> None:
    for session in server.execute("SHOW PROCESSLIST"):
        if session[4].startswith("Binlog Dump"):
            server.execute(f"KILL {session[0]}")


def restart(server: MySQL) -> None:
    kill_dumps(server)  # for which the server would wait, as nobody reads now
    server.restart()


def crash(server: MySQL) -> None:
    server.kill()
    server.start()


@with_gtids
@pytest.mark.parametrize("act", [kill_dumps, restart, crash])
def test_a_killed_session_and_a_server_that_starts_again(
    act: Callable[[MySQL], None], server: MySQL, extraction: Extraction, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert(server, 40, 1_000_000)

    def act_and_write() -> None:
        act(server)
        insert(server, 1)

    result = run(extraction, progress=in_the_middle(monkeypatch, act_and_write))
    assert (result.connections, result.transactions) == (2, 41)
    check_gapless(extraction, 41)


def read_all(server: MySQL) -> None:
    """Another reader of the whole log, under the same server_id."""
    with open_dump(Replica(endpoint(server), SERVER_ID, "other"), "mysql-bin.000001", 4) as dump:
        assert sum(1 for _ in dump.events()) > 40


@with_gtids
def test_two_readers_under_one_server_id_let_each_other_live(
    server: MySQL, extraction: Extraction, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert(server, 40, 1_000_000)
    result = run(extraction, progress=in_the_middle(monkeypatch, lambda: read_all(server)))
    assert (result.connections, result.transactions) == (1, 40)


@with_gtids
def test_two_readers_under_one_uuid_do_not_fight(
    server: MySQL, extraction: Extraction, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert(server, 40, 1_000_000)
    monkeypatch.setattr(stream.uuid, "uuid4", lambda: "6d7a1b1e-0c1e-11ef-9262-0242ac120002")
    with pytest.raises(
        ConfigurationError, match="another replica reads with the same server_id or server_uuid"
    ):
        run(extraction, progress=in_the_middle(monkeypatch, lambda: read_all(server)))
    kept = len(extraction.kinds())
    assert 0 < kept < 40
    extraction.run()
    check_gapless(extraction, 40)
