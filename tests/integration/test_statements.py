"""What statements leave in the log, however they change rows: replayed, it makes the tables that the server has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_tungsten.replicator.binlog.definition import TableDefinition
from airflow_provider_tungsten.replicator.thl.event import ROW_KINDS
from tests.corpus.reading import rows_of
from tests.corpus.truth import Cells, Tables
from tests.integration.extraction import Extraction
from tests.stack.mysql import MySQL

TABLES = {
    "pks": "id INT PRIMARY KEY, v VARCHAR(20), UNIQUE (v)",
    "two": "a INT, b VARCHAR(9), v INT, w INT UNIQUE, PRIMARY KEY (b, a)",
    "parts": "id INT PRIMARY KEY, v INT) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10), "
    "PARTITION p1 VALUES LESS THAN MAXVALUE",
    "parents": "id INT PRIMARY KEY",
    "children": "id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES parents (id)",
    "logged": "id INT AUTO_INCREMENT PRIMARY KEY, v INT",
    "twins": "v INT, w INT",
}
# Each is one transaction, unless it says otherwise.
WORK = [
    # Keys that move over each other, within one event and by way of a third.
    "INSERT INTO pks VALUES (1, 'a'), (2, 'b'), (3, 'c')",
    "UPDATE pks SET id = id + 1 ORDER BY id DESC",
    "BEGIN; UPDATE pks SET id = 99 WHERE id = 2; UPDATE pks SET id = 2 WHERE id = 3; UPDATE pks SET id = 3 WHERE id = 99; COMMIT",
    "BEGIN; DELETE FROM pks WHERE id = 4; INSERT INTO pks VALUES (4, 'd'); UPDATE pks SET v = 'e' WHERE id = 4; COMMIT",
    "BEGIN; INSERT INTO pks VALUES (7, 'x'); DELETE FROM pks WHERE id = 7; COMMIT",
    # Logged as an update of another key, as delete and insert, as update, and not at all.
    "REPLACE INTO pks VALUES (5, 'b')",
    "REPLACE INTO pks VALUES (2, 'e'), (6, 'f')",
    "INSERT INTO pks VALUES (6, 'g') ON DUPLICATE KEY UPDATE v = 'h'",
    "INSERT IGNORE INTO pks VALUES (6, 'i'), (8, 'j')",
    "UPDATE pks SET v = v",
    "INSERT INTO two VALUES (1, 'x', 1, 1), (1, 'y', 2, 2), (2, 'x', 3, NULL)",
    "UPDATE two SET a = a + 1 ORDER BY a DESC",
    "REPLACE INTO two VALUES (9, 'z', 4, 1)",
    # Rows that change their partition, and statements that change several tables.
    "INSERT INTO parts VALUES (1, 1), (2, 2), (20, 3)",
    "UPDATE parts SET id = id + 8 WHERE v < 3 ORDER BY id DESC",
    "UPDATE pks JOIN parts ON parts.id = pks.id + 4 SET pks.v = CONCAT(pks.v, '!'), parts.v = parts.v + 10",
    "DELETE pks, parts FROM pks JOIN parts ON parts.v > 2 AND pks.id = 8",
    "INSERT INTO parents VALUES (1), (2); INSERT INTO children VALUES (1, 1), (2, 1), (3, 2)",
    # Triggers leave rows of their own.
    "CREATE TRIGGER follow AFTER INSERT ON two FOR EACH ROW INSERT INTO logged (v) VALUES (NEW.v)",
    "INSERT INTO two VALUES (3, 'p', 30, 30), (3, 'q', 40, 40)",
    # Rows that nothing tells apart.
    "INSERT INTO twins VALUES (1, 1), (1, 1), (1, NULL), (1, 1)",
    "DELETE FROM twins WHERE w = 1 LIMIT 1",
    "UPDATE twins SET v = 2 LIMIT 1",
    # Nothing of these is in the log.
    "CREATE TEMPORARY TABLE aside (id INT PRIMARY KEY); INSERT INTO aside VALUES (1), (2); DROP TEMPORARY TABLE aside",
    "BEGIN; INSERT INTO pks VALUES (70, 'r'); ROLLBACK",
    "BEGIN; INSERT INTO pks VALUES (71, 's'); SAVEPOINT a; INSERT INTO pks VALUES (72, 't'); ROLLBACK TO a; COMMIT",
    "SET sql_log_bin = 0; INSERT INTO logged (id, v) VALUES (1000, 1); DELETE FROM logged WHERE id = 1000; SET sql_log_bin = 1",
    # A procedure, whose rows stand one transaction behind the other.
    "CREATE PROCEDURE many() BEGIN INSERT INTO logged (v) VALUES (50); INSERT INTO logged (v) VALUES (51); END; CALL many()",
]  # fmt: skip
OF_MYSQL = [
    "SET binlog_rows_query_log_events = ON; UPDATE logged SET v = v + 1; SET binlog_rows_query_log_events = OFF",
    "SET binlog_transaction_compression = ON; UPDATE two, logged SET two.v = 7, logged.v = 8; "
    "SET binlog_transaction_compression = OFF",
    # Since MySQL 9.6 what a foreign key changes is logged.
    "ALTER TABLE children DROP FOREIGN KEY children_ibfk_1, ADD FOREIGN KEY (p) REFERENCES parents (id) "
    "ON DELETE CASCADE ON UPDATE CASCADE",
    "UPDATE parents SET id = 9 WHERE id = 2",
    "DELETE FROM parents WHERE id = 1",
]
# Where there are no GTIDs, a transaction may change tables that take no part in it, whose rows stay.
OF_PLAIN = [
    "CREATE TABLE stays (id INT PRIMARY KEY) ENGINE=MyISAM",
    "BEGIN; INSERT INTO pks VALUES (80, 'a1'); INSERT INTO stays VALUES (1); ROLLBACK",
    "BEGIN; INSERT INTO pks VALUES (81, 'a2'); SAVEPOINT a; INSERT INTO pks VALUES (82, 'a3'); INSERT INTO stays VALUES (2); "
    "ROLLBACK TO a; INSERT INTO pks VALUES (83, 'a4'); COMMIT",
    "BEGIN; INSERT INTO pks VALUES (84, 'a5'); SAVEPOINT `b ``b`; INSERT INTO stays VALUES (3); UPDATE pks SET v = 'a6' WHERE id = 84; "
    "ROLLBACK TO SAVEPOINT `B ``b`; RELEASE SAVEPOINT `b ``b`; COMMIT",
    "UPDATE pks JOIN stays ON stays.id = 1 SET pks.v = 'a7', stays.id = 9 WHERE pks.id = 84",
]
OF_MARIADB = [
    "INSERT INTO logged (v) VALUES (60) RETURNING id",
    "SET binlog_annotate_row_events = OFF; UPDATE logged SET v = v + 1; SET binlog_annotate_row_events = ON",
    "CREATE OR REPLACE TABLE fresh (id INT PRIMARY KEY) AS SELECT id FROM logged",
]


OTHERS = {"mysql": OF_MYSQL, "mariadb": OF_MARIADB, "plain_server": OF_PLAIN}


@pytest.fixture(params=OTHERS)
def source(request: pytest.FixtureRequest) -> Iterator[tuple[MySQL, str, list[str]]]:
    """A server, its database, and the work for it."""
    server: MySQL = request.getfixturevalue(request.param)
    server.execute("CREATE DATABASE statements")
    for name, columns in TABLES.items():
        server.execute(f"CREATE TABLE {name} ({columns})", database="statements")
    yield server, "statements", WORK + OTHERS[request.param]
    server.execute("DROP DATABASE statements")


def _done(server: MySQL, database: str, work: list[str]) -> None:
    """One session each; a procedure's own semicolons are left alone."""
    for steps in work:
        parts = steps.split("; CALL ") if "PROCEDURE" in steps else steps.split("; ")
        statements = [parts[0], *(f"CALL {part}" for part in parts[1:])] if "PROCEDURE" in steps else parts
        server.execute(*statements, database=database)


def _replayed(extraction: Extraction) -> dict[str, list[Cells]]:
    events = [event for event in extraction.events(1) if event.kind in ROW_KINDS]
    definitions = [TableDefinition.from_json(event.definition or "") for event in events]
    tables = Tables({definition.name: definition.primary_key for definition in definitions})
    for event in events:
        tables.apply(rows_of(event))
    return tables.rows


def test_the_log_of_any_statement_makes_the_tables_of_the_server(
    source: tuple[MySQL, str, list[str]], tmp_path: Path
) -> None:
    server, database, work = source
    extraction = Extraction(server, tmp_path / "thl", include=[f"{database}.*"], applier="s3")
    extraction.run()
    _done(server, database, work)
    extraction.run()
    replayed = _replayed(extraction)
    for (table,) in server.execute(f"SHOW TABLES IN {database}"):
        shown = server.execute(f"SELECT * FROM {database}.{table}")
        found = [tuple(row.values()) for row in replayed.get(f"{database}.{table}", [])]
        wanted = [tuple(None if cell is None else str(cell) for cell in row) for row in shown]
        assert sorted(map(repr, found)) == sorted(map(repr, wanted)), table
