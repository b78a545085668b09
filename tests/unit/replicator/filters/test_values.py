"""Filters of values: the type that a column gets, the order, and what is refused. The bytes are `binlog`'s tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_tungsten.replicator.binlog.definition import Column
from airflow_provider_tungsten.replicator.binlog.rows import CsvEncoder
from airflow_provider_tungsten.replicator.errors import ConfigurationError, UnsupportedError
from airflow_provider_tungsten.replicator.filters import pipeline
from airflow_provider_tungsten.replicator.filters.draft import Draft
from airflow_provider_tungsten.replicator.filters.python import Change
from airflow_provider_tungsten.replicator.redshift.types import redshift_type
from tests.unit.replicator.filters.tables import CUSTOMERS, filtered, parsed

SALT = "0123456789abcdef"


def mask(columns: str, **how: Any) -> dict[str, Any]:
    return {"filter": "mask", "columns": columns, **how}


def kinds(draft: Draft, name: str) -> list[str]:
    found = draft.named(name)
    assert found is not None
    return [each.kind for each in found.transforms]


def sql_type(draft: Draft, name: str) -> str:
    found = draft.named(name)
    assert found is not None
    return redshift_type(found.column, "t").sql


@pytest.mark.parametrize(
    ("each", "column", "type_"),
    [
        (mask("*.*.email", to_null=True), "email", "VARCHAR(400)"),
        (mask("*.*.email", constant="x"), "email", "VARCHAR(400)"),
        (mask("*.*.name", constant="x" * 30), "name", "VARCHAR(120)"),
        (mask("*.*.born", constant="1970"), "born", "VARCHAR(16)"),
        (mask("*.*.email", keep_last=4), "email", "VARCHAR(16)"),
        (mask("*.*.born", keep_last=4), "born", "VARCHAR(4)"),
        ({"filter": "enumtostring", "keep_numbers": True}, "kind", "INTEGER"),
        ({"filter": "settostring", "keep_numbers": True}, "flags", "DECIMAL(20, 0)"),
        ({"filter": "zerodate2null"}, "born", "DATE"),
        ({"filter": "truncatetext", "length": 5}, "email", "VARCHAR(20)"),
        ({"filter": "truncatetext", "length": 500}, "email", "VARCHAR(400)"),
        ({"filter": "truncatetext", "length": 500, "unit": "bytes"}, "email", "VARCHAR(2000)"),
        ({"filter": "cast", "columns": "*.*.name", "type": "smallint"}, "name", "SMALLINT"),
        ({"filter": "cast", "columns": "*.*.name", "type": "int"}, "name", "INTEGER"),
        ({"filter": "cast", "columns": "*.*.name", "type": "BIGINT"}, "name", "BIGINT"),
        ({"filter": "cast", "columns": "*.*.name", "type": "decimal(10, 2)"}, "name", "DECIMAL(10, 2)"),
        ({"filter": "cast", "columns": "*.*.name", "type": "double"}, "name", "DOUBLE PRECISION"),
        ({"filter": "cast", "columns": "*.*.name", "type": "boolean"}, "name", "BOOLEAN"),
        ({"filter": "cast", "columns": "*.*.name", "type": "date"}, "name", "DATE"),
        ({"filter": "cast", "columns": "*.*.name", "type": "datetime(3)"}, "name", "TIMESTAMP"),
        ({"filter": "cast", "columns": "*.*.id", "type": "varchar(12)"}, "id", "VARCHAR(12)"),
    ],
)
def test_a_changed_column_gets_a_type_that_fits(each: dict[str, Any], column: str, type_: str) -> None:
    assert sql_type(filtered(each), column) == type_


@pytest.mark.parametrize(("charset", "type_"), [("ascii", "VARCHAR(8)"), ("utf8mb4", "VARCHAR(12)")])
def test_a_constant_beyond_the_columns_character_set_has_room(charset: str, type_: str) -> None:
    code = Column("code", "char", 254, length=3, charset=charset)
    draft = filtered(
        mask("*.*.code", constant="é😀"), table=replace(CUSTOMERS, columns=(code,), primary_key=())
    )
    assert sql_type(draft, "code") == type_


def test_values_go_through_the_filters_in_the_order_written() -> None:
    draft = filtered(
        mask("*.*.email", keep_last=9),
        {"filter": "cast", "columns": "*.*.email", "type": "bigint"},
        {"filter": "cast", "columns": "*.*.email", "type": "varchar(9)"},
    )
    assert kinds(draft, "email") == ["keep_last", "cast", "cast"]
    assert draft.definition().columns[2] == Column(
        "email", "varchar", 15, 9, charset="ascii", length=9, nullable=True
    )


@pytest.mark.parametrize(
    "each",
    [
        mask("*.*.id", to_null=True),
        mask("*.*.id", constant="1"),
        mask("*.*.id", keep_last=2),
    ],
)
def test_a_key_keeps_values_that_tell_rows_apart(each: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedError, match="of id, which is part of the key"):
        filtered(each).definition()


def test_a_key_may_be_hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SALT", SALT)
    draft = filtered(mask("*.*.id", sha256={"env": "SALT"}))
    assert draft.definition().primary_key == ("id",)
    assert sql_type(draft, "id") == "VARCHAR(64)"


def test_zerodate2null_and_truncatetext_leave_keys_alone() -> None:
    table = replace(CUSTOMERS, primary_key=("born", "name"))
    draft = filtered({"filter": "zerodate2null"}, {"filter": "truncatetext", "length": 3}, table=table)
    assert (kinds(draft, "born"), kinds(draft, "name"), kinds(draft, "email")) == ([], [], ["truncate"])


def test_a_salt_comes_from_the_environment_or_a_file_and_stays_out_of_sight(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SALT", SALT)
    file = tmp_path / "salt"
    file.write_text(SALT + "\n")
    from_env, from_file = (
        mask("*.*.email", sha256=place) for place in ({"env": "SALT"}, {"file": str(file)})
    )
    outputs = [filtered(each).output() for each in (from_env, from_file)]
    assert outputs[0] == outputs[1]
    assert SALT not in repr(outputs) + repr(parsed(from_env, from_file))
    prints = [pipeline.fingerprint(parsed(from_env))]
    monkeypatch.setenv("SALT", SALT[::-1])
    prints.append(pipeline.fingerprint(parsed(from_env)))
    assert prints[0] != prints[1]
    assert filtered(from_env).output() != outputs[0]


@pytest.mark.parametrize(
    ("value", "said"), [(None, "SALT, which holds the salt, is not set"), ("short", "shorter than 16 bytes")]
)
def test_a_salt_that_is_missing_or_short_stops(
    monkeypatch: pytest.MonkeyPatch, value: str | None, said: str
) -> None:
    monkeypatch.delenv("SALT", raising=False)
    if value is not None:
        monkeypatch.setenv("SALT", value)
    with pytest.raises(ConfigurationError, match=said) as caught:
        filtered(mask("*.*.email", sha256={"env": "SALT"}))
    assert value is None or value not in str(caught.value).replace("shorter", "")


def change(change: Change) -> Change | None:
    return change


def upper(text: str | None) -> str | None:
    return None if text is None else text.upper()


NOT_CALLABLE = 7
HERE = __name__


def test_a_python_filter_of_rows_sees_the_names_at_its_place() -> None:
    draft = filtered(
        {
            "filter": "dropcolumn",
            "definitions": [{"schema": "*", "table": "*", "columns": ["photo", "flags"]}],
        },
        {"filter": "casetransform"},
        {"filter": "python", "callable": f"{HERE}.change", "tables": "SHOP.C*"},
        {"filter": "casetransform", "to_upper_case": False},
    )
    (step,) = draft.rows
    assert (step.schema, step.table) == ("SHOP", "CUSTOMERS")
    assert step.columns == ((0, "ID"), (1, "NAME"), (2, "EMAIL"), (3, "BORN"), (4, "KIND"))


def test_a_python_filter_of_values_is_one_step_of_a_column() -> None:
    draft = filtered({"filter": "python", "callable": f"{HERE}.upper", "columns": "*.*.name,*.*.email"})
    assert (kinds(draft, "name"), kinds(draft, "email"), draft.rows) == (["python"], ["python"], [])


@pytest.mark.parametrize(
    "before",
    [
        mask("*.*.email", to_null=True),
        {
            "filter": "droponvalue",
            "definitions": [{"schema": "*", "table": "*", "column": "id", "values": ["1"]}],
        },
    ],
)
def test_a_python_filter_of_rows_stands_in_front_of_those_that_change_values(before: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedError, match="put it in front of that"):
        filtered(before, {"filter": "python", "callable": f"{HERE}.change", "tables": "*.*"})


@pytest.mark.parametrize("name", ["nowhere.at_all", f"{HERE}.missing", f"{HERE}.NOT_CALLABLE"])
def test_what_cannot_be_imported_or_called_stops(name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        filtered({"filter": "python", "callable": name, "tables": "*.*"})


@pytest.mark.parametrize(
    "each", [{"filter": "zerodate2null"}, {"filter": "enumtostring", "keep_numbers": True}]
)
def test_filters_that_read_the_log_stand_in_front_of_those_that_change_values(each: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedError, match="put it in front"):
        filtered(mask("*.*.born,*.*.kind", keep_last=3), {**each, "columns": "*.*.born,*.*.kind"})


@pytest.mark.parametrize(
    ("column", "labels", "left"),
    [
        ("kind", ["b", "1"], ["0,0", "1,1", "3,3"]),
        ("kind", [""], ["1,1", "2,2"]),
        ("flags", ["x,y", "y,x", "2"], ["0,0", "1,1", "2,2"]),
        ("flags", [""], ["1,1", "2,2", "3,3"]),
    ],
)
def test_droponvalue_knows_labels_of_columns_that_become_numbers(
    column: str, labels: list[str], left: list[str]
) -> None:
    kind = Column("kind", "enum", 247, 256, charset="utf8mb4", members=("a", "b", ""))
    flags = Column("flags", "set", 248, 256, charset="utf8mb4", members=("x", "y"))
    table = replace(CUSTOMERS, columns=(kind, flags), primary_key=())
    drop = {"schema": "*", "table": "*", "column": column, "values": labels}
    draft = filtered(
        {"filter": "droponvalue", "definitions": [drop]},
        {"filter": "enumtostring", "keep_numbers": True},
        {"filter": "settostring", "keep_numbers": True},
        table=table,
    )
    encoder = CsvEncoder(table, ["opcode"], output=draft.output())
    images = b"".join(bytes((0, number, number)) for number in range(4))
    lines = bytes(encoder.encode(images, "insert", seqno=1, row_id=1, commit_ts=0).csv).decode().splitlines()
    assert lines == [f"I,{numbers}" for numbers in left]
