"""DDL for Athena, as exact text, and what is refused because Athena would misread it."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import sqlglot
from sqlglot import exp

from airflow_provider_tungsten.replicator.batch.writer import write_batch
from airflow_provider_tungsten.replicator.binlog.definition import Column, TableDefinition
from airflow_provider_tungsten.replicator.errors import ConfigurationError
from airflow_provider_tungsten.replicator.s3.athena import create_table, first_time
from airflow_provider_tungsten.replicator.s3.settings import S3Applier
from tests.unit.replicator.batch.logs import Logbook, position, rows

TABLE = TableDefinition(
    "shop",
    "Order Lines",
    (
        Column("id", "bigint", 8, unsigned=True),
        Column("Größe", "int", 3, unsigned=True),
        Column("price", "decimal", 246, length=10, scale=2),
        Column("huge", "decimal", 246, length=65, scale=2),
        Column("note", "varchar", 15),
        Column("tungsten_seqno", "datetime", 18),
    ),
    ("id",),
)


def ddl(**settings: Any) -> str:
    csv = {"preset": "hive", **settings.pop("csv", {})}
    applier = S3Applier.model_validate(
        {"type": "s3", "files": {"url": "s3://lake/feed"}, "csv": csv, **settings}
    )
    return create_table(applier, ("shop", "lake"), "s3://lake/feed/shop/lake", TABLE, "raw")


def test_values_without_quotes_are_read_with_their_types_and_null() -> None:
    assert ddl(partition_by="commit_timestamp") == (
        r"""CREATE EXTERNAL TABLE IF NOT EXISTS `raw`.`shop_order_lines` (
  `tungsten_opcode` string,
  `tungsten_seqno` bigint,
  `tungsten_primary_key` string,
  `tungsten_commit_timestamp` string,
  `id` decimal(20,0),
  `gr__e` bigint,
  `price` decimal(10,2),
  `huge` string,
  `note` string,
  `tungsten_seqno_2` string
)
PARTITIONED BY (`commit_hour` string)
ROW FORMAT DELIMITED FIELDS TERMINATED BY '\001' ESCAPED BY '\\'
LINES TERMINATED BY '\n'
NULL DEFINED AS '\\N'
STORED AS TEXTFILE
LOCATION 's3://lake/feed/shop/lake/shop/Order%20Lines/'
TBLPROPERTIES (
  'projection.enabled' = 'true',
  'projection.commit_hour.type' = 'date',
  'projection.commit_hour.format' = 'yyyy-MM-dd-HH',
  'projection.commit_hour.range' = '2000-01-01-00,NOW',
  'projection.commit_hour.interval' = '1',
  'projection.commit_hour.interval.unit' = 'HOURS',
  'storage.location.template' = 's3://lake/feed/shop/lake/shop/Order%20Lines/commit_hour=${commit_hour}/'
)"""
    )


def test_quoted_values_are_texts() -> None:
    text = ddl(csv={"preset": "mysql", "suppressed_characters": "\\n\\r", "use_headers": True})
    assert "`id` string" in text
    assert "SERDE 'org.apache.hadoop.hive.serde2.OpenCSVSerde'" in text
    assert r"""('separatorChar' = ',', 'quoteChar' = '"', 'escapeChar' = '\\')""" in text
    assert "'skip.header.line.count' = '1'" in text
    assert "PARTITIONED" not in text


def test_folders_of_one_part_of_the_time_are_projected_as_numbers() -> None:
    text = ddl(partition_by="commit_timestamp", partition_format="year=%Y/month=%m/day=%d")
    assert "PARTITIONED BY (`year` string, `month` string, `day` string)" in text
    assert "'projection.month.range' = '1,12',\n  'projection.month.digits' = '2'" in text
    assert "'projection.year.type' = 'date',\n  'projection.year.format' = 'yyyy'" in text
    assert "'projection.year.interval.unit' = 'YEARS'" in text
    assert "/year=${year}/month=${month}/day=${day}/'" in text


def test_partitions_are_projected_from_the_feeds_first_on(tmp_path: Path) -> None:
    feed = Logbook(tmp_path, type="s3", partition_by="commit_timestamp", csv={"preset": "hive"})
    applier = feed.service.applier("redshift")
    assert isinstance(applier, S3Applier)
    assert first_time(applier, feed.store) is None
    feed.add(position(), [rows()], [rows()])
    for plan in feed.chain().extend(token="t", limit=9, waiting=False):
        write_batch(feed.log, plan, feed.service, "redshift", feed.store, token="t")
    first = first_time(applier, feed.store)
    assert first == datetime(1969, 12, 31, 0)
    text = create_table(applier, ("shop", "lake"), "s3://lake/feed", TABLE, "raw", first)
    assert "'projection.commit_hour.range' = '1969-12-31-00,NOW'" in text


@pytest.mark.parametrize("dialect", ["athena", "hive"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"partition_by": "commit_timestamp"},
        {"partition_by": "commit_timestamp", "partition_format": "y=%Y/rest=%Y-%m-%dT%H"},
        {"csv": {"preset": "mysql", "suppressed_characters": "\\n\\r", "use_headers": True}},
        {"csv": {"preset": "hive", "field_separator": "\\t", "null_value": "it's"}},
        {"csv": {"preset": "hive", "escaped_characters": "", "suppressed_characters": "\\u0001\\n\\r"}},
    ],
)
def test_a_parser_of_athenas_and_hives_ddl_reads_what_was_meant(
    settings: dict[str, Any], dialect: str
) -> None:
    text = ddl(**settings)
    tree = sqlglot.parse_one(text, dialect=dialect, error_level=sqlglot.ErrorLevel.RAISE)
    assert isinstance(tree, exp.Create)
    assert [column.name for column in tree.this.expressions] == re.findall(r"^  `(\w+)`", text, re.M)
    (location,) = tree.find_all(exp.LocationProperty)
    assert location.this.this == "s3://lake/feed/shop/lake/shop/Order%20Lines/"
    rows_format = tree.find(exp.RowFormatDelimitedProperty)
    if rows_format is None:
        assert tree.find(exp.RowFormatSerdeProperty) is not None
        return
    applier = S3Applier.model_validate(
        {"type": "s3", "files": {"url": "s3://lake/x"}, "csv": {"preset": "hive"} | settings.get("csv", {})}
    )
    meant = applier.csv.dialect
    assert rows_format.args["fields"].this == meant.field_separator
    escape = rows_format.args.get("escaped")
    assert (escape.this if escape else None) == (meant.escape if meant.escapes else None)
    assert rows_format.args["null"].this == meant.null


def test_a_template_of_ones_own_leads_to_its_folder() -> None:
    template = "x/db={schema}/t={table}/{from}/{part}-{hash}.{extension}"
    assert "LOCATION 's3://lake/feed/shop/lake/x/db=shop/t=Order%20Lines/'" in ddl(key_template=template)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"csv": {"preset": "default"}},
            "ends a row at a line break inside quotes too.*preset: hive",
        ),
        ({"csv": {"preset": "mysql"}}, "takes a line break"),
        (
            {"csv": {"preset": "redshift", "escape": "^", "escaped_characters": "^\\n\\r"}},
            "one text for NULL",
        ),
        ({"csv": {"preset": "hive", "record_separator": "\\r\\n"}}, "ends a row at a line feed only"),
        (
            {"csv": {"preset": "mysql", "escaped_characters": "\\\\\\n\\r"}},
            "a line break would be the letter n.*suppressed_characters",
        ),
        ({"partition_by": "commit_timestamp", "partition_format": "%Y/%m"}, "wants folders key=value"),
        (
            {"partition_by": "commit_timestamp", "partition_format": "minute=%H-%M"},
            "the parts of minute from the year on",
        ),
        (
            {"partition_by": "commit_timestamp", "partition_format": "day=%d.%m.%Y"},
            "the parts of day from the year on, largest first",
        ),
    ],
)
def test_what_athena_would_misread_is_refused_with_the_way_out(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        ddl(**settings)
