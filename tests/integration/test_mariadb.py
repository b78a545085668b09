"""MariaDB as a source, from its log to the THL and to CSV."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_tungsten.replicator.binlog.definition import TableDefinition
from airflow_provider_tungsten.replicator.binlog.rows import CsvEncoder
from airflow_provider_tungsten.replicator.errors import (
    ConfigurationError,
    DivergedError,
    LogPurgedError,
    PreflightError,
)
from airflow_provider_tungsten.replicator.thl.event import ThlEvent
from tests.integration.extraction import Extraction
from tests.integration.following import purge
from tests.stack.mariadb import MariaDB


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDB]:
    with MariaDB(tmp_path_factory.mktemp("mariadb")) as server:
        yield server


@pytest.fixture
def shop(server: MariaDB, tmp_path: Path) -> Extraction:
    server.execute(
        "DROP DATABASE IF EXISTS a",
        "CREATE DATABASE a",
        "CREATE TABLE a.t (id INT PRIMARY KEY, v VARCHAR(200))",
        "CREATE TABLE a.m (id INT PRIMARY KEY, v VARCHAR(200)) ENGINE=MyISAM",
    )
    extraction = Extraction(server, tmp_path / "thl", include=["a.*"])
    extraction.run()
    return extraction


def csv(event: ThlEvent) -> str:
    encoder = CsvEncoder(TableDefinition.from_json(event.definition or ""), ["opcode"])
    return encoder.encode(event.payload or b"", event.kind, seqno=1, row_id=1, commit_ts=0).csv.decode()


def position(server: MariaDB) -> str:
    return str(server.execute("SELECT @@GLOBAL.gtid_binlog_pos")[0][0])


def test_the_test_server_is_mariadb_that_logs_rows(server: MariaDB) -> None:
    (row,) = server.execute("SELECT @@version, @@log_bin, @@binlog_format, @@binlog_row_metadata")
    assert row[0].startswith("10.11.")
    assert row[1:] == (1, "ROW", "FULL")


def test_transactions_and_statements_in_the_order_of_their_commits(shop: Extraction) -> None:
    server = shop.mysql
    server.execute(
        "BEGIN",
        "INSERT INTO a.t VALUES (1, 'one'), (2, NULL)",
        "UPDATE a.t SET v = 'two' WHERE id = 2",
        "COMMIT",
        "INSERT INTO a.m VALUES (1, 'no transaction')",
        "ALTER TABLE a.t ADD COLUMN n INT UNSIGNED",
        "DELETE FROM a.t WHERE id = 1",
        "CREATE TABLE a.c (PRIMARY KEY (id)) AS SELECT id FROM a.t",
        "TRUNCATE a.m",
    )
    result = shop.run()
    expected = [
        "insert t 2",
        "update t 1",
        "insert m 1",
        "ddl t",
        "delete t 1",
        "ddl c",
        "insert c 1",
        "truncate m",
    ]
    assert shop.kinds() == expected
    events = shop.events(1)
    assert [event.seqno for event in events] == [1, 1, 2, 3, 4, 5, 5, 6]
    assert events[-1].gtid == position(server)  # type: ignore[arg-type]
    assert result.event_id == "{}:{:016d};-1".format(*server.execute("SHOW MASTER STATUS")[0][:2])
    head = shop.log.head()
    assert head is not None
    assert head.resume.gtid_executed == position(server)  # type: ignore[arg-type]


def test_reading_goes_on_in_mid_file_over_rotations_and_restarts(shop: Extraction) -> None:
    server = shop.mysql
    for number in range(1, 4):
        server.execute(f"INSERT INTO a.t VALUES ({number}, 'x')")
        shop.run()
        server.execute("FLUSH BINARY LOGS")
    server.restart()
    server.execute("INSERT INTO a.t VALUES (9, 'x')")
    shop.run()
    rows = [event for event in shop.events(1) if event.kind == "insert"]
    assert len(rows) == len({event.gtid for event in rows}) == 4


@pytest.mark.parametrize("checksum", ["NONE", "CRC32"])
def test_compressed_events_and_checksums_on_and_off(shop: Extraction, checksum: str) -> None:
    server = shop.mysql
    server.execute(
        f"SET GLOBAL binlog_checksum = {checksum}",
        "SET GLOBAL log_bin_compress = ON",
        "SET GLOBAL log_bin_compress_min_len = 10",
    )
    server.execute(
        "INSERT INTO a.t VALUES (1, REPEAT('a', 150)), (2, REPEAT('b', 150))",
        "UPDATE a.t SET v = REPEAT('c', 150)",
        "DELETE FROM a.t WHERE id = 2",
        "CREATE TABLE a.long_enough (id INT PRIMARY KEY, a_column_with_a_long_name INT, another_column INT)",
    )
    server.execute("SET GLOBAL log_bin_compress = OFF")
    file = server.execute("SHOW MASTER STATUS")[0][0]
    kinds = {row[2] for row in server.execute(f"SHOW BINLOG EVENTS IN '{file}'")}
    assert {"Write_rows_compressed_v1", "Query_compressed"} <= kinds
    shop.run()
    assert shop.kinds() == ["insert t 2", "update t 2", "delete t 1", "ddl long_enough"]
    inserted, updated, *_ = shop.events(1)
    assert csv(inserted) == f"I,1,{'a' * 150}\nI,2,{'b' * 150}\n"
    assert csv(updated).splitlines()[-2:] == [f"D,2,{'b' * 150}", f"I,2,{'c' * 150}"]


def test_rows_behind_a_savepoint_that_a_table_without_transactions_keeps_in_the_log(shop: Extraction) -> None:
    server = shop.mysql
    server.execute(
        "BEGIN",
        "INSERT INTO a.t VALUES (1, 'stays')",
        "SAVEPOINT `A b`",
        "INSERT INTO a.t VALUES (2, 'goes')",
        "INSERT INTO a.m VALUES (2, 'stays')",
        "SAVEPOINT `c`",
        "INSERT INTO a.t VALUES (3, 'goes')",
        "ROLLBACK TO C",
        "INSERT INTO a.t VALUES (4, 'goes')",
        "ROLLBACK TO `a B`",
        "INSERT INTO a.t VALUES (5, 'stays')",
        "COMMIT",
        "BEGIN",
        "SAVEPOINT s",
        "INSERT INTO a.t VALUES (6, 'goes')",
        "INSERT INTO a.m VALUES (6, 'stays')",
        "ROLLBACK TO s",
        "COMMIT",
    )
    shop.run()
    kept: dict[str, list[int]] = {"t": [], "m": []}
    for event in shop.events(1):
        kept[event.table_name] += [int(line.split(",")[1]) for line in csv(event).splitlines()]
    assert kept == {
        table: [row[0] for row in server.execute(f"SELECT id FROM a.{table}")] for table in ("t", "m")
    }
    assert kept == {"t": [1, 5], "m": [2, 6]}


def test_an_alter_table_in_two_phases_is_one_statement(shop: Extraction) -> None:
    session = "SET SESSION binlog_alter_two_phase = ON"
    shop.mysql.execute(session, "ALTER TABLE a.t ADD COLUMN n INT", "INSERT INTO a.t VALUES (1, 'x', 5)")
    shop.run()
    assert shop.kinds() == ["ddl t", "insert t 1"]
    assert csv(shop.events(1)[-1]) == "I,1,x,5\n"


def test_gtid_domains_each_have_their_position(shop: Extraction) -> None:
    shop.mysql.execute("INSERT INTO a.t VALUES (1, '')", "SET SESSION gtid_domain_id = 5", "DELETE FROM a.t")
    shop.run()
    head = shop.log.head()
    assert head is not None
    assert [part.split("-")[0] for part in head.resume.gtid_executed.split(",")] == ["0", "5"]
    assert shop.events(1)[-1].gtid.startswith("5-1-")


def test_where_a_log_may_begin(server: MariaDB, shop: Extraction, tmp_path: Path) -> None:
    server.execute("INSERT INTO a.t VALUES (1, 'one')")
    place = "{}:{}".format(*server.execute("SHOW MASTER STATUS")[0][:2])
    before = position(server)
    server.execute("INSERT INTO a.t VALUES (2, 'two')")
    here = Extraction(server, tmp_path / "here", include=["a.*"], start={"event_id": place})
    here.run()
    assert (here.events()[0].options or {})["gtid_executed"] == before
    assert [csv(event) for event in here.events(1)] == ["I,2,two\n"]
    earliest = Extraction(server, tmp_path / "earliest", include=["a.t"], start={"at": "earliest"})
    earliest.run()
    assert csv(earliest.events()[-1]) == "I,2,two\n"
    by_gtid = Extraction(server, tmp_path / "gtid", start={"gtid_set": before})
    with pytest.raises(ConfigurationError, match="MariaDB.*start at an event id"):
        by_gtid.run()


def test_files_that_are_purged_when_they_were_read_lose_nothing(shop: Extraction) -> None:
    shop.mysql.execute("INSERT INTO a.t VALUES (1, 'one')")
    shop.run()
    purge(shop.mysql)
    purge(shop.mysql)
    shop.mysql.execute("INSERT INTO a.t VALUES (2, 'two')")
    shop.run()
    assert shop.kinds() == ["insert t 1", "insert t 1"]
    shop.mysql.execute("INSERT INTO a.t VALUES (3, 'three')")
    purge(shop.mysql)
    with pytest.raises(LogPurgedError, match="Lost to this service: whatever it held"):
        shop.run()


def test_another_server_and_another_history_are_diverged(shop: Extraction, tmp_path: Path) -> None:
    server = shop.mysql
    server.execute("INSERT INTO a.t VALUES (1, 'one')")
    shop.run()
    with MariaDB(tmp_path / "other", options={"server-id": "2"}) as other:
        shop.mysql = other
        with pytest.raises(DivergedError, match="hold for one server alone"):
            shop.run()
    shop.mysql = server
    server.execute("RESET MASTER", "INSERT INTO a.t VALUES (2, 'two')")
    with pytest.raises(DivergedError):
        shop.run()


def test_preflight_names_what_mariadb_lacks_in_its_own_terms(server: MariaDB, tmp_path: Path) -> None:
    server.execute(
        "CREATE DATABASE IF NOT EXISTS b",
        "CREATE TABLE b.v (id INT PRIMARY KEY) WITH SYSTEM VERSIONING",
        "CREATE SEQUENCE b.s",
        "CREATE TABLE b.u (id INT PRIMARY KEY, u UUID, i INET6)",
        "CREATE TABLE b.parent (id INT PRIMARY KEY)",
        "CREATE TABLE b.child (id INT PRIMARY KEY, FOREIGN KEY (id) REFERENCES b.parent (id) ON DELETE CASCADE)",
        "SET GLOBAL binlog_row_metadata = NO_LOG",
        "SET GLOBAL binlog_expire_logs_seconds = 60",
        f"REVOKE REPLICATION MASTER ADMIN ON *.* FROM {server.user}@'%'",
    )
    try:
        with pytest.raises(PreflightError) as caught:
            Extraction(server, tmp_path / "thl", include=["b.*"]).run()
    finally:
        server.execute(
            "SET GLOBAL binlog_row_metadata = FULL",
            "SET GLOBAL binlog_expire_logs_seconds = 0",
            f"GRANT REPLICATION MASTER ADMIN ON *.* TO {server.user}@'%'",
            "DROP DATABASE b",
        )
    findings = "\n".join(caught.value.findings)
    for words in (
        "binlog_row_metadata is NO_LOG, without it the log does not name columns and keys, which are followed through DDL for MySQL alone: SET GLOBAL",
        "b.v is a system-versioned table",
        "b.s is a sequence",
        "b.u.u: type uuid is not supported",
        "b.u.i: type inet6 is not supported",
        "cascading foreign keys that this server does not log: b.child",
        "SET GLOBAL binlog_expire_logs_seconds = 86400",
        "BINLOG MONITOR, SLAVE MONITOR, REPLICATION MASTER ADMIN",
    ):
        assert words in findings
    assert len(caught.value.findings) == 8
