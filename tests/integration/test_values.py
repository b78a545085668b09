"""CSV text against the server's own answers: every type, from INSERT, UPDATE and DELETE images, on a real MySQL."""

from __future__ import annotations

import csv
import io
import random
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from airflow_provider_tungsten.replicator.binlog.constants import ROWS_EVENTS, EventType
from airflow_provider_tungsten.replicator.binlog.events import Event, parse_rows
from airflow_provider_tungsten.replicator.binlog.framing import EventStream, payload_events
from airflow_provider_tungsten.replicator.binlog.rows import CsvEncoder
from airflow_provider_tungsten.replicator.binlog.table_map import TableMaps
from tests.stack.mysql import MySQL

COM_BINLOG_DUMP = 0x12
NON_BLOCKING = 1
NULL = "\\N"
csv.field_size_limit(1 << 30)

Row = tuple[str, ...]


class Change:
    """What a piece of SQL left in the log: the CSV rows of each image, in order."""

    def __init__(self, images: list[tuple[str, Row]]) -> None:
        self.inserted = [row for opcode, row in images if opcode == "I"]
        self.deleted = [row for opcode, row in images if opcode == "D"]


class Log:
    """Runs SQL and reads what the server logs of it, by the protocol a replica uses."""

    def __init__(self, server: MySQL, database: str) -> None:
        self._server = server
        self.connection = server.connect(database=database)
        self.run("SET time_zone='+00:00', sql_mode=''")

    def run(self, statement: str, arguments: Sequence[Any] | None = None) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(statement, arguments)

    def select(self, query: str) -> list[Row]:
        """The server's text of every value, NULL as in the CSV."""
        with (
            self._server.connect(database=self.connection.db, conv={}) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute("SET time_zone='+00:00'")
            cursor.execute(query)
            return [tuple(NULL if value is None else _text(value) for value in row) for row in cursor]

    def changes(self, *statements: str, arguments: Sequence[Any] | None = None) -> Change:
        with self.connection.cursor() as cursor:
            cursor.execute("SHOW BINARY LOG STATUS")
            file, position = cursor.fetchone()[:2]
        for statement in statements:
            self.run(statement, arguments)
        return Change(list(self._images(file, position)))

    def _images(self, file: str, position: int) -> Iterator[tuple[str, Row]]:
        maps = TableMaps()
        for event in self._events(file, position):
            if event.type == EventType.TABLE_MAP:
                maps.add(event.body)
            elif event.type in ROWS_EVENTS:
                rows = parse_rows(event)
                assert rows.full_image
                encoder = CsvEncoder(
                    maps.get(rows.table_id), ["opcode"], max_text_bytes=None, refuse_zero_dates=False
                )
                payload = event.body[rows.payload_offset :]
                text = encoder.encode(payload, rows.kind, seqno=1, row_id=1, commit_ts=0).csv.decode()
                for line in csv.reader(io.StringIO(text, newline="")):
                    yield line[0], tuple(line[1:])

    def _events(self, file: str, position: int) -> Iterator[Event]:
        with self._server.connect() as connection:
            with connection.cursor() as cursor:
                cursor.execute("SET @source_binlog_checksum='CRC32'")
            head = struct.pack("<IHI", position, NON_BLOCKING, 4711)
            connection._execute_command(COM_BINLOG_DUMP, head + file.encode())
            stream = EventStream(file, position)
            while not stream.ended:
                chunk = connection._sock.recv(65536)
                assert chunk, "the server hung up"
                assert stream.error is None
                for event in stream.feed(chunk):
                    if event.type == EventType.TRANSACTION_PAYLOAD:
                        yield from payload_events(event)
                    else:
                        yield event


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


@pytest.fixture
def log(mysql: MySQL, database: str) -> Iterator[Log]:
    log = Log(mysql, database)
    with log.connection:
        yield log


# A column's type, how SELECT shows the canonical text, and values written as SQL.
TYPES: dict[str, tuple[str, Sequence[str]]] = {
    "TINYINT": ("{}", ["-128", "-1", "0", "127"]),
    "TINYINT UNSIGNED": ("{}", ["0", "128", "255"]),
    "SMALLINT": ("{}", ["-32768", "32767"]),
    "SMALLINT UNSIGNED": ("{}", ["32768", "65535"]),
    "MEDIUMINT": ("{}", ["-8388608", "-1", "8388607"]),
    "MEDIUMINT UNSIGNED": ("{}", ["8388608", "16777215"]),
    "INT": ("{}", ["-2147483648", "-1", "2147483647"]),
    "INT UNSIGNED": ("{}", ["2147483648", "4294967295"]),
    "BIGINT": ("{}", ["-9223372036854775808", "-1", "9223372036854775807"]),
    "BIGINT UNSIGNED": ("{}", ["9223372036854775808", "18446744073709551615"]),
    "DECIMAL(65,30)": (
        "{}",
        [f"-{'9' * 35}.{'9' * 30}", f"0.{'0' * 29}1", f"-0.{'0' * 29}1", "0", "1000000000.000000001"],
    ),
    "DECIMAL(10,0)": ("{}", ["-9999999999", "0", "1", "1000000000"]),
    "DECIMAL(30,30)": ("{}", [f"-0.{'9' * 30}", "0.1", "0"]),
    "DECIMAL(9,9)": ("{}", ["-0.000000001", "0.999999999"]),
    "DECIMAL(18,9)": ("{}", ["123456789.123456789", "-0.5"]),
    "DECIMAL(7,5) UNSIGNED": ("{}", ["99.99999", "0.00001"]),
    "DOUBLE": (
        "{}",
        ["0e0", "-0e0", "0.1e0", "1e15", "1e14", "123456789012345e0", "1234567890123456e0", "1e-14", "1e-15", "1e-16"]
        + ["5e-324", "1.7976931348623157e308", "-2.2250738585072014e-308", "1e300", "100e0", "1.5e0", "-12345.678e0"],
    ),
    "DOUBLE(10,2)": ("{}+0e0", ["12345.67", "0"]),
    "BIT(1)": ("{}+0", ["b'1'", "b'0'"]),
    "BIT(9)": ("{}+0", ["b'100000001'", "0"]),
    "BIT(33)": ("{}+0", ["8589934591", "1"]),
    "BIT(64)": ("{}+0", ["18446744073709551615", "1"]),
    "YEAR": ("{}", ["0", "1901", "2155"]),
    "DATE": ("{}", ["'0000-00-00'", "'2020-00-15'", "'2020-01-00'", "'1000-01-01'", "'9999-12-31'", "'2024-02-29'"]),
    "TIME": ("{}", ["'-838:59:59'", "'838:59:59'", "'00:00:00'", "'-00:00:01'", "'12:34:56'"]),
    "TIME(1)": ("{}", ["'-838:59:58.9'", "'-00:00:00.1'", "'-00:00:01.0'", "'838:59:58.9'"]),
    "TIME(2)": ("{}", ["'-00:00:00.01'", "'-00:00:01.10'", "'00:00:00.99'"]),
    "TIME(3)": ("{}", ["'-00:00:00.001'", "'-01:00:00.999'", "'23:59:59.123'"]),
    "TIME(4)": ("{}", ["'-00:00:01.0001'", "'-00:00:00.9999'"]),
    "TIME(5)": ("{}", ["'-00:00:00.99999'", "'00:00:00.00001'"]),
    "TIME(6)": ("{}", ["'-838:59:58.999999'", "'-00:00:00.000001'", "'-00:00:01.000000'"]),
    "DATETIME": ("{}", ["'0000-00-00'", "'9999-12-31 23:59:59'", "'1000-01-01'", "'2020-00-15 01:02:03'"]),
    "DATETIME(1)": ("{}", ["'2020-01-02 03:04:05.6'"]),
    "DATETIME(3)": ("{}", ["'9999-12-31 23:59:59.999'", "'2020-01-02 03:04:05.006'"]),
    "DATETIME(6)": ("{}", ["'9999-12-31 23:59:59.999999'", "'0001-01-01 00:00:00.000001'"]),
    "TIMESTAMP NULL": ("{}", ["'0000-00-00'", "'1970-01-01 00:00:01'", "'2038-01-19 03:14:07'", "'2000-02-29'"]),
    "TIMESTAMP(2) NULL": ("{}", ["'2001-02-03 04:05:06.07'"]),
    "TIMESTAMP(5) NULL": ("{}", ["'2001-02-03 04:05:06.00007'"]),
    "TIMESTAMP(6) NULL": ("{}", ["'2038-01-19 03:14:07.999999'", "'1970-01-01 00:00:01.000001'"]),
    "CHAR(10)": ("{}", ["'ab  '", "''", "'café'"]),
    "CHAR(255) CHARACTER SET utf8mb4": ("{}", ["REPEAT('é', 255)", "REPEAT('😀', 255)", "''"]),
    "CHAR(100) CHARACTER SET utf8mb4": ("{}", ["REPEAT('😀', 100)", "'x'"]),
    "CHAR(63) CHARACTER SET utf8mb4": ("{}", ["REPEAT('😀', 63)"]),
    "VARCHAR(20)": ("{}", ["'trailing '", "' leading'", "'a,b'", "'q\"q'", "'line\\nfeed'", "'tab\\t'", "'\\r'", "''"]),
    "VARCHAR(63)": ("{}", ["REPEAT('😀', 63)"]),
    "VARCHAR(64)": ("{}", ["REPEAT('😀', 64)"]),
    "VARCHAR(20) CHARACTER SET utf8mb3": ("{}", ["'é中'"]),
    "VARCHAR(20) CHARACTER SET ascii": ("{}", ["'plain'"]),
    "VARCHAR(300) CHARACTER SET latin1": ("{}", ["'café €'", "REPEAT('é', 300)", "UNHEX('81')", "UNHEX('8d8f909d80ff')"]),
    "TINYTEXT": ("{}", ["REPEAT('x', 255)"]),
    "TEXT": ("{}", ["REPEAT('x', 65535)", "''"]),
    "MEDIUMTEXT": ("{}", ["REPEAT('é', 100000)"]),
    "LONGTEXT CHARACTER SET latin1": ("{}", ["REPEAT('é', 100000)"]),
    "BINARY(4)": ("LOWER(HEX({}))", ["X'ABCD'", "X'00000000'", "X'00FF0000'", "''"]),
    "VARBINARY(300)": ("LOWER(HEX({}))", ["X'00FF00'", "''", "REPEAT(X'7F', 300)"]),
    "TINYBLOB": ("LOWER(HEX({}))", ["X'FF'"]),
    "BLOB": ("LOWER(HEX({}))", ["X'DEADBEEF00'", "''"]),
    "LONGBLOB": ("LOWER(HEX({}))", ["REPEAT(X'00', 100000)"]),
    "ENUM('', 'a', 'x,y', 'q''t', 'café')": ("{}", ["''", "'a'", "'nope'", "'x,y'", "'q''t'", "'café'"]),
    "ENUM('é', 'b') CHARACTER SET latin1": ("{}", ["'é'", "'b'"]),
    f"ENUM({','.join(repr(str(number)) for number in range(300))})": ("{}", ["'0'", "'255'", "'256'", "'299'"]),
    "SET('a', 'b', 'é') CHARACTER SET latin1": ("{}", ["''", "'b,a'", "'é'", "'a,b,é'"]),
    f"SET({','.join(repr(f'm{number}') for number in range(64))})": ("{}", ["'m63,m0'", "18446744073709551615", "'m31,m32'"]),
}  # fmt: skip


@pytest.mark.parametrize("kind", TYPES)
def test_every_image_has_the_servers_text(log: Log, kind: str) -> None:
    shown, values = TYPES[kind]
    log.run(f"CREATE TABLE t (id INT PRIMARY KEY, v {kind}, u {kind})")
    listed = ", ".join(f"({number}, {value}, NULL)" for number, value in enumerate(values))
    inserted = log.changes(f"INSERT INTO t VALUES {listed}, (-1, NULL, NULL)").inserted
    query = f"SELECT id, {shown.format('v')}, {shown.format('u')} FROM t ORDER BY id"
    before = log.select(query)
    assert sorted(inserted, key=_by_id) == before
    updated = log.changes("UPDATE t SET u = v")
    after = log.select(query)
    assert sorted(updated.deleted, key=_by_id) == before[1:]
    assert sorted(updated.inserted, key=_by_id) == after[1:]
    assert sorted(log.changes("DELETE FROM t").deleted, key=_by_id) == after


def _by_id(row: Row) -> int:
    return int(row[0])


@pytest.mark.parametrize("kind", ["FLOAT", "FLOAT(7,2)", "FLOAT UNSIGNED"])
def test_float_text_reads_back_as_the_same_float(log: Log, kind: str) -> None:
    log.run(f"CREATE TABLE t (id INT PRIMARY KEY, v {kind})")
    values = "1.1", "0.1", "12345.67", "3", "0.01", "16777216", "3.4028234e38", "1.17549e-38", "1e-45"
    listed = ", ".join(f"({number}, {value})" for number, value in enumerate(values))
    rows = log.changes(f"INSERT INTO t VALUES {listed}").inserted
    exact = log.select("SELECT id, v + 0e0 FROM t ORDER BY id")
    assert [_single(text) for _, text in rows] == [float(text) for _, text in exact]
    assert rows[0] == ("0", "1.1")


def _single(text: str) -> float:
    return struct.unpack("<f", struct.pack("<f", float(text)))[0]  # type: ignore[no-any-return]


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


def test_rows_before_an_alter_are_read_by_the_old_definition(log: Log) -> None:
    change = log.changes(
        "CREATE TABLE t (id INT PRIMARY KEY, a ENUM('x', 'z'))",
        "INSERT INTO t VALUES (1, 'z')",
        "ALTER TABLE t MODIFY a ENUM('x', 'y', 'z'), ADD b BIGINT UNSIGNED FIRST",
        "INSERT INTO t VALUES (18446744073709551615, 2, 'z')",
        "ALTER TABLE t DROP COLUMN b",
        "INSERT INTO t VALUES (3, 'y')",
    )
    assert change.inserted == [("1", "z"), ("18446744073709551615", "2", "z"), ("3", "y")]


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


@pytest.mark.parametrize("columns", [1, 8, 9, 16, 17, 1017])
def test_any_number_of_columns(log: Log, columns: int) -> None:
    names = [f"c{number}" for number in range(columns)]
    log.run(f"CREATE TABLE t ({', '.join(f'{name} TINYINT' for name in names)}, PRIMARY KEY (c0))")
    values = ["0", *("NULL" if number % 3 == 0 else str(number % 100) for number in range(1, columns))]
    rows = log.changes(f"INSERT INTO t VALUES ({', '.join(values)})").inserted
    assert rows == [tuple(NULL if value == "NULL" else value for value in values)]


def test_generated_invisible_and_hidden_columns(log: Log) -> None:
    log.run(
        "CREATE TABLE t (id INT PRIMARY KEY, a INT, v INT AS (a * 2) VIRTUAL, s INT AS (a * 3) STORED, "
        "i INT INVISIBLE DEFAULT 7, INDEX ((a + 1)))"
    )
    change = log.changes("INSERT INTO t (id, a) VALUES (1, 5)", "UPDATE t SET a = 6")
    assert change.deleted + change.inserted == [
        ("1", "5", "10", "15", "7"),
        ("1", "5", "10", "15", "7"),
        ("1", "6", "12", "18", "7"),
    ]
