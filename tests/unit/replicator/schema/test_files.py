"""Logs that do not name their columns, read from files: by the DDL in them, or by a schema dump."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_tungsten.replicator.binlog.constants import EventType
from airflow_provider_tungsten.replicator.binlog.framing import EventStream
from airflow_provider_tungsten.replicator.binlog.table_map import TableMaps
from airflow_provider_tungsten.replicator.errors import ConfigurationError, UnsupportedError
from airflow_provider_tungsten.replicator.file_extractor import FilesSource, extract_files
from airflow_provider_tungsten.replicator.schema.dump import catalog_at, catalog_of_dump, place_of_dump
from airflow_provider_tungsten.replicator.storage import new_token, open_storage
from airflow_provider_tungsten.replicator.thl.event import ThlEvent
from airflow_provider_tungsten.replicator.thl.log import Log
from tests.corpus.reading import FOLDER, needs_corpus

DUMP = """-- MySQL dump 10.13  Distrib 8.0.36
-- CHANGE MASTER TO MASTER_LOG_FILE='mysql-bin.000003', MASTER_LOG_POS=197;
/*!40101 SET NAMES utf8mb4 */;
CREATE DATABASE /*!32312 IF NOT EXISTS*/ `noria` /*!40100 DEFAULT CHARACTER SET utf8mb4 */;
USE `noria`;
DROP TABLE IF EXISTS `t1`;
CREATE TABLE `t1` (
  `id` int NOT NULL,
  `raw` blob COMMENT 'a; b',
  `name` char(2) DEFAULT NULL,
  `n` int DEFAULT NULL /*!80023 INVISIBLE */,
  `u` int unsigned DEFAULT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
DELIMITER ;;
CREATE TRIGGER x BEFORE INSERT ON t1 FOR EACH ROW BEGIN DROP TABLE t1; END ;;
DELIMITER ;
/*!50001 CREATE VIEW `v` AS SELECT 1 AS `a`*/;
"""


def extracted(folder: Path, name: str, schema_dump: Path | None = None) -> list[ThlEvent]:
    storage = open_storage(str(folder / "thl"))
    extract_files("s", FilesSource(FOLDER / name, schema_dump=schema_dump), storage, token=new_token("test"))
    log = Log(storage, "s")
    head = log.head()
    assert head is not None
    return list(log.read(0, head.last))


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    file = tmp_path / "dump.sql"
    file.write_text(DUMP)
    return file


@needs_corpus
def test_a_log_of_mysql_5_5_is_named_by_its_own_ddl(tmp_path: Path) -> None:
    rows = [event for event in extracted(tmp_path, "osheroff/mysql-bin.sakila") if event.rows]
    assert sum(event.rows for event in rows) == 47_273
    film = next(event.definition for event in rows if event.table_name == "film")
    assert film is not None
    assert '"members":["G","PG","PG-13","R","NC-17"],"meta":503,"name":"rating"' in film
    assert '"primary_key":["film_id"]' in film


@needs_corpus
def test_a_log_with_minimal_metadata_is_named_by_a_dump(tmp_path: Path, dump: Path) -> None:
    dump.write_text("\n".join(line for line in DUMP.splitlines() if "MASTER_LOG" not in line))
    name = "rust_mysql_common/minimal_row_metadata.000001"
    stream = EventStream(name, 4, framing="file")
    events = stream.feed((FOLDER / name).read_bytes()[4:])
    body = next(event.body for event in events if event.type == EventType.TABLE_MAP)
    definition = TableMaps(catalog_of_dump(dump)).definition(body)
    assert [column.name for column in definition.columns] == ["id", "raw", "name", "n", "u"]
    # Its rows have MINIMAL images, too, which nobody can complete.
    with pytest.raises(UnsupportedError, match="binlog_row_image"):
        extracted(tmp_path, name, dump)


@needs_corpus
def test_without_a_dump_it_stops_at_the_table_that_nobody_names(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=r"000001:312, TABLE_MAP \(19\): noria\.t1: .*schema dump"):
        extracted(tmp_path, "rust_mysql_common/minimal_row_metadata.000001")


def test_a_dump_tells_where_it_was_taken(dump: Path) -> None:
    assert place_of_dump(dump) == "mysql-bin.000003:0000000000000197;-1"
    assert len(catalog_at(dump, "mysql-bin.000003:197")) == 1
    with pytest.raises(ConfigurationError, match="was taken at mysql-bin.000003:0000000000000197"):
        catalog_at(dump, "mysql-bin.000003:4")


@pytest.mark.parametrize("text", ["", "CREATE TABLE t (a INT);", "INSERT INTO t VALUES (1);"])
def test_a_file_that_names_no_database_is_no_schema_dump(tmp_path: Path, text: str) -> None:
    file = tmp_path / "dump.sql"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match="--no-data --databases"):
        catalog_of_dump(file)


def test_a_dump_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot read the schema dump .*none.sql"):
        catalog_of_dump(tmp_path / "none.sql")
