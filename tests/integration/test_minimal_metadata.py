"""Sources with MySQL's default, binlog_row_metadata=MINIMAL: the log is the same as with FULL, or the stream stops."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_tungsten.replicator.errors import (
    ConfigurationError,
    CorruptLogError,
    PreflightError,
    UnsupportedError,
)
from airflow_provider_tungsten.replicator.extractor import reposition
from airflow_provider_tungsten.replicator.schema.store import read_catalog
from airflow_provider_tungsten.replicator.service import Start
from airflow_provider_tungsten.replicator.source.heartbeat import heartbeat_grant
from airflow_provider_tungsten.replicator.storage import new_token
from airflow_provider_tungsten.replicator.thl import appliers
from airflow_provider_tungsten.replicator.thl.retention import purge
from tests.integration.extraction import NAME, Extraction, endpoint
from tests.stack.mysql import MySQL

TABLE = (
    "CREATE TABLE t (id INT UNSIGNED PRIMARY KEY, v VARCHAR(20) DEFAULT 'v', k ENUM('a','b') CHARACTER SET latin1, "
    "n DECIMAL(9,2) UNSIGNED, b BLOB, x CHAR(3) CHARACTER SET ascii)"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MySQL]:
    with MySQL(tmp_path_factory.mktemp("minimal"), options={"binlog-row-metadata": "MINIMAL"}) as server:
        yield server


@pytest.fixture
def shop(server: MySQL, tmp_path: Path) -> Iterator[Extraction]:
    """A service on a database of its own, with the table t; its log is not begun."""
    server.execute("SET GLOBAL binlog_row_metadata = MINIMAL", "CREATE DATABASE shop CHARACTER SET utf8mb4")
    server.execute(TABLE, database="shop")
    yield Extraction(server, tmp_path / "thl", include=["shop.*"])
    server.execute("DROP DATABASE shop")


def row(shop: Extraction, number: int, table: str = "t") -> None:
    shop.mysql.execute(f"INSERT INTO {table} (id) VALUES ({number})", database="shop")


def definitions(shop: Extraction) -> list[str]:
    return [event.definition for event in shop.events() if event.definition is not None]


def catalogs(shop: Extraction) -> list[str]:
    return sorted(path.name for path in (shop.folder / NAME).glob("catalog-*"))


def test_definitions_are_those_that_full_metadata_give_whichever_is_logged(shop: Extraction) -> None:
    shop.run()
    statements = (
        "ALTER TABLE t ADD COLUMN y YEAR FIRST, DROP COLUMN b",
        "RENAME TABLE t TO u",
        "ALTER TABLE u DROP PRIMARY KEY, ADD PRIMARY KEY (id, v), CONVERT TO CHARACTER SET utf8mb4, RENAME t",
        "CREATE TABLE c (PRIMARY KEY (id)) AS SELECT * FROM t",
        "ALTER TABLE t RENAME COLUMN k TO kk, ALGORITHM=INSTANT",
    )
    row(shop, 1)
    for number, statement in enumerate(statements, 2):
        shop.mysql.execute(statement, database="shop")
        table = "u" if statement.startswith("RENAME") else "t"
        for metadata in ("MINIMAL", "FULL"):
            shop.mysql.execute(f"SET GLOBAL binlog_row_metadata = {metadata}")
            row(shop, number * 10 + (metadata == "FULL"), table)
        shop.mysql.execute("SET GLOBAL binlog_row_metadata = MINIMAL")
        if number % 2:
            shop.run()  # the next goes on with the catalog that this one left
    shop.run()
    kinds = [event for event in shop.events() if event.kind == "insert"]
    ours = [event.definition for event in kinds if event.table_name != "c"]
    assert len(ours) == 1 + 2 * len(statements)
    for minimal, full in zip(ours[1::2], ours[2::2], strict=True):
        assert minimal == full
    assert len({*ours}) == 4 + 1
    assert '"name":"kk"' in str(ours[-1])


def test_the_catalog_lies_beside_the_log_and_is_written_anew_only_when_it_changed(shop: Extraction) -> None:
    shop.run()
    (first,) = catalogs(shop)
    row(shop, 1)
    shop.run()
    assert catalogs(shop) == [first]
    shop.mysql.execute("ALTER TABLE t ADD COLUMN z INT", database="shop")
    row(shop, 2)
    shop.run()
    head = shop.log.head()
    assert head is not None
    assert len(catalogs(shop)) == 2
    assert head.resume.catalog in catalogs(shop)
    assert read_catalog(shop.log.storage, head.resume.catalog) is not None
    assert [event.rows for event in shop.events() if event.kind == "insert"] == [1, 1]


def test_a_catalog_that_is_gone_or_damaged_stops_the_next_task(shop: Extraction) -> None:
    shop.run()
    row(shop, 1)
    (name,) = catalogs(shop)
    path = shop.folder / NAME / name
    raw = path.read_bytes()
    path.unlink()
    with pytest.raises(CorruptLogError, match="is missing; restore it"):
        shop.run()
    path.write_bytes(raw[:-5])
    with pytest.raises(CorruptLogError, match="catalog-"):
        shop.run()
    path.write_bytes(raw)
    assert shop.run().rows == 1


def test_a_change_that_is_not_in_the_log_stops_and_repositioning_goes_on(shop: Extraction) -> None:
    shop.run()
    row(shop, 1)
    shop.mysql.execute("SET sql_log_bin = 0", "ALTER TABLE t DROP COLUMN b", database="shop")
    row(shop, 2)
    with pytest.raises(
        UnsupportedError, match=r"shop\.t: .*5 columns in the log, 6 expected.*sql_log_bin"
    ) as caught:
        shop.run()
    assert "mysql-bin." in str(caught.value)
    assert shop.kinds()[-1] == "insert t 1"
    service = shop.service()
    reposition(
        service, endpoint(shop.mysql), shop.storage, Start(at="now"), token=new_token("test"), reason="test"
    )
    row(shop, 3)
    assert shop.run().rows == 1
    assert len(catalogs(shop)) == 2


def test_a_statement_that_is_not_understood_stops_at_the_tables_next_row_alone(shop: Extraction) -> None:
    shop.mysql.execute("CREATE TABLE other (id INT PRIMARY KEY)", database="shop")
    shop.run()
    shop.mysql.execute("ALTER TABLE t ADD COLUMN h ENUM(x'c3a4')", database="shop")
    row(shop, 1, "other")
    row(shop, 2)
    with pytest.raises(
        UnsupportedError, match=r"shop\.t: .*statement at mysql-bin\.\d+:\d+, QUERY \(2\) is not understood"
    ):
        shop.run()
    assert shop.kinds()[-1] == "insert other 1"
    assert shop.run(exclude=["shop.t"]).reason == "head"


def test_a_start_in_the_past_needs_a_dump_of_that_place(shop: Extraction, tmp_path: Path) -> None:
    file, position = shop.mysql.execute("SHOW BINARY LOG STATUS")[0][:2]
    dump = tmp_path / "dump.sql"
    arguments = ("--no-data", "--source-data=2", "--databases", "shop")
    dump.write_bytes(shop.mysql.client("mysqldump", *arguments))
    row(shop, 1)
    shop.mysql.execute("ALTER TABLE t ADD COLUMN z INT", database="shop")
    row(shop, 2)
    start = {"event_id": f"{file}:{position}"}
    with pytest.raises(PreflightError, match="source.schema_dump"):
        shop.run(start=start)
    with pytest.raises(PreflightError, match="source.schema_dump"):
        shop.run(start="earliest")
    late = tmp_path / "late.sql"
    late.write_bytes(shop.mysql.client("mysqldump", *arguments))
    with pytest.raises(ConfigurationError, match="was taken at"):
        shop.run(start=start, schema_dump=str(late))
    assert shop.run(start=start, schema_dump=str(dump)).rows == 2
    first, second = definitions(shop)
    assert ('"name":"z"' in first, '"name":"z"' in second) == (False, True)


def test_a_log_that_named_its_columns_and_no_longer_does_stops_with_the_mend(shop: Extraction) -> None:
    shop.mysql.execute("SET GLOBAL binlog_row_metadata = FULL")
    shop.run()
    assert catalogs(shop) == []
    row(shop, 1)
    shop.mysql.execute("SET GLOBAL binlog_row_metadata = MINIMAL")
    row(shop, 2)
    with pytest.raises(UnsupportedError, match=r"shop\.t: .*SET GLOBAL binlog_row_metadata=FULL"):
        shop.run()
    assert shop.kinds()[-1] == "insert t 1"


def test_the_heartbeat_needs_no_names_and_catalogs_go_with_what_is_purged(shop: Extraction) -> None:
    shop.mysql.execute(heartbeat_grant(shop.mysql.user, NAME))
    shop.run(heartbeat=True)
    shop.mysql.execute("ALTER TABLE t ADD COLUMN z INT", database="shop")
    row(shop, 1)
    last = shop.run(heartbeat=True).last
    assert [kind for kind in shop.kinds() if kind == "heartbeat"] == ["heartbeat"] * 2
    before = catalogs(shop)
    head = shop.log.head()
    assert head is not None
    assert last is not None
    appliers.register(shop.log, "redshift", folder="s3://bucket/files", token="t")
    appliers.mirror(shop.log, "redshift", appliers.Applied(last, 0, "e", 0, head.uuid), token="t")
    purge(shop.log, expected=(), token="t", through=last)
    assert catalogs(shop) == [head.resume.catalog]
    assert len(before) > 1
    row(shop, 2)
    assert shop.run(heartbeat=True).rows == 1
    shop.mysql.execute(f"DROP DATABASE tungsten_{NAME}")
