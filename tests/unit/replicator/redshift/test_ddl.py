"""The text of DDL, where an applier's tables lie, and what is wrong with a table that is there."""

from __future__ import annotations

import pytest

from airflow_provider_tungsten.replicator.binlog.definition import Column, TableDefinition
from airflow_provider_tungsten.replicator.errors import ConfigurationError, TargetError
from airflow_provider_tungsten.replicator.redshift import ddl
from airflow_provider_tungsten.replicator.redshift.ddl import FoundColumn, Header, Names, Relation
from airflow_provider_tungsten.replicator.redshift.settings import RedshiftApplier
from airflow_provider_tungsten.replicator.redshift.types import RedshiftType

ITEMS = TableDefinition(
    "shop",
    "order items",
    (
        Column("order", "int", 3, unsigned=True, nullable=False),
        Column('say "hi"', "varchar", 15, length=10, charset="utf8mb4"),
        Column("photo", "varbinary", 15, length=100),
    ),
    ("order",),
)
HEADER = Header(("tungsten_opcode", "tungsten_seqno", "tungsten_row_id", "tungsten_commit_timestamp"))
LIVE = Relation("shop", "order items")
NAMES = Names("orders", "{schema}", "tungsten_orders", "stage_xxx_")


def names(**settings: str) -> Names:
    return Names.of(
        "orders", RedshiftApplier.model_validate({"files": {"url": "s3://bucket/files"}, **settings})
    )


def test_live_table() -> None:
    assert ddl.create_table(LIVE, ddl.live_columns(ITEMS)) == (
        'CREATE TABLE "shop"."order items" ("order" BIGINT, "say ""hi""" VARCHAR(40), "photo" VARBYTE(100)) '
        "DISTSTYLE AUTO SORTKEY AUTO"
    )


def test_staging_table_has_the_header_in_front() -> None:
    assert ddl.create_table(NAMES.stage("shop", "order items"), ddl.stage_columns(HEADER, ITEMS)) == (
        'CREATE TABLE "tungsten_orders"."stage_xxx_shop_order items" ("tungsten_opcode" VARCHAR(2), '
        '"tungsten_seqno" BIGINT, "tungsten_row_id" BIGINT, "tungsten_commit_timestamp" TIMESTAMP, '
        '"order" BIGINT, "say ""hi""" VARCHAR(40), "photo" VARCHAR(200)) DISTSTYLE AUTO SORTKEY AUTO'
    )


def test_the_other_statements() -> None:
    assert ddl.create_schema("shop") == 'CREATE SCHEMA IF NOT EXISTS "shop"'
    assert ddl.drop_table(Relation("a", "b")) == 'DROP TABLE "a"."b"'
    assert ddl.note_source(Relation("a", "b"), ITEMS, Relation("Mart", "it's")) == (
        'COMMENT ON TABLE "a"."b" IS \'replicated from ["shop", "order items", "Mart", "it\'\'s"]\''
    )


def test_names_come_from_the_templates() -> None:
    there = names(target_schema="mart{schema}", staging_schema="cat_{service}", staging_prefix="in_")
    assert there.live("shop", "items") == Relation("martshop", "items")
    assert there.stage("shop", "items") == Relation("cat_orders", "in_martshop_items")
    assert there.commit_table.sql == '"cat_orders"."trep_commit_seqno"'


@pytest.mark.parametrize("field", ["target_schema", "staging_schema"])
def test_a_template_with_an_unknown_name_is_refused(field: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{field}: 'x_{{what}}' may hold"):
        names(**{field: "x_{what}"})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a_b", "c"), ("a", "b_c")),
        (("shop", "Items"), ("shop", "items")),
        (("shop", "x" * 126), ("shop", "x" * 125 + "y")),
    ],
)
def test_two_tables_never_share_a_staging_table(one: tuple[str, str], other: tuple[str, str]) -> None:
    first, second = NAMES.stage(*one), NAMES.stage(*other)
    assert first.folded != second.folded
    assert max(len(first.table.encode()), len(second.table.encode())) <= 127


def test_appliers_that_fill_schemas_of_their_own_have_staging_tables_of_their_own() -> None:
    first, second = (
        names(target_schema=schema).stage("shop", "items") for schema in ("{schema}", "part_{schema}")
    )
    assert first.schema == second.schema
    assert first.folded != second.folded


def test_a_name_that_redshift_would_cut_is_refused() -> None:
    with pytest.raises(TargetError, match="more than the 127 bytes"):
        NAMES.live("shop", "ü" * 64)


def test_columns_that_redshift_takes_for_one_are_refused() -> None:
    clash = TableDefinition("shop", "t", (Column("TUNGSTEN_SEQNO", "int", 3),), ())
    with pytest.raises(TargetError, match="'tungsten_seqno' and 'TUNGSTEN_SEQNO'"):
        ddl.stage_columns(HEADER, clash)
    same = TableDefinition("shop", "t", (Column("tungsten_seqno", "int", 3),), ())
    with pytest.raises(TargetError, match="csv.header_prefix"):
        ddl.stage_columns(HEADER, same)


def test_two_sources_of_one_target_are_refused() -> None:
    notes = ["a person's own remark", 'replicated from ["shop", "Order Items", "SHOP", "Order Items"]']
    with pytest.raises(TargetError, match=r"shop\.order items and shop\.Order Items would both go to"):
        ddl.check_sole_source(notes, ITEMS, LIVE)
    ddl.check_sole_source(['replicated from ["shop", "order items", "shop", "order items"]'], ITEMS, LIVE)
    ddl.check_sole_source(['replicated from ["shop", "Order Items", "other", "Order Items"]'], ITEMS, LIVE)


def found(**changes: FoundColumn | None) -> list[FoundColumn]:
    columns = {
        "order": FoundColumn("order", RedshiftType("BIGINT"), False, False),
        "say": FoundColumn('say "hi"', RedshiftType("VARCHAR", 40), True, False),
        "photo": FoundColumn("photo", RedshiftType("VARBYTE", 100), True, False),
    }
    return [column for column in (columns | changes).values() if column is not None]


def test_a_table_that_fits() -> None:
    extra = FoundColumn("loaded_at", RedshiftType("TIMESTAMP"), True, False)
    filled = FoundColumn("kind", RedshiftType("VARCHAR", 5), False, True)
    assert ddl.misfits(LIVE, ITEMS, found(loaded_at=extra, kind=filled)) == []


def test_a_missing_column() -> None:
    assert ddl.misfits(LIVE, ITEMS, found(photo=None)) == [
        "shop.order items.photo is missing, and rows that are there already hold the source's DEFAULT, which their log does "
        "not tell: add it to the statement where there is one; run: "
        'ALTER TABLE "shop"."order items" ADD COLUMN "photo" VARBYTE(100)'
    ]


def test_a_column_that_may_have_been_renamed() -> None:
    old = FoundColumn("picture", RedshiftType("VARBYTE", 100), True, False)
    (finding,) = ddl.misfits(LIVE, ITEMS, found(photo=None, picture=old))
    assert (
        "; if the source only renamed one of picture, rename it here too instead (RENAME COLUMN); run: ALTER"
        in finding
    )


def test_the_case_of_a_column_does_not_matter() -> None:
    upper = FoundColumn("PHOTO", RedshiftType("VARBYTE", 100), True, False)
    assert ddl.misfits(LIVE, ITEMS, found(photo=upper)) == []


def test_a_narrow_column() -> None:
    narrow = FoundColumn('say "hi"', RedshiftType("VARCHAR", 39), True, False)
    assert ddl.misfits(LIVE, ITEMS, found(say=narrow)) == [
        'shop.order items.say "hi" is VARCHAR(39), VARCHAR(40) is needed; run: '
        'ALTER TABLE "shop"."order items" ALTER COLUMN "say ""hi""" TYPE VARCHAR(40)'
    ]


def test_a_column_of_the_wrong_type() -> None:
    wrong = FoundColumn("order", RedshiftType("INTEGER"), False, False)
    assert ddl.misfits(LIVE, ITEMS, found(order=wrong)) == [
        "shop.order items.order is INTEGER, BIGINT is needed; run: "
        'ALTER TABLE "shop"."order items" ADD COLUMN "order__new" BIGINT; '
        'UPDATE "shop"."order items" SET "order__new" = "order"::BIGINT; '
        'ALTER TABLE "shop"."order items" DROP COLUMN "order"; '
        'ALTER TABLE "shop"."order items" RENAME COLUMN "order__new" TO "order"'
    ]


def test_a_column_that_refuses_null() -> None:
    strict = FoundColumn("photo", RedshiftType("VARBYTE", 100), False, False)
    extra = FoundColumn("loaded_at", RedshiftType("TIMESTAMP"), False, False)
    first, second = ddl.misfits(LIVE, ITEMS, found(photo=strict, loaded_at=extra))
    assert first.startswith("shop.order items.photo is NOT NULL, the source's column may be NULL; run: ALTER")
    assert second.startswith("shop.order items.loaded_at is NOT NULL without a default")


def test_a_staging_table_fits_only_with_the_very_columns() -> None:
    needed = ddl.stage_columns(HEADER, ITEMS)
    there = [FoundColumn(name, kind, True, False) for name, kind in needed]
    assert ddl.stage_fits(needed, there)
    assert not ddl.stage_fits(needed, there[:-1])
    assert not ddl.stage_fits(needed, [*there, FoundColumn("more", RedshiftType("DATE"), True, False)])
    assert not ddl.stage_fits(
        needed, [*there[:-1], FoundColumn("photo", RedshiftType("VARBYTE", 100), True, False)]
    )
