from __future__ import annotations

import gc
import weakref

import pytest

from airflow_provider_tungsten.replicator.binlog.definition import Column, TableDefinition
from airflow_provider_tungsten.replicator.binlog.table_map import TableMaps, table_name
from airflow_provider_tungsten.replicator.errors import CorruptLogError, UnsupportedError

# TABLE_MAP bodies of a MySQL 9.7.4 with binlog_row_metadata=FULL:
# CREATE TABLE x2.things (id INT UNSIGNED, b BIT(3), v VECTOR(2), d DECIMAL(10,2), s SET('a','é') CHARACTER SET latin1,
#   e ENUM('x','y'), c CHAR(255) CHARACTER SET utf8mb4, l VARCHAR(10) CHARACTER SET latin1 NOT NULL, bin BINARY(4),
#   t TEXT, bl LONGBLOB, ts TIMESTAMP(3) NULL, y YEAR, j JSON, u BIGINT UNSIGNED, PRIMARY KEY (l(4), id))
THINGS = bytes.fromhex(
    "7d0000000000010002783200067468696e6773000f0310f2f6fefefe0ffefcfc110df508130300040a02f801f701cefc0a00fe0402040304"
    "7e7f0101b0030a3ffcff00083ffcff003f0d01020423026964016201760164017301650163016c0362696e017402626c0274730179016a0175"
    "0b0408fcff00050502016101e9060502017801790904070400000c02fffe"
)
# CREATE TABLE x2.simple (id INT, v INT, PRIMARY KEY (v, id))
# CREATE TABLE x2.places (id INT PRIMARY KEY, g GEOMETRY, p POINT, y POLYGON NOT NULL, c GEOMETRYCOLLECTION, v VECTOR(7))
PLACES = bytes.fromhex(
    "74000000000001000278320006706c61636573000603fffffffff20504040404043601010002013f0704000103070d0107040d026964016701700179016301760801000c01fc"
)
# Of a MariaDB 10.11.14: CREATE TABLE x.m (id INT PRIMARY KEY, u UUID, i6 INET6, i4 INET4, vc VARCHAR(100) COMPRESSED,
#   vl VARCHAR(300) COMPRESSED, b BLOB COMPRESSED, t TEXT COMPRESSED, vb VARBINARY(50) COMPRESSED, j JSON)
MARIADB = bytes.fromhex(
    "1900000000000100017800016d000a03fefefe8d8d8c8c8dfc0ffe10fe10fe049101b1040202330004fe0301010002093f032d042d062d082e"
    "041a026964017502693602693402766302766c01620174027662016a080100"
)
# and CREATE TABLE x.o (id INT PRIMARY KEY, a DATETIME, …) while mysql56_temporal_format=OFF
MARIADB_OLD = bytes.fromhex(
    "1d00000000000100017800016f0007030c0b070c0b07007e010100040f026964016101620163016401650166080100"
)
SIMPLE = bytes.fromhex("7e00000000000100027832000673696d706c6500020303000001010004050269640176080201000c01c0")
VISIBILITY = bytes.fromhex("0c01c0")


def test_a_definition_has_all_that_the_log_tells() -> None:
    assert TableMaps().definition(THINGS) == TableDefinition(
        "x2",
        "things",
        (
            Column("id", "int", 3, unsigned=True, nullable=False),
            Column("b", "bit", 16, 3, length=3),
            Column("v", "vector", 242, 4, length=2),
            Column("d", "decimal", 246, 0x20A, length=10, scale=2),
            Column("s", "set", 248, 0x1F8, charset="latin1", members=("a", "é")),
            Column("e", "enum", 247, 0x1F7, charset="utf8mb4", members=("x", "y")),
            Column("c", "char", 254, 0xFCCE, charset="utf8mb4", length=255),
            Column("l", "varchar", 15, 10, charset="latin1", length=10, nullable=False),
            Column("bin", "binary", 254, 0x4FE, length=4),
            Column("t", "text", 252, 2, charset="utf8mb4", length=65535),
            Column("bl", "longblob", 252, 4, length=2**32 - 1),
            Column("ts", "timestamp", 17, 3, scale=3),
            Column("y", "year", 13, unsigned=True),
            Column("j", "json", 245, 4),
            Column("u", "bigint", 8, unsigned=True),
        ),
        ("l", "id"),
    )


def test_geometries_have_their_kind_and_vectors_their_dimensions() -> None:
    columns = TableMaps().definition(PLACES).columns
    assert [(column.type, column.length) for column in columns] == [
        ("int", None),
        ("geometry", None),
        ("point", None),
        ("polygon", None),
        ("geomcollection", None),
        ("vector", 7),
    ]


def test_mariadbs_types_are_what_the_log_tells() -> None:
    columns = TableMaps().definition(MARIADB).columns
    assert [(column.type, column.code, column.length, column.charset) for column in columns] == [
        ("int", 3, None, None),
        ("binary", 254, 16, None),
        ("binary", 254, 16, None),
        ("binary", 254, 4, None),
        ("varchar", 141, 100, "utf8mb4"),
        ("varchar", 141, 300, "utf8mb4"),
        ("blob", 140, 65535, None),
        ("text", 140, 65535, "utf8mb4"),
        ("varbinary", 141, 50, None),
        ("longtext", 252, 2**32 - 1, "utf8mb4"),
    ]


def test_mariadbs_old_times_are_refused_with_the_mend() -> None:
    with pytest.raises(UnsupportedError, match=r"x\.o\.a .*old format of DATETIME.*mysql56_temporal_format"):
        TableMaps().definition(MARIADB_OLD)


def test_a_functional_indexs_column_is_hidden_where_the_server_logged_it() -> None:
    name = b"!hidden!i!0!0"
    logged = SIMPLE.replace(b"\x04\x05\x02id\x01v", b"\x04\x11\x02id" + bytes([len(name)]) + name)
    definition = TableMaps().definition(logged.removesuffix(VISIBILITY))
    assert definition.hidden == {"!hidden!i!0!0"}
    assert TableDefinition.from_json(definition.json) == definition
    # A server that tells what is visible does not log hidden columns: the name is a user's.
    assert not TableMaps().definition(logged).hidden


def test_a_key_has_its_own_order() -> None:
    assert TableMaps().definition(SIMPLE).primary_key == ("v", "id")


def test_a_definition_is_the_same_after_json() -> None:
    definition = TableMaps().definition(THINGS)
    assert TableDefinition.from_json(definition.json) == definition


def test_each_body_is_parsed_once_whatever_its_table_id() -> None:
    maps = TableMaps()
    first = maps.add(THINGS)
    second = maps.add(b"\x99" + THINGS[1:])
    assert first is second
    assert maps.get(0x7D) is maps.get(0x99) is first


def test_tables_with_the_same_columns_keep_their_own_names() -> None:
    maps = TableMaps()
    other = SIMPLE.replace(b"\x06simple", b"\x05other")
    elsewhere = SIMPLE.replace(b"\x02x2", b"\x02x3")
    not_null = SIMPLE.replace(bytes.fromhex("0303000001010004"), bytes.fromhex("0303000201010004"))
    alone = [TableMaps().definition(body) for body in (SIMPLE, other, elsewhere, not_null)]
    assert [maps.definition(body) for body in (SIMPLE, other, elsewhere, not_null)] == alone
    assert [each.name for each in alone] == ["x2.simple", "x2.other", "x3.simple", "x2.simple"]
    assert len({each.json for each in alone}) == 4


def test_of_what_is_forgotten_nothing_stays_in_memory() -> None:
    maps = TableMaps()
    found = weakref.ref(maps.definition(SIMPLE))
    maps.forget()
    gc.collect()
    assert found() is None


def test_a_table_id_is_known_until_the_statement_ends() -> None:
    maps = TableMaps()
    maps.add(SIMPLE)
    maps.clear()
    with pytest.raises(CorruptLogError, match="table id 126 without a TABLE_MAP"):
        maps.get(0x7E)


def test_a_table_can_be_named_whatever_its_columns() -> None:
    assert table_name(THINGS) == ("x2", "things")
    assert table_name(THINGS[:20]) == ("x2", "things")


def test_missing_names_are_refused_with_the_setting() -> None:
    minimal = SIMPLE[: SIMPLE.index(b"\x04\x05\x02id")]
    with pytest.raises(UnsupportedError, match=r"x2\.simple: .*SET GLOBAL binlog_row_metadata=FULL"):
        TableMaps().definition(minimal)


def test_unknown_types_collations_and_metadata_are_refused() -> None:
    with pytest.raises(UnsupportedError, match=r"x2\.simple: column 2 has the type code 99"):
        TableMaps().definition(SIMPLE.replace(b"\x02\x03\x03", b"\x02\x03\x63"))
    with pytest.raises(
        UnsupportedError, match=r"x2\.simple: column 1 has the type code 20, which is the array"
    ):
        TableMaps().definition(SIMPLE.replace(b"\x02\x03\x03", b"\x02\x14\x03"))
    with pytest.raises(UnsupportedError, match=r"x2\.simple: .*unknown kind 14"):
        TableMaps().definition(SIMPLE + b"\x0e\x01\x00")
    with pytest.raises(UnsupportedError, match=r"x2\.things\.l: collation id 2216"):
        TableMaps().definition(
            THINGS.replace(b"\x03\x0a\x3f\xfc\xff\x00\x08", b"\x03\x0c\x3f\xfc\xff\x00\xfc\xa8\x08")
        )


def test_bodies_that_are_cut_short_are_corrupt_or_refused() -> None:
    key = THINGS.index(b"\x09\x04\x07\x04\x00\x00")  # before it, only a checksum can tell that it is missing
    for end in range(8, key):
        with pytest.raises((CorruptLogError, UnsupportedError)):
            TableMaps().definition(THINGS[:end])


@pytest.mark.parametrize("name", [b"simple", b"id"])
def test_a_name_that_is_no_utf8_is_refused(name: bytes) -> None:
    with pytest.raises(CorruptLogError, match="a name that is no UTF-8"):
        TableMaps().definition(SIMPLE.replace(name, b"\xff" * len(name)))
