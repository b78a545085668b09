"""COPY as the product sends it: manifests, compression, transactions, errors."""

from __future__ import annotations

import json
from typing import Any

import zstandard

ROLE = "IAM_ROLE 'arn:aws:iam::123456789012:role/loader'"
OPTIONS = r"MANIFEST ZSTD NULL AS '\N' TIMEFORMAT 'auto' DATEFORMAT 'auto' COMPUPDATE OFF STATUPDATE OFF REGION 'eu-west-1'"


def put_manifest(s3: Any, files: dict[str, bytes], mandatory: bool = True) -> str:
    """Put files and a manifest of them; the manifest's address."""
    for key, body in files.items():
        s3.put_object(Bucket="bucket", Key=key, Body=body)
    entries = [{"url": f"s3://bucket/{key}", "mandatory": mandatory} for key in files]
    key = f"{next(iter(files))}.manifest"
    s3.put_object(Bucket="bucket", Key=key, Body=json.dumps({"entries": entries}).encode())
    return f"s3://bucket/{key}"


def zst(text: str) -> bytes:
    return zstandard.compress(text.encode())


def test_a_manifest_of_zstd_files_is_loaded_inside_the_clients_transaction(connection: Any, s3: Any) -> None:
    cursor = connection.cursor()
    cursor.execute(
        "CREATE TABLE a (id BIGINT NOT NULL ENCODE az64, name VARCHAR(20), at TIMESTAMP) DISTKEY(id) SORTKEY(id)"
    )
    url = put_manifest(
        s3, {"m/1": zst("1,a,2026-01-02 03:04:05.123456\n2,\\N,\\N\n"), "m/2": zst('3,"x, ""y""\nz",\\N\n')}
    )
    connection.autocommit = False
    cursor.execute(f"COPY a (id, name, at) FROM '{url}' {ROLE} FORMAT CSV {OPTIONS}")
    cursor.execute("SELECT pg_last_copy_count()")
    assert cursor.fetchone()[0] == 3
    cursor.execute("SELECT id, name, at::varchar FROM a ORDER BY id")
    assert [list(row) for row in cursor.fetchall()] == [
        [1, "a", "2026-01-02 03:04:05.123456"],
        [2, None, None],
        [3, 'x, "y"\nz', None],
    ]
    connection.rollback()
    connection.autocommit = True
    cursor.execute("SELECT count(*) FROM a")
    assert cursor.fetchone()[0] == 0
