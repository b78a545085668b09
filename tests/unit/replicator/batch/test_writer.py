"""Micro-batches as files: exact values, and nothing that cannot be loaded."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_tungsten.replicator.batch import writer
from airflow_provider_tungsten.replicator.batch.files import manifest_key, missing_files
from airflow_provider_tungsten.replicator.batch.manifest import BatchManifest
from airflow_provider_tungsten.replicator.batch.table_writer import TableWriter
from airflow_provider_tungsten.replicator.batch.writer import write_batch
from airflow_provider_tungsten.replicator.errors import (
    ConfigurationError,
    DataError,
    DivergedError,
    TerminalError,
    UnsupportedError,
)
from airflow_provider_tungsten.replicator.thl.event import Kind
from tests.unit.replicator.batch.logs import (
    ITEMS,
    ORDERS,
    WIDER,
    Logbook,
    position,
    rows,
    statement,
)
from tests.unit.replicator.batch.writing import cells, contents, plans, text, write


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
