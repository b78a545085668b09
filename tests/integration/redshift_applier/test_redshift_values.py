"""Values that micro-batches bring to the local Redshift through the real driver: every one as it was."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_provider_tungsten.replicator.binlog.definition import Column, TableDefinition
from tests.integration.redshift_applier.shop import ID, NAME, Shop
from tests.stack.redshift import Redshift
from tests.stack.s3 import S3

EVERY_TYPE = (
    # column, text in CSV, what the driver gives back
    (Column("id", "bigint", 8, unsigned=True, nullable=False), "18446744073709551615", "18446744073709551615"),
    (Column("t", "tinyint", 1), "-128", "-128"),
    (Column("tu", "tinyint", 1, unsigned=True), "255", "255"),
    (Column("s", "smallint", 2, unsigned=True), "65535", "65535"),
    (Column("m", "mediumint", 9), "-8388608", "-8388608"),
    (Column("i", "int", 3, unsigned=True), "4294967295", "4294967295"),
    (Column("b", "bigint", 8), "-9223372036854775808", "-9223372036854775808"),
    (Column("d", "decimal", 246, length=20, scale=5), "-123456789012345.00010", "-123456789012345.00010"),
    (Column("wide", "decimal", 246, length=65, scale=30), "-" + "9" * 35 + "." + "9" * 30, "-" + "9" * 35 + "." + "9" * 30),
    (Column("f", "float", 4), "1.1754944e-38", "1.1754944e-38"),
    (Column("db", "double", 5), "-1.7976931348623157e+308", "-1.7976931348623157e+308"),
    (Column("bit1", "bit", 16, length=1), "1", "true"),
    (Column("bit8", "bit", 16, length=8), "255", "255"),
    (Column("bit64", "bit", 16, length=64), "18446744073709551615", "18446744073709551615"),
    (Column("y", "year", 13), "0000", "0"),
    (Column("da", "date", 10), "9999-12-31", "9999-12-31"),
    (Column("ti", "time", 19, scale=6), "-838:59:59.000000", "-838:59:59.000000"),
    (Column("dt", "datetime", 18, scale=6), "1000-01-01 00:00:00.000001", "1000-01-01 00:00:00.000001"),
    (Column("ts", "timestamp", 17), "2038-01-19 03:14:07", "2038-01-19 03:14:07"),
    (Column("ch", "char", 254, length=4, charset="utf8mb4"), "😀😀😀😀", "😀😀😀😀"),
    (Column("vc", "varchar", 15, length=20, charset="utf8mb4"), 'a,"b"\n\r\t\'\\N ', 'a,"b"\n\r\t\'\\N '),
    (Column("la", "varchar", 15, length=3, charset="latin1"), "€€€", "€€€"),
    (Column("tx", "text", 252, length=65535, charset="utf8mb4"), "ü" * 32767, "ü" * 32767),
    (Column("bi", "binary", 254, length=4), "00ff0d0a", "00ff0d0a"),
    (Column("vb", "varbinary", 15, length=300), "", ""),
    (Column("bl", "blob", 252, length=65535), "ab" * 65535, "ab" * 65535),
    (Column("be", "blob", 252, length=65535, nullable=False), "", ""),
    (Column("e", "enum", 247, members=("small", "lärge"), charset="utf8mb4"), "lärge", "lärge"),
    (Column("st", "set", 248, members=("a", "b"), charset="utf8mb4"), "a,b", "a,b"),
    (Column("js", "json", 245), '{"a": [1, null, "\\"😀"]}', '{"a": [1, null, "\\"😀"]}'),
    (Column("p", "point", 255), "0101000020e6100000" + "00" * 16, "0101000020e6100000" + "00" * 16),
    (Column("ve", "vector", 242, length=3), "[1,2.5,-0.0001]", "[1,2.5,-0.0001]"),
    (Column("empty", "varchar", 15, length=20, charset="utf8mb4"), "", ""),
    (Column("order", "int", 3), "1", "1"),
)  # fmt: skip


def as_text(column: Column) -> str:
    if column.type in ("binary", "varbinary", "blob"):
        return f'TO_HEX("{column.name}")'
    if column.type == "point":
        return f'LOWER(ST_AsHexEWKB("{column.name}"))'
    return f'"{column.name}"::varchar'


@pytest.mark.parametrize("compression", ["zstd", "bzip2", "none"])
def test_every_type_arrives_as_it_was(redshift: Redshift, s3: S3, bucket: str, compression: str) -> None:
    shop = Shop(redshift, s3, bucket, csv={"compression": compression})
    columns = tuple(column for column, _, _ in EVERY_TYPE)
    every = TableDefinition("shop", 'every "type" 100%s', columns, ("id", "order"))
    nulls = tuple(
        None if column.nullable and column.name != "order" else text for column, text, _ in EVERY_TYPE[1:]
    )
    shop.batch({every: [("I", *(text for _, text, _ in EVERY_TYPE)), ("I", "0", *nulls)]})
    shop.load()
    low, high = redshift.execute(
        f'SELECT {", ".join(map(as_text, columns))} FROM {shop.schema}."every ""type"" 100%s" ORDER BY id'
    )
    for column, expected, value, null in zip(columns, (e for _, _, e in EVERY_TYPE), high, low, strict=True):
        assert value == expected, column.name
        assert (null is None) is (column.nullable and column.name != "order"), column.name


@pytest.mark.parametrize("kind", ["varchar", "varbinary", "mediumblob"])
def test_the_empty_value_is_not_null(shop: Shop, kind: str) -> None:
    # Long enough that it cannot wait as hexadecimal text.
    value = Column("value", kind, 252, length=300 if kind != "mediumblob" else 2**24 - 1, charset="ascii")
    table = TableDefinition("shop", "items", (ID, value, replace(value, name="other")), ("id",))
    shop.batch(
        {table: [("I", "1", "", None), ("I", "2", None, ""), ("I", "3", "61", "62"), ("I", "4", None, None)]}
    )
    shop.load()
    lengths = shop.rows("items", "id, OCTET_LENGTH(value), OCTET_LENGTH(other)")
    full = 2 if kind == "varchar" else 1
    assert lengths == [(1, 0, None), (2, None, 0), (3, full, full), (4, None, None)]
    shop.batch({table: [("D", "1", "", None), ("D", "3", "61", "62"), ("I", "3", "61", None)]})
    shop.load()
    assert shop.rows("items", "id, OCTET_LENGTH(other)") == [(2, 0), (3, None), (4, None)]


@pytest.mark.parametrize("kind", ["varchar", "varbinary"])
def test_keys_that_differ_by_trailing_blanks_stay_apart(shop: Shop, kind: str) -> None:
    def key(text: str) -> str:
        return text.encode().hex() if kind == "varbinary" else text

    charset = "utf8mb4" if kind == "varchar" else None
    code = Column("code", kind, 15, length=5, charset=charset, nullable=False)
    codes = TableDefinition("shop", "codes", (code, NAME), ("code",))
    shop.batch(
        {
            codes: [
                ("I", key("a"), "none"),
                ("I", key("a "), "one"),
                ("I", key("a  "), "two"),
                ("I", key(""), "empty"),
            ]
        }
    )
    shop.batch({codes: [("D", key("a "), "one"), ("I", key("a "), "ONE"), ("D", key("a  "), "two")]})
    shop.load()
    assert sorted(shop.rows("codes", "name")) == [("ONE",), ("empty",), ("none",)]
