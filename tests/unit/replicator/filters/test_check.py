"""Filters held against the tables of a source: what is found, and what is only warned about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_tungsten.replicator.binlog.definition import TableDefinition
from airflow_provider_tungsten.replicator.filters.check import Chain, Examined, check
from airflow_provider_tungsten.replicator.filters.tables import TableFilter
from tests.unit.replicator.filters.tables import CUSTOMERS, number, parsed, text

ORDERS = TableDefinition("shop", "orders", (number("id"), text("note")), ("id",))
NOTES = TableDefinition("crm", "notes", (number("id"), text("note")))


def examined(
    *filters: dict[str, Any],
    tables: Sequence[TableDefinition] = (CUSTOMERS, ORDERS, NOTES),
    rules: TableFilter | None = None,
    unique: Any = None,
) -> Examined:
    places = tuple(f"filters.{place}" for place in range(len(filters)))
    chain = Chain(parsed(*filters), places, rules or TableFilter())
    return check([chain], tables, TableFilter(), unique or {})


def dropped(schema: str, table: str, *columns: str) -> dict[str, Any]:
    return {"filter": "dropcolumn", "definitions": [{"schema": schema, "table": table, "columns": columns}]}


def test_filters_that_fit_say_nothing() -> None:
    found = examined({"filter": "replicate", "do": "shop"}, dropped("shop", "customers", "photo"))
    assert (found.findings, found.warnings) == ([], [])


@pytest.mark.parametrize(
    ("each", "name"),
    [
        ({"filter": "replicate", "do": "shpo"}, "schema shpo"),
        ({"filter": "replicate", "ignore": "shop.custmers"}, "table shop.custmers"),
        (dropped("shop", "customers", "name", "e_mail"), "column shop.customers.e_mail"),
        ({"filter": "mask", "columns": "shop.orders.email", "to_null": True}, "column shop.orders.email"),
        ({"filter": "skipeventbytype", "definitions": {"shop": {"x": {"DELETE": "deny"}}}}, "table shop.x"),
        ({"filter": "rename", "definitions": [{"schema": "shpo", "new_schema": "a"}]}, "schema shpo"),
        (
            {"filter": "rename", "definitions": [{"schema": "shop", "table": "x", "new_table": "a"}]},
            "table shop.x",
        ),
        ({"filter": "python", "callable": "math.sqrt", "tables": "shop.x"}, "table shop.x"),
    ],
)
def test_a_name_that_is_nowhere_is_found(each: dict[str, Any], name: str) -> None:
    (finding,) = examined(each).findings
    assert finding.startswith(f"filters.0 ({each['filter']}): the source has no {name} at that place")


def test_all_findings_come_at_once_and_a_pattern_without_a_match_is_a_warning() -> None:
    found = examined(
        dropped("shop", "nix", "a"),
        {"filter": "mask", "columns": "*.*.ssn,shop.c*.name", "to_null": True},
        {"filter": "zerodate2null"},
        dropped("*", "*", "nix"),
    )
    assert [text.partition(":")[0] for text in found.findings] == ["filters.0 (dropcolumn)"]
    assert [text.partition(" (")[0] for text in found.warnings] == ["filters.1", "filters.3"]


def test_names_are_those_at_the_filters_place() -> None:
    moved = {"filter": "rename", "definitions": [{"schema": "shop", "new_schema": "store"}]}
    behind = examined(moved, dropped("store", "orders", "note"), dropped("store", "orders", "note"))
    assert [text.partition(" (")[0] for text in behind.findings] == ["filters.2"]
    assert examined(dropped("store", "orders", "note"), moved).findings != []


def test_two_tables_that_get_one_name_are_found() -> None:
    same = {"filter": "rename", "definitions": [{"schema": "*", "table": "orders", "new_table": "customers"}]}
    (finding,) = examined(same).findings
    assert "shop.customers and shop.orders both become shop.customers" in finding
    assert examined(same, rules=TableFilter(exclude=("shop.orders",))).findings == []


def test_what_cannot_be_applied_is_found_with_its_table() -> None:
    found = examined(
        {"filter": "mask", "columns": "*.*.id", "to_null": True}, dropped("shop", "orders", "id")
    )
    assert [text.partition(":")[0] for text in found.findings] == ["shop.customers", "shop.orders"]


def test_a_missing_file_or_salt_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SALT", raising=False)
    (finding,) = examined({"filter": "mask", "columns": "*.*.name", "sha256": {"env": "SALT"}}).findings
    assert "SALT, which holds the salt, is not set" in finding


def test_a_custom_key_is_a_key_and_one_that_is_not_unique_is_warned_about() -> None:
    key = {"filter": "custompkey", "definitions": [{"schema": "crm", "table": "notes", "columns": "note"}]}
    found = examined(key)
    assert ("crm", "notes") in found.keyed
    assert (
        "crm.notes: no unique index without NULL holds the key of filter custompkey (note)"
        in found.warnings[0]
    )
    assert examined(key, unique={("crm", "notes"): [("note",)]}).warnings == []
    assert ("crm", "notes") not in examined({"filter": "casetransform"}).keyed


def test_tables_that_the_source_keeps_out_are_not_filtered() -> None:
    hidden = replace(CUSTOMERS, schema="mysql")
    mask = {"filter": "mask", "columns": "*.*.id", "to_null": True}
    assert examined(mask, tables=[hidden]).findings == []
