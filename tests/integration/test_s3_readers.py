"""What others read out of a feed: DuckDB brings the files of real changes, as they lie on S3, to the rows of the source."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pytest
from fsspec.implementations.arrow import ArrowFSWrapper as ArrowFileSystem
from pyarrow.fs import S3FileSystem

from airflow_provider_tungsten.replicator.storage import open_storage
from tests.integration.extraction import Extraction
from tests.integration.test_s3_feed import replicate
from tests.stack.mysql import MySQL
from tests.stack.s3 import S3

DOCUMENTED = "s3://my-bucket/feed/shop/lake/shop/orders/"
DOCS = Path(__file__).parents[2] / "docs" / "s3.md"


class S3Files(ArrowFileSystem):
    """Arrow's S3 client as DuckDB's file system for s3://, since DuckDB's own comes from a server of its makers."""

    protocol = "s3"

    def __init__(self, s3: S3) -> None:
        client = S3FileSystem(
            access_key=s3.access_key,
            secret_key=s3.secret_key,
            region=s3.region,
            endpoint_override=s3.endpoint_url,
        )
        super().__init__(client)


def documented(folder: str) -> str:
    """The SQL that the documentation gives, on another table's folder."""
    (sql,) = re.findall(r"```sql\n(-- DuckDB.*?)```", DOCS.read_text(), re.DOTALL)
    assert sql.count(DOCUMENTED) == 1
    return str(sql).replace(DOCUMENTED, folder)


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
    expected = mysql.execute("SELECT id, note, amount FROM orders ORDER BY id", database=database)
    with duckdb.connect() as duck:
        duck.register_filesystem(S3Files(s3))
        found = duck.sql(documented(f"{feed.url}/{database}/orders/")).fetchall()
    assert found == list(expected)
