"""`tungsten thl export`: files of the right shape and types, whole or not at all."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from airflow_provider_tungsten.replicator.binlog.definition import Column, TableDefinition
from airflow_provider_tungsten.replicator.cli import values
from airflow_provider_tungsten.replicator.cli.output import NEEDS_A_PERSON, NOBODY_READS, WRONG_ARGUMENTS
from airflow_provider_tungsten.replicator.thl.event import Kind
from tests.unit.replicator.batch.logs import ITEMS, ORDERS, WIDER, Logbook, rows, statement
from tests.unit.replicator.cli.commands import Shop, objects

DAYS = TableDefinition("shop", "days", (Column("day", "date", 10), *ORDERS.columns))


@pytest.fixture
def changes(book: Logbook) -> Logbook:
    update = rows(ORDERS, (1, "a"), (1, "é"), kind=Kind.UPDATE)
    delete = rows(ORDERS, (2, None), kind=Kind.DELETE)
    book.add([rows(ORDERS, (1, "a"), (2, None)), update], statement("alter"), [rows(ITEMS, (7, "x")), delete])
    return book


def table(path: Path) -> list[dict[str, Any]]:
    with pa.OSFile(str(path)) as file:
        return pa.ipc.open_file(file).read_all().to_pylist()  # type: ignore[no-any-return]


def test_one_table_has_its_own_columns(changes: Logbook, shop: Shop, tmp_path: Path) -> None:
    path = tmp_path / "orders.arrow"
    assert shop("export", "--table", "shop.orders", "--to", path).stdout.splitlines()[1].split() == [
        str(path),
        "5",
    ]
    found = table(path)
    assert [(row["tungsten_opcode"], row["tungsten_seqno"], row["id"], row["note"]) for row in found] == [
        ("I", 1, 1, "a"),
        ("I", 1, 2, None),
        ("UD", 1, 1, "a"),
        ("UI", 1, 1, "é"),
        ("D", 3, 2, None),
    ]
    assert found[0]["tungsten_commit_timestamp"] == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert found[0]["tungsten_event_id"] == "bin.000001:0000000000000101;-1"


def test_without_a_table_all_events_are_in_one_form(changes: Logbook, shop: Shop, tmp_path: Path) -> None:
    lines = objects(shop("export", "-low", 1))
    assert [
        (line["seqno"], line["fragno"], line["row"], line["kind"], line["table_name"]) for line in lines
    ] == [
        (1, 0, 0, "insert", "orders"),
        (1, 0, 1, "insert", "orders"),
        (1, 1, 0, "update", "orders"),
        (2, 0, 0, "ddl", "orders"),
        (3, 0, 0, "insert", "items"),
        (3, 1, 0, "delete", "orders"),
    ]
    assert (lines[2]["key"], lines[2]["values"]) == ({"id": "1", "note": "a"}, {"id": "1", "note": "é"})
    assert lines[3]["statement"] == "a statement"
    [result] = objects(shop("export", "-low", 1, "--to", tmp_path / "all.arrow", "--json"))
    assert result == {"records": 6, "files": {str(tmp_path / "all.arrow"): 6}}
    arrow = table(tmp_path / "all.arrow")
    assert [dict(row["values"] or ()) or None for row in arrow] == [line["values"] for line in lines]


def test_a_folder_takes_a_file_a_table_and_another_where_its_columns_change(
    changes: Logbook, shop: Shop, tmp_path: Path
) -> None:
    wider = rows(WIDER) | {"payload": b"\x04" + (5).to_bytes(4, "little") + (1).to_bytes(2, "little") + b"z"}
    changes.add(wider)
    folder = tmp_path / "tables"
    result = shop("export", "--to", f"{folder}/", "--format", "arrow")
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in folder.iterdir()) == [
        "shop.items.arrow",
        "shop.orders.2.arrow",
        "shop.orders.arrow",
    ]
    assert table(folder / "shop.orders.2.arrow")[0]["more"] is None
    assert [row["note"] for row in table(folder / "shop.items.arrow")] == ["x"]
    result = shop("export", "--table", "shop.orders", "--to", tmp_path / "one.arrow")
    assert result.exit_code == NEEDS_A_PERSON
    assert "the columns of shop.orders change at seqno 4" in result.stderr
    assert not list(tmp_path.glob("one.arrow*"))
    lines = objects(shop("export", "--table", "shop.orders", "-low", 3))
    assert [line.get("more", "no such column") for line in lines] == ["no such column", None]


def test_a_value_that_arrow_does_not_have_is_named_and_no_file_is_left(
    book: Logbook, shop: Shop, tmp_path: Path
) -> None:
    payload = b"\x00" + bytes(3) + (1).to_bytes(4, "little") + (1).to_bytes(2, "little") + b"a"
    book.add(rows(ORDERS), rows(DAYS) | {"payload": payload})
    result = shop("export", "--to", f"{tmp_path / 'tables'}/", "--format", "arrow")
    assert result.exit_code == NEEDS_A_PERSON
    assert "shop.days.day holds at seqno 2 what Arrow's date32[day] does not have" in result.stderr
    assert not list((tmp_path / "tables").iterdir())
    [line] = objects(shop("export", "--table", "shop.days"))
    assert line["day"] == "0000-00-00"


def test_tables_that_are_not_there_are_said(changes: Logbook, shop: Shop, tmp_path: Path) -> None:
    result = shop("export", "--table", "shop.nope", "--to", tmp_path / "nope.arrow")
    assert result.exit_code == 0
    assert "have no row of shop.nope" in result.stderr
    assert not (tmp_path / "nope.arrow").exists()
    assert "have no row" not in shop("export", "--table", "shop.orders").stderr
    for wrong in ("nope", "nope.", ".nope"):
        result = shop("export", "--table", wrong)
        assert (result.exit_code, result.stdout) == (WRONG_ARGUMENTS, "")
        assert f"--table {wrong}: write schema.table" in result.stderr


def test_standard_output_is_a_stream(changes: Logbook, shop: Shop) -> None:
    with shop.start("export", "--format", "arrow", "--table", "shop.orders") as process:
        assert process.stdout is not None
        assert pa.ipc.open_stream(process.stdout.read()).read_all().num_rows == 5
    assert process.returncode == 0


def test_a_reader_that_goes_away_is_no_error(book: Logbook, shop: Shop) -> None:
    book.add([rows(ORDERS, *((number, "x" * 200) for number in range(20_000)))])
    with shop.start("export", "--format", "arrow") as process:
        assert process.stdout is not None
        process.stdout.read(8)
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == NOBODY_READS


def test_a_place_that_cannot_be_written_is_said(changes: Logbook, shop: Shop, tmp_path: Path) -> None:
    result = shop("export", "--to", tmp_path / "no" / "folder.arrow")
    assert result.exit_code == NEEDS_A_PERSON
    assert "folder.arrow: No such file or directory" in result.stderr
    (tmp_path / "file").write_bytes(b"")
    assert shop("export", "--to", f"{tmp_path}/file/").exit_code == WRONG_ARGUMENTS


@pytest.mark.parametrize(
    ("column", "text", "arrow", "plain"),
    [
        (Column("c", "tinyint", 1), "-128", -128, -128),
        (Column("c", "bigint", 8, unsigned=True), "18446744073709551615", 2**64 - 1, 2**64 - 1),
        (Column("c", "mediumint", 9, unsigned=True), "16777215", 16777215, 16777215),
        (Column("c", "bit", 16), "5", 5, 5),
        (Column("c", "year", 13), "0000", 0, 0),
        (Column("c", "double", 5), "1.7976931348623157e308", 1.7976931348623157e308, 1.7976931348623157e308),
        (Column("c", "float", 4), "0.5", 0.5, 0.5),
        (Column("c", "date", 10), "9999-12-31", "9999-12-31", "9999-12-31"),
        (
            Column("c", "datetime", 18, scale=6),
            "2020-01-02 03:04:05.000001",
            "2020-01-02 03:04:05.000001",
            None,
        ),
        (Column("c", "timestamp", 17), "1970-01-01 00:00:01", "1970-01-01 00:00:01+00:00", None),
        (Column("c", "time", 19), "-838:59:59.000001", "-35 days, 1:00:00.999999", None),
        (Column("c", "decimal", 246, length=65, scale=30), "-0." + "0" * 29 + "1", "-1E-30", None),
        (Column("c", "varbinary", 15), "00ff", b"\x00\xff", "00ff"),
        (Column("c", "point", 255), "0101", b"\x01\x01", "0101"),
        (Column("c", "vector", 242), "[0.5,-1]", [0.5, -1.0], "[0.5,-1]"),
        (Column("c", "json", 245), '{"a": 1}', '{"a": 1}', '{"a": 1}'),
        (Column("c", "set", 248, members=("a", "b")), "a,b", "a,b", "a,b"),
    ],
    ids=lambda value: value.type if isinstance(value, Column) else None,
)
def test_values_have_their_types(column: Column, text: str, arrow: object, plain: object) -> None:
    array = values.to_arrow(column, [text, None])
    assert array.type == values.arrow_type(column)
    found, null = array.to_pylist()
    assert null is None
    assert found == arrow or str(found) == arrow
    assert json.loads(json.dumps(values.plain(column, text))) == (text if plain is None else plain)
