"""Definitions on their way through the log."""

from __future__ import annotations

from airflow_provider_tungsten.replicator.binlog.definition import Column, TableDefinition

TABLE = TableDefinition(
    "shop",
    "orders",
    (
        Column("id", "int", 3, nullable=False),
        Column("line", "int", 3),
        Column("kind", "enum", 247, members=("ä", "b")),
    ),
    ("id", "line"),
)


def test_a_definition_is_read_back_from_its_text() -> None:
    assert TableDefinition.from_json(TABLE.json) == TABLE


def test_a_key_that_loses_a_column_is_no_key_any_more() -> None:
    left = TABLE.without({"line"})
    assert ([column.name for column in left.columns], left.primary_key) == (["id", "kind"], ())
    assert TABLE.without({"kind"}).primary_key == ("id", "line")
