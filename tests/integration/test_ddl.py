"""Tables that change while they are written: rows are read by the names of their time, and no change of rows goes unnoticed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_tungsten.replicator.batch.chain import Chain
from airflow_provider_tungsten.replicator.errors import UnsupportedError
from airflow_provider_tungsten.replicator.source.server import case_finding
from airflow_provider_tungsten.replicator.storage import open_storage
from airflow_provider_tungsten.replicator.thl.event import ROW_KINDS
from tests.corpus.reading import rows_of
from tests.integration.extraction import Extraction
from tests.integration.value_log import NULL, Log
from tests.stack.mariadb import MariaDB
from tests.stack.mysql import MySQL

LONG = "x" * 64
WIDE = ", ".join(f"c{number} INT /* {'long ' * 20}*/" for number in range(1000))
TABLES = (
    "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(9) DEFAULT 'v')",
    "CREATE TABLE u (id INT PRIMARY KEY, w INT DEFAULT 7)",
)
# A statement, and the table into which a row is written behind it.
HISTORY = [
    ("ALTER TABLE t ADD a INT DEFAULT 5", "t"),
    ("ALTER TABLE t ADD b VARCHAR(9) DEFAULT 'b' FIRST", "t"),
    ("ALTER TABLE t ADD c INT AFTER id, ALGORITHM=INSTANT", "t"),
    ("ALTER TABLE t RENAME COLUMN a TO aa, ADD d INT AFTER b", "t"),
    ("ALTER TABLE t DROP COLUMN c", "t"),
    ("ALTER TABLE t CHANGE aa `AA` BIGINT UNSIGNED DEFAULT 18446744073709551615", "t"),
    ("ALTER TABLE t MODIFY v VARCHAR(9) CHARACTER SET latin1 DEFAULT 'é'", "t"),
    ("ALTER TABLE t DEFAULT CHARACTER SET latin1, ADD e CHAR(3) DEFAULT 'ü'", "t"),
    ("ALTER TABLE t CONVERT TO CHARACTER SET utf8mb4", "t"),
    ("RENAME TABLE t TO x, u TO t, x TO u", "t"),
    ("ALTER TABLE u COMMENT = 'a, b; DROP TABLE t' ROW_FORMAT = COMPACT", "u"),
    ("RENAME TABLE u TO {other}.u", "{other}.u"),
    ("ALTER TABLE {other}.u RENAME AS u", "u"),
    ("TRUNCATE u", "u"),
    ("CREATE TABLE likes LIKE u", "likes"),
    ("CREATE TABLE made (PRIMARY KEY (id)) AS SELECT id, w FROM t WHERE id < 0", "made"),
    ("DROP TABLE t", "u"),
    ("CREATE TABLE t (id INT PRIMARY KEY, fresh SET('x','y') DEFAULT 'y,x')", "t"),
    ("create/*x*/table/**/c(id int primary key/*!50503 , note int default 3 */ /* , gone int */) -- tail", "c"),
    (f"CREATE TABLE wide (id INT PRIMARY KEY, {WIDE}) ROW_FORMAT=DYNAMIC", "wide"),
    ("CREATE TABLE parts (id INT PRIMARY KEY, v INT DEFAULT 1) PARTITION BY HASH (id) PARTITIONS 3", "parts"),
    ("ALTER TABLE parts COALESCE PARTITION 1", "parts"),
    ("ALTER TABLE parts REMOVE PARTITIONING", "parts"),
    (
        "CREATE TABLE `we``ird.n \"a'me` (id INT PRIMARY KEY, `select` INT DEFAULT 1, `p.q` INT, `a\"b'c``d` INT, `1a` INT, $x INT, "
        f"_y INT, `ünï cödé` INT, `a,b` INT, `{LONG}` INT)",
        "`we``ird.n \"a'me`",
    ),
    (f"CREATE TABLE `{LONG}` (id INT PRIMARY KEY)", f"`{LONG}`"),
    ("SET SESSION sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'", "t"),
    ('CREATE TABLE "an""s" (id INT PRIMARY KEY, "a b" VARCHAR(9) DEFAULT \'\\\')', '"an""s"'),
    ("SET SESSION sql_mode = ''", "t"),
    ("CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW BEGIN SET NEW.fresh = 'x'; END", "t"),
    ("CREATE PROCEDURE p() BEGIN DROP TABLE t; CREATE TABLE t (a INT); END", "t"),
]  # fmt: skip
OF_MARIADB = [
    ("CREATE OR REPLACE TABLE t (id INT PRIMARY KEY, again INT DEFAULT 1)", "t"),
    ("ALTER TABLE IF EXISTS t WAIT 5 ADD COLUMN IF NOT EXISTS more INT DEFAULT 2 FIRST", "t"),
]


@pytest.fixture(params=["mysql", "mariadb"])
def log(request: pytest.FixtureRequest) -> Iterator[Log]:
    """Of a server with the databases ddl and ddl_other."""
    server: MySQL = request.getfixturevalue(request.param)
    server.execute("CREATE DATABASE ddl CHARACTER SET utf8mb4", "CREATE DATABASE ddl_other")
    log = Log(server, "ddl")
    with log.connection:
        yield log
    server.execute("DROP DATABASE ddl", "DROP DATABASE ddl_other")


def test_rows_have_the_names_that_their_table_had_then(log: Log, tmp_path: Path) -> None:
    extraction = Extraction(log.server, tmp_path / "thl", include=["ddl.*", "ddl_other.*"], applier="s3")
    log.run(*TABLES)
    extraction.run()
    wanted = []
    history = HISTORY + (OF_MARIADB if isinstance(log.server, MariaDB) else [])
    for number, step in enumerate(history):
        statement, table = (part.replace("{other}", "ddl_other") for part in step)
        log.run(statement, f"INSERT INTO {table} (id) VALUES ({number})")
        plain = table.replace('"an""s"', '`an"s`')
        names = [row[0] for row in log.select(f"SHOW COLUMNS FROM {plain}")]
        (shown,) = log.select(f"SELECT * FROM {plain} WHERE id = {number}")
        cells = (None if cell == NULL else cell for cell in shown)
        wanted.append((_plain(table), dict(zip(names, cells, strict=True))))
    extraction.run()
    events = [event for event in extraction.events(1) if event.kind in ROW_KINDS]
    found = [(row.table, row.by_name) for event in events for row in rows_of(event)]
    assert found == wanted
    assert [[*row] for _, row in found] == [[*row] for _, row in wanted]


def _plain(table: str) -> str:
    quote = table[0] if table[0] in '`"' else ""
    name = table[1:-1].replace(quote * 2, quote) if quote else table
    return name if name.startswith("ddl_other.") else f"ddl.{name}"


def refused(log: Log, folder: Path, *statements: str) -> str:
    """What planning says when it comes to the statements, behind a row that is planned."""
    extraction = Extraction(log.server, folder / "thl", include=["ddl.t"])
    extraction.run()
    log.run("INSERT INTO t VALUES (1, 'a')", *statements)
    extraction.run()
    chain = Chain(open_storage(str(folder / "files")), extraction.log, extraction.service(), "redshift")
    planned = list(chain.extend(token="t", limit=99, waiting=False))
    assert [plan.effect for plan in planned][-1] == "rows"
    with pytest.raises(
        UnsupportedError, match=r" touches .* and is not carried out.*load the table anew"
    ) as caught:
        list(chain.extend(token="t", limit=99, waiting=False))
    return str(caught.value)


SHADOW = "CREATE TABLE _t_gho LIKE t"
MOVES = {
    "gh-ost": [
        SHADOW, "ALTER TABLE _t_gho ADD more INT", "INSERT INTO _t_gho (id, v) SELECT id, v FROM t",
        "RENAME TABLE t TO _t_del, _t_gho TO t",
    ],
    "pt-online-schema-change": [
        "CREATE TABLE _t_new LIKE t", "ALTER TABLE _t_new ADD more INT",
        "CREATE TRIGGER pt_ins AFTER INSERT ON t FOR EACH ROW REPLACE INTO _t_new (id, v) VALUES (NEW.id, NEW.v)",
        "RENAME TABLE t TO _t_old, _t_new TO t",
    ],
    "a name that comes back": ["DROP TABLE t", "CREATE TABLE t (id INT PRIMARY KEY)"],
    "behind a backslash that is none": [
        "SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES'",
        "ALTER TABLE t COMMENT '\\', RENAME u, ADD b INT COMMENT 'x'",
    ],
    "in a comment that is executed": ["/*!50503 ALTER TABLE */ t /*!50503 RENAME */ u"],
    "through another schema": ["RENAME TABLE t TO ddl_other.t"],
    "another table in its place": ["CREATE TABLE u LIKE t", "DROP TABLE t", "RENAME TABLE u TO t"],
    "the whole schema": ["DROP DATABASE ddl", "CREATE DATABASE ddl"],
}  # fmt: skip
MOVES_OF_MARIADB = {
    "OR REPLACE": ["CREATE OR REPLACE TABLE t (id INT PRIMARY KEY)"],
    "a schema's OR REPLACE": ["CREATE OR REPLACE DATABASE ddl"],
    "IF EXISTS": ["ALTER TABLE IF EXISTS t RENAME u"],
    "WAIT": ["ALTER TABLE t WAIT 5 RENAME u"],
    "MariaDB's comment": ["/*M!100000 ALTER TABLE t RENAME u */"],
    "IGNORE": ["ALTER IGNORE TABLE t ADD UNIQUE (v)"],
}


@pytest.mark.parametrize("log", ["mysql"], indirect=True)
@pytest.mark.parametrize("way", MOVES)
def test_rows_that_a_statement_moves_stop_the_applier(log: Log, tmp_path: Path, way: str) -> None:
    log.run(TABLES[0])
    assert "removes or moves rows without row events" in refused(log, tmp_path, *MOVES[way])


@pytest.mark.parametrize("log", ["mariadb"], indirect=True)
@pytest.mark.parametrize("way", MOVES_OF_MARIADB)
def test_mariadbs_own_words_for_it_do_too(log: Log, tmp_path: Path, way: str) -> None:
    log.run(TABLES[0])
    assert refused(log, tmp_path, *MOVES_OF_MARIADB[way])


def test_names_mean_the_same_in_any_case_where_the_server_folds_them(tmp_path: Path) -> None:
    with MariaDB(tmp_path / "folding", options={"lower-case-table-names": "1"}) as server:
        server.execute("CREATE DATABASE Ddl", "CREATE TABLE DDL.T (id INT PRIMARY KEY, V INT)")
        extraction = Extraction(server, tmp_path / "thl", include=["ddl.t"])
        extraction.run()
        server.execute(
            "INSERT INTO ddl.T VALUES (1, 1)",
            "TRUNCATE Ddl.T",
            "ALTER TABLE T ADD Z INT",
            "DROP DATABASE DDL",
            database="dDL",
        )
        extraction.run()
    assert extraction.kinds() == ["insert t 1", "truncate t", "ddl t", "ddl"]
    tables = [(event.options or {}).get("tables") for event in extraction.events(1)]
    assert tables == [None, '[["ddl", "t"]]', '[["ddl", "t"]]', '[["ddl", ""]]']
    assert (case_finding("0"), case_finding("1")) == (None, None)
    assert "names that differ in case" in str(case_finding("2"))


# The second byte of these in GBK and CP932 is a backslash's.
@pytest.mark.parametrize("log", ["mysql"], indirect=True)
@pytest.mark.parametrize(("charset", "name"), [("latin1", "café"), ("gbk", "誠"), ("cp932", "表")])
def test_a_statement_is_read_in_its_clients_character_set(
    log: Log, tmp_path: Path, charset: str, name: str
) -> None:
    extraction = Extraction(log.server, tmp_path / "thl", include=["ddl.*"], applier="s3")
    extraction.run()
    statements = [
        f"CREATE TABLE `{name}` (id INT PRIMARY KEY, `{name}` ENUM('{name}') CHARACTER SET utf8mb4 DEFAULT '{name}')",
        f"INSERT INTO `{name}` (id) VALUES (1)",
        f"ALTER TABLE `{name}` COMMENT '{name}', RENAME `u{name}`",
    ]
    with log.server.connect(database="ddl", charset=charset) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    extraction.run()
    _, rows, moved = extraction.events(1)
    assert [row.by_name for row in rows_of(rows)] == [{"id": "1", name: name}]
    assert (moved.payload or b"").decode() == statements[2]
    options = moved.options or {}
    assert (options["effect"], json.loads(options["tables"])) == (
        "moves_rows",
        [["ddl", name], ["ddl", f"u{name}"]],
    )
