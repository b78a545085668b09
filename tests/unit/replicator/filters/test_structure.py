"""Filters of names, columns, keys and operations: what they make of a table's definition, in the order written."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_tungsten.replicator.binlog.definition import TableDefinition
from airflow_provider_tungsten.replicator.binlog.output import DropOnValue, HeaderValue
from airflow_provider_tungsten.replicator.errors import UnsupportedError
from airflow_provider_tungsten.replicator.filters.names import Names, matches
from tests.unit.replicator.filters.tables import CUSTOMERS, columns, filtered, number, parsed, text


def names(*filters: dict[str, Any]) -> Names:
    return Names(parsed(*filters))


def rename(*requests: tuple[str, ...]) -> dict[str, Any]:
    keys = ("schema", "table", "column", "new_schema", "new_table", "new_column")
    return {"filter": "rename", "definitions": [dict(zip(keys, each, strict=True)) for each in requests]}


def test_patterns_know_stars_and_question_marks_only() -> None:
    assert matches("o?d*", "orders")
    assert not matches("order", "orders")
    assert not matches("[o]rders", "orders")
    assert matches("a.b", "a.b")
    assert not matches("a.b", "axb")


def test_replicate_ignores_before_it_does() -> None:
    found = names({"filter": "replicate", "do": "shop,crm.cust*", "ignore": ["shop.log_?", "*.tmp"]})
    assert found.target("shop", "orders") == ("shop", "orders")
    assert found.target("shop", "log_1") is None
    assert found.target("shop", "tmp") is None
    assert found.target("crm", "customers") == ("crm", "customers")
    assert found.target("crm", "orders") is None
    assert names({"filter": "replicate", "ignore": "tmp"}).target("shop", "t") == ("shop", "t")


def test_statements_on_a_schema_that_is_not_replicated_touch_nothing() -> None:
    assert not names({"filter": "replicate", "ignore": "tmp"}).touches("tmp")
    assert not names({"filter": "replicate", "do": "shop"}).touches("tmp")
    assert names({"filter": "replicate", "do": "shop.a"}).touches("shop")
    assert names({"filter": "replicate", "ignore": "shop.a"}).touches("shop")


def test_replicate_behind_rename_sees_the_new_names() -> None:
    moved = rename(("shop", "*", "*", "store", "-", "-"))
    assert names(moved, {"filter": "replicate", "do": "store"}).target("shop", "t") == ("store", "t")
    assert names(moved, {"filter": "replicate", "do": "shop"}).target("shop", "t") is None


def test_rename_finds_tables_and_schemas_in_tungstens_order() -> None:
    found = names(
        rename(
            ("shop", "orders", "*", "one", "-", "-"),
            ("shop", "*", "*", "two", "-", "-"),
            ("*", "orders", "*", "-", "three", "-"),
            ("*", "items", "*", "-", "four", "-"),
        )
    )
    # s.t decides alone, and its - means: as it is.
    assert found.target("shop", "orders") == ("one", "orders")
    assert found.target("shop", "items") == ("two", "four")
    assert found.target("crm", "orders") == ("crm", "three")
    assert found.target("crm", "notes") == ("crm", "notes")


@pytest.mark.parametrize(
    ("places", "chosen"),
    [
        (("shop.customers", "shop.*", "*.customers", "*.*"), "shop.customers"),
        (("shop.*", "*.customers", "*.*"), "shop.*"),
        (("*.customers", "*.*"), "*.customers"),
        (("*.*",), "*.*"),
        (("shop.orders",), "name"),
    ],
)
def test_rename_finds_columns_in_tungstens_order(places: tuple[str, ...], chosen: str) -> None:
    requests = [(*place.split("."), "name", "-", "-", place) for place in reversed(places)]
    assert columns(filtered(rename(*requests)))[1] == chosen


def test_a_renamed_table_keeps_its_key_and_knows_where_it_comes_from() -> None:
    draft = filtered(
        rename(("shop", "customers", "*", "crm", "people", "-"), ("*", "*", "id", "-", "-", "number"))
    )
    definition = draft.definition()
    assert (definition.name, definition.primary_key) == ("crm.people", ("number",))
    assert definition.origin == ("shop", "customers")
    assert TableDefinition.from_json(definition.json) == definition
    assert CUSTOMERS.origin is None


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(
        UnsupportedError, match=r"shop.customers: .* one name to two columns, name and email: NAME"
    ):
        filtered(rename(("*", "*", "email", "-", "-", "NAME"))).definition()
    with pytest.raises(UnsupportedError, match="name and one that a filter adds"):
        filtered({"filter": "rowadddbname", "fieldname": "name"}).definition()


def test_casetransform_changes_every_name_and_later_filters_see_it() -> None:
    draft = filtered(
        {"filter": "casetransform", "to_upper_case": True},
        {
            "filter": "dropcolumn",
            "definitions": [{"schema": "SHOP", "table": "*", "columns": ["N*", "email"]}],
        },
    )
    assert draft.definition().name == "SHOP.CUSTOMERS"
    assert columns(draft) == ["ID", "EMAIL", "BORN", "KIND", "FLAGS", "PHOTO"]
    assert names({"filter": "casetransform", "to_upper_case": False}).target("Shop", "T") == ("shop", "t")


def test_dropped_columns_are_not_written_and_the_others_stay_in_order() -> None:
    draft = filtered({"filter": "replicatecolumns", "ignore": "*.*.photo,shop.customers.?a*"})
    assert columns(draft) == ["id", "email", "born", "kind", "flags"]
    assert [each.keep for each in draft.output().columns] == [True, False, True, True, True, True, False]


def test_replicatecolumns_do_holds_for_the_tables_that_it_names() -> None:
    only = {"filter": "replicatecolumns", "do": ["shop.customers.id", "shop.cust*.name"]}
    assert columns(filtered(only)) == ["id", "name"]
    assert columns(filtered(only, table=TableDefinition("shop", "x", (text("a"),)))) == ["a"]


def test_a_key_that_loses_a_column_is_no_key_until_there_is_another() -> None:
    drop = {"filter": "dropcolumn", "definitions": [{"schema": "*", "table": "*", "columns": ["id"]}]}
    draft = filtered(drop)
    assert (draft.key, draft.lost_key) == ([], ["id"])
    key = {
        "filter": "custompkey",
        "definitions": [{"schema": "shop", "table": "customers", "columns": "email"}],
    }
    assert filtered(drop, key).definition().primary_key == ("email",)


def test_custompkey_must_name_columns_that_are_there() -> None:
    key = {
        "filter": "custompkey",
        "definitions": [{"schema": "shop", "table": "customers", "columns": "email,nix"}],
    }
    with pytest.raises(
        UnsupportedError, match="custompkey names nix, which shop.customers does not have there; it has: id,"
    ):
        filtered(key)


def test_custompkey_takes_of_added_columns_what_tells_rows_apart() -> None:
    def key(columns: str) -> dict[str, Any]:
        entry = {"schema": "shop", "table": "customers", "columns": columns}
        return {"filter": "custompkey", "definitions": [entry]}

    name, cdc = {"filter": "rowadddbname", "addkey": False}, {"filter": "customcdc"}
    assert filtered(name, key("dbname,email")).definition().primary_key == ("dbname", "email")
    with pytest.raises(UnsupportedError, match="names dbname alone, which is one value for all rows"):
        filtered(name, key("dbname"))
    with pytest.raises(UnsupportedError, match="names CDC_SEQUENCE_NUMBER, which another filter fills anew"):
        filtered(cdc, key("id,CDC_SEQUENCE_NUMBER"))


@pytest.mark.parametrize(
    "later",
    [
        {"filter": "mask", "columns": "shop.customers.dbname", "to_null": True},
        {"filter": "cast", "columns": "*.*.dbname_hash", "type": "varchar(10)"},
        {"filter": "truncatetext", "columns": "*.*.dbname", "length": 3},
        {"filter": "replicatecolumns", "ignore": "shop.customers.dbname"},
        {
            "filter": "droponvalue",
            "definitions": [{"schema": "*", "table": "*", "column": "dbname", "values": ["shop"]}],
        },
    ],
)
def test_a_filter_that_names_an_added_column_is_refused_and_one_that_means_all_is_not(
    later: dict[str, Any],
) -> None:
    added = {"filter": "rowadddbname"}
    with pytest.raises(
        UnsupportedError, match="shop.customers: a filter names dbname.*, which another one adds"
    ):
        filtered(added, later)
    filtered(added, {"filter": "truncatetext", "length": 3})
    kept = {"filter": "replicatecolumns", "do": "shop.customers.id,shop.customers.dbname"}
    assert columns(filtered(added, kept)) == ["id", "dbname", "dbname_hash"]


def test_skipeventbytype_takes_the_tables_word_before_the_default() -> None:
    verdicts = {"shop": {"customers": {"DELETE": "deny", "INSERT": "allow"}}}
    draft = filtered({"filter": "skipeventbytype", "__default": {"INSERT": "deny"}, "definitions": verdicts})
    assert draft.output().skip == {"delete"}
    assert filtered({"filter": "skipeventbytype", "__default": "deny"}).output().skip == {
        "insert",
        "update",
        "delete",
    }
    assert filtered({"filter": "skipeventbytype"}).output().skip == set()


def test_droponvalue_reads_the_logged_value() -> None:
    drop = {
        "filter": "droponvalue",
        "definitions": [{"schema": "*", "table": "*", "column": "name", "values": ["x", ""]}],
    }
    assert filtered(drop).output().rules == (DropOnValue(1, ("x", "")),)
    with pytest.raises(UnsupportedError, match="put droponvalue in front"):
        filtered({"filter": "mask", "columns": "*.*.name", "to_null": True}, drop)


def test_rowadddbname_adds_the_sources_schema_to_columns_and_key() -> None:
    draft = filtered(rename(("shop", "*", "*", "all", "-", "-")), {"filter": "rowadddbname"})
    definition = draft.definition()
    assert definition.primary_key == ("id", "dbname")
    assert [column.name for column in definition.columns][-2:] == ["dbname", "dbname_hash"]
    assert draft.output().back == ("shop", "2892647586")
    bare = filtered({"filter": "rowadddbname", "addkey": False, "adddbhash": False, "fieldname": "db"})
    assert (bare.definition().primary_key, columns(bare)[-1], bare.output().back) == (
        ("id",),
        "db",
        ("shop",),
    )
    assert filtered({"filter": "rowadddbname", "tables": "crm"}).output().back == ()


def test_customcdc_adds_its_columns_behind_or_in_front() -> None:
    added = [HeaderValue.OPERATION, HeaderValue.COMMIT_TIMESTAMP, HeaderValue.SEQNO]
    behind = filtered({"filter": "customcdc"})
    assert columns(behind)[-3:] == ["CDC_OP_TYPE", "CDC_TIMESTAMP", "CDC_SEQUENCE_NUMBER"]
    assert list(behind.output().back) == added
    front = filtered({"filter": "customcdc", "cdc_columns_at_front": True, "op_type": "op"})
    assert (columns(front)[0], list(front.output().front), front.output().back) == ("op", added, ())


def test_a_table_without_any_filter_is_as_it_was() -> None:
    draft = filtered(
        {"filter": "nocreatedbifnotexists"}, {"filter": "enumtostring"}, {"filter": "settostring"}
    )
    assert draft.definition() == CUSTOMERS
    assert all(each.keep and not each.transforms for each in draft.output().columns)


def test_no_column_left_is_refused() -> None:
    table = TableDefinition("a", "b", (number("x"),))
    with pytest.raises(UnsupportedError, match="leave no column of it"):
        filtered({"filter": "replicatecolumns", "ignore": "a.b.*"}, table=table).definition()
