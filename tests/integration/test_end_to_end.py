"""The engine from a MySQL server to Redshift, without Airflow; `make cluster` does the same with a real cluster."""

from __future__ import annotations

from pathlib import Path

from tests.stack.cluster import replicate
from tests.stack.mysql import MySQL
from tests.stack.redshift import Redshift
from tests.stack.s3 import S3


def test_every_value_of_the_shop_arrives_as_it_is_in_the_source(
    redshift: Redshift, s3: S3, bucket: str, tmp_path: Path
) -> None:
    with MySQL(tmp_path / "mysql") as mysql:
        results = replicate(
            mysql, redshift.connect, s3.client(), f"s3://{bucket}/files", "default", tmp_path / "thl"
        )

    assert [result.detail for result in results if not result.equal] == []
    assert all(result.source_rows > 0 for result in results)
