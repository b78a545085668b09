"""What becomes of a real server's transactions in the log, and what stops extraction."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_tungsten.replicator import assembler, extractor
from airflow_provider_tungsten.replicator.binlog.definition import TableDefinition
from airflow_provider_tungsten.replicator.binlog.rows import RowLayout
from airflow_provider_tungsten.replicator.errors import (
    ConfigurationError,
    UnsupportedError,
)
from airflow_provider_tungsten.replicator.extraction import Progress
from airflow_provider_tungsten.replicator.source import stream
from airflow_provider_tungsten.replicator.storage import new_token
from airflow_provider_tungsten.replicator.thl.event import ThlEvent, parse_event_id
from tests.integration.extraction import Extraction, endpoint
from tests.stack.mysql import MySQL


@pytest.fixture
def shop(mysql: MySQL, database: str, tmp_path: Path) -> Extraction:
    """A service on a database of its own, with the tables t and u; its log begins behind their creation."""
    mysql.execute(
        "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20))",
        "CREATE TABLE u (id INT PRIMARY KEY, secret VARCHAR(20), v INT)",
        database=database,
    )
    extraction = Extraction(mysql, tmp_path / "thl", include=[f"{database}.*"])
    extraction.run()
    return extraction


def transaction(mysql: MySQL, database: str, *statements: str) -> None:
    mysql.execute("BEGIN", *statements, "COMMIT", database=database)


# First start


def test_a_first_start_that_finds_nothing_is_remembered(shop: Extraction) -> None:
    (start,) = shop.events()
    assert (start.seqno, start.kind, start.options["server_uuid"]) == (
        0,
        "start",
        shop.mysql.execute("SELECT @@server_uuid")[0][0],
    )
    head = shop.log.head()
    assert head is not None
    assert head.resume.event_id == start.event_id


def test_a_task_that_finds_nothing_writes_nothing(shop: Extraction) -> None:
    result = shop.run()
    assert (result.first, result.last, result.segments, result.reason) == (None, None, 0, "head")
    assert shop.kinds() == []


def test_start_at_an_event_id_takes_all_behind_it_and_knows_the_gtids_before_it(
    mysql: MySQL, database: str, tmp_path: Path
) -> None:
    mysql.execute("CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)", database=database)
    file, position, _, _, executed = mysql.execute("SHOW BINARY LOG STATUS")[0]
    mysql.execute("INSERT INTO t VALUES (2), (3)", database=database)
    extraction = Extraction(
        mysql, tmp_path / "thl", include=[f"{database}.*"], start={"event_id": f"{file}:{position}"}
    )
    extraction.run()
    assert extraction.kinds() == ["insert t 2"]
    assert extraction.events()[0].options["gtid_executed"] == executed.replace("\n", "")


@pytest.mark.parametrize("shift", [-1, 100, 10**9])
def test_start_at_a_place_that_is_no_transactions_begin_is_refused(
    mysql: MySQL, database: str, tmp_path: Path, shift: int
) -> None:
    file, position, *_ = mysql.execute("SHOW BINARY LOG STATUS")[0]
    mysql.execute("CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)", database=database)
    extraction = Extraction(mysql, tmp_path / "thl", start={"event_id": f"{file}:{position + shift}"})
    with pytest.raises(ConfigurationError, match="no transaction begins there"):
        extraction.run(include=[f"{database}.*"])
    assert extraction.log.head() is None


def test_start_in_a_file_that_never_was(mysql: MySQL, database: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"has no log mysql-bin\.999999"):
        Extraction(
            mysql, tmp_path / "thl", include=[f"{database}.*"], start={"event_id": "mysql-bin.999999:4"}
        ).run()


def test_start_at_a_gtid_set_passes_over_what_is_in_it(mysql: MySQL, database: str, tmp_path: Path) -> None:
    mysql.execute("CREATE TABLE t (id INT PRIMARY KEY)", "FLUSH BINARY LOGS", database=database)
    executed = mysql.execute("SELECT @@gtid_executed")[0][0].replace("\n", "")
    server, last = mysql.execute("SELECT @@server_uuid")[0][0], int(executed.rpartition("-")[2])
    for value in range(1, 6):
        mysql.execute(f"INSERT INTO t VALUES ({value})", database=database)
    # The second and the fourth came with the dump; the first is the start, the third is not to be missed.
    wanted = f"{executed},{server}:{last + 2}:{last + 4}"
    extraction = Extraction(
        mysql,
        tmp_path / "thl",
        include=[f"{database}.*"],
        start={"gtid_set": wanted},
        limits={"max_transactions": 1},
    )
    for _ in range(3):
        extraction.run()
    assert [event.gtid for event in extraction.events(1)] == [
        f"{server}:{last + number}" for number in (1, 3, 5)
    ]
    head = extraction.log.head()
    assert head is not None
    assert head.resume.gtid_executed == f"{server}:1-{last + 5}"


def test_start_at_a_gtid_set_of_another_server_is_refused(
    mysql: MySQL, database: str, tmp_path: Path
) -> None:
    foreign = {"gtid_set": "11111111-2222-3333-4444-555555555555:1-5"}
    with pytest.raises(ConfigurationError, match="has not executed all of"):
        Extraction(mysql, tmp_path / "thl", include=[f"{database}.*"], start=foreign).run()


# Transactions


def test_every_transaction_gets_a_seqno_with_its_place_gtid_and_times(
    shop: Extraction, database: str
) -> None:
    for statement in ("INSERT INTO t VALUES (1, 'a')", "UPDATE t SET v = 'b'", "DELETE FROM t"):
        shop.mysql.execute(statement, database=database)
    file, position, _, _, executed = shop.mysql.execute("SHOW BINARY LOG STATUS")[0]
    result = shop.run()
    events = shop.events(1)
    assert shop.kinds() == ["insert t 1", "update t 1", "delete t 1"]
    assert [event.seqno for event in events] == [1, 2, 3]
    assert parse_event_id(events[-1].event_id) == (file, position)
    assert events[-1].gtid.rpartition(":")[2] == executed.rpartition("-")[2]
    assert events[0].commit_ts < events[1].commit_ts < events[2].commit_ts == result.watermark
    assert {event.source_id for event in events} == {f"{shop.mysql.host}:{shop.mysql.port}"}
    assert {event.shard_id for event in events} == {database}
    assert (result.first, result.last, result.transactions, result.rows) == (1, 3, 3, 3)
    definition = TableDefinition.from_json(events[0].definition or "")
    assert [column.name for column in definition.columns] == ["id", "v"]
    assert definition.primary_key == ("id",)


def test_adjacent_images_of_a_table_and_operation_are_one_event(shop: Extraction, database: str) -> None:
    transaction(
        shop.mysql,
        database,
        "INSERT INTO t VALUES (1, 'a')",
        "INSERT INTO t VALUES (2, 'b'), (3, 'c')",
        "UPDATE t SET v = 'd' WHERE id < 3",
        "INSERT INTO u VALUES (1, 's', 1)",
        "INSERT INTO t VALUES (4, 'e')",
    )
    shop.run()
    assert shop.kinds() == ["insert t 3", "update t 2", "insert u 1", "insert t 1"]
    assert [(e.seqno, e.fragno, e.last_frag) for e in shop.events(1)] == [
        (1, 0, False),
        (1, 1, False),
        (1, 2, False),
        (1, 3, True),
    ]


def test_rolled_back_work_is_not_there(shop: Extraction, database: str) -> None:
    shop.mysql.execute(
        "BEGIN",
        "INSERT INTO t VALUES (1, 'a')",
        "SAVEPOINT s",
        "INSERT INTO t VALUES (2, 'b')",
        "ROLLBACK TO s",
        "SAVEPOINT s",
        "INSERT INTO u VALUES (3, 'c', 1)",
        "COMMIT",
        "BEGIN",
        "INSERT INTO t VALUES (9, 'z')",
        "ROLLBACK",
        database=database,
    )
    shop.run()
    assert shop.kinds() == ["insert t 1", "insert u 1"]


def test_non_transactional_tables_commit_by_a_query(shop: Extraction, database: str) -> None:
    shop.mysql.execute(
        "CREATE TABLE m (id INT PRIMARY KEY) ENGINE=MyISAM",
        "INSERT INTO m VALUES (1), (2)",
        "DELETE FROM m WHERE id = 1",
        database=database,
    )
    shop.run()
    assert shop.kinds() == ["ddl m", "insert m 2", "delete m 1"]


def test_a_compressed_transaction_is_like_any_other(shop: Extraction, database: str) -> None:
    rows = ", ".join(f"({number}, REPEAT('x', 20))" for number in range(1000))
    for compression in ("OFF", "ON"):
        with shop.mysql.connect(database=database) as connection, connection.cursor() as cursor:
            cursor.execute(f"SET SESSION binlog_transaction_compression = {compression}")
            cursor.execute(f"INSERT INTO t VALUES {rows}")
            cursor.execute("DELETE FROM t")
    shop.run()
    plain, deleted, compressed, deleted_again = shop.events(1)
    assert shop.kinds() == ["insert t 1000", "delete t 1000"] * 2
    assert (plain.payload, deleted.payload) == (compressed.payload, deleted_again.payload)
    ends = [parse_event_id(event.event_id)[1] for event in (plain, deleted, compressed, deleted_again)]
    assert ends[3] - ends[2] < (ends[1] - ends[0]) / 3


def test_create_table_select_is_one_transaction_of_definition_and_rows(
    shop: Extraction, database: str
) -> None:
    shop.mysql.execute("CREATE TABLE c (id INT PRIMARY KEY) SELECT 1 AS id UNION SELECT 2", database=database)
    shop.run()
    assert shop.kinds() == ["ddl c", "insert c 2"]
    assert [event.seqno for event in shop.events(1)] == [1, 1]


@pytest.fixture
def spooling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assembler, "FRAGMENT_BYTES", 100_000)


@pytest.mark.usefixtures("spooling")
def test_a_large_transaction_waits_on_disk_and_arrives_in_fragments(shop: Extraction, database: str) -> None:
    shop.mysql.execute("SET SESSION cte_max_recursion_depth = 200000", database=database)
    numbers = "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 150000) SELECT n"
    hint = "/*+ SET_VAR(cte_max_recursion_depth = 200000) */"
    transaction(
        shop.mysql,
        database,
        "INSERT INTO t VALUES (-1, 'before')",
        f"INSERT {hint} INTO t {numbers}, CONCAT('value ', n) FROM s",
        "INSERT INTO u VALUES (1, 'behind', 1)",
    )
    shop.mysql.execute("INSERT INTO u VALUES (2, 'next', 2)", database=database)
    shop.run(spool_bytes=1024 * 1024)
    events = shop.events(1)
    large, behind = [e for e in events if e.seqno == 1], [e for e in events if e.seqno == 2]
    assert [event.fragno for event in large] == list(range(len(large)))
    assert [event.last_frag for event in large] == [False] * (len(large) - 1) + [True]
    assert sum(event.rows for event in large if event.table_name == "t") == 150_001
    assert all(len(event.payload or b"") <= 100_000 for event in events)
    assert all(_counted(event) == event.rows for event in events)
    assert (large[-1].table_name, len(behind)) == ("u", 1)


def _counted(event: ThlEvent) -> int:
    layout = RowLayout(TableDefinition.from_json(event.definition or ""))
    return layout.count(event.payload or b"", 1)


# Statements


def test_ddl_has_its_own_seqno_and_tells_what_it_does(shop: Extraction, database: str) -> None:
    statements = [
        "ALTER TABLE t ADD COLUMN w INT",
        "ALTER TABLE t MODIFY w BIGINT",
        "TRUNCATE t",
        "RENAME TABLE t TO t2",
        "DROP TABLE t2, u",
    ]
    for statement in statements:
        shop.mysql.execute(statement, database=database)
    shop.run()
    events = shop.events(1)
    assert [event.seqno for event in events] == [1, 2, 3, 4, 5]
    assert [event.kind for event in events] == ["ddl", "ddl", "truncate", "ddl", "ddl"]
    effects = [(event.options or {})["effect"] for event in events]
    assert effects == ["schema", "rewrites", "truncate", "moves_rows", "moves_rows"]
    assert (events[0].payload or b"").decode() == statements[0]
    assert json.loads(events[-1].options["tables"]) == [[database, "t2"], [database, "u"]]
    assert events[-1].definition is None


def test_statements_that_touch_no_table_are_not_kept_and_passwords_not_stored(
    shop: Extraction, database: str
) -> None:
    shop.mysql.execute(
        "CREATE USER visitor IDENTIFIED BY 'hidden-word'",
        f"GRANT SELECT ON {database}.* TO visitor",
        "DROP USER visitor",
        "CREATE VIEW v AS SELECT 1",
        "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET NEW.v = 'trigger'",
        "ANALYZE TABLE t",
        "INSERT INTO t VALUES (1, 'a')",
        database=database,
    )
    shop.run()
    assert shop.kinds() == ["insert t 1"]


def test_drop_database_is_kept(shop: Extraction, database: str) -> None:
    shop.mysql.execute(f"DROP DATABASE {database}", f"CREATE DATABASE {database}")
    shop.run()
    (event,) = shop.events(1)
    assert (event.schema_name, event.table_name, event.options["effect"]) == (database, "", "moves_rows")


def refused(extraction: Extraction, match: str) -> UnsupportedError:
    with pytest.raises(UnsupportedError, match=match) as caught:
        extraction.run()
    return caught.value


def in_session(mysql: MySQL, database: str, setting: str, *statements: str) -> None:
    mysql.execute(f"SET SESSION {setting}", *statements, database=database)


def test_statement_format_stops_behind_what_was_whole(shop: Extraction, database: str) -> None:
    shop.mysql.execute("INSERT INTO t VALUES (1, 'a')", database=database)
    in_session(shop.mysql, database, "binlog_format = STATEMENT", "UPDATE t SET v = 'b'")
    error = refused(shop, f"UPDATE on {database}.t in statement format")
    assert "mysql-bin." in str(error)
    assert shop.kinds() == ["insert t 1"]
    refused(shop, "in statement format")
    assert shop.kinds() == ["insert t 1"]


def test_rows_that_lack_columns_stop(shop: Extraction, database: str) -> None:
    in_session(
        shop.mysql, database, "binlog_row_image = MINIMAL", "INSERT INTO t VALUES (1, 'a')", "DELETE FROM t"
    )
    error = refused(shop, f"rows of {database}.t lack columns")
    assert "binlog_row_image" in str(error)


def test_rows_of_an_excluded_table_may_be_as_they_like(shop: Extraction, database: str) -> None:
    in_session(
        shop.mysql,
        database,
        "binlog_row_image = MINIMAL",
        "CREATE TABLE x (id INT PRIMARY KEY, p POINT, v INT)",
        "INSERT INTO x (id) VALUES (1)",
        "UPDATE x SET v = 1",
    )
    shop.run(exclude=["*.x"])
    assert shop.kinds() == ["position"]


# Filters, limits, records


def test_excluded_columns_never_enter_the_log(shop: Extraction, database: str) -> None:
    shop.mysql.execute("INSERT INTO u VALUES (1, 'hidden-word', 7)", "UPDATE u SET v = 8", database=database)
    shop.run(exclude_columns=["*.u.secret"])
    inserted, updated = shop.events(1)
    definition = TableDefinition.from_json(inserted.definition or "")
    assert [column.name for column in definition.columns] == ["id", "v"]
    layout = RowLayout(definition)
    assert (layout.count(inserted.payload or b"", 1), layout.count(updated.payload or b"", 2)) == (1, 1)
    assert b"hidden-word" not in b"".join(path.read_bytes() for path in shop.folder.rglob("*.parquet"))
    assert b"hidden-word" not in (inserted.payload or b"") + (updated.payload or b"")


def test_a_source_with_nothing_but_excluded_tables_moves_on(shop: Extraction, database: str) -> None:
    for number in range(3):
        shop.mysql.execute(f"INSERT INTO t VALUES ({number}, 'a')", database=database)
    file, position, *_ = shop.mysql.execute("SHOW BINARY LOG STATUS")[0]
    shop.run(exclude=["*.t"])
    shop.run(exclude=["*.t"])
    (record,) = shop.events(1)
    assert (record.kind, parse_event_id(record.event_id)) == ("position", (file, position))
    head = shop.log.head()
    assert head is not None
    assert record.watermark == head.watermark > 0


@pytest.mark.parametrize(
    ("limits", "reason"), [({"max_transactions": 2}, "max_transactions"), ({"max_bytes": 1}, "max_bytes")]
)
def test_limits_end_a_task_behind_a_whole_transaction(
    shop: Extraction, database: str, limits: dict[str, Any], reason: str
) -> None:
    for number in range(5):
        transaction(
            shop.mysql,
            database,
            f"INSERT INTO t VALUES ({number}, 'a')",
            f"INSERT INTO u VALUES ({number}, 's', 1)",
        )
    per_task = limits.get("max_transactions", 1)
    result = shop.run(limits=limits)
    assert (result.transactions, result.reason) == (per_task, reason)
    while shop.run(limits=limits).transactions:
        pass
    assert shop.kinds() == ["insert t 1", "insert u 1"] * 5
    assert [event.seqno for event in shop.events(1)] == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


def test_segments_end_at_their_size(shop: Extraction, database: str) -> None:
    for number in range(4):
        shop.mysql.execute(f"INSERT INTO t VALUES ({number}, 'a')", database=database)
        shop.run(segment_events=1)
    assert shop.kinds() == ["insert t 1"] * 4
    assert len(list(shop.folder.rglob("*.parquet"))) == 5


def test_offsets_beyond_4_gib_are_asked_for_in_64_bits(
    shop: Extraction, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "LAST_SHORT_POSITION", 3)
    for number in range(3):
        shop.mysql.execute(f"INSERT INTO t VALUES ({number}, 'a')", database=database)
        shop.run()
    assert shop.kinds() == ["insert t 1"] * 3


def test_progress_is_told_while_reading(
    shop: Extraction, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extractor, "PROGRESS_SECONDS", 0)
    monkeypatch.setattr(stream, "READ_BYTES", 100)
    shop.mysql.execute("INSERT INTO t VALUES (1, 'a')", database=database)
    told: list[Progress] = []
    extractor.extract(
        shop.service(), endpoint(shop.mysql), shop.storage, token=new_token(), progress=told.append
    )
    assert len(told) > 1
    assert told[-1].event_id.startswith("mysql-bin.")
