"""CSV text against the servers' own answers: every type, from INSERT, UPDATE and DELETE images, on MySQL and MariaDB."""

from __future__ import annotations

import random
import struct
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_tungsten.replicator.binlog.definition import TableDefinition
from airflow_provider_tungsten.replicator.binlog.rows import CsvEncoder
from airflow_provider_tungsten.replicator.thl.event import ROW_KINDS
from tests.integration.extraction import Extraction
from tests.integration.value_log import NULL, Change, Log, Row, compare, read_csv, write
from tests.integration.value_types import KINDS, Kind


@pytest.fixture(scope="module")
def databases(server_folder: Path) -> Iterator[dict[str, Log]]:
    """One open log a server, by the server's name; filled when first needed."""
    logs: dict[str, Log] = {}
    yield logs
    for log in logs.values():
        log.run("DROP DATABASE IF EXISTS `values`")
        log.connection.close()


@pytest.fixture
def log(request: pytest.FixtureRequest, databases: dict[str, Log]) -> Log:
    """Of a MySQL, unless the test's parameter says otherwise; no table is there."""
    name = getattr(request, "param", "mysql")
    if name not in databases:
        server = request.getfixturevalue(name)
        server.execute("CREATE DATABASE `values`")
        databases[name] = Log(server, "values")
    databases[name].run("DROP TABLE IF EXISTS t")
    return databases[name]


def _check(log: Log, kind: Kind, values: Sequence[str]) -> None:
    """Writes the values, copies and deletes them, and compares every image with what the server selected then."""
    written = write(log, kind, "t", values)
    found = log.changes_since(written.start)
    compare(kind, found.inserted, written.inserted)
    compare(kind, found.deleted, written.deleted)


@pytest.mark.parametrize(
    ("log", "kind"),
    [pytest.param(server, kind, id=f"{server}-{kind.sql[:40]}") for kind in KINDS for server in kind.servers],
    indirect=["log"],
)
def test_every_image_has_the_servers_value(log: Log, kind: Kind) -> None:
    log.run("DROP TABLE IF EXISTS t", f"CREATE TABLE t (id INT PRIMARY KEY, v {kind.sql}, u {kind.sql})")
    _check(log, kind, kind.values)
    if kind.drawn is not None:

        @settings(max_examples=2, database=None)
        @given(st.lists(kind.drawn, min_size=1, max_size=30))
        def any_values(values: list[str]) -> None:
            _check(log, kind, values)

        any_values()


@pytest.mark.parametrize(("log", "name"), [("mysql", "mysql"), ("mariadb", "mariadb")], indirect=["log"])
def test_every_type_comes_through_the_extractor(log: Log, name: str, tmp_path: Path) -> None:
    kinds = {f"k{number}": kind for number, kind in enumerate(KINDS) if name in kind.servers}
    for table, kind in kinds.items():
        log.run(f"CREATE TABLE {table} (id INT PRIMARY KEY, v {kind.sql}, u {kind.sql})")
    extraction = Extraction(log.server, tmp_path, include=["values.k*"])
    extraction.run()
    written = {table: write(log, kind, table, kind.values) for table, kind in kinds.items()}
    log.run(f"DROP TABLE {', '.join(kinds)}")
    extraction.run()
    found: dict[str, Change] = defaultdict(Change)
    for event in extraction.events(1):
        if event.kind in ROW_KINDS:
            definition = TableDefinition.from_json(event.definition or "")
            encoder = CsvEncoder(definition, ["opcode"], max_text_bytes=None, refuse_zero_dates=False)
            text = encoder.encode(event.payload or b"", event.kind, seqno=1, row_id=1, commit_ts=0).csv
            found[event.table_name].add(read_csv(text))
    for table, kind in kinds.items():
        compare(kind, found[table].inserted, written[table].inserted)
        compare(kind, found[table].deleted, written[table].deleted)


def _by_id(row: Row) -> int:
    return int(row[0])


def test_any_double_has_the_servers_text(log: Log) -> None:
    log.run("CREATE TABLE t (id INT PRIMARY KEY, v DOUBLE)")
    dice = random.Random(1)
    bits = (dice.getrandbits(64) for _ in range(4000))
    doubles = [
        value
        for value in (struct.unpack("<d", struct.pack("<Q", item))[0] for item in bits)
        if value - value == 0
    ]
    doubles += [dice.uniform(-1, 1) * 10 ** dice.randint(-20, 20) for _ in range(2000)]
    doubles += [float(10**power) for power in range(25)] + [10.0**-power for power in range(25)]
    listed = ", ".join(f"({number}, {value!r})" for number, value in enumerate(doubles))
    rows = log.changes(f"INSERT INTO t VALUES {listed}").inserted
    assert rows == log.select("SELECT id, v FROM t ORDER BY id")


JSON_VALUES = [
    "'null'", "'true'", "'false'", "'0'", "'-1'", "'1.0'", "'1e300'", "'0.1'", "'-0.0'", "'1e15'", "'100000.0'",
    "'18446744073709551615'", "'-9223372036854775808'", "'32767'", "'32768'", "'-32769'", "'65535'", "'65536'",
    "'4294967295'", "'4294967296'", "'{}'", "'[]'", "'\"\"'", "'[1, 2, 70000, -70000, 3000000000]'",
    """'{"b":1,"a":2,"aa":3,"":4,"é😀":"x","B":null}'""",
    r"""'"quote \\" backslash \\\\ slash / \\b\\f\\n\\r\\t \\u0001 \\u001f \\u007f é 😀"'""",
    r"""'{"ke\\"y\\n": "v"}'""",
    "CAST(CAST('-87:31:46.654321' AS TIME(6)) AS JSON)",
    "CAST(CAST('838:59:59' AS TIME) AS JSON)",
    "CAST(CAST('2012-03-18 11:30:45.123456' AS DATETIME(6)) AS JSON)",
    "CAST(TIMESTAMP('2020-01-02 03:04:05') AS JSON)",
    "CAST(CAST('2012-03-18' AS DATE) AS JSON)",
    "CAST(CAST(-123.4500 AS DECIMAL(10,4)) AS JSON)",
    "CAST(CAST(0 AS DECIMAL(5,2)) AS JSON)",
    f"CAST(CAST('{'9' * 35}.{'9' * 30}' AS DECIMAL(65,30)) AS JSON)",
    "CAST(X'00FF55' AS JSON)", "CAST(X'' AS JSON)", "CAST(X'00' AS JSON)", "CAST(X'0001' AS JSON)",
    "CAST(b'101' AS JSON)",
    *(f"CAST(CAST(REPEAT('x', {size}) AS BINARY) AS JSON)" for size in (56, 57, 58, 59, 114, 115, 1000)),
    "JSON_OBJECT('year', CAST(2020 AS YEAR), 'blob', CAST('x' AS BINARY(3)))",
    "JSON_OBJECT('k', REPEAT('x', 127), 'l', REPEAT('y', 128), 'm', REPEAT('z', 16384))",
    "JSON_OBJECT('k', REPEAT('x', 70000), 'n', 1, 'big', 70000, 'u', 3000000000, 's', 'short', 'no', NULL)",
    "JSON_ARRAY(REPEAT('x', 70000), -5, 70000, TRUE, JSON_ARRAY(1, JSON_OBJECT('a', 'b')))",
    f"'{'[' * 100}{']' * 100}'",
    f"'{'[' * 99}1{']' * 99}'",
    f"""'{'{"a":' * 99}[]{'}' * 99}'""",
    "ST_AsGeoJSON(ST_GeomFromText('POINT(1 2.5)'))",
]  # fmt: skip


def test_json_is_what_cast_as_char_prints(log: Log) -> None:
    log.run("CREATE TABLE t (id INT PRIMARY KEY, v JSON)")
    listed = ", ".join(f"({number}, {value})" for number, value in enumerate(JSON_VALUES))
    rows = log.changes(f"INSERT INTO t VALUES {listed}, (-1, NULL)").inserted
    truth = log.select("SELECT id, CAST(v AS CHAR) FROM t ORDER BY id")
    for got, expected in zip(sorted(rows, key=_by_id), truth, strict=True):
        assert got == expected, JSON_VALUES[_by_id(expected)][:100]


def test_any_json_document_is_what_cast_as_char_prints(log: Log) -> None:
    log.run("CREATE TABLE t (id INT PRIMARY KEY, v JSON)")
    dice = random.Random(2)
    documents = [(number, _document(dice, 4)) for number in range(600)]
    rows: list[Row] = []
    for start in range(0, len(documents), 100):
        part = documents[start : start + 100]
        arguments = [item for pair in part for item in pair]
        statement = f"INSERT INTO t VALUES {', '.join(['(%s, %s)'] * len(part))}"
        rows += log.changes(statement, arguments=arguments).inserted
    assert rows == log.select("SELECT id, CAST(v AS CHAR) FROM t ORDER BY id")


# Columns that become values of their own kind inside a document, each with two values.
JSON_SOURCES = {
    "TINYINT": ("-5", "0"), "BOOL": ("TRUE", "2"), "BIGINT UNSIGNED": ("18446744073709551615", "0"),
    "DECIMAL(20,5)": ("-12.34", "0"), "FLOAT": ("1.1", "-0e0"), "DOUBLE": ("1e300", "-0e0"),
    "BIT(12)": ("b'101010101010'", "0"), "YEAR": ("2020", "0"), "DATE": ("'0000-00-00'", "'2020-00-15'"),
    "TIME": ("'-838:59:59'", "'25:00:00'"), "TIME(6)": ("'-00:00:00.000001'", "'838:59:58.999999'"),
    "DATETIME": ("'0000-00-00'", "'2020-00-15 01:02:03'"), "DATETIME(3)": ("'9999-12-31 23:59:59.999'", "'1000-01-01'"),
    "TIMESTAMP NULL": ("'2020-01-02 03:04:05'", "'0000-00-00'"), "TIMESTAMP(6) NULL": ("'2038-01-19 03:14:07.999999'", "NULL"),
    "CHAR(5)": ("'a \"b'", "''"), "VARCHAR(9) CHARACTER SET latin1": ("'café'", "''"), "TEXT": ("'\\n'", "''"),
    "BINARY(4)": ("'ab'", "''"), "VARBINARY(9)": ("X'0001FF'", "''"), "TINYBLOB": ("'x'", "''"), "BLOB": ("'x'", "''"),
    "MEDIUMBLOB": ("'x'", "''"), "LONGBLOB": ("'x'", "''"), "ENUM('a', 'é')": ("'é'", "''"), "SET('x', 'y')": ("'x,y'", "''"),
    "GEOMETRY": ("ST_GeomFromText('POINT(1 2.5)')", "NULL"), "JSON": ("'[1.0, null]'", "'null'"),
}  # fmt: skip


def test_documents_made_of_columns_of_every_type(log: Log) -> None:
    log.run("DROP TABLE IF EXISTS source", "CREATE TABLE t (id INT PRIMARY KEY, v JSON)")
    columns = [f"c{number} {kind}" for number, kind in enumerate(JSON_SOURCES)]
    log.run(f"CREATE TABLE source (id INT PRIMARY KEY, {', '.join(columns)})")
    for number, values in enumerate(zip(*JSON_SOURCES.values(), strict=True)):
        log.run(f"INSERT INTO source VALUES ({number}, {', '.join(values)})")
    wrapped = [f"JSON_OBJECT('k', c{number}, 'a', JSON_ARRAY(c{number}))" for number in range(len(columns))]
    every = " UNION ALL ".join(
        f"SELECT {2 * number} + id, {document} FROM source" for number, document in enumerate(wrapped)
    )
    rows = log.changes(f"INSERT INTO t {every}").inserted
    truth = log.select("SELECT id, CAST(v AS CHAR) FROM t ORDER BY id")
    assert sorted(rows, key=_by_id) == truth
    assert len(truth) == 2 * len(JSON_SOURCES)


def test_a_json_column_that_was_added_is_null_in_the_rows_that_were_there(log: Log) -> None:
    """What the server keeps there has no bytes at all."""
    log.run("CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1), (2)")
    log.run("ALTER TABLE t ADD j JSON NOT NULL", "ALTER TABLE t ADD k JSON NOT NULL, ALGORITHM=COPY")
    change = log.changes("UPDATE t SET id = id + 10")
    assert log.select("SELECT id, CAST(j AS CHAR), CAST(k AS CHAR) FROM t") == change.inserted
    assert change.deleted == [("1", "null", "null"), ("2", "null", "null")]


def _document(dice: random.Random, depth: int) -> str:
    choice = dice.randrange(9 if depth else 6)
    if choice == 0:
        return dice.choice(["null", "true", "false"])
    if choice == 1:
        return str(dice.getrandbits(dice.choice([8, 15, 16, 31, 32, 63, 64])) * dice.choice([1, 1, -1]))
    if choice == 2:
        return repr(dice.uniform(-1, 1) * 10 ** dice.randint(-30, 30))
    if choice < 6:
        return _string(dice)
    inner = [_document(dice, depth - 1) for _ in range(dice.randrange(12))]
    if choice < 8:
        return "[" + ",".join(inner) + "]"
    return "{" + ",".join(f"{_string(dice)}:{value}" for value in inner) + "}"


def _string(dice: random.Random) -> str:
    text = "".join(dice.choice('ab\u00e9中😀\\" /\x7f') for _ in range(dice.choice([0, 1, 5, 200])))
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


# Each step changes the table under rows that were written before it.
ALTERS = [
    "MODIFY e ENUM('x', 'new', 'y', 'z')",
    "MODIFY n BIGINT UNSIGNED FIRST",
    "MODIFY n DECIMAL(20,2)",
    "MODIFY s SET('c', 'b', 'a')",
    "ADD b BIT(3) DEFAULT b'101' AFTER id, ADD g INT AS (id * 2) STORED",
    "MODIFY t VARCHAR(300) CHARACTER SET latin1",
    "CHANGE n m TIME(3)",
    "MODIFY e VARCHAR(20), DROP COLUMN b",
    "MODIFY t MEDIUMTEXT CHARACTER SET utf8mb4 FIRST",
]


@pytest.mark.parametrize("log", ["mysql", "mariadb"], indirect=True)
def test_rows_before_an_alter_are_read_by_the_definition_of_their_time(log: Log) -> None:
    log.run(
        "CREATE TABLE t (id INT PRIMARY KEY, n INT, e ENUM('x', 'y', 'z'), s SET('a', 'b', 'c'), t CHAR(9))"
    )
    start, shown = log.position(), []
    for number, alter in enumerate(["", *ALTERS]):
        log.run(f"ALTER TABLE t {alter}") if alter else None
        text = {1: "'é'", 8: "REPEAT('€', 99)"}.get(number, "'plain'")
        log.run(f"INSERT INTO t (id, e, s, t) VALUES ({number}, 'z', 'a,c', {text})")
        name = "m" if number > 6 else "n"
        log.run(f"UPDATE t SET {name} = 7 WHERE id = {number}")
        # A BIT is the only one that SELECT does not show as text.
        names = [row[0] for row in log.select("SHOW COLUMNS FROM t")]
        values = ", ".join("b+0" if column == "b" else column for column in names)
        shown += log.select(f"SELECT {values} FROM t WHERE id = {number}")
    changes = log.changes_since(start)
    assert changes.inserted[1::2] == shown
    assert len(changes.deleted) == len(shown)


def test_compressed_transactions_hold_the_same_rows(log: Log) -> None:
    change = log.changes(
        "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(100))",
        "SET SESSION binlog_transaction_compression=ON",
        "INSERT INTO t VALUES (1, REPEAT('x', 100)), (2, 'é')",
        "UPDATE t SET id = id + 10",
        "SET SESSION binlog_transaction_compression=OFF",
    )
    assert change.inserted == [("1", "x" * 100), ("2", "é"), ("11", "x" * 100), ("12", "é")]


def test_rows_over_the_packet_limit_arrive_whole(log: Log) -> None:
    log.run("CREATE TABLE t (id INT PRIMARY KEY, v LONGTEXT)")
    rows = log.changes("INSERT INTO t VALUES (1, REPEAT('a', 17000000)), (2, REPEAT('b', 16777215))").inserted
    assert [(row[0], len(row[1]), set(row[1])) for row in rows] == [
        ("1", 17000000, {"a"}),
        ("2", 16777215, {"b"}),
    ]


@pytest.mark.parametrize(
    ("log", "columns"),
    [("mysql", columns) for columns in (1, 8, 9, 16, 17, 1017, 4096)] + [("mariadb", 9), ("mariadb", 2000)],
    indirect=["log"],
)
def test_any_number_of_columns(log: Log, columns: int) -> None:
    names = [f"c{number}" for number in range(columns)]
    engine = "InnoDB" if columns <= 1017 else "MyISAM"
    log.run(
        f"CREATE TABLE t ({', '.join(f'{name} TINYINT' for name in names)}, PRIMARY KEY (c0)) ENGINE={engine}"
    )
    values = ["0", *("NULL" if number % 3 == 0 else str(number % 100) for number in range(1, columns))]
    rows = log.changes(f"INSERT INTO t VALUES ({', '.join(values)})").inserted
    assert rows == [tuple(NULL if value == "NULL" else value for value in values)]


def test_generated_invisible_and_hidden_columns(log: Log) -> None:
    log.run(
        "CREATE TABLE t (id INT PRIMARY KEY, a INT, v INT AS (a * 2) VIRTUAL, s INT AS (a * 3) STORED, "
        "i INT INVISIBLE DEFAULT 7, j JSON, INDEX ((a + 1)), INDEX ((CAST(j->'$' AS UNSIGNED ARRAY))))"
    )
    change = log.changes("INSERT INTO t (id, a, j) VALUES (1, 5, '[1, 2]')", "UPDATE t SET a = 6")
    assert change.deleted + change.inserted == [
        ("1", "5", "10", "15", "7", "[1, 2]"),
        ("1", "5", "10", "15", "7", "[1, 2]"),
        ("1", "6", "12", "18", "7", "[1, 2]"),
    ]


def test_a_key_that_the_server_made_is_a_column(log: Log) -> None:
    log.run("SET sql_generate_invisible_primary_key = ON")
    log.run("CREATE TABLE t (a INT)", "SET sql_generate_invisible_primary_key = OFF")
    assert log.changes("INSERT INTO t VALUES (5), (6)").inserted == [("1", "5"), ("2", "6")]


def test_a_key_of_a_texts_beginning_is_a_key(log: Log) -> None:
    log.run("CREATE TABLE t (a VARCHAR(300), b INT, PRIMARY KEY (b, a(3)))")
    start = log.position()
    log.run("INSERT INTO t VALUES ('abcdef', 1)")
    (definition,) = log.definitions(start)
    assert definition.primary_key == ("b", "a")
