"""Tables and columns by pattern."""

from __future__ import annotations

import pytest

from airflow_provider_tungsten.replicator.filters.tables import TableFilter


def test_exclude_wins_over_include_and_mysqls_own_schemas_never_take_part() -> None:
    rules = TableFilter(["shop.*", "crm.customer?"], ["*.tmp_*"])
    assert rules.includes("shop", "orders")
    assert rules.includes("crm", "customers")
    assert not rules.includes("crm", "customer")
    assert not rules.includes("shop", "tmp_1")
    assert not rules.includes("Shop", "orders")
    assert not TableFilter().includes("mysql", "user")


def test_columns_are_excluded_by_their_full_name() -> None:
    rules = TableFilter(exclude_columns=["shop.*.card", "*.*.secret_*"])
    assert rules.excluded_columns("shop", "orders", ["id", "card", "secret_1"]) == {"card", "secret_1"}
    assert rules.excluded_columns("crm", "orders", ["id", "card"]) == set()


@pytest.mark.parametrize(
    ("include", "exclude", "schema", "touched"),
    [
        (["shop.orders"], [], "shop", True),
        (["sh*.orders"], [], "shop", True),
        (["crm.*"], [], "shop", False),
        (["*.*"], ["shop.*"], "shop", False),
        (["*.*"], ["shop.orders"], "shop", True),
        (["*.*"], [], "sys", False),
        (["shop.*"], [], "", True),
        (["a.b.*"], [], "a.b", True),
    ],
)
def test_a_statement_on_a_whole_schema_touches_whoever_takes_a_table_of_it(
    include: list[str], exclude: list[str], schema: str, touched: bool
) -> None:
    assert TableFilter(include, exclude).touches(schema, "") is touched


def test_a_statement_on_a_table_touches_it_when_it_is_included() -> None:
    rules = TableFilter(["shop.*"], ["shop.tmp"])
    assert rules.touches("shop", "orders")
    assert not rules.touches("shop", "tmp")
