"""Runs in the environment a wheel was installed into: imports every compiled module and puts one row through them."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import airflow_provider_tungsten
from airflow_provider_tungsten.replicator import binlog
from airflow_provider_tungsten.replicator.batch import writer
from airflow_provider_tungsten.replicator.binlog.definition import Column, TableDefinition
from airflow_provider_tungsten.replicator.binlog.rows import CsvEncoder

ROW = bytes.fromhex("00 07000000 03") + b"a,b" + bytes.fromhex("02 08000000")
CSV = b'I,12,1,2023-11-14 22:13:20.000000,7,"a,b"\nI,12,2,2023-11-14 22:13:20.000000,8,\\N\n'


def main() -> None:
    if not airflow_provider_tungsten.__file__.startswith(sys.prefix) or not writer.__file__.startswith(
        sys.prefix
    ):
        sys.exit(
            f"imported from {airflow_provider_tungsten.__file__}, which is not the environment {sys.prefix}"
        )
    folder = Path(binlog.__file__).parent
    compiled = sorted(path.name.partition(".")[0] for path in folder.glob("*.so"))
    for name in compiled:
        importlib.import_module(f"{binlog.__name__}.{name}")
    columns = (
        Column("id", "int", 3, nullable=False),
        Column("v", "varchar", 15, 80, charset="utf8mb4", length=20),
    )
    encoder = CsvEncoder(
        TableDefinition("a", "t", columns, ("id",)), ("opcode", "seqno", "row_id", "commit_timestamp")
    )
    encoded = encoder.encode(ROW, "insert", seqno=12, row_id=1, commit_ts=1_700_000_000_000_000)
    if encoded.csv != CSV:
        sys.exit(f"the row came out as {encoded.csv!r}")
    print(", ".join(compiled))


if __name__ == "__main__":
    main()
