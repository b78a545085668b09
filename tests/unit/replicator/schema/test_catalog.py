"""The catalog without a server: what it forgets, what it refuses, what it is as bytes. What DDL means is proven against MySQL."""

from __future__ import annotations

import pytest

from airflow_provider_tungsten.replicator.binlog.constants import ColumnType
from airflow_provider_tungsten.replicator.binlog.definition import TableDefinition
from airflow_provider_tungsten.replicator.binlog.table_map import BareColumn, BareTable
from airflow_provider_tungsten.replicator.errors import CorruptLogError, UnsupportedError
from airflow_provider_tungsten.replicator.schema.catalog import Catalog
from airflow_provider_tungsten.replicator.schema.session import Session

PLACE = "mysql-bin.000001:4"
ORDERS = "CREATE TABLE orders (id INT UNSIGNED PRIMARY KEY, name VARCHAR(10), kind ENUM('a','b') NOT NULL)"
BARE = BareTable(
    "shop",
    "orders",
    (
        BareColumn(ColumnType.LONG, 0, False, True, None),
        BareColumn(ColumnType.VARCHAR, 40, True, None, "utf8mb4"),
        BareColumn(ColumnType.ENUM, 247 | 1 << 8, False, None, None),
    ),
)


def catalog(*statements: str, whole: bool = True, folds: bool = False, **session: object) -> Catalog:
    made = Catalog({"shop": "utf8mb4"}, {}, whole=whole, folds=folds)
    for statement in statements:
        made.apply(statement, Session("shop", **session), PLACE)  # type: ignore[arg-type]
    return made


def names(definition: TableDefinition) -> list[str]:
    return [column.name for column in definition.columns]


def test_a_table_map_without_names_gets_them_from_the_statements() -> None:
    definition = catalog(ORDERS).complete(BARE)
    assert names(definition) == ["id", "name", "kind"]
    assert definition.primary_key == ("id",)
    assert definition.columns[2].members == ("a", "b")


@pytest.mark.parametrize(
    ("column", "changes", "difference"),
    [
        (
            0,
            {"code": ColumnType.LONGLONG},
            "column 1, expected to be id, has the type code 8 in the log, not 3",
        ),
        (0, {"unsigned": False}, "expected to be id, is signed in the log"),
        (0, {"nullable": True}, "expected to be id, may be NULL in the log"),
        (1, {"meta": 44}, "expected to be name, a varchar, has the type metadata 0x2c in the log, not 0x28"),
        (
            1,
            {"charset": "latin1"},
            "expected to be name, has the character set latin1 in the log, not utf8mb4",
        ),
        (2, {"meta": 247 | 2 << 8}, "expected to be kind, a enum, has the type metadata"),
    ],
)
def test_a_table_map_that_does_not_fit_is_refused(
    column: int, changes: dict[str, object], difference: str
) -> None:
    columns = list(BARE.columns)
    columns[column] = columns[column]._replace(**changes)
    with pytest.raises(UnsupportedError, match="shop.orders") as caught:
        catalog(ORDERS).complete(BARE._replace(columns=tuple(columns)))
    assert difference in str(caught.value)
    assert "binlog_row_metadata = FULL" in str(caught.value)


def test_another_number_of_columns_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="2 columns in the log, 3 expected"):
        catalog(ORDERS).complete(BARE._replace(columns=BARE.columns[:2]))


def test_a_server_that_tells_neither_sign_nor_charset_is_believed_by_type_alone() -> None:
    columns = tuple(column._replace(unsigned=None, charset=None) for column in BARE.columns)
    assert catalog(ORDERS).complete(BARE._replace(columns=columns)) == catalog(ORDERS).complete(BARE)


def test_old_temporal_types_are_known_by_their_code() -> None:
    bare = BareTable("shop", "t", (BareColumn(ColumnType.TIMESTAMP, 0, False, None, None),))
    definition = catalog("CREATE TABLE t (a TIMESTAMP NOT NULL)").complete(bare)
    assert (definition.columns[0].type, definition.columns[0].code) == ("timestamp", ColumnType.TIMESTAMP)


def test_a_statement_that_is_not_understood_costs_its_own_table_only() -> None:
    known = catalog(ORDERS, "CREATE TABLE t (id INT)", "ALTER TABLE t FROBNICATE")
    assert known.complete(BARE)
    bare = BareTable("shop", "t", BARE.columns[:1])
    with pytest.raises(
        UnsupportedError, match=r"statement at mysql-bin.000001:4 is not understood \(ALTER TABLE, near"
    ):
        known.complete(bare)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE orders (id INT) WITH SYSTEM VERSIONING",
        "CREATE TABLE orders SELECT 1 AS id",
        "CREATE TABLE orders (id INT) SELECT 1 AS name",
        "ALTER TABLE orders ADD COLUMN x FANCYTYPE",
        "ALTER TABLE orders DROP COLUMN nope",
        "ALTER TABLE orders ADD x CHAR(3) CHARACTER SET klingon",
        "ALTER TABLE orders MODIFY id INT UNSIGNED WHATEVER",
        "ALTER TABLE orders ADD x INT AFTER nope",
        "ALTER TABLE orders ADD x ENUM(_utf8mb4'a')",
    ],
)
def test_what_is_not_understood_stops_at_the_tables_next_row(statement: str) -> None:
    with pytest.raises(UnsupportedError, match="not understood"):
        catalog(ORDERS, statement).complete(BARE)


def test_a_table_that_was_lost_is_known_again_when_it_is_made_anew() -> None:
    again = catalog(ORDERS, "ALTER TABLE orders FROBNICATE", "DROP TABLE orders", ORDERS)
    assert again.complete(BARE) == catalog(ORDERS).complete(BARE)


def test_a_table_that_nobody_told_of_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="shop.orders.*no statement that made it"):
        catalog().complete(BARE)


def test_if_not_exists_tells_nothing_without_what_was_before() -> None:
    statement = ORDERS.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS")
    learned = Catalog.empty()
    learned.apply(statement, Session("shop"), PLACE)
    with pytest.raises(UnsupportedError, match="IF NOT EXISTS"):
        learned.complete(BARE)
    learned.apply("CREATE DATABASE shop CHARACTER SET utf8mb4", Session(), PLACE)
    learned.apply("DROP TABLE orders", Session("shop"), PLACE)
    learned.apply(statement, Session("shop"), PLACE)
    assert learned.complete(BARE) == catalog(statement).complete(BARE)


def test_a_charset_that_no_statement_told_comes_from_the_log() -> None:
    learned = Catalog.empty()
    learned.apply(ORDERS, Session("shop"), PLACE)
    with pytest.raises(UnsupportedError, match="nothing tells the character set of kind"):
        learned.complete(BARE)
    learned.apply("ALTER TABLE orders DROP COLUMN kind", Session("shop"), PLACE)
    assert learned.complete(BARE._replace(columns=BARE.columns[:2])).columns[1].charset == "utf8mb4"


def test_names_are_folded_where_the_server_folds_them() -> None:
    statement = ORDERS.replace("orders", "Orders")
    assert catalog(statement, folds=True).complete(BARE)
    with pytest.raises(UnsupportedError):
        catalog(statement).complete(BARE)


def test_it_survives_as_bytes() -> None:
    statements = (
        ORDERS,
        "CREATE TABLE `ünï` (a DECIMAL(5,2), b SET('x','é') CHARACTER SET latin1, c INT AS (1), UNIQUE ((a + 1)))",
        "ALTER TABLE `ünï` ADD UNIQUE (b(3), c)",
        "CREATE TABLE t (a INT)",
        "ALTER TABLE t FROBNICATE",
    )
    raw = catalog(*statements).to_bytes()
    assert Catalog.from_bytes(raw).to_bytes() == raw
    assert Catalog.from_bytes(raw).digest == catalog(*statements).digest


def test_a_copy_stays_as_it_is() -> None:
    original = catalog(ORDERS)
    copy = original.copy()
    assert original.apply("DROP TABLE orders", Session("shop"), PLACE)
    assert copy.complete(BARE)
    assert copy.digest != original.digest


def test_statements_that_change_no_definition_say_so() -> None:
    known = catalog(ORDERS)
    for statement in (
        "CREATE TEMPORARY TABLE orders (x INT)",
        "TRUNCATE orders",
        "CREATE VIEW v AS SELECT 1",
        "FLUSH",
    ):
        assert not known.apply(statement, Session("shop"), PLACE)


@pytest.mark.parametrize(
    "raw",
    [b"", b"{}", b'{"version":2}', b'{"version":1,"whole":true,"folds":false,"charsets":{},"tables":[[1]]}'],
)
def test_bytes_that_are_no_catalog_are_refused(raw: bytes) -> None:
    with pytest.raises(CorruptLogError):
        Catalog.from_bytes(raw)


def test_sizes_follow_the_settings_of_the_session() -> None:
    """`sql_mode` REAL_AS_FLOAT, and the defaults of TIMESTAMP before MySQL 8.0."""
    bare = BareTable(
        "shop",
        "t",
        (
            BareColumn(ColumnType.FLOAT, 4, True, False, None),
            BareColumn(ColumnType.TIMESTAMP2, 0, False, None, None),
        ),
    )
    statement = "CREATE TABLE t (a REAL, b TIMESTAMP)"
    assert catalog(statement, sql_mode=1, timestamps_nullable=False).complete(bare)
    with pytest.raises(UnsupportedError):
        catalog(statement).complete(bare)
