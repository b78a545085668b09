"""The README's table of column types against the code: every supported type, its text, its type in Redshift."""

from __future__ import annotations

import inspect
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_tungsten.replicator.binlog import charsets
from airflow_provider_tungsten.replicator.binlog.constants import ColumnType
from airflow_provider_tungsten.replicator.binlog.definition import Column
from airflow_provider_tungsten.replicator.binlog.dialect import Dialect
from airflow_provider_tungsten.replicator.binlog.rows import SUPPORTED_TYPES, CsvEncoder
from airflow_provider_tungsten.replicator.redshift.types import redshift_type
from airflow_provider_tungsten.replicator.source import mariadb, server
from tests.unit.replicator.binlog.test_rows import csv, image, number, table
from tests.unit.replicator.binlog.witnesses import WITNESSES

README = (Path(__file__).parents[4] / "README.md").read_text()


def _documented() -> dict[str, tuple[str, str, str]]:
    """Type → the cells of its text, of its type in Redshift, and of the remarks."""
    section = README.split("## Values\n")[1].split("\n## ")[0]
    cells = [line.strip("|").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    return {kind: (row[1], row[2], row[3]) for row in cells for kind in re.findall(r"`(\w+)`", row[0])}


DOCUMENTED = _documented()


def test_the_readme_names_what_is_supported() -> None:
    assert DOCUMENTED.keys() == SUPPORTED_TYPES == WITNESSES.keys()
    assert not SUPPORTED_TYPES & {"uuid", "inet4", "inet6"}


@pytest.mark.parametrize("kind", sorted(WITNESSES))
def test_the_readme_shows_the_types_text_and_place(kind: str) -> None:
    column, value = WITNESSES[kind]
    shown, place, _ = DOCUMENTED[kind]
    line = csv(
        table(Column("id", "int", ColumnType.LONG), column),
        image(number(1), value),
        dialect=Dialect("|", quote="'", escape="'"),
    )
    assert shown.strip("` ") == line.removeprefix("1|").removesuffix("\n")
    assert place.strip("` ") == redshift_type(column, "shop.t").sql


@pytest.mark.parametrize(
    ("kind", "changes", "remark", "place"),
    [
        ("smallint", {"unsigned": True}, "unsigned: `INTEGER`", "INTEGER"),
        ("int", {"unsigned": True}, "unsigned: `BIGINT`", "BIGINT"),
        ("bigint", {"unsigned": False}, "signed: `BIGINT`", "BIGINT"),
        ("bit", {"length": 1}, "BIT(1): `BOOLEAN`", "BOOLEAN"),
        ("bit", {"length": 64}, "BIT(64): `DECIMAL(20, 0)`", "DECIMAL(20, 0)"),
        ("decimal", {"length": 39, "scale": 2}, "more than 38 digits", "VARCHAR(42)"),
        ("decimal", {"length": 38, "scale": 38}, "37 behind the point: `VARCHAR(p + 3)`", "VARCHAR(41)"),
    ],
)
def test_the_readme_s_remarks_on_places_are_true(
    kind: str, changes: dict[str, Any], remark: str, place: str
) -> None:
    column, _ = WITNESSES[kind]
    assert remark in DOCUMENTED[kind][2]
    assert redshift_type(replace(column, **changes), "shop.t").sql == place


def test_the_readme_s_numbers_are_the_code_s() -> None:
    limits = {
        name: parameter.default
        for name, parameter in inspect.signature(CsvEncoder.__init__).parameters.items()
    }
    assert f"any of the {len(charsets.SUPPORTED - {'utf8'})} character sets" in DOCUMENTED["char"][2]
    assert f"{limits['max_geometry_bytes']:,} bytes at most" in DOCUMENTED["geometry"][2]
    assert f"{limits['max_binary_bytes'] >> 20} MiB at most" in DOCUMENTED["blob"][2]
    assert DOCUMENTED["text"][1].strip("` ") == f"VARCHAR({limits['max_text_bytes']})"
    oldest = [".".join(map(str, version[:2])) for version in (server._OLDEST, mariadb.OLDEST)]
    assert "Servers: MySQL {} and newer, MariaDB {} and newer".format(*oldest) in README
