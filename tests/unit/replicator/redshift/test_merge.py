"""The exact text of COPY and merge."""

from __future__ import annotations

import pytest

from airflow_provider_tungsten.replicator.binlog.definition import Column, TableDefinition
from airflow_provider_tungsten.replicator.errors import UnsupportedError
from airflow_provider_tungsten.replicator.redshift import merge
from airflow_provider_tungsten.replicator.redshift.ddl import Header, Relation

LIVE, STAGE = Relation("shop", "items"), Relation("tungsten_orders", "stage_xxx_shop_items")
HEADER = Header(("tungsten_opcode", "tungsten_seqno", "tungsten_row_id"))
ID = Column("id", "int", 3, nullable=False)
CODE = Column("code", "varchar", 15, length=5, charset="ascii", nullable=False)
TAG = Column("tag", "binary", 254, length=4, nullable=False)
NOTE = Column("note", "text", 252, length=65535, charset="utf8mb4")
PHOTO = Column("photo", "blob", 252, length=65535)
COVER = Column("cover", "blob", 252, length=65535, nullable=False)


def table(*columns: Column, key: tuple[str, ...]) -> TableDefinition:
    return TableDefinition("shop", "items", columns, key)


def copy(**changes: object) -> str:
    arguments = {"iam_role": "default", "compression": "zstd", "null": "\\N", "region": None} | changes
    return merge.copy(
        STAGE,
        HEADER,
        table(ID, NOTE, key=("id",)),
        "s3://bucket/it's.manifest",
        **arguments,  # type: ignore[arg-type]
    )


def test_copy() -> None:
    assert copy() == (
        'COPY "tungsten_orders"."stage_xxx_shop_items" '
        '("tungsten_opcode", "tungsten_seqno", "tungsten_row_id", "id", "note") '
        "FROM 's3://bucket/it''s.manifest' IAM_ROLE default FORMAT CSV ZSTD MANIFEST NULL AS '\\N' "
        "DATEFORMAT 'auto' TIMEFORMAT 'auto' COMPUPDATE OFF STATUPDATE OFF"
    )


def test_copy_with_everything_said() -> None:
    statement = copy(iam_role="arn:aws:iam::1:role/r", compression="gzip", null="it's", region="eu-west-1")
    assert statement.endswith(
        "IAM_ROLE 'arn:aws:iam::1:role/r' FORMAT CSV GZIP MANIFEST NULL AS 'it''s' "
        "DATEFORMAT 'auto' TIMEFORMAT 'auto' COMPUPDATE OFF STATUPDATE OFF REGION 'eu-west-1'"
    )
    assert " FORMAT CSV MANIFEST " in copy(compression="none")


def test_the_probe_tells_empty_from_null() -> None:
    definition = table(ID, PHOTO, COVER, TAG, key=("id",))
    assert merge.doubtful(definition) == [PHOTO]
    assert merge.count_nulls(STAGE, [PHOTO, COVER]) == (
        'SELECT COUNT(*) FROM "tungsten_orders"."stage_xxx_shop_items" WHERE "photo" IS NULL OR "cover" IS NULL'
    )
    assert merge.create_probe(HEADER, table(ID, PHOTO, key=("id",))) == (
        'CREATE TEMP TABLE "tungsten_probe" ("tungsten_opcode" VARCHAR(2), "tungsten_seqno" BIGINT, '
        '"tungsten_row_id" BIGINT, "id" VARCHAR(16), "photo" VARCHAR(16))'
    )
    assert merge.restore_empty(STAGE, HEADER, PHOTO) == (
        'UPDATE "tungsten_orders"."stage_xxx_shop_items" SET "photo" = FROM_HEX(\'\') FROM "tungsten_probe" AS p '
        'WHERE "tungsten_orders"."stage_xxx_shop_items"."tungsten_seqno" = p."tungsten_seqno" '
        'AND "tungsten_orders"."stage_xxx_shop_items"."tungsten_row_id" = p."tungsten_row_id" '
        'AND OCTET_LENGTH(p."photo") = 0'
    )
    assert copy(cut=True).endswith("STATUPDATE OFF TRUNCATECOLUMNS")


def test_empty_is_no_truncate() -> None:
    assert merge.empty(LIVE) == 'DELETE FROM "shop"."items"'
    own = {"dbname": "o'shop", "region": "eu"}
    assert merge.empty(LIVE, own) == (
        """DELETE FROM "shop"."items" WHERE "dbname" = 'o''shop' AND "region" = 'eu'"""
    )


def test_delete_on_a_number() -> None:
    assert merge.delete_staged(LIVE, STAGE, table(ID, NOTE, key=("id",))) == (
        'DELETE FROM "shop"."items" USING "tungsten_orders"."stage_xxx_shop_items" AS s '
        'WHERE "shop"."items"."id" = s."id"'
    )


def test_delete_on_text_and_bytes_compares_lengths_too() -> None:
    assert merge.delete_staged(LIVE, STAGE, table(ID, CODE, TAG, key=("code", "tag"))) == (
        'DELETE FROM "shop"."items" USING "tungsten_orders"."stage_xxx_shop_items" AS s '
        'WHERE "shop"."items"."code" = s."code" '
        'AND OCTET_LENGTH("shop"."items"."code") = OCTET_LENGTH(s."code") '
        'AND "shop"."items"."tag" = FROM_HEX(s."tag") '
        'AND OCTET_LENGTH("shop"."items"."tag") = OCTET_LENGTH(FROM_HEX(s."tag"))'
    )


def test_insert_takes_the_last_row_of_each_key() -> None:
    assert merge.insert_last(LIVE, STAGE, HEADER, table(ID, CODE, PHOTO, COVER, TAG, key=("code", "id"))) == (
        'INSERT INTO "shop"."items" ("id", "code", "photo", "cover", "tag") '
        'SELECT s."id", s."code", s."photo", COALESCE(s."cover", FROM_HEX(\'\')), FROM_HEX(s."tag") '
        'FROM "tungsten_orders"."stage_xxx_shop_items" AS s JOIN '
        '(SELECT "tungsten_opcode", "tungsten_seqno", "tungsten_row_id", ROW_NUMBER() OVER '
        '(PARTITION BY "code", OCTET_LENGTH("code"), "id" ORDER BY "tungsten_seqno" DESC, "tungsten_row_id" DESC) AS place '
        'FROM "tungsten_orders"."stage_xxx_shop_items") AS w '
        'ON s."tungsten_seqno" = w."tungsten_seqno" AND s."tungsten_row_id" = w."tungsten_row_id" '
        "WHERE w.place = 1 AND w.\"tungsten_opcode\" IN ('I', 'UI', 'U')"
    )


def test_a_table_without_a_key_is_refused_with_the_way_out() -> None:
    with pytest.raises(UnsupportedError, match=r"shop\.items has no primary key.*exclude: \[shop\.items\]"):
        merge.delete_staged(LIVE, STAGE, table(ID, key=()))
