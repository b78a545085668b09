"""Micro-batches applied to the local Redshift through the real driver: exactly once, whole, and every value as it was."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import redshift_connector

from airflow_provider_tungsten.replicator.batch.apply import LoadResult, apply_batches
from airflow_provider_tungsten.replicator.batch.hint import read_hint
from airflow_provider_tungsten.replicator.batch.manifest import BatchManifest
from airflow_provider_tungsten.replicator.binlog.definition import Column, TableDefinition
from airflow_provider_tungsten.replicator.errors import (
    DataError,
    DivergedError,
    GapError,
    TargetError,
    TargetUnavailableError,
)
from airflow_provider_tungsten.replicator.redshift.load import Target
from airflow_provider_tungsten.replicator.storage import open_storage
from airflow_provider_tungsten.replicator.thl.log import Log
from tests.integration.batches import Feed, Row
from tests.stack.redshift import Redshift
from tests.stack.s3 import S3
from tests.unit.replicator.batch.logs import Logbook, gap, position

_numbers = itertools.count(1)
ID = Column("id", "int", 3, nullable=False)
NAME = Column("name", "varchar", 15, length=20, charset="utf8mb4")
ITEMS = TableDefinition("shop", "items", (ID, NAME), ("id",))
ORDERS = TableDefinition("shop", "orders", (ID, NAME), ("id",))


class Shop(Feed):
    """A feed whose schemas on the shared Redshift are its own."""

    def __init__(self, redshift: Redshift, s3: S3, bucket: str, **settings: Any) -> None:
        number = next(_numbers)
        self.schema = f"t{number}_shop"
        self.staging = f"tungsten_{number}"
        self.redshift = redshift
        names = {"target_schema": f"t{number}_{{schema}}", "staging_schema": self.staging}
        super().__init__(open_storage(f"s3://{bucket}/all", s3_client=s3.client()), **names, **settings)

    def load(self, connect: Callable[[], Any] | None = None, through: int = 10**9) -> LoadResult:
        log = Log(self.storage.sub("thl"), "shop")
        connect = connect or self.redshift.connect
        target = Target(connect, "shop", "redshift", self.applier, self.store)
        return apply_batches(target, log, self, self.store, through=through)

    def lose_the_end_of_the_log(self) -> None:
        """Its newest segment."""
        thl = self.storage.sub("thl")
        *_, newest = thl.list("shop/thl-")
        thl.delete(newest.key)
        self.log = Log(thl, "shop")

    def rows(self, table: str = "items", columns: str = "*") -> list[tuple[Any, ...]]:
        rows = self.redshift.execute(f'SELECT {columns} FROM "{self.schema}"."{table}" ORDER BY 1')
        return list(rows)

    def seqno(self) -> int:
        [(seqno,)] = self.redshift.execute(f"SELECT seqno FROM {self.staging}.trep_commit_seqno")
        return int(seqno)


@pytest.fixture
def shop(redshift: Redshift, s3: S3, bucket: str) -> Shop:
    return Shop(redshift, s3, bucket)


def items(*rows: Row) -> dict[TableDefinition, list[Row]]:
    return {ITEMS: list(rows)}


EVERY_TYPE = (
    # column, text in CSV, what the driver gives back
    (Column("id", "bigint", 8, unsigned=True, nullable=False), "18446744073709551615", "18446744073709551615"),
    (Column("t", "tinyint", 1), "-128", "-128"),
    (Column("tu", "tinyint", 1, unsigned=True), "255", "255"),
    (Column("s", "smallint", 2, unsigned=True), "65535", "65535"),
    (Column("m", "mediumint", 9), "-8388608", "-8388608"),
    (Column("i", "int", 3, unsigned=True), "4294967295", "4294967295"),
    (Column("b", "bigint", 8), "-9223372036854775808", "-9223372036854775808"),
    (Column("d", "decimal", 246, length=20, scale=5), "-123456789012345.00010", "-123456789012345.00010"),
    (Column("wide", "decimal", 246, length=65, scale=30), "-" + "9" * 35 + "." + "9" * 30, "-" + "9" * 35 + "." + "9" * 30),
    (Column("f", "float", 4), "1.1754944e-38", "1.1754944e-38"),
    (Column("db", "double", 5), "-1.7976931348623157e+308", "-1.7976931348623157e+308"),
    (Column("bit1", "bit", 16, length=1), "1", "true"),
    (Column("bit8", "bit", 16, length=8), "255", "255"),
    (Column("bit64", "bit", 16, length=64), "18446744073709551615", "18446744073709551615"),
    (Column("y", "year", 13), "0000", "0"),
    (Column("da", "date", 10), "9999-12-31", "9999-12-31"),
    (Column("ti", "time", 19, scale=6), "-838:59:59.000000", "-838:59:59.000000"),
    (Column("dt", "datetime", 18, scale=6), "1000-01-01 00:00:00.000001", "1000-01-01 00:00:00.000001"),
    (Column("ts", "timestamp", 17), "2038-01-19 03:14:07", "2038-01-19 03:14:07"),
    (Column("ch", "char", 254, length=4, charset="utf8mb4"), "😀😀😀😀", "😀😀😀😀"),
    (Column("vc", "varchar", 15, length=20, charset="utf8mb4"), 'a,"b"\n\r\t\'\\N ', 'a,"b"\n\r\t\'\\N '),
    (Column("la", "varchar", 15, length=3, charset="latin1"), "€€€", "€€€"),
    (Column("tx", "text", 252, length=65535, charset="utf8mb4"), "ü" * 32767, "ü" * 32767),
    (Column("bi", "binary", 254, length=4), "00ff0d0a", "00ff0d0a"),
    (Column("vb", "varbinary", 15, length=300), "", ""),
    (Column("bl", "blob", 252, length=65535), "ab" * 65535, "ab" * 65535),
    (Column("be", "blob", 252, length=65535, nullable=False), "", ""),
    (Column("e", "enum", 247, members=("small", "lärge"), charset="utf8mb4"), "lärge", "lärge"),
    (Column("st", "set", 248, members=("a", "b"), charset="utf8mb4"), "a,b", "a,b"),
    (Column("js", "json", 245), '{"a": [1, null, "\\"😀"]}', '{"a": [1, null, "\\"😀"]}'),
    (Column("p", "point", 255), "0101000020e6100000" + "00" * 16, "0101000020e6100000" + "00" * 16),
    (Column("ve", "vector", 242, length=3), "[1,2.5,-0.0001]", "[1,2.5,-0.0001]"),
    (Column("empty", "varchar", 15, length=20, charset="utf8mb4"), "", ""),
    (Column("order", "int", 3), "1", "1"),
)  # fmt: skip


def as_text(column: Column) -> str:
    if column.type in ("binary", "varbinary", "blob"):
        return f'TO_HEX("{column.name}")'
    if column.type == "point":
        return f'LOWER(ST_AsHexEWKB("{column.name}"))'
    return f'"{column.name}"::varchar'


@pytest.mark.parametrize("compression", ["zstd", "bzip2", "none"])
def test_every_type_arrives_as_it_was(redshift: Redshift, s3: S3, bucket: str, compression: str) -> None:
    shop = Shop(redshift, s3, bucket, csv={"compression": compression})
    columns = tuple(column for column, _, _ in EVERY_TYPE)
    every = TableDefinition("shop", 'every "type" 100%s', columns, ("id", "order"))
    nulls = tuple(
        None if column.nullable and column.name != "order" else text for column, text, _ in EVERY_TYPE[1:]
    )
    shop.batch({every: [("I", *(text for _, text, _ in EVERY_TYPE)), ("I", "0", *nulls)]})
    shop.load()
    low, high = redshift.execute(
        f'SELECT {", ".join(map(as_text, columns))} FROM {shop.schema}."every ""type"" 100%s" ORDER BY id'
    )
    for column, expected, value, null in zip(columns, (e for _, _, e in EVERY_TYPE), high, low, strict=True):
        assert value == expected, column.name
        assert (null is None) is (column.nullable and column.name != "order"), column.name


@pytest.mark.parametrize("kind", ["varchar", "varbinary", "mediumblob"])
def test_the_empty_value_is_not_null(shop: Shop, kind: str) -> None:
    # Long enough that it cannot wait as hexadecimal text.
    value = Column("value", kind, 252, length=300 if kind != "mediumblob" else 2**24 - 1, charset="ascii")
    table = TableDefinition("shop", "items", (ID, value, replace(value, name="other")), ("id",))
    shop.batch(
        {table: [("I", "1", "", None), ("I", "2", None, ""), ("I", "3", "61", "62"), ("I", "4", None, None)]}
    )
    shop.load()
    lengths = shop.rows("items", "id, OCTET_LENGTH(value), OCTET_LENGTH(other)")
    full = 2 if kind == "varchar" else 1
    assert lengths == [(1, 0, None), (2, None, 0), (3, full, full), (4, None, None)]
    shop.batch({table: [("D", "1", "", None), ("D", "3", "61", "62"), ("I", "3", "61", None)]})
    shop.load()
    assert shop.rows("items", "id, OCTET_LENGTH(other)") == [(2, 0), (3, None), (4, None)]


def test_rows_are_inserted_updated_and_deleted(shop: Shop) -> None:
    shop.batch(items(("I", "1", "one"), ("I", "2", "two"), ("I", "3", "three")))
    shop.batch(items(("D", "1", "one"), ("I", "1", "ONE"), ("D", "2", "two")))
    assert shop.load().batches == 2
    assert shop.rows() == [(1, "ONE"), (3, "three")]


def test_opcodes_that_tell_updates_are_merged_alike(shop: Shop) -> None:
    shop.batch(items(("I", "1", "one"), ("I", "2", "two"), ("I", "3", "three")))
    shop.batch(
        items(
            ("U", "1", "ONE"),
            ("UD", "2", "two"),
            ("UI", "9", "two"),
            ("UD", "3", "three"),
            ("UI", "3", "THREE"),
        )
    )
    shop.load()
    assert shop.rows() == [(1, "ONE"), (3, "THREE"), (9, "two")]


def test_a_key_change_moves_the_row(shop: Shop) -> None:
    shop.batch(items(("I", "1", "one"), ("I", "2", "two")))
    shop.batch(items(("D", "1", "one"), ("I", "9", "one"), ("D", "2", "two"), ("I", "1", "two")))
    shop.load()
    assert shop.rows() == [(1, "two"), (9, "one")]


def test_the_last_row_of_a_key_wins_within_a_batch(shop: Shop) -> None:
    shop.batch(
        items(
            ("I", "1", "a"), ("D", "1", "a"), ("I", "1", "b"),
            ("I", "2", "a"), ("D", "2", "a"),
            ("I", "3", "a"), ("D", "3", "a"), ("I", "3", "b"), ("D", "3", "b"), ("I", "3", "c"),
        )
    )  # fmt: skip
    shop.load()
    assert shop.rows() == [(1, "b"), (3, "c")]


def test_an_insert_that_is_there_already_is_not_doubled(shop: Shop) -> None:
    shop.batch(items(("I", "1", "seeded")))
    shop.batch(items(("I", "1", "again")))
    shop.load()
    assert shop.rows() == [(1, "again")]


@pytest.mark.parametrize("kind", ["varchar", "varbinary"])
def test_keys_that_differ_by_trailing_blanks_stay_apart(shop: Shop, kind: str) -> None:
    def key(text: str) -> str:
        return text.encode().hex() if kind == "varbinary" else text

    charset = "utf8mb4" if kind == "varchar" else None
    code = Column("code", kind, 15, length=5, charset=charset, nullable=False)
    codes = TableDefinition("shop", "codes", (code, NAME), ("code",))
    shop.batch(
        {
            codes: [
                ("I", key("a"), "none"),
                ("I", key("a "), "one"),
                ("I", key("a  "), "two"),
                ("I", key(""), "empty"),
            ]
        }
    )
    shop.batch({codes: [("D", key("a "), "one"), ("I", key("a "), "ONE"), ("D", key("a  "), "two")]})
    shop.load()
    assert sorted(shop.rows("codes", "name")) == [("ONE",), ("empty",), ("none",)]


def test_truncate_empties_the_table_in_its_place(shop: Shop) -> None:
    shop.batch(truncate=("shop", "never_seen"))
    shop.batch(items(("I", "1", "one")))
    shop.batch(truncate=("shop", "items"))
    shop.batch(items(("I", "2", "two")))
    shop.load()
    assert shop.rows() == [(2, "two")]


def test_a_batch_without_rows_moves_the_position_and_the_hint(shop: Shop) -> None:
    plan = shop.batch()
    result = shop.load()
    assert (result.first, result.last, result.rows) == (0, plan.last, 0)
    hint = read_hint(shop.store)
    assert hint is not None
    assert (shop.seqno(), hint.seqno, hint.event_id) == (plan.last, plan.last, plan.event_id)


def test_a_load_goes_as_far_as_it_is_told_and_goes_on_from_there(shop: Shop) -> None:
    first = shop.batch(items(("I", "1", "one")))
    shop.batch(items(("I", "2", "two")))
    assert shop.load(through=first.last).last == first.last
    assert shop.rows() == [(1, "one")]
    assert shop.load().first == first.last + 1
    again = shop.load()
    assert (again.first, again.batches) == (None, 0)
    assert shop.rows() == [(1, "one"), (2, "two")]


# Readers and other loads


class Spied:
    """Connections that call ``before(statement)`` before each statement; COMMIT is one."""

    def __init__(self, connect: Callable[[], Any], before: Callable[[str], None]) -> None:
        self._connect = connect
        self._before = before

    def __call__(self) -> Any:
        connection = self._connect()
        execute = connection.execute

        def spied(cursor: Any, operation: str, arguments: Any) -> Any:
            self._before(operation)
            return execute(cursor, operation, arguments)

        connection.execute = spied
        return connection


def test_readers_see_all_of_a_batch_or_nothing(shop: Shop) -> None:
    shop.batch({ITEMS: [("I", "1", "old")], ORDERS: [("I", "1", "old")]})
    shop.load()
    shop.batch(
        {ITEMS: [("D", "1", "old"), ("I", "1", "new")], ORDERS: [("D", "1", "old"), ("I", "2", "new")]}
    )
    seen = []

    def read(statement: str) -> None:
        if statement.startswith(("COPY", "DELETE", "INSERT", "UPDATE", "commit")):
            seen.append((shop.rows("items"), shop.rows("orders")))

    shop.load(Spied(shop.redshift.connect, read))
    assert len(seen) > 10
    assert all(state == ([(1, "old")], [(1, "old")]) for state in seen)
    assert (shop.rows("items"), shop.rows("orders")) == ([(1, "new")], [(2, "new")])


def test_two_first_loads_at_once_apply_everything_once(shop: Shop) -> None:
    for number in range(6):
        shop.batch({ITEMS: [("I", str(number), "x")], ORDERS: [("I", str(number), "x")]})
    together = threading.Barrier(3)

    def run() -> LoadResult:
        together.wait()
        return shop.load()

    with ThreadPoolExecutor(3) as pool:
        results = [future.result() for future in [pool.submit(run) for _ in range(3)]]
    assert sum(result.batches for result in results) == 6
    assert {result.position.seqno for result in results} == {17}
    assert shop.rows() == [(number, "x") for number in range(6)]


def test_a_load_that_waits_too_long_says_who_holds_the_lock(redshift: Redshift, s3: S3, bucket: str) -> None:
    shop = Shop(redshift, s3, bucket, lock_timeout_seconds=0.3)
    shop.batch(items(("I", "1", "one")))
    shop.load()
    shop.batch(items(("I", "2", "two")))
    with redshift.connect() as holder, holder.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pid = cursor.fetchone()[0]
        cursor.execute(f"LOCK {shop.staging}.trep_commit_seqno")
        with pytest.raises(TargetUnavailableError, match=rf"stayed locked for 0.3 s by session {pid} of "):
            shop.load()
        holder.rollback()
    assert shop.load().batches == 1


# What must stop


def test_a_batch_that_is_not_written_stops_the_load_behind_those_that_are(shop: Shop) -> None:
    first = shop.batch(items(("I", "1", "one")))
    shop.batch(items(("I", "2", "two")), written=False)
    shop.batch(items(("I", "3", "three")))
    with pytest.raises(
        GapError, match="micro-batch 3-5, next behind the target's position 2.*run the batch step"
    ):
        shop.load()
    assert shop.seqno() == first.last
    assert shop.rows() == [(1, "one")]


def test_a_gap_in_front_of_a_batch_is_refused(shop: Shop) -> None:
    shop.batch(items(("I", "1", "one")))
    shop.load()
    event = shop.log.record(1).event_id
    shop.redshift.execute(f"UPDATE {shop.staging}.trep_commit_seqno SET seqno = 1, eventid = '{event}'")
    shop.batch(items(("I", "2", "two")))
    with pytest.raises(GapError, match="2-2 must be applied first"):
        shop.load()
    assert shop.rows() == [(1, "one")]


def test_another_log_is_diverged(shop: Shop) -> None:
    shop.batch(items(("I", "1", "one")))
    shop.load()
    shop.storage = shop.storage.sub("rebuilt")
    again = Logbook(shop.storage)
    again.add(*[position()] * 5)
    with pytest.raises(DivergedError, match="but there is THL .* with seqnos up to 5"):
        shop.load()


def test_a_log_that_lost_its_end_is_diverged(shop: Shop) -> None:
    shop.batch(items(("I", "1", "one")))
    shop.load()
    shop.lose_the_end_of_the_log()
    with pytest.raises(DivergedError, match="with seqnos up to 0"):
        shop.load()


def test_another_record_under_the_same_seqno_is_diverged(shop: Shop) -> None:
    shop.batch(items(("I", "1", "one")))
    shop.load()
    shop.lose_the_end_of_the_log()
    shop.add(gap(), position())
    with pytest.raises(DivergedError, match="the log has .* epoch 1, under that seqno"):
        shop.load()


def test_a_value_that_does_not_fit_is_named_by_file_line_and_column(shop: Shop) -> None:
    shop.batch(items(("I", "1", "one")))
    shop.load()
    shop.batch(items(("I", "2", "two"), ("I", "3", "x" * 81)))
    with pytest.raises(DataError) as caught:
        shop.load()
    text = str(caught.value)
    assert "shop/items/0000000000000000003-0000000000000000005.0000-" in text
    assert (
        "line 2, column name (varchar(80)): the value is too long or out of range (load error 1204)" in text
    )
    assert "xxx" not in text
    assert shop.seqno() == 2
    assert shop.rows() == [(1, "one")]


def test_files_with_another_number_of_rows_are_refused(shop: Shop) -> None:
    def one_more(manifest: BatchManifest) -> BatchManifest:
        return replace(manifest, tables=tuple(replace(table, rows={"I": 2}) for table in manifest.tables))

    shop.batch(items(("I", "1", "one")), change=one_more)
    with pytest.raises(TargetError, match=r"COPY loaded 1 rows of shop\.items.*the batch has 2"):
        shop.load()
    assert shop.seqno() == -1
    assert shop.rows() == []


def test_a_missing_file_is_not_skipped(shop: Shop) -> None:
    shop.batch(items(("I", "1", "one")))
    for info in list(shop.store.list("shop/items/")):
        if info.key.endswith(".csv"):
            shop.store.delete(info.key)
    with pytest.raises(TargetError, match="check iam_role and region"):
        shop.load()
    assert shop.seqno() == -1


def test_a_wrong_password_is_for_a_person_and_a_closed_port_is_not(shop: Shop) -> None:
    with pytest.raises(TargetError, match="check user and password"):
        shop.load(lambda: shop.redshift.connect(password="wrong"))
    with pytest.raises(TargetUnavailableError, match="could not be reached"):
        shop.load(lambda: shop.redshift.connect(port=1))


# Tables that are there


def test_a_table_that_does_not_fit_says_what_to_run(shop: Shop) -> None:
    shop.redshift.execute(
        f"CREATE SCHEMA {shop.schema}", f"CREATE TABLE {shop.schema}.items (id BIGINT, name VARCHAR(10))"
    )
    shop.batch(items(("I", "1", "one")))
    with pytest.raises(TargetError) as caught:
        shop.load()
    statement = str(caught.value).split("; run: ")[1]
    assert f"{shop.schema}.items.name is VARCHAR(10), VARCHAR(80) is needed" in str(caught.value)
    with shop.redshift.connect() as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(statement)
    shop.load()
    assert shop.rows() == [(1, "one")]


def test_a_table_with_columns_of_its_own_is_filled(shop: Shop) -> None:
    shop.redshift.execute(
        f"CREATE SCHEMA {shop.schema}",
        f"CREATE TABLE {shop.schema}.items (note VARCHAR(10), name VARCHAR(100), id DECIMAL(20,0))",
    )
    shop.batch(items(("I", "1", "one")))
    shop.load()
    assert shop.rows("items", "id, name, note") == [(1, "one", None)]


def test_a_changed_definition_gets_a_new_staging_table_and_the_live_one_is_never_dropped(shop: Shop) -> None:
    shop.batch(items(("I", "1", "one")))
    shop.load()
    wider = replace(ITEMS, columns=(*ITEMS.columns, Column("price", "int", 3)))
    shop.batch({wider: [("I", "2", "two", "5")]})
    with pytest.raises(TargetError, match=r"items\.price is missing.*; run: (.*)") as caught:
        shop.load()
    shop.redshift.execute(str(caught.value).split("; run: ")[1])
    shop.load()
    assert shop.rows() == [(1, "one", None), (2, "two", 5)]


def test_two_tables_that_redshift_takes_for_one_are_refused(shop: Shop) -> None:
    shop.batch(items(("I", "1", "one")))
    shop.batch({replace(ITEMS, table="Items"): [("I", "2", "two")]})
    with pytest.raises(TargetError, match=r"shop\.Items and shop\.items would both go to"):
        shop.load()
    assert shop.rows() == [(1, "one")]


def test_tables_whose_names_run_together_have_their_own_staging_tables(shop: Shop) -> None:
    one, other = TableDefinition("a_b", "c", (ID,), ("id",)), TableDefinition("a", "b_c", (ID,), ("id",))
    shop.batch({other: [("I", "2")], one: [("I", "1")]})
    shop.load()
    prefix = shop.schema.removesuffix("shop")
    assert shop.redshift.execute(f"SELECT id FROM {prefix}a_b.c") == ((1,),)
    assert shop.redshift.execute(f"SELECT id FROM {prefix}a.b_c") == ((2,),)


# Death and lost connections

FIRST_LOAD = (
    "CREATE SCHEMA",
    "CREATE TABLE IF",
    "INSERT INTO",
    "commit",
    "CREATE TABLE",
    "COMMENT",
    "COPY",
    "UPDATE",
)
# The ninth COMMIT is the batch's.
LATER = (
    ("LOCK", 0), ("LOCK", 3), ("SET", 1), ("DELETE FROM", 0), ("COPY", 0), ("SELECT pg_last_copy_count", 0),
    ("DELETE FROM", 1), ("INSERT INTO", 0), ("COPY", 1), ("INSERT INTO", 1), ("UPDATE", 0), ("commit", 8),
)  # fmt: skip


def _die_at(point: str, skip: int) -> Callable[[str], None]:
    left = itertools.count(skip, -1)

    def before(statement: str) -> None:
        if statement.startswith(point) and next(left) == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return before


def _load_and_die(shop: Shop, point: str, skip: int) -> None:
    connect = Spied(shop.redshift.connect, _die_at(point, skip))
    process = multiprocessing.get_context("fork").Process(target=shop.load, args=(connect,))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL, (point, skip)


def test_a_first_load_killed_at_any_point_is_done_by_the_next(shop: Shop) -> None:
    shop.batch({ITEMS: [("I", "1", "a")], ORDERS: [("I", "1", "a")]})
    for point in FIRST_LOAD:
        _load_and_die(shop, point, 0)
    assert shop.load().batches == 1
    assert (shop.rows("items"), shop.rows("orders")) == ([(1, "a")], [(1, "a")])


def test_a_load_killed_at_any_point_is_done_by_the_next(shop: Shop) -> None:
    shop.batch({ITEMS: [("I", "0", "a")], ORDERS: [("I", "0", "a")]})
    shop.load()
    for done, (point, skip) in enumerate(LATER, 1):
        change: list[Row] = [("D", str(done - 1), "a"), ("I", str(done), "a")]
        shop.batch({ITEMS: change, ORDERS: change})
        _load_and_die(shop, point, skip)
        seen = shop.rows("items")
        assert shop.rows("orders") == seen
        assert seen in ([(done - 1, "a")], [(done, "a")])
        shop.load()
        assert (shop.rows("items"), shop.rows("orders")) == ([(done, "a")], [(done, "a")])


class LosesCommit:
    """The connection breaks once, at the COMMIT that follows the position's update: before it or behind it."""

    def __init__(self, redshift: Redshift, *, carried_out: bool) -> None:
        self._redshift = redshift
        self._carried_out = carried_out
        self._armed = False
        self.connections = 0

    def __call__(self) -> Any:
        self.connections += 1
        connection = self._redshift.connect()
        execute = connection.execute

        def breaks(cursor: Any, operation: str, arguments: Any) -> Any:
            if operation == "commit" and self._armed:
                self._armed = False
                if self._carried_out:
                    execute(cursor, operation, arguments)
                connection._usock.close()
                connection._sock.close()
                raise redshift_connector.InterfaceError("BrokenPipe: server socket closed.")
            if operation.startswith("UPDATE") and self.connections == 1:
                self._armed = True
            return execute(cursor, operation, arguments)

        connection.execute = breaks
        return connection


def test_a_commit_whose_answer_was_lost_is_known_to_have_happened(shop: Shop) -> None:
    shop.batch(items(("I", "1", "one")))
    shop.batch(items(("I", "2", "two")))
    connect = LosesCommit(shop.redshift, carried_out=True)
    result = shop.load(connect)
    assert (result.batches, connect.connections) == (2, 2)
    assert shop.rows() == [(1, "one"), (2, "two")]


def test_a_commit_that_never_arrived_is_known_not_to_have_happened(shop: Shop) -> None:
    shop.batch(items(("I", "1", "one")))
    with pytest.raises(TargetUnavailableError):
        shop.load(LosesCommit(shop.redshift, carried_out=False))
    assert (shop.seqno(), shop.rows()) == (-1, [])
    assert shop.load().batches == 1


def test_a_redshift_that_goes_away_in_the_middle_is_transient(shop: Shop) -> None:
    shop.batch(items(("I", "1", "one")))

    def stop(statement: str) -> None:
        if statement.startswith("INSERT INTO") and "ROW_NUMBER" in statement:
            shop.redshift.execute(
                "SELECT pg_terminate_backend(pid) FROM svv_transactions WHERE granted AND pid <> pg_backend_pid()"
            )

    with pytest.raises(TargetUnavailableError):
        shop.load(Spied(shop.redshift.connect, stop))
    assert shop.seqno() == -1
    assert shop.load().batches == 1


@pytest.fixture(autouse=True)
def _no_session_is_left(redshift: Redshift) -> Iterator[None]:
    yield
    open_transactions = "SELECT COUNT(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
    assert redshift.execute(open_transactions) == ((0,),)
