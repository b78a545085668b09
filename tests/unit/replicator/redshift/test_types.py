"""Which Redshift type holds a MySQL column, and which other type would do."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_tungsten.replicator.binlog.definition import Column
from airflow_provider_tungsten.replicator.errors import UnsupportedError
from airflow_provider_tungsten.replicator.redshift.types import RedshiftType, catalog_type, redshift_type


def sql(kind: str, **arguments: Any) -> str:
    return redshift_type(Column("c", kind, 0, **arguments), "shop.t").sql


@pytest.mark.parametrize(
    ("kind", "arguments", "expected"),
    [
        ("tinyint", {}, "SMALLINT"),
        ("tinyint", {"unsigned": True}, "SMALLINT"),
        ("smallint", {}, "SMALLINT"),
        ("smallint", {"unsigned": True}, "INTEGER"),
        ("mediumint", {"unsigned": True}, "INTEGER"),
        ("int", {}, "INTEGER"),
        ("int", {"unsigned": True}, "BIGINT"),
        ("bigint", {}, "BIGINT"),
        ("bigint", {"unsigned": True}, "DECIMAL(20, 0)"),
        ("decimal", {"length": 38, "scale": 30}, "DECIMAL(38, 30)"),
        ("decimal", {"length": 39, "scale": 2}, "VARCHAR(42)"),
        ("decimal", {"length": 65, "scale": 30}, "VARCHAR(68)"),
        ("decimal", {"length": 10}, "DECIMAL(10, 0)"),
        ("float", {}, "REAL"),
        ("double", {}, "DOUBLE PRECISION"),
        ("bit", {"length": 1}, "BOOLEAN"),
        ("bit", {"length": 2}, "BIGINT"),
        ("bit", {"length": 63}, "BIGINT"),
        ("bit", {"length": 64}, "DECIMAL(20, 0)"),
        ("year", {}, "SMALLINT"),
        ("date", {}, "DATE"),
        ("time", {"scale": 6}, "VARCHAR(18)"),
        ("datetime", {"scale": 6}, "TIMESTAMP"),
        ("timestamp", {}, "TIMESTAMP"),
        ("varchar", {"length": 10, "charset": "ascii"}, "VARCHAR(10)"),
        ("varchar", {"length": 10, "charset": "latin1"}, "VARCHAR(30)"),
        ("varchar", {"length": 10, "charset": "utf8mb3"}, "VARCHAR(30)"),
        ("varchar", {"length": 10, "charset": "utf8mb4"}, "VARCHAR(40)"),
        ("varchar", {"length": 16383, "charset": "utf8mb4"}, "VARCHAR(65532)"),
        ("varchar", {"length": 65532, "charset": "latin1"}, "VARCHAR(65535)"),
        ("char", {"length": 255, "charset": "utf8mb4"}, "VARCHAR(1020)"),
        ("char", {"length": 0, "charset": "utf8mb4"}, "VARCHAR(1)"),
        ("tinytext", {"length": 255, "charset": "utf8mb4"}, "VARCHAR(1020)"),
        ("text", {"length": 65535, "charset": "latin1"}, "VARCHAR(65535)"),
        ("longtext", {"length": 2**32 - 1, "charset": "utf8mb4"}, "VARCHAR(65535)"),
        ("json", {}, "VARCHAR(65535)"),
        ("enum", {"members": ("a", "b")}, "VARCHAR(16)"),
        ("enum", {"members": ("a", "ä" * 20)}, "VARCHAR(40)"),
        ("set", {"members": ("a" * 10, "b" * 10)}, "VARCHAR(21)"),
        ("binary", {"length": 16}, "VARBYTE(16)"),
        ("varbinary", {"length": 300}, "VARBYTE(300)"),
        ("tinyblob", {"length": 255}, "VARBYTE(255)"),
        ("blob", {"length": 65535}, "VARBYTE(65535)"),
        ("longblob", {"length": 2**32 - 1}, "VARBYTE(2097152)"),
        ("geometry", {}, "GEOMETRY"),
        ("geometrycollection", {}, "GEOMETRY"),
        ("vector", {"length": 3}, "VARCHAR(82)"),
        ("vector", {"length": 16383}, "VARCHAR(65535)"),
        ("vector", {}, "VARCHAR(65535)"),
    ],
)
def test_every_value_of_the_column_fits(kind: str, arguments: dict[str, Any], expected: str) -> None:
    assert sql(kind, **arguments) == expected


def test_a_type_without_a_place_says_how_to_exclude_it() -> None:
    with pytest.raises(
        UnsupportedError, match=r"shop\.t\.c is of type INET6.*exclude_columns: \[shop\.t\.c\]"
    ):
        sql("inet6")


@pytest.mark.parametrize(
    ("size", "staged"), [(16, "VARCHAR(32)"), (32767, "VARCHAR(65534)"), (32768, "VARBYTE(32768)")]
)
def test_binary_values_wait_as_hexadecimal_text_while_it_fits(size: int, staged: str) -> None:
    assert RedshiftType("VARBYTE", size).staged.sql == staged


@pytest.mark.parametrize(
    ("there", "needed", "holds"),
    [
        (("VARCHAR", 40), ("VARCHAR", 40), True),
        (("VARCHAR", 39), ("VARCHAR", 40), False),
        (("CHAR", 40), ("VARCHAR", 40), False),
        (("BIGINT",), ("INTEGER",), True),
        (("INTEGER",), ("BIGINT",), False),
        (("DECIMAL", 20, 0), ("BIGINT",), True),
        (("DECIMAL", 18, 0), ("BIGINT",), False),
        (("DECIMAL", 12, 4), ("DECIMAL", 10, 2), True),
        (("DECIMAL", 12, 4), ("DECIMAL", 10, 0), False),
        (("DECIMAL", 12, 2), ("DECIMAL", 10, 4), False),
        (("DOUBLE PRECISION",), ("REAL",), True),
        (("REAL",), ("DOUBLE PRECISION",), False),
        (("DOUBLE PRECISION",), ("BIGINT",), False),
        (("BIGINT",), ("BOOLEAN",), False),
        (("TIMESTAMPTZ",), ("TIMESTAMP",), False),
        (("VARBYTE",), ("VARBYTE", 16), True),
        (("GEOMETRY",), ("GEOMETRY",), True),
        (("VARBYTE",), ("GEOMETRY",), False),
        (("VARBYTE", 8), ("VARBYTE", 16), False),
        (("VARCHAR", 65535), ("DATE",), False),
    ],
)
def test_a_type_that_is_there_holds_another(there: tuple, needed: tuple, holds: bool) -> None:
    assert RedshiftType(*there).holds(RedshiftType(*needed)) is holds


def test_the_catalog_is_read_in_the_same_terms() -> None:
    assert catalog_type("character varying", 40, None, None) == RedshiftType("VARCHAR", 40)
    assert catalog_type("numeric", None, 10, 2) == RedshiftType("DECIMAL", 10, 2)
    assert catalog_type("integer", None, 32, 0) == RedshiftType("INTEGER")
    assert catalog_type("binary varying", None, None, None) == RedshiftType("VARBYTE")
    assert catalog_type("geometry", None, None, None) == RedshiftType("GEOMETRY")
    assert catalog_type("super", None, None, None) == RedshiftType("SUPER")
