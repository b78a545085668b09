"""Files of MySQL 5.0 to 9.6 and MariaDB 10.5, many of them from MySQL's own tests."""

from __future__ import annotations

import pytest

from airflow_provider_tungsten.replicator.errors import CorruptLogError, UnsupportedError
from tests.corpus.reading import Case, needs_corpus, refused, unnamed

pytestmark = needs_corpus
STATEMENT = "in statement format: a session has binlog_format other than ROW"
UNNAMED = "the log does not name its columns"
RELAY = "is a relay log"
DIGITS = "0123456789"
# The longest text of the file for ENUM and SET.
LONG = (DIGITS * 12 + "012345678") * 2 + DIGITS * 4


def _in(name: str, **options: object) -> Case:
    return Case(f"rust_mysql_common/{name}", **options)  # type: ignore[arg-type]


def _refused(name: str, error: type, words: str, **options: object) -> Case:
    return refused(f"rust_mysql_common/{name}", error, words, **options)


def _dump(schema: str, *tables: str, charset: str = "utf8mb4") -> str:
    created = (f"CREATE TABLE {table} DEFAULT CHARSET={charset};" for table in tables)
    return " ".join(
        [f"CREATE DATABASE `{schema}` DEFAULT CHARACTER SET {charset}; USE `{schema}`;", *created]
    )


NDB = _dump("test", "ba (a INT NOT NULL, b INT, c INT, PRIMARY KEY (a))", charset="latin1")
LACKING = r"rows of test\.ba lack columns: a session has binlog_row_image other than FULL"
CASES = [
    _in("binlog-invisible-columns.000001"),
    _in(
        "binlog-invisible-columns.000001",
        system=True,
        counts={"mysql.t1": "ddl 1, insert 2, update 1"},
        rows=(
            ("I", "1", "2", "-3", "4", "05", "6000000000"),
            ("I", None, None, "-33", "44", "55", None),
            ("D", None, None, "-33", "44", "55", None),
            ("I", "111", "222", "-333", "444", "55", None),
        ),
    ),
    _refused(
        "binlog_56_gtid_reserved_word.000001",
        UnsupportedError,
        f":585, .*: INSERT on test.GENERATED {STATEMENT}",
        counts={"test.GENERATED": "ddl 1", "test.t1": "ddl 1"},
    ),
    _refused("binlog_savepoint.000001", UnsupportedError, RELAY),
    _refused(
        "binlog_transaction.000001",
        UnsupportedError,
        f":368, .*: INSERT on test.t1 {STATEMENT}",
        counts={"test.t1": "ddl 1"},
    ),
    _in("binlog_transaction_previous_GTID_no_tag.000001"),
    _refused(
        "binlog_transaction_with_GTID.000001",
        UnsupportedError,
        f":424, .*: INSERT on test.t1 {STATEMENT}",
        counts={"test.t1": "ddl 1"},
    ),
    _refused(
        "binlog_transaction_with_GTID_TAG.000001", UnsupportedError, rf":405, .*: test\.orders: {UNNAMED}"
    ),
    _refused(
        "binlog_transaction_with_anonymous_GTID.000001",
        UnsupportedError,
        f":460, .*: INSERT on test.t2 {STATEMENT}",
        counts={"test.t2": "ddl 1"},
    ),
    _refused("binlog_truncated_event.000001", CorruptLogError, ":4: the file ends inside an event"),
    # Its server had not closed it: reading ends before the event that is cut short.
    _in("binlog_truncated_prev_gtid_event.000001"),
    _refused(
        "bug11747887-bin.000003",
        UnsupportedError,
        f":447, .*: INSERT on test.t10123456789 {STATEMENT}",
        counts={"test.t10123456789": "ddl 2"},
    ),
    _refused(
        "bug16266.000001",
        UnsupportedError,
        f":426, .*: INSERT on test.t1 {STATEMENT}",
        counts={"test.t1": "ddl 1", "test.t2": "ddl 1"},
    ),
    # Procedures, functions, triggers and events in every SQL mode.
    _in("bug27213339-bin.000001", counts={"db1.t1": "ddl 1"}),
    _in("bug32407.001", counts={"test.t1": "ddl 1, insert 2"}, rows=(("I", "1"), ("I", "1"))),
    _refused("bug33029-slave-relay-bin.000001", UnsupportedError, RELAY),
    _refused("bug40482-bin.000001", UnsupportedError, r":106, INCIDENT \(26\): .*lacks events here"),
    _refused("corrupt-relay-bin.000624", UnsupportedError, RELAY),
    _in(
        "json-opaque.binlog",
        counts={"foo.test": "ddl 1, insert 8"},
        rows=(
            ("I", '{"a": "base64:type15:VQ=="}'),
            ("I", '{"b": "2012-03-18"}'),
            ("I", '{"c": "2012-03-18 11:30:45.000000"}'),
            ("I", '{"c": "87:31:46.654321"}'),
            ("I", '{"d": 123.456}'),
            ("I", '{"e": 9.00}'),
            ("I", '{"e": [0, 1, true, false]}'),
            ("I", '{"e": null}'),
        ),
    ),
    _in("json.binlog.000001"),
    # Diffs without the value that they change.
    _refused(
        "json.binlog.000001",
        UnsupportedError,
        r":3750, .*: rows of mysql\.t lack columns: a session has binlog_row_image other than FULL",
        system=True,
        counts={"mysql.t": "ddl 1, insert 6, update 6"},
    ),
    _in(
        "mariadb-bin.000001",
        counts={"toddy_test.outbox": "insert 2"},
        rows=(
            ("I", "62", "foo", "JSON", "7b22666f6f223a317d", "2022-04-20 22:18:04"),
            ("I", "63", "foo", "JSON", "7b22666f6f223a317d", "2022-04-20 22:19:55"),
        ),
    ),
    _in("master-bin.000001"),
    _refused("minimal_row_metadata.000001", UnsupportedError, rf":312, .*: noria\.t1: {UNNAMED}"),
    _in("mysql-enum-string-set.000001"),
    _in(
        "mysql-enum-string-set.000001",
        system=True,
        counts={"mysql.t": "ddl 1, delete 1, insert 1, update 1"},
        rows=(
            ("I", DIGITS * 10, LONG, "var1", "one,three", DIGITS),
            ("D", DIGITS * 10, LONG, "var1", "one,three", DIGITS),
            ("I", "field1", "field_2", "variant2", "two,four", LONG),
            ("D", "field1", "field_2", "variant2", "two,four", LONG),
        ),
    ),
    _in("mysql_type_bit.000001"),
    _in(
        "mysql_type_bit.000001",
        system=True,
        counts={"mysql.foo": "ddl 1, insert 1"},
        rows=(("I", "4", "foo", "32"),),
    ),
    _in("rpl_atomic_ddl_rollback_full.000001", counts={"test.t1": "ddl 2"}),
    _in("rpl_atomic_ddl_rollback_table.000001", counts={"test.t1": "ddl 2"}),
    _in("rpl_atomic_ddl_rollback_view.000001"),
    _refused(
        "rpl_cross_version_default_utf8mb4_collation.000001",
        UnsupportedError,
        f":696, .*: INSERT on test.foobar {STATEMENT}",
        counts={"test.foobar": "ddl 1"},
    ),
    _refused("rpl_unfiltered_hidden_gcol.000001", UnsupportedError, RELAY),
    # A replica's, but its own: what it wrote has its own positions.
    _in("slave-relay-bin.000001", counts={"test.t": "ddl 2"}),
    _refused("time_issue.000001", UnsupportedError, rf":312, .*: noria\.t: {UNNAMED}"),
    _refused("transaction_compression.000001", UnsupportedError, rf":274, .*: test\.tb1: {UNNAMED}"),
    _refused("update-full-row.binlog", UnsupportedError, rf":170, .*: test\.ba: {UNNAMED}"),
    _refused("update-partial-row.binlog", UnsupportedError, rf":170, .*: test\.ba: {UNNAMED}"),
    _in(
        "vector.binlog",
        counts={
            "dtb.": "ddl 1",
            "dtb.bar": "ddl 2, delete 1, insert 5",
            "dtb.foo": "ddl 2, insert 4",
        },
        rows=(
            ("I", "1", "[1.1,2.2,3.3]"),
            ("I", "2", "[1,-1,0]"),
            ("I", "1", "[1.1,2.2]", None, "[1.1,2.2,3.3,4.4]"),
            ("I", "2", "[1.01,-1.01]", "bar", "[42,43,44,45]"),
            ("I", "1", "[1.1,2.2,3.3]"),
            ("I", "2", "[1,-1,0]"),
            ("I", "1", "[1.1,2.2]", None, "[1.1,2.2,3.3,4.4]"),
            ("I", "2", "[1.01,-1.01]", "bar", "[42,43,44,45]"),
            ("D", "2", "[1.01,-1.01]", "bar", "[42,43,44,45]"),
            ("I", "3", "[2.01,-2.01]", None, "[42.1,43.2,44.3,45.4]"),
        ),
    ),
    # With names from elsewhere.
    _in(
        "transaction_compression.000001",
        counts={"test.tb1": "insert 1"},
        rows=(("I", "1"),),
        dump=_dump("test", "tb1 (a INT)"),
    ),
    _in(
        "time_issue.000001",
        counts={"noria.t": "insert 1"},
        rows=(("I", f"-{21 * 24 + 3}:48:27"),),
        dump=_dump("noria", "t (a TIME)"),
    ),
    _in(
        "binlog_transaction_with_GTID_TAG.000001",
        counts={"test.orders": "insert 1"},
        rows=(("I", "3", "100", "250.00"),),
        dump=_dump("test", "orders (id INT NOT NULL, b INT, c DECIMAL(10,2), PRIMARY KEY (id))"),
    ),
    # Rows of NDB, with its own words in front of them; some images lack columns.
    _refused("write-full-row.binlog", UnsupportedError, f":428, .*{LACKING}", dump=NDB),
    _refused("update-full-row.binlog", UnsupportedError, f":471, .*{LACKING}", dump=NDB),
    _refused("write-partial-row.binlog", UnsupportedError, f":415, .*{LACKING}", dump=NDB),
    _refused("update-partial-row.binlog", UnsupportedError, f":415, .*{LACKING}", dump=NDB),
    _refused(
        "ver_trunk_row_v2.001",
        UnsupportedError,
        f":1232, .*: INSERT on test.t1 {STATEMENT}",
        counts={
            "test.t1": "ddl 1, delete 1, insert 2, update 2",
            **dict.fromkeys(("test.t2", "test.t3"), "ddl 1"),
        },
        rows=(
            *(("I", "0", "one"), ("I", "1", "two"), ("D", "0", "one"), ("I", "1", "one")),
            *(("D", "1", "two"), ("I", "2", "two"), ("D", "2", "two")),
        ),
        dump=_dump("test", "other (a INT)", charset="latin1"),
    ),
    _refused("ver_5_1-wl2325_r.001", UnsupportedError, ":4: .*start at a file of a newer server"),
    _refused("ver_5_1-wl2325_s.001", UnsupportedError, ":4: .*start at a file of a newer server"),
    # MySQL 5.1 before its release wrote no BEGIN in front of rows.
    _refused(
        "ver_5_1_23.001",
        CorruptLogError,
        ":425, .*: a TABLE_MAP outside of any transaction",
        counts=dict.fromkeys(("test.t1", "test.t2", "test.t3"), "ddl 1"),
    ),
    _refused(
        "ver_trunk_row_v2.001",
        UnsupportedError,
        rf":525, .*: test\.t1: {UNNAMED}",
        counts=dict.fromkeys(("test.t1", "test.t2", "test.t3"), "ddl 1"),
    ),
    _refused("write-full-row.binlog", UnsupportedError, rf":170, .*: test\.ba: {UNNAMED}"),
    _refused("write-partial-row.binlog", UnsupportedError, rf":170, .*: test\.ba: {UNNAMED}"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_file_is_read_to_the_right_rows_or_refused(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    case.check(monkeypatch)


def test_something_is_expected_of_every_file() -> None:
    assert unnamed("rust_mysql_common", CASES) == set()
