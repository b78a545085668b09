"""Micro-batches applied to the local Redshift through the real driver: exactly once, whole, and every value as it was."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from airflow_provider_tungsten.replicator.batch.apply import LoadResult
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
from tests.integration.redshift_applier.shop import ID, ITEMS, ORDERS, Shop, Spied, items
from tests.stack.redshift import Redshift
from tests.stack.s3 import S3
from tests.unit.replicator.batch.logs import Logbook, gap, position


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
