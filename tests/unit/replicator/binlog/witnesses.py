"""A column and a value of every supported type, the value as it stands in a row image."""

from __future__ import annotations

import struct
import zlib

from airflow_provider_tungsten.replicator.binlog.constants import ColumnType
from airflow_provider_tungsten.replicator.binlog.definition import Column
from tests.unit.replicator.binlog.test_rows import long, short, text

UTF8 = {"charset": "utf8mb4", "length": 10}
POINT = struct.pack("<IBIdd", 4326, 1, 1, 1, 2)

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
# And of what has the type of another in its definition.
VARIANTS = {
    "old time": (Column("c", "time", ColumnType.TIME), b"\x7f\x96\x98"),
    "old datetime": (Column("c", "datetime", ColumnType.DATETIME), struct.pack("<Q", 2024_02_29_01_02_03)),
    "old timestamp": (Column("c", "timestamp", ColumnType.TIMESTAMP), struct.pack("<I", 1)),
    "compressed text": (
        Column("c", "text", ColumnType.BLOB_COMPRESSED, 2, charset="latin1", length=65535),
        text(b"\x81\x40" + zlib.compress(b"x" * 64)),
    ),
    "compressed bytes": (
        Column("c", "varbinary", ColumnType.VARCHAR_COMPRESSED, 300, length=299),
        text(b"\x82\x00\x40" + zlib.compress(b"x" * 64)),
    ),
}
