"""What the catalog makes of DDL, against the definitions that MySQL itself logs with all metadata."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_tungsten.replicator.errors import UnsupportedError
from airflow_provider_tungsten.replicator.schema.catalog import Catalog
from airflow_provider_tungsten.replicator.schema.dump import catalog_of_dump, place_of_dump
from airflow_provider_tungsten.replicator.schema.server import read_catalog
from airflow_provider_tungsten.replicator.source.connection import connect
from airflow_provider_tungsten.replicator.source.position import Source
from airflow_provider_tungsten.replicator.source.preflight import preflight
from airflow_provider_tungsten.replicator.source.stream import Replica
from airflow_provider_tungsten.replicator.storage import open_storage
from airflow_provider_tungsten.replicator.thl.event import event_id
from tests.integration.ddl_statements import STATEMENTS
from tests.integration.extraction import SERVER_ID, endpoint, service
from tests.integration.schema_log import bare, definitions, differences, place, run
from tests.stack.mysql import MySQL

CHARSET = {"db": "utf8mb4"}


@pytest.fixture(scope="module")
def begun(mysql: MySQL) -> Iterator[tuple[str, int]]:
    """Where the log was before the statements; their tables stay until the module ends."""
    begin = place(mysql)
    mysql.execute("CREATE DATABASE ddl CHARACTER SET utf8mb4")
    taken = run(mysql, "ddl", STATEMENTS)
    assert taken > len(STATEMENTS) * 0.85, "the server refuses too many of the statements"
    yield begin
    mysql.execute("DROP DATABASE ddl")


def test_ddl_leads_to_the_definitions_that_the_server_logs(mysql: MySQL, begun: tuple[str, int]) -> None:
    assert differences(mysql, begun, Catalog({}, {}, whole=True)) == []


def source(mysql: MySQL, folder: Path) -> Source:
    to = endpoint(mysql, user=mysql.root, password=mysql.root_password)
    connection = connect(to)
    facts = preflight(connection, to, service(folder, exclude=["*.*"]), open_storage(str(folder)))
    return Source(Replica(to, SERVER_ID, "test"), connection, facts)


def there(mysql: MySQL) -> set[str]:
    found = mysql.execute(
        "SELECT CONCAT(table_schema, '.', table_name) FROM information_schema.tables"
        " WHERE table_schema = 'ddl' AND table_type = 'BASE TABLE'"
    )
    return {name for (name,) in found}


def test_what_the_server_shows_are_the_definitions_that_it_logs(
    mysql: MySQL, begun: tuple[str, int], tmp_path: Path
) -> None:
    catalog = read_catalog(source(mysql, tmp_path))
    assert catalog is not None
    logged = definitions(mysql, begun)
    for name in there(mysql):
        assert catalog.complete(bare(logged[name])) == logged[name]


def test_a_dump_holds_the_definitions_that_the_server_logs(
    mysql: MySQL, begun: tuple[str, int], tmp_path: Path
) -> None:
    file = tmp_path / "dump.sql"
    mysql.execute("CREATE TRIGGER ddl.tr BEFORE INSERT ON ddl.p1 FOR EACH ROW BEGIN SET NEW.a = 1; END")
    file.write_bytes(mysql.client("mysqldump", "--no-data", "--source-data=2", "--databases", "ddl"))
    mysql.execute("DROP TRIGGER ddl.tr")
    catalog = catalog_of_dump(file)
    logged = definitions(mysql, begun)
    for name in there(mysql):
        assert catalog.complete(bare(logged[name])) == logged[name]
    told = place_of_dump(file)
    assert told is not None
    assert re.fullmatch(r"mysql-bin\.\d{6}:\d{16};-1", told)
    assert told > event_id(*begun)


def test_a_label_that_the_server_does_not_show_makes_its_table_unknown(
    mysql: MySQL, database: str, tmp_path: Path
) -> None:
    begin = place(mysql)
    mysql.execute(
        f"CREATE TABLE {database}.doubted (e ENUM('x\N{GRINNING FACE}', 'b')) CHARSET utf8mb4",
        f"CREATE TABLE {database}.asking (e SET('x?', 'b')) CHARSET utf16",
        f"CREATE TABLE {database}.narrow (e ENUM('x?', 'b')) CHARSET utf8mb3",
        *[f"INSERT INTO {database}.{table} VALUES ('b')" for table in ("doubted", "asking", "narrow")],
    )
    logged = definitions(mysql, begin)
    assert logged[f"{database}.doubted"].columns[0].members == ("x\N{GRINNING FACE}", "b")
    file = tmp_path / "dump.sql"
    file.write_bytes(mysql.client("mysqldump", "--no-data", "--databases", database))
    for catalog in (read_catalog(source(mysql, tmp_path)), catalog_of_dump(file)):
        assert catalog is not None
        for table in ("doubted", "asking"):
            with pytest.raises(UnsupportedError, match="labels of e with a question mark"):
                catalog.complete(bare(logged[f"{database}.{table}"]))
        narrow = logged[f"{database}.narrow"]
        assert catalog.complete(bare(narrow)) == narrow


# Random tables and ALTERs. A name out of few, so that statements meet.

NAMES = st.sampled_from(["a", "b", "c", "d", "E", "f"])
TYPES = st.sampled_from(
    [
        *("INT", "BIGINT UNSIGNED", "DECIMAL(12,4)", "FLOAT", "DOUBLE UNSIGNED", "BIT(11)", "YEAR", "BOOL"),
        *("DATE", "TIME(3)", "DATETIME", "TIMESTAMP(6) NULL", "TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP"),
        *(
            "CHAR(5)",
            "CHAR(70)",
            "VARCHAR(20)",
            "VARCHAR(300)",
            "BINARY(7)",
            "VARBINARY(30)",
            "TEXT",
            "TINYTEXT",
        ),
        *("TEXT(100)", "BLOB", "LONGBLOB", "MEDIUMTEXT", "JSON", "POINT", "VECTOR(4)", "NCHAR(4)"),
        *(
            "ENUM('x','y')",
            "SET('p','q','r')",
            "VARCHAR(10) CHARACTER SET latin1",
            "TEXT COLLATE utf8mb3_bin",
        ),
        *(
            "INT NOT NULL",
            "VARCHAR(12) NOT NULL",
            "INT NOT NULL UNIQUE",
            "INT UNIQUE",
            "BIGINT KEY",
            "INT INVISIBLE",
        ),
        *(
            "INT GENERATED ALWAYS AS (1+1) VIRTUAL",
            "INT AS (2) STORED NOT NULL",
            "CHAR(9) CHARACTER SET ucs2",
        ),
    ]
)
CHARSETS = st.sampled_from(["latin1", "utf8mb4", "utf8", "ucs2", "binary", "gbk"])
POSITIONS = st.one_of(st.just(""), st.just(" FIRST"), NAMES.map(lambda name: f" AFTER {name}"))
COLUMNS = st.lists(st.tuples(NAMES, TYPES), min_size=1, max_size=4, unique_by=lambda column: column[0])
KEYS = st.sampled_from(
    ["PRIMARY KEY ({0})", "UNIQUE ({0})", "UNIQUE u ({0})", "KEY ({0})", "UNIQUE ({0}(3))"]
)
ACTIONS = st.one_of(
    st.builds("ADD {} {}{}".format, NAMES, TYPES, POSITIONS),
    st.builds("DROP COLUMN {}".format, NAMES),
    st.builds("MODIFY {} {}{}".format, NAMES, TYPES, POSITIONS),
    st.builds("CHANGE {} {} {}{}".format, NAMES, NAMES, TYPES, POSITIONS),
    st.builds("RENAME COLUMN {} TO {}".format, NAMES, NAMES),
    st.builds("ADD {}".format, st.builds(lambda key, name: key.format(name), KEYS, NAMES)),
    st.builds("DROP KEY {}".format, st.sampled_from(["u", "a", "b", "b_2", "c"])),
    st.just("DROP PRIMARY KEY"),
    # Labels of ENUM keep their bytes: in ucs2 nobody could read them.
    st.builds("CONVERT TO CHARACTER SET {}".format, CHARSETS.filter(lambda charset: charset != "ucs2")),
    st.builds("DEFAULT CHARACTER SET {}".format, CHARSETS),
    st.just("ALTER c SET INVISIBLE"),
)
ALTERS = st.lists(
    st.lists(ACTIONS, min_size=1, max_size=3).map(lambda actions: f"ALTER TABLE t {', '.join(actions)}"),
    min_size=6,
    max_size=14,
)


@st.composite
def histories(draw: st.DrawFn) -> list[str]:
    columns = ", ".join(f"{name} {kind}" for name, kind in draw(COLUMNS))
    create = f"CREATE TABLE t ({columns}) CHARACTER SET {draw(CHARSETS)}"
    # The rows that show a definition must not keep the next ALTER from being taken.
    return [create, *(part for alter in draw(ALTERS) for part in (alter, "TRUNCATE t"))]


@settings(
    max_examples=25,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)
@given(history=histories())
def test_any_history_of_a_table_leads_to_the_definitions_that_the_server_logs(
    mysql: MySQL, history: list[str]
) -> None:
    begin = place(mysql)
    mysql.execute("CREATE DATABASE random_ddl CHARACTER SET utf8mb4")
    try:
        run(mysql, "random_ddl", history)
        found = differences(mysql, begin, Catalog({}, {}, whole=True))
        # Labels whose bytes mean something else after CONVERT are refused.
        assert [one for one in found if "(labels of " not in one] == []
    finally:
        mysql.execute("DROP DATABASE random_ddl")
