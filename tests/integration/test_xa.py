"""XA transactions: prepared, decided late, by servers and tasks that were restarted in between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_tungsten.replicator.errors import UnsupportedError
from airflow_provider_tungsten.replicator.extractor import reposition
from airflow_provider_tungsten.replicator.service import Start
from airflow_provider_tungsten.replicator.storage import new_token
from tests.integration.extraction import Extraction, endpoint
from tests.stack.mariadb import MariaDB
from tests.stack.mysql import MySQL


@pytest.fixture(scope="module", params=[MySQL, MariaDB])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MySQL]:
    with request.param(tmp_path_factory.mktemp("xa")) as server:
        if not isinstance(server, MariaDB):
            server.execute(f"GRANT XA_RECOVER_ADMIN ON *.* TO {server.user}@'%'")
        yield server


@pytest.fixture(autouse=True)
def undecided(server: MySQL) -> Iterator[None]:
    """None is left behind: it would hold its locks for ever."""
    yield
    form = "FORMAT='SQL'" if isinstance(server, MariaDB) else "CONVERT XID"
    for number, first, _, data in server.execute(f"XA RECOVER {form}"):
        xid = (
            data
            if isinstance(server, MariaDB)
            else f"X'{data[2 : 2 + 2 * first]}',X'{data[2 + 2 * first :]}',{number}"
        )
        server.execute(f"XA ROLLBACK {xid}")


@pytest.fixture
def shop(server: MySQL, tmp_path: Path) -> Extraction:
    server.execute(
        "DROP DATABASE IF EXISTS a",
        "CREATE DATABASE a",
        "CREATE TABLE a.t (id INT PRIMARY KEY, v VARCHAR(20))",
        "CREATE TABLE a.excluded (id INT PRIMARY KEY)",
    )
    extraction = Extraction(server, tmp_path / "thl", include=["a.*"], exclude=["a.excluded"])
    extraction.run()
    return extraction


def prepare(server: MySQL, name: str, *statements: str) -> None:
    """In a session that ends behind it, as one that died does."""
    server.execute(f"XA START '{name}'", *statements, f"XA END '{name}'", f"XA PREPARE '{name}'")


def insert(number: int, table: str = "t") -> str:
    return f"INSERT INTO a.{table} (id) VALUES ({number})"


def decide(server: MySQL, name: str, verb: str = "COMMIT") -> None:
    server.execute(f"XA {verb} '{name}'")


def kept(shop: Extraction) -> list[str]:
    return [item.key for item in shop.storage.sub("shop/xa").list()]


def test_one_phase(shop: Extraction) -> None:
    shop.mysql.execute("XA START 'x'", insert(1), "XA END 'x'", "XA COMMIT 'x' ONE PHASE")
    shop.run()
    assert shop.kinds() == ["insert t 1"]


def test_two_phases_within_one_task_leave_no_object(shop: Extraction) -> None:
    prepare(shop.mysql, "x", insert(1), insert(2))
    prepare(shop.mysql, "y", insert(3))
    shop.mysql.execute(insert(4))
    decide(shop.mysql, "y", "ROLLBACK")
    decide(shop.mysql, "x")
    result = shop.run()
    assert shop.kinds() == ["insert t 1", "insert t 2"]
    assert (result.transactions, result.rows) == (2, 3)
    assert kept(shop) == []
    executed = (
        shop.mysql.execute("SELECT @@GLOBAL.gtid_binlog_pos")[0][0] if isinstance(shop.mysql, MariaDB) else ""
    )
    last = shop.events()[-1]
    assert last.gtid == executed or not executed


def test_a_decision_after_restarts_of_task_and_server_in_a_later_file(shop: Extraction) -> None:
    for number, name in enumerate(("commit", "rollback", "open")):
        prepare(shop.mysql, name, insert(10 + number))
    shop.run()
    assert shop.kinds() == ["position"]
    assert len(kept(shop)) == 3
    shop.mysql.execute("FLUSH BINARY LOGS", insert(20))
    shop.run()
    shop.mysql.restart()
    decide(shop.mysql, "commit")
    decide(shop.mysql, "rollback", "ROLLBACK")
    shop.run()
    assert shop.kinds() == ["position", "insert t 1", "insert t 1"]
    assert b"\x0a\0\0\0" in (shop.events()[-1].payload or b"")
    assert len(kept(shop)) == 1
    decide(shop.mysql, "open")
    shop.run()
    assert shop.kinds()[3:] == ["insert t 1"]
    assert kept(shop) == []


def test_a_large_prepared_transaction_goes_through_the_store(shop: Extraction) -> None:
    rows = ", ".join(f"({number}, REPEAT('x', 1500))" for number in range(2000))
    shop.mysql.execute("CREATE TABLE a.big (id INT PRIMARY KEY, v VARCHAR(1500))")
    prepare(shop.mysql, "x", f"INSERT INTO a.big VALUES {rows}")
    shop.run(spool_bytes=1 << 20)
    decide(shop.mysql, "x")
    shop.run(spool_bytes=1 << 20)
    assert sum(event.rows for event in shop.events(1)) == 2000
    assert kept(shop) == []


def test_a_transaction_over_excluded_tables_leaves_nothing_and_does_not_stop(shop: Extraction) -> None:
    prepare(shop.mysql, "x", insert(1, "excluded"))
    shop.run()
    decide(shop.mysql, "x")
    shop.run()
    assert shop.kinds() == ["position", "position"]
    assert kept(shop) == []


def test_what_was_prepared_before_the_log_began_is_said_and_its_commit_stops(
    server: MySQL, tmp_path: Path
) -> None:
    server.execute("CREATE DATABASE IF NOT EXISTS a", "CREATE TABLE IF NOT EXISTS a.b (id INT PRIMARY KEY)")
    prepare(server, "old", insert(1, "b"))
    prepare(server, "bad", insert(2, "b"))
    late = Extraction(server, tmp_path / "thl", include=["a.*"])
    first = late.run()
    assert any("X'6f6c64',X'',1" in warning for warning in first.warnings)
    decide(server, "bad", "ROLLBACK")
    late.run()
    decide(server, "old")
    with pytest.raises(UnsupportedError, match="prepared before this log began"):
        late.run()
    token = new_token()
    start = Start(at="now")
    reposition(late.service(), endpoint(server), late.storage, start, token=token, reason="xa")
    server.execute(insert(3, "b"))
    late.run()
    assert late.kinds()[-2:] == ["gap", "insert b 1"]


def test_the_commit_of_a_transaction_that_was_never_read_stops(server: MySQL, tmp_path: Path) -> None:
    server.execute("CREATE DATABASE IF NOT EXISTS a", "CREATE TABLE IF NOT EXISTS a.b (id INT PRIMARY KEY)")
    prepare(server, "unread", insert(100, "b"))
    if isinstance(server, MariaDB):
        place = "{}:{}".format(*server.execute("SHOW MASTER STATUS")[0][:2])
    else:
        place = "{}:{}".format(*server.execute("SHOW BINARY LOG STATUS")[0][:2])
    decide(server, "unread")
    late = Extraction(server, tmp_path / "thl", include=["a.*"], start={"event_id": place})
    with pytest.raises(UnsupportedError, match="whose PREPARE was not read"):
        late.run()
