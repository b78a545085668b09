"""The README's table of column types against the code: every supported type, its text, its type in Redshift."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from airflow_provider_tungsten.replicator.binlog.constants import ColumnType
from airflow_provider_tungsten.replicator.binlog.definition import Column
from airflow_provider_tungsten.replicator.binlog.dialect import Dialect
from airflow_provider_tungsten.replicator.binlog.rows import SUPPORTED_TYPES
from airflow_provider_tungsten.replicator.redshift.types import redshift_type
from tests.unit.replicator.binlog.test_rows import csv, image, number, table
from tests.unit.replicator.binlog.witnesses import WITNESSES

README = (Path(__file__).parents[4] / "README.md").read_text()


def _documented() -> dict[str, tuple[str, str]]:
    """Type → the cells of its text and of its type in Redshift."""
    section = README.split("## Values\n")[1].split("\n## ")[0]
    cells = [line.strip("|").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    return {kind: (row[1], row[2]) for row in cells for kind in re.findall(r"`(\w+)`", row[0])}


DOCUMENTED = _documented()


def test_the_readme_names_what_is_supported() -> None:
    assert DOCUMENTED.keys() == SUPPORTED_TYPES == WITNESSES.keys()
    assert not SUPPORTED_TYPES & {"uuid", "inet4", "inet6"}


@pytest.mark.parametrize("kind", sorted(WITNESSES))
def test_the_readme_shows_the_types_text_and_place(kind: str) -> None:
    column, value = WITNESSES[kind]
    shown, place = DOCUMENTED[kind]
    line = csv(
        table(Column("id", "int", ColumnType.LONG), column),
        image(number(1), value),
        dialect=Dialect("|", quote="'", escape="'"),
    )
    assert shown.strip("` ") == line.removeprefix("1|").removesuffix("\n")
    assert place.strip("` ") == redshift_type(column, "shop.t").sql
