"""Tables and filters for the tests of this room, in a line each."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from airflow_provider_tungsten.replicator.binlog.definition import Column, TableDefinition
from airflow_provider_tungsten.replicator.filters import files, pipeline
from airflow_provider_tungsten.replicator.filters.draft import Draft
from airflow_provider_tungsten.replicator.filters.settings import Filters

_ADAPTER: TypeAdapter[Filters] = TypeAdapter(Filters)


def text(name: str, length: int = 20, **more: Any) -> Column:
    return Column(name, "varchar", 15, 4 * length, charset="utf8mb4", length=length, **more)


def number(name: str, **more: Any) -> Column:
    return Column(name, "int", 3, **more)


CUSTOMERS = TableDefinition(
    "shop",
    "customers",
    (
        number("id", nullable=False),
        text("name"),
        text("email", 100),
        Column("born", "date", 10),
        Column("kind", "enum", 247, 256, charset="utf8mb4", members=("a", "b")),
        Column("flags", "set", 248, 256, charset="utf8mb4", members=("x", "y")),
        Column("photo", "blob", 252, 2, length=65535),
    ),
    ("id",),
)


def parsed(*filters: dict[str, Any]) -> Filters:
    return files.complete(_ADAPTER.validate_python(filters))


def filtered(*filters: dict[str, Any], table: TableDefinition = CUSTOMERS) -> Draft:
    return pipeline.apply(parsed(*filters), table)


def columns(draft: Draft) -> list[str]:
    return [column.name for column in draft.definition().columns]
