"""Micro-batches as files: exact values, the same bytes every time, and nothing that cannot be loaded."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zstandard

from airflow_provider_tungsten.replicator.batch import parts, writer
from airflow_provider_tungsten.replicator.batch.files import manifest_key, missing_files
from airflow_provider_tungsten.replicator.batch.manifest import BatchManifest, Plan, TableBatch
from airflow_provider_tungsten.replicator.batch.table_writer import TableWriter
from airflow_provider_tungsten.replicator.batch.writer import write_batch
from airflow_provider_tungsten.replicator.binlog.definition import TableDefinition
from airflow_provider_tungsten.replicator.errors import (
    ConfigurationError,
    DataError,
    DivergedError,
    StorageError,
    TerminalError,
    UnsupportedError,
)
from airflow_provider_tungsten.replicator.storage import Storage, new_token
from airflow_provider_tungsten.replicator.storage.base import WRITE_ONCE_CHECK, Group
from airflow_provider_tungsten.replicator.thl import runs
from airflow_provider_tungsten.replicator.thl.event import Kind
from tests.unit.replicator.batch.logs import (
    ITEMS,
    ORDERS,
    WIDER,
    Logbook,
    make_service,
    position,
    rows,
    statement,
)
from tests.unit.replicator.durability import Disk


@pytest.fixture
def book(tmp_path: Path) -> Logbook:
    return Logbook(tmp_path)


@pytest.fixture
def hasty() -> Iterator[None]:
    """Threads take turns all the time."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def plans(book: Logbook, **applier: Any) -> list[Plan]:
    return book.chain(**applier).extend(token="planner", limit=100, waiting=False)


def write(book: Logbook, plan: Plan, **applier: Any) -> BatchManifest:
    return write_batch(book.log, plan, make_service(**applier), "redshift", book.store, token=new_token())


def contents(store: Storage) -> dict[str, bytes]:
    return {
        info.key: store.read(info.key)
        for info in store.list()
        if not info.key.endswith((".plan.json", WRITE_ONCE_CHECK))
    }


def text(store: Storage, table: TableBatch) -> str:
    data = b""
    for part in table.parts:
        stored = store.read(part.key)
        with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(stored)) as reader:
            data += reader.read()
    return data.decode()


def cells(store: Storage, table: TableBatch) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text(store, table))))


def test_rows_of_a_table_stand_in_log_order_under_row_ids_from_1(book: Logbook) -> None:
    book.add(
        rows(ORDERS, (1, "a"), (2, "b")),
        [rows(ITEMS, (9, "x")), rows(ORDERS, (1, "a"), (1, "c"), kind=Kind.UPDATE)],
        rows(ORDERS, (2, "b"), kind=Kind.DELETE),
    )
    manifest = write(book, plans(book)[0])
    items, orders = manifest.tables
    assert manifest.header == (
        "tungsten_opcode",
        "tungsten_seqno",
        "tungsten_row_id",
        "tungsten_commit_timestamp",
    )
    assert [row[:3] + row[4:] for row in cells(book.store, orders)] == [
        ["I", "1", "1", "1", "a"],
        ["I", "1", "2", "2", "b"],
        ["D", "2", "3", "1", "a"],
        ["I", "2", "4", "1", "c"],
        ["D", "3", "5", "2", "b"],
    ]
    assert cells(book.store, items) == [["I", "2", "1", "1970-01-01 00:00:02.000000", "9", "x"]]
    assert (orders.rows, items.rows, manifest.total_rows) == ({"D": 2, "I": 3}, {"I": 1}, 6)


def test_an_empty_text_is_not_null(book: Logbook) -> None:
    book.add(rows(ORDERS, (1, ""), (2, None)))
    (table,) = write(book, plans(book)[0]).tables
    assert [line.split(",", 4)[4] for line in text(book.store, table).splitlines()] == [
        "1,",
        "2," + table.null,
    ]


def test_where_a_value_equals_the_null_sentinel_that_table_alone_takes_the_next(book: Logbook) -> None:
    book.add(rows(ORDERS, (1, "\\N"), (2, None)), rows(ITEMS, (1, "x"), (2, None)), rows(ORDERS, (3, "z")))
    plan = plans(book)[0]
    items, orders = write(book, plan).tables
    assert items.null == "\\N" != orders.null
    assert [row[5] for row in cells(book.store, orders)] == ["\\N", orders.null, "z"]
    assert [row[2] for row in cells(book.store, orders)] == ["1", "2", "3"]
    once = contents(book.store)
    book.store.delete(manifest_key(plan.first, plan.last))
    write(book, plan)
    assert contents(book.store) == once


def test_a_table_that_is_written_anew_leaves_no_part_of_its_first_writing(book: Logbook) -> None:
    values = [(number, None if number == 7 else f"{number:0200d}") for number in range(6000)]
    book.add(rows(ORDERS, *values), rows(ORDERS, (6001, "x")), rows(ORDERS, (6002, "\\N")))
    settings = {"batches": {"part_bytes": 1 << 20}}
    (table,) = write(book, plans(book, **settings)[0], **settings).tables
    assert (table.null != "\\N", len(table.parts)) == (True, 2)
    stored = {info.key for info in book.store.list("shop/")}
    assert stored == {*(part.key for part in table.parts), table.copy_manifest}


def test_of_attempts_at_once_each_may_remove_parts_of_a_first_writing(
    book: Logbook, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = [(number, None if number == 7 else f"{number:0200d}") for number in range(6000)]
    book.add(rows(ORDERS, *values), rows(ORDERS, (6001, "\\N")))
    settings = {"batches": {"part_bytes": 1 << 20}}
    (plan,) = plans(book, **settings)
    group = type(book.store).group
    attempts: list[Group] = []

    def grouped(store: Storage, token: str) -> Group:
        made = group(store, token)
        finish = made.finish

        def finished() -> list[str]:
            met = finish()
            if len(attempts) < 3:
                assert write(book, plan, **settings).total_rows == 6001
            return met

        monkeypatch.setattr(made, "finish", finished)
        attempts.append(made)
        return made

    monkeypatch.setattr(type(book.store), "group", grouped)
    (table,) = write(book, plan, **settings).tables
    assert len(attempts) == 3
    assert {info.key for info in book.store.list("shop/")} == set(table.keys)


@pytest.mark.parametrize("compression", ["zstd", "gzip", "bzip2", "none"])
def test_the_same_range_and_settings_give_the_same_names_and_bytes(book: Logbook, compression: str) -> None:
    settings = {"csv": {"compression": compression}}
    book.add(rows(ORDERS, (1, "a"), (2, None)), rows(ITEMS))
    plan = plans(book, **settings)[0]
    first = write(book, plan, **settings)
    once = contents(book.store)
    book.store.delete(manifest_key(plan.first, plan.last))
    assert write(book, plan, **settings) == first
    for key in contents(book.store):
        book.store.delete(key)
    assert write(book, plan, **settings) == first
    assert contents(book.store) == once
    stored = book.store.read(first.tables[1].parts[0].key)
    plain = {
        "zstd": lambda data: text(book.store, first.tables[1]).encode(),
        "gzip": gzip.decompress,
        "bzip2": bz2.decompress,
        "none": bytes,
    }
    assert plain[compression](stored).endswith(b",2,\\N\n")


@pytest.mark.parametrize("compression", ["zstd", "none"])
def test_how_much_is_read_and_kept_at_a_time_makes_no_difference_to_names_and_bytes(
    book: Logbook, compression: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"csv": {"compression": compression}}
    monkeypatch.setattr(parts, "CHUNK", 3000)
    for segment in range(6):
        changes = [(number, f"{segment}x{number}") for number in range(20)]
        book.add(*[rows(definition, *changes) for definition in (ORDERS, ITEMS, ORDERS) * 4])
    plan = plans(book, **settings)[0]
    first = write(book, plan, **settings)
    once = contents(book.store)
    assert all(table.parts[0].csv_bytes > 2 * parts.CHUNK for table in first.tables)
    for limits in ({"RUN_BYTES": 0}, {"WINDOW_BYTES": 5000}):
        for name, value in limits.items():
            monkeypatch.setattr(runs, name, value)
        for streams, held, packed in ((0, 2**20, 2**20), (1, 500, 0), (0, 500, 2000), (2, 500, 2**20)):
            monkeypatch.setattr(parts, "_STREAMS", streams)
            monkeypatch.setattr(parts, "_HELD", held)
            monkeypatch.setattr(parts, "_PACKED", packed)
            for key in once:
                book.store.delete(key)
            assert write(book, plan, **settings) == first
            assert contents(book.store) == once


def many_tables() -> list[TableDefinition]:
    return [replace(ORDERS, table=f"t{number:02}") for number in range(20)]


def threads(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_MOST_THREADS", number)
    monkeypatch.setattr(writer.os, "sched_getaffinity", lambda _: range(number))


@pytest.mark.usefixtures("hasty")
def test_how_many_threads_write_makes_no_difference_to_names_and_bytes(
    book: Logbook, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"batches": {"part_bytes": 1 << 20}}
    for segment in range(10):
        changes = [(number, f"{number:0{number % 150}}") for number in range(segment, 300)]
        book.add(*[rows(definition, *changes) for definition in many_tables()])
    # Some tables are written anew, with another text for NULL.
    book.add(*[rows(definition, (1, "\\N"), (2, None)) for definition in many_tables()[::3]])
    (plan,) = plans(book, **settings)
    threads(1, monkeypatch)
    monkeypatch.setattr(runs, "WINDOW_BYTES", 300_000)
    first = write(book, plan, **settings)
    once = contents(book.store)
    assert [len(cells(book.store, table)) for table in first.tables] == [
        2955 + 2 * (number % 3 == 0) for number in range(20)
    ]
    for chunk, most in ((parts.CHUNK, 2**25), (3000, 10_000)):
        monkeypatch.setattr(parts, "CHUNK", chunk)
        for name in ("_HELD", "_PACKED", "_AHEAD"):
            monkeypatch.setattr(parts, name, most)
        written = []
        for number in (1, 2, 5):
            threads(number, monkeypatch)
            for key in contents(book.store):
                book.store.delete(key)
            written.append(write(book, plan, **settings))
            if chunk > 3000:
                assert contents(book.store) == once
        assert written == written[:1] * 3
    assert [(table.rows, table.null) for table in written[0].tables] == [
        (table.rows, table.null) for table in first.tables
    ]


def test_a_table_that_cannot_be_written_ends_what_other_threads_do(
    book: Logbook, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads(4, monkeypatch)
    for wrong in (0, 7, 19):
        book.add(
            *[
                rows(table, (1, "a\0b" if number == wrong else "a"))
                for number, table in enumerate(many_tables())
            ]
        )
        plan = plans(book)[-1]
        with pytest.raises(
            DataError, match=rf"^shop\.t{wrong:02}\.note, seqno \d+: a text with a NUL character"
        ):
            write(book, plan)
        assert not book.store.exists(manifest_key(plan.first, plan.last))


def test_a_part_ends_at_its_size_and_an_events_end(book: Logbook) -> None:
    values = [(number, f"{number:0200d}") for number in range(2000)]
    book.add(*[rows(ORDERS, *values)] * 8)
    settings = {"batches": {"part_bytes": 1 << 20}}
    (table,) = write(book, plans(book, **settings)[0], **settings).tables
    assert [part.rows for part in table.parts] == [6000, 6000, 4000]
    assert all(
        part.key.startswith(f"shop/orders/{0:019d}-{8:019d}.000{n}-") for n, part in enumerate(table.parts)
    )
    assert [row[2] for row in cells(book.store, table)] == [str(n) for n in range(1, 16001)]
    assert [part.size for part in table.parts] == [len(book.store.read(part.key)) for part in table.parts]


def test_the_copy_manifest_names_every_part_in_the_final_store(book: Logbook) -> None:
    book.add(rows())
    (table,) = write(book, plans(book)[0]).tables
    (part,) = table.parts
    assert json.loads(book.store.read(table.copy_manifest)) == {
        "entries": [
            {
                "url": f"s3://bucket/files/shop/redshift/{part.key}",
                "mandatory": True,
                "meta": {"content_length": part.size},
            }
        ]
    }


def test_truncate_empties_its_table_and_ddl_loads_nothing(book: Logbook) -> None:
    book.add(statement("truncate"), statement("create"), rows())
    records, truncate, create, _ = (write(book, plan) for plan in plans(book))
    assert records.tables == create.tables == ()
    (table,) = truncate.tables
    assert (table.schema, table.table, table.truncate, table.parts, table.copy_manifest) == (
        "shop",
        "orders",
        True,
        (),
        "",
    )
    assert BatchManifest.from_json(truncate.to_json()) == truncate


@pytest.mark.parametrize(
    ("middle", "error", "said"),
    [
        (
            [statement("truncate")],
            ConfigurationError,
            "seqno 2 is a statement on one of the applier's tables",
        ),
        ([rows(WIDER, count=1)], ConfigurationError, "shop.orders changes its definition at seqno 2"),
        (
            [statement("dml")],
            UnsupportedError,
            "seqno 2: a change of rows in statement format touches shop.orders",
        ),
    ],
    ids=["truncated", "altered", "statement"],
)
def test_a_table_that_the_plan_left_out_is_not_taken_in_behind_it(
    book: Logbook, middle: list[dict[str, Any]], error: type[Exception], said: str
) -> None:
    book.add(rows(ORDERS), *middle, rows(ITEMS))
    (plan,) = plans(book, exclude=["shop.orders"])
    with pytest.raises(error, match=said):
        write(book, plan)
    assert [table.table for table in write(book, plan, exclude=["shop.orders"]).tables] == ["items"]


@pytest.mark.usefixtures("hasty")
def test_two_definitions_of_a_table_are_never_written_at_the_same_time(
    book: Logbook, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads(2, monkeypatch)
    many = rows(ORDERS, *[(number, "x" * 100) for number in range(1000)])
    book.add(*[many] * 50, rows(WIDER, count=1), rows(ITEMS))
    (plan,) = plans(book, exclude=["shop.orders"])
    with pytest.raises(ConfigurationError, match="shop.orders changes its definition at seqno 51,"):
        write(book, plan)


def test_excluded_tables_and_columns_never_reach_a_file(book: Logbook) -> None:
    settings = {"exclude": ["shop.items"], "exclude_columns": ["shop.orders.note"]}
    book.add(rows(ORDERS, (1, "secret")), rows(ITEMS, (2, "secret")))
    manifest = write(book, plans(book, **settings)[0], **settings)
    (table,) = manifest.tables
    assert cells(book.store, table) == [["I", "1", "1", "1970-01-01 00:00:01.000000", "1"]]
    assert "note" not in table.definition


def test_a_table_excluded_after_planning_is_left_out(book: Logbook) -> None:
    book.add(rows(), rows(ITEMS, (1, "nul\0")))
    plan = plans(book)[0]
    with pytest.raises(
        DataError, match=r"shop\.items\.note, seqno 2: .*exclude_columns: shop\.items\.note"
    ) as raised:
        write(book, plan)
    assert "nul" not in str(raised.value).replace("NUL", "").replace("null", "")
    (table,) = write(book, plan, exclude=["shop.items"]).tables
    assert table.table == "orders"
    excluded = write(book, plan)
    assert [table.table for table in excluded.tables] == ["orders"]


def test_a_table_that_joins_after_planning_is_refused_where_the_batch_is_not_cut_for_it(
    book: Logbook,
) -> None:
    book.add(rows(ITEMS), statement("truncate"), rows(ITEMS))
    plan = plans(book, exclude=["shop.orders"])[0]
    with pytest.raises(ConfigurationError, match="exclude"):
        write(book, plan)


def test_a_batch_that_exists_is_adopted_and_a_lost_part_is_made_anew(book: Logbook) -> None:
    book.add(rows(), rows(ITEMS))
    plan = plans(book)[0]
    manifest = write(book, plan)
    once = contents(book.store)
    book.store.delete(manifest.tables[0].parts[0].key)
    book.store.delete(manifest.tables[1].copy_manifest)
    assert len(list(missing_files(book.store, manifest))) == 2
    assert write(book, plan) == manifest
    assert contents(book.store) == once


def test_all_that_the_batch_manifest_names_is_durable_before_it_is(
    book: Logbook, monkeypatch: pytest.MonkeyPatch
) -> None:
    book.add(rows(ORDERS, (1, "a")), rows(ITEMS, (1, "b")))
    plan = plans(book)[0]
    root = Path(book.store.url)
    seen: list[dict[str, bool]] = []

    def look(disk: Disk, path: Path) -> None:
        if path == root / manifest_key(plan.first, plan.last):
            stored = [info.key for info in book.store.list() if not info.key.startswith("_")]
            seen.append({key: disk.survives(root / key) for key in stored})

    disk = Disk(root, monkeypatch, look)
    manifest = write(book, plan)
    named = [key for table in manifest.tables for key in (table.parts[0].key, table.copy_manifest)]
    assert seen == [dict.fromkeys(sorted(named), True)]
    assert disk.survives(root / manifest_key(plan.first, plan.last))


def test_a_part_of_another_size_under_its_name_is_refused(book: Logbook) -> None:
    book.add(rows())
    plan = plans(book)[0]
    key = write(book, plan).tables[0].parts[0].key
    book.store.put(key, b"short")
    with pytest.raises(StorageError, match="remove it"):
        write(book, plan)


def test_lost_parts_that_the_present_settings_do_not_make_are_refused(book: Logbook) -> None:
    book.add(rows(), rows(ITEMS))
    plan = plans(book)[0]
    book.store.delete(write(book, plan).tables[0].parts[0].key)
    with pytest.raises(StorageError, match="not made anew under the present settings"):
        write(book, plan, exclude=["shop.items"])


def test_a_plan_of_another_log_is_diverged(book: Logbook, tmp_path: Path) -> None:
    book.add(rows())
    plan = plans(book)[0]
    other = Logbook(tmp_path / "other")
    with pytest.raises(DivergedError):
        write(other, plan)
    other.add(rows())
    with pytest.raises(DivergedError):
        write(other, plan)
    write(book, plan)
    with pytest.raises(TerminalError, match="another plan"):
        write(book, replace(plan, writer="someone else"))


def test_a_row_count_that_the_log_does_not_confirm_is_refused(book: Logbook) -> None:
    book.add(rows(ORDERS, (1, "a"), (2, "b"), count=3))
    with pytest.raises(TerminalError):
        write(book, plans(book)[0])


def test_records_alone_make_an_empty_batch(book: Logbook) -> None:
    book.add(position())
    (plan,) = book.chain().extend(token="t", limit=1, waiting=False, through=1)
    assert (plan.effect, write(book, plan).tables) == ("records", ())


def test_a_feed_in_a_dialect_names_its_columns_in_every_part_and_counts_what_it_takes_out(
    book: Logbook,
) -> None:
    values = [(number, f"a\t{number:0200d}") for number in range(2000)]
    book.add(*[rows(ORDERS, *values)] * 4)
    settings = {
        "type": "s3",
        "csv": {
            "preset": "mysql",
            "use_headers": True,
            "suppressed_characters": "\\t",
            "compression": "none",
            "update_opcode": True,
        },
        "batches": {"part_bytes": 1 << 20},
    }
    manifest = write(book, plans(book, **settings)[0], **settings)
    (table,) = manifest.tables
    titles = ",".join(f'"{name}"' for name in (*manifest.header, "id", "note"))
    for part in table.parts:
        lines = book.store.read(part.key).decode().splitlines()
        assert lines[0] == titles
        assert len(lines) - 1 == part.rows
        assert re.fullmatch(r'"I","\d+","\d+","1970-01-01 .{12}","\d+","a\d{200}"', lines[1])
    assert len(table.parts) > 1
    assert table.rows == {"I": 8000}
    assert table.conversions == {"suppressed_characters": 8000}
    assert table.null == "\\N"


def test_titles_that_fill_a_part_leave_room_for_an_event(
    book: Logbook, monkeypatch: pytest.MonkeyPatch
) -> None:
    def small(*args: Any) -> TableWriter:
        return TableWriter(*args[:8], 10, *args[9:])

    monkeypatch.setattr(writer, "TableWriter", small)
    settings = {"type": "s3", "csv": {"use_headers": True, "compression": "none"}}
    book.add(rows(ORDERS, (1, "a")), rows(ORDERS, (2, "b"), (3, "c")))
    (table,) = write(book, plans(book, **settings)[0], **settings).tables
    lines = [book.store.read(part.key).decode().splitlines() for part in table.parts]
    assert [[line.split(",")[-1].strip('"') for line in part] for part in lines] == [
        ["note", "a"],
        ["note", "b", "c"],
    ]


def test_a_value_that_the_dialect_cannot_carry_is_named(book: Logbook) -> None:
    book.add(rows(ORDERS, (1, "x")), rows(ORDERS, (2, "a,b")))
    settings = {"type": "s3", "csv": {"use_quotes": "never"}}
    with pytest.raises(DataError, match=r"shop\.orders\.note, seqno 2: a text with ','.*escaped_characters"):
        write(book, plans(book, **settings)[0], **settings)


LAKE = {
    "type": "s3",
    "partition_by": "commit_timestamp",
    "partition_format": "minute=%Y-%m-%d-%H-%M",
    "csv": {"header": ["opcode", "seqno", "row_id"]},
}


def test_rows_go_to_the_partition_of_their_commit_time_numbered_in_log_order(book: Logbook) -> None:
    book.add(*[rows(ORDERS, (number, "x"), (number, "y")) for number in range(1, 130)])
    manifest = write(book, plans(book, **LAKE)[0], **LAKE)
    (table,) = manifest.tables
    assert [part.partition for part in table.parts] == [f"minute=1970-01-01-00-0{n}" for n in range(3)]
    assert all(
        part.key.startswith(f"shop/orders/{part.partition}/{0:019d}-{129:019d}.0000-") for part in table.parts
    )
    assert [row[2] for row in cells(book.store, table)] == [str(number) for number in range(1, 259)]
    assert [part.rows for part in table.parts] == [2 * 59, 2 * 60, 2 * 10]
    assert table.copy_manifest == ""
    assert set(contents(book.store)) == {part.key for part in table.parts} | {manifest_key(0, 129)}
    assert not list(missing_files(book.store, manifest))
    book.store.delete(table.parts[1].key)
    assert list(missing_files(book.store, manifest)) == [table.parts[1].key]


@pytest.mark.parametrize("ids", [("event_id",), ("gtid",), ("gtid", "event_id")])
def test_rows_tell_the_event_that_they_are_of(book: Logbook, ids: tuple[str, ...]) -> None:
    settings = {"csv": {"header": ["opcode", "seqno", "row_id", *ids]}}
    book.add(rows(ORDERS, (1, "a"), (2, "b")), [rows(ITEMS, (9, "x")), rows(ORDERS, (3, "c"))])
    told = {
        str(event.seqno): [{"event_id": event.event_id, "gtid": event.gtid}[name] for name in ids]
        for event in book.log.scan(1, 2)
    }
    items, orders = write(book, plans(book, **settings)[0], **settings).tables
    found = [row[1 : 3 + len(ids)] for row in cells(book.store, orders)]
    assert found == [["1", "1", *told["1"]], ["1", "2", *told["1"]], ["2", "3", *told["2"]]]
    assert [row[1 : 3 + len(ids)] for row in cells(book.store, items)] == [["2", "1", *told["2"]]]


def test_progress_counts_rows(book: Logbook) -> None:
    values = [(number, "x") for number in range(15_000)]
    book.add(*[rows(ORDERS, *values)] * 3)
    seen: list[Any] = []
    plan = plans(book)[0]
    write_batch(
        book.log,
        plan,
        book.service,
        "redshift",
        book.store,
        token="t",
        progress=lambda *args: seen.append(args),
    )
    assert seen == [(45_000, 45_000)]
