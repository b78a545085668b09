"""Filters in micro-batches: what is planned, written and recorded of tables that they rename, cut or leave out."""

from __future__ import annotations

import csv
import io
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zstandard

from airflow_provider_tungsten.replicator.batch import writer
from airflow_provider_tungsten.replicator.batch.manifest import BatchManifest, Plan, TableBatch
from airflow_provider_tungsten.replicator.batch.writer import write_batch
from airflow_provider_tungsten.replicator.binlog.definition import TableDefinition
from airflow_provider_tungsten.replicator.errors import DataError, UnsupportedError
from airflow_provider_tungsten.replicator.filters import rows as filters_of_rows
from airflow_provider_tungsten.replicator.filters.python import Change
from airflow_provider_tungsten.replicator.storage import new_token
from airflow_provider_tungsten.replicator.thl.event import Kind
from tests.unit.replicator.batch.logs import (
    ID,
    ITEMS,
    LOOSE,
    NOTE,
    ORDERS,
    Logbook,
    make_service,
    rows,
    statement,
)

HERE = __name__
MOVED = {
    "filter": "rename",
    "definitions": [{"schema": "shop", "table": "orders", "new_schema": "crm", "new_table": "deals"}],
}


def key(table: str, *columns: str) -> dict[str, Any]:
    schema = "crm" if table == "deals" else "shop"
    return {
        "filter": "custompkey",
        "definitions": [{"schema": schema, "table": table, "columns": columns}],
    }


def plans(book: Logbook, *filters: dict[str, Any]) -> list[Plan]:
    return book.chain(filters=filters).extend(token="planner", limit=100, waiting=False)


def write(book: Logbook, plan: Plan, *filters: dict[str, Any]) -> BatchManifest:
    return write_batch(
        book.log, plan, make_service(filters=filters), "redshift", book.store, token=new_token()
    )


def cells(book: Logbook, table: TableBatch) -> list[list[str]]:
    """Operation, row id and the row."""
    data = b"".join(
        zstandard.ZstdDecompressor().stream_reader(book.store.read(part.key)).read() for part in table.parts
    )
    return [[row[0], row[2], *row[4:]] for row in csv.reader(io.StringIO(data.decode()))]


def test_a_renamed_table_has_its_new_name_in_files_manifest_and_definition(book: Logbook) -> None:
    book.add(rows(ORDERS, (1, "a")), rows(ITEMS, (2, "b")))
    (plan,) = plans(book, MOVED)
    deals, items = write(book, plan, MOVED).tables
    assert [(share.schema, share.table) for share in (deals, items)] == [("crm", "deals"), ("shop", "items")]
    assert "crm/deals" in deals.parts[0].key
    definition = TableDefinition.from_json(deals.definition)
    assert (definition.name, definition.origin) == ("crm.deals", ("shop", "orders"))
    assert items.definition == ITEMS.json
    assert cells(book, deals) == [["I", "1", "1", "a"]]


def test_truncate_of_a_renamed_table_empties_the_renamed_one(book: Logbook) -> None:
    book.add(statement("truncate"), rows(ORDERS))
    first, second, *_ = [plan for plan in plans(book, MOVED) if plan.effect != "records"]
    (share,) = write(book, first, MOVED).tables
    assert (first.effect, share.schema, share.table, share.truncate) == ("truncate", "crm", "deals", True)
    assert write(book, second, MOVED).tables[0].table == "deals"


@pytest.mark.parametrize(
    ("filters", "own"),
    [
        ([MOVED], {}),
        ([{"filter": "rowadddbname"}, MOVED], {"dbname": "shop"}),
        ([{"filter": "rowadddbname", "addkey": False}], {}),
        ([{"filter": "rowadddbname", "fieldname": "db"}, {"filter": "casetransform"}], {"DB": "shop"}),
        ([{"filter": "rowadddbname"}, key("orders", "id")], {}),
        (
            [{"filter": "rowadddbname", "addkey": False}, MOVED, key("deals", "id", "dbname")],
            {"dbname": "shop"},
        ),
    ],
)
def test_truncate_is_meant_for_the_schemas_own_rows_alone(
    book: Logbook, filters: list[dict[str, Any]], own: dict[str, str]
) -> None:
    book.add(statement("truncate"))
    *_, plan = plans(book, *filters)
    (share,) = write(book, plan, *filters).tables
    assert (share.truncate, share.own) == (True, own)


@pytest.mark.parametrize("effect", ["moves_rows", "unknown", "truncate", "create"])
def test_statements_on_tables_that_are_not_replicated_cut_and_stop_nothing(
    book: Logbook, effect: str
) -> None:
    book.add(rows(ITEMS), statement(effect), rows(ITEMS), rows(ORDERS))
    ignored = {"filter": "replicate", "ignore": "shop.ord*"}
    (plan,) = plans(book, ignored)
    assert (plan.last, plan.transactions, plan.rows) == (4, 2, 2)
    assert [share.table for share in write(book, plan, ignored).tables] == ["items"]


def test_two_tables_of_one_name_stop_planning(book: Logbook) -> None:
    book.add(rows(ORDERS), rows(ITEMS))
    same = {"filter": "rename", "definitions": [{"schema": "*", "table": "items", "new_table": "orders"}]}
    assert [plan.last for plan in plans(book, same)] == [1]
    with pytest.raises(UnsupportedError, match=r"shop\.items and shop\.orders both become shop\.orders"):
        write(book, replace(plans(book)[0], first=0, last=2), same)


def test_custompkey_lets_a_table_without_a_key_through(book: Logbook) -> None:
    book.add(rows(LOOSE, (1, "a")))
    named = key("loose", "note", "id")
    (plan,) = plans(book, named)
    (share,) = write(book, plan, named).tables
    assert TableDefinition.from_json(share.definition).primary_key == ("note", "id")


def test_the_headers_key_holds_the_name_that_rowadddbname_adds_to_the_key(book: Logbook) -> None:
    name = {"filter": "rowadddbname", "adddbhash": False}
    renamed = {
        "filter": "rename",
        "definitions": [{"schema": "shop", "table": "orders", "new_schema": "all"}],
    }
    applier = {"type": "s3", "filters": [renamed, name], "csv": {"compression": "none"}}
    book.add(rows(ORDERS, (1, "a"), (2, "b")), rows(ORDERS, (1, "a"), (1, "c"), kind=Kind.UPDATE))
    book.service = make_service(**applier)
    (plan,) = book.chain().extend(token="planner", limit=9, waiting=False)
    (table,) = write_batch(book.log, plan, book.service, "redshift", book.store, token="t").tables
    lines = b"".join(book.store.read(part.key) for part in table.parts).decode().splitlines()
    assert [(row[0], row[2], row[4:]) for row in csv.reader(lines)] == [
        ("I", "1,shop", ["1", "a", "shop"]),
        ("I", "2,shop", ["2", "b", "shop"]),
        ("D", "1,shop", ["1", "a", "shop"]),
        ("I", "1,shop", ["1", "c", "shop"]),
    ]
    assert TableDefinition.from_json(table.definition).primary_key == ("id", "dbname")


def test_rows_that_are_left_out_leave_no_hole_in_the_row_ids(book: Logbook) -> None:
    book.add(rows(ORDERS, (1, "x"), (2, "y"), (3, "x"), (4, None)), rows(ORDERS, (4, None), kind=Kind.DELETE))
    drop = {
        "filter": "droponvalue",
        "definitions": [{"schema": "*", "table": "*", "column": "note", "values": ["x"]}],
    }
    (plan,) = plans(book, drop)
    (share,) = write(book, plan, drop).tables
    assert cells(book, share) == [["I", "1", "2", "y"], ["I", "2", "4", "\\N"], ["D", "3", "4", "\\N"]]
    assert share.rows == {"I": 2, "D": 1}


def test_a_table_of_which_nothing_is_left_has_no_share(book: Logbook) -> None:
    book.add(rows(ORDERS, (1, "x")), rows(ITEMS))
    skip = {"filter": "skipeventbytype", "definitions": {"shop": {"orders": {"INSERT": "deny"}}}}
    (plan,) = plans(book, skip)
    assert [share.table for share in write(book, plan, skip).tables] == ["items"]


def test_a_refused_cast_names_column_and_seqno_and_not_the_value(book: Logbook) -> None:
    book.add(rows(ORDERS, (1, "12")), rows(ORDERS, (2, "pepper")))
    cast = {"filter": "cast", "columns": "*.*.note", "type": "int"}
    (plan,) = plans(book, cast)
    with pytest.raises(DataError, match=r"shop\.orders\.note, seqno 2: a value that is no INT") as caught:
        write(book, plan, cast)
    assert "pepper" not in str(caught.value)


def test_the_fingerprint_holds_the_filters_and_what_their_files_say(book: Logbook, tmp_path: Path) -> None:
    file = tmp_path / "rename.csv"
    file.write_text("shop,orders,*,crm,-,-\n")
    from_file = {"filter": "rename", "definitions_file": str(file)}
    prints = [book.chain(filters=filters).fingerprint for filters in ((), (MOVED,), (from_file,))]
    file.write_text("shop,orders,*,crm2,-,-\n")
    prints.append(book.chain(filters=(from_file,)).fingerprint)
    assert len(set(prints)) == 4


def only_large(change: Change) -> Change | None:
    row = change.after or change.before or {}
    return change if int(row["NUMBER"] or "0") >= 10 else None


def shout(change: Change) -> Change:
    row = change.after or change.before
    assert row is not None
    assert (change.schema, change.table, change.commit_ts) == ("shop", "orders", change.seqno * 1_000_000)
    return change.replace(note=None if row["note"] is None else f"{change.kind} {change.seqno}".upper())


def broken(change: Change) -> Change:
    raise ValueError(f"pepper {change.after}")


def rows_filter(name: str) -> dict[str, Any]:
    return {"filter": "python", "callable": f"{HERE}.{name}", "tables": "shop.orders"}


def test_a_callable_sees_every_row_changes_it_or_leaves_it_out(book: Logbook) -> None:
    book.add(
        rows(ORDERS, (1, "a"), (10, "b"), (11, None)),
        [rows(ITEMS, (1, "i")), rows(ORDERS, (10, "b"), (12, "ä"), (11, None), (2, "c"), kind=Kind.UPDATE)],
        rows(ORDERS, (12, "x"), kind=Kind.DELETE),
    )
    number = {
        "filter": "rename",
        "definitions": [{"schema": "*", "table": "*", "column": "id", "new_column": "NUMBER"}],
    }
    filters = (
        rows_filter("shout"),
        number,
        rows_filter("only_large"),
        {"filter": "truncatetext", "length": 6},
    )
    (plan,) = plans(book, *filters)
    items, orders = write(book, plan, *filters).tables
    assert cells(book, items) == [["I", "1", "1", "i"]]
    assert cells(book, orders) == [
        ["I", "1", "10", "INSERT"],
        ["I", "2", "11", "\\N"],
        ["D", "3", "10", "UPDATE"],
        ["I", "4", "12", "UPDATE"],
        ["D", "5", "12", "DELETE"],
    ]
    assert [column.name for column in TableDefinition.from_json(orders.definition).columns] == [
        "NUMBER",
        "note",
    ]


_CALLED_IN: set[int] = set()


def notes_thread(change: Change) -> Change:
    _CALLED_IN.add(threading.get_ident())
    return change


def test_callables_are_called_in_one_thread_alone(book: Logbook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer.os, "sched_getaffinity", lambda _: range(4))
    everywhere = rows_filter("notes_thread") | {"tables": "*.*"}
    book.add(*[rows(replace(ORDERS, table=f"t{number}")) for number in range(50)])
    (plan,) = plans(book, everywhere)
    assert len(write(book, plan, everywhere).tables) == 50
    assert {threading.get_ident()} == _CALLED_IN


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("broken", r": \w+ at test_filters\.py:\d+$"),
        ("keeps_nothing", " gave other columns: none can come or go"),
        ("gives_numbers", " gave int for id, not a text or None"),
        ("gives_a_row", " gave dict, not a Change or None"),
        ("makes_a_row", " gave a row more or less: an image came or went"),
    ],
)
def test_a_callable_that_fails_is_named_with_table_and_seqno_and_without_the_row(
    book: Logbook, name: str, said: str
) -> None:
    book.add(rows(ORDERS, (1, "a")))
    (plan,) = plans(book, rows_filter(name))
    with pytest.raises(
        DataError, match=rf"shop\.orders, seqno 1: filter python failed: {HERE}\.{name}{said}"
    ) as caught:
        write(book, plan, rows_filter(name))
    assert "pepper" not in str(caught.value)


def keeps_nothing(change: Change) -> Change:
    return replace(change, after={})


def gives_a_row(change: Change) -> Any:
    return change.after


def makes_a_row(change: Change) -> Change:
    return replace(change, before=change.after)


def gives_numbers(change: Change) -> Change:
    return change.replace(id=7)  # type: ignore[arg-type]


def gives_half_a_pair(change: Change) -> Change:
    return change.replace(note="abc\ud83d")


def gives_no_hexadecimal(change: Change) -> Change:
    return change.replace(note="6162zz")


@pytest.mark.parametrize("in_pieces", [False, True])
@pytest.mark.parametrize(
    ("name", "table", "what"),
    [
        ("gives_half_a_pair", ORDERS, "text in UTF-8"),
        (
            "gives_no_hexadecimal",
            replace(ORDERS, columns=(ID, replace(NOTE, type="varbinary", charset=None))),
            "hexadecimal",
        ),
    ],
)
def test_a_text_that_is_no_value_of_its_column_is_refused(
    book: Logbook,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    table: TableDefinition,
    what: str,
    in_pieces: bool,
) -> None:
    if in_pieces:
        monkeypatch.setattr(filters_of_rows, "_LARGE", 2)
    book.add(rows(table, (1, "a")))
    (plan,) = plans(book, rows_filter(name))
    with pytest.raises(
        DataError, match=rf"shop\.orders\.note, seqno 1: filter python gave for it what is no {what}$"
    ):
        write(book, plan, rows_filter(name))


def test_a_callable_cannot_make_more_of_a_run_than_can_be_addressed(
    book: Logbook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filters_of_rows, "_MOST_BYTES", 32)
    book.add(rows(ORDERS, (10, "a")), rows(ORDERS, (11, "b")), rows(ORDERS, (12, "b")))
    (plan,) = plans(book, rows_filter("notes_thread"))
    with pytest.raises(DataError, match=r"shop\.orders, seqno 3: filter python made \d+ bytes of rows"):
        write(book, plan, rows_filter("notes_thread"))
