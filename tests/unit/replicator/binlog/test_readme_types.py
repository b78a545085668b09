"""The README's table of column types against the code: every supported type, its text, its type in Redshift."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from airflow_provider_tungsten.replicator.binlog.constants import ColumnType
from airflow_provider_tungsten.replicator.binlog.definition import Column
from airflow_provider_tungsten.replicator.binlog.rows import SUPPORTED_TYPES
from airflow_provider_tungsten.replicator.redshift.types import redshift_type
from tests.unit.replicator.binlog.test_rows import csv, image, long, number, short, table, text

README = (Path(__file__).parents[4] / "README.md").read_text()
UTF8 = {"charset": "utf8mb4", "length": 10}
POINT = struct.pack("<IBIdd", 4326, 1, 1, 1, 2)

# For each type a column and a value as it stands in a row image.
WITNESSES = {
    "tinyint": (Column("c", "tinyint", ColumnType.TINY), b"\x80"),
    "smallint": (Column("c", "smallint", ColumnType.SHORT), b"\0\x80"),
    "mediumint": (Column("c", "mediumint", ColumnType.INT24), b"\0\0\x80"),
    "int": (Column("c", "int", ColumnType.LONG), b"\0\0\0\x80"),
    "bigint": (Column("c", "bigint", ColumnType.LONGLONG, unsigned=True), b"\xff" * 8),
    "decimal": (
        Column("c", "decimal", ColumnType.NEWDECIMAL, 10 | 2 << 8, length=10, scale=2),
        b"\x7f\xff\xfb\x2d\xcd",
    ),
    "float": (Column("c", "float", ColumnType.FLOAT, 4), struct.pack("<f", 1.1)),
    "double": (Column("c", "double", ColumnType.DOUBLE, 8), struct.pack("<d", -0.1)),
    "bit": (Column("c", "bit", ColumnType.BIT, 3, length=3), b"\x05"),
    "year": (Column("c", "year", ColumnType.YEAR, unsigned=True), b"\x01"),
    "date": (Column("c", "date", ColumnType.DATE), (2024 << 9 | 2 << 5 | 29).to_bytes(3, "little")),
    "time": (Column("c", "time", ColumnType.TIME2, 6, scale=6), bytes.fromhex("4b9105000000")),
    "datetime": (
        Column("c", "datetime", ColumnType.DATETIME2, 6, scale=6),
        bytes.fromhex("99b2ba1083000004"),
    ),
    "timestamp": (Column("c", "timestamp", ColumnType.TIMESTAMP2, 1, scale=1), b"\0\0\0\x01\x32"),
    "char": (Column("c", "char", ColumnType.STRING, 0x28FE, **UTF8), short("café".encode())),
    "varchar": (Column("c", "varchar", ColumnType.VARCHAR, 40, **UTF8), short("café".encode())),
    "binary": (Column("c", "binary", ColumnType.STRING, 0x4FE, length=4), short(b"\0\xff")),
    "varbinary": (Column("c", "varbinary", ColumnType.VARCHAR, 4, length=4), short(b"\0\xff")),
    "enum": (Column("c", "enum", ColumnType.ENUM, 0x1F7, charset="utf8mb4", members=("a", "b")), b"\x02"),
    "set": (Column("c", "set", ColumnType.SET, 0x1F8, charset="utf8mb4", members=("a", "b")), b"\x03"),
    "json": (
        Column("c", "json", ColumnType.JSON, 4),
        long(b"\0\x01\0\x14\0\x0b\0\x01\0\x0b\x0c\0a" + struct.pack("<d", 1)),
    ),
    "vector": (Column("c", "vector", ColumnType.VECTOR, 4, length=4), long(struct.pack("<2f", 1, -2.5))),
    **{
        kind: (
            Column(
                "c", kind, ColumnType.BLOB, 2, charset="utf8mb4", length=255 if kind == "tinytext" else 65535
            ),
            text("café"),
        )
        for kind in ("tinytext", "text", "mediumtext", "longtext")
    },
    **{
        kind: (Column("c", kind, ColumnType.BLOB, 2, length=255), text(b"\0\xff"))
        for kind in ("tinyblob", "blob", "mediumblob", "longblob")
    },
    **{
        kind: (Column("c", kind, ColumnType.GEOMETRY, 4), long(POINT))
        for kind in (
            "geometry",
            "point",
            "linestring",
            "polygon",
            "multipoint",
            "multilinestring",
            "multipolygon",
        )
        + ("geomcollection", "geometrycollection")
    },
}


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
        table(Column("id", "int", ColumnType.LONG), column), image(number(1), value), separator="|", quote="'"
    )
    assert shown.strip("` ") == line.removeprefix("1|").removesuffix("\n")
    assert place.strip("` ") == redshift_type(column, "shop.t").sql
