"""What others read out of a feed: DuckDB brings the files of real changes to the rows that the source has."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pytest

from airflow_provider_tungsten.replicator.batch.manifest import BatchManifest
from airflow_provider_tungsten.replicator.s3.athena import create_tables
from airflow_provider_tungsten.replicator.s3.settings import S3Applier
from airflow_provider_tungsten.replicator.storage import open_storage
from tests.integration.extraction import Extraction
from tests.integration.test_s3_feed import replicate, service
from tests.stack.mysql import MySQL
from tests.stack.s3 import S3

DOCS = Path(__file__).parents[2] / "docs" / "s3.md"


def documented(files: str) -> str:
    """The SQL that the documentation gives, on other files."""
    (sql,) = re.findall(r"```sql\n(-- DuckDB.*?)```", DOCS.read_text(), re.DOTALL)
    return str(sql).replace("s3://my-bucket/feed/shop/lake/shop/orders/**", files)


@pytest.mark.parametrize("compression", ["zstd", "gzip", "none"])
def test_duckdb_brings_the_feed_to_the_rows_of_the_source(
    mysql: MySQL, database: str, s3: S3, bucket: str, tmp_path: Path, compression: str
) -> None:
    source = Extraction(mysql, tmp_path / "thl", include=[f"{database}.*"])
    source.run()
    mysql.execute(
        "CREATE TABLE orders (id INT PRIMARY KEY, note VARCHAR(200), amount DECIMAL(10,2))",
        "INSERT INTO orders VALUES (1, 'a', 1), (2, NULL, 2), (3, '', 3), (4, 'null', 4), (5, 'x', NULL)",
        "UPDATE orders SET note = 'line\\nbreak, \"quoted\" \\\\ 🙂 é' WHERE id = 1",
        "UPDATE orders SET id = 9 WHERE id = 2",
        "DELETE FROM orders WHERE id = 3",
        "INSERT INTO orders VALUES (3, '\\r\\n', -0.01)",
        database=database,
    )
    source.run()
    replicate(tmp_path / "thl", f"s3://{bucket}/feed", s3.client(), "t", csv={"compression": compression})
    feed = open_storage(f"s3://{bucket}/feed/shop/lake", s3_client=s3.client())
    named: list[str] = []
    for info in feed.list("_batches/"):
        if re.fullmatch(r"_batches/\d+-\d+\.json", info.key):
            manifest = BatchManifest.from_json(feed.read(info.key))
            named += [part.key for table in manifest.tables for part in table.parts]
    for key in named:
        path = tmp_path / "read" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(feed.read(key))

    applier = service(f"s3://{bucket}/feed", csv={"preset": "hive"}).applier("lake")
    assert isinstance(applier, S3Applier)
    ((table, ddl),) = create_tables(applier, ("shop", "lake"), feed, "raw")
    assert table == f"{database}.orders"
    assert "`amount` decimal(10,2)" in ddl

    expected = mysql.execute("SELECT id, note, amount FROM orders ORDER BY id", database=database)
    found = duckdb.sql(documented(f"{tmp_path}/read/**/*.csv*")).fetchall()
    assert found == list(expected)
