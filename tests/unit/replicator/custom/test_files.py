"""What a user's class reads: stored bytes, CSV, rows."""

from __future__ import annotations

import bz2
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from airflow_provider_tungsten.replicator.batch.manifest import Part, TableBatch
from airflow_provider_tungsten.replicator.custom.files import BatchFiles
from airflow_provider_tungsten.replicator.custom.settings import CustomCsv
from airflow_provider_tungsten.replicator.errors import ConfigurationError
from airflow_provider_tungsten.replicator.storage import open_storage

CSV = [b'I,1,"a ""b""\r\nc",\\N\n', ("I,2,é,'\\\n" + f'D,3,"{"x" * 200_000}",""\n').encode()]
ROWS = [("I", "1", 'a "b"\r\nc', None), ("I", "2", "é", "'\\"), ("D", "3", "x" * 200_000, "")]


@pytest.mark.parametrize(
    ("ending", "compress"),
    [(".csv", bytes), (".csv.zst", zstandard.compress), (".csv.gz", gzip.compress), (".csv.bz2", bz2.compress)],
)  # fmt: skip
def test_rows_come_from_every_part_as_they_were_written(
    tmp_path: Path, ending: str, compress: Callable[[bytes], bytes]
) -> None:
    store = open_storage(str(tmp_path))
    parts = []
    for number, text in enumerate(CSV):
        # Two frames, as a part that is written in pieces has them.
        data = compress(text[:9]) + compress(text[9:])
        parts.append(Part(f"shop/orders/{number}{ending}", 1, len(data), len(text), ""))
        store.create(parts[-1].key, data, token="t")
    files = BatchFiles(store, CustomCsv())
    table = TableBatch("shop", "orders", "", {}, "\\N", "", tuple(parts))
    assert list(files.rows(table)) == ROWS
    with files.open_csv(parts[0]) as file:
        assert file.read() == CSV[0]
    path = files.path(parts[0])
    assert path is not None
    assert files.url(parts[0]) == str(path) == f"{tmp_path}/shop/orders/0{ending}"
    with files.open(parts[0]) as stored:
        assert stored.read() == path.read_bytes()


def test_separators_of_ones_own_and_a_line_of_names_are_read_too(tmp_path: Path) -> None:
    store = open_storage(str(tmp_path))
    data = b"opcode;id\r\nI;'a;''b'\r\n"
    store.create("a.csv", data, token="t")
    table = TableBatch("shop", "orders", "", {}, "\\N", "", (Part("a.csv", 1, len(data), len(data), ""),))
    settings = CustomCsv(
        field_separator=";", quote="'", escape="'", record_separator="\r\n", use_headers=True
    )
    assert list(BatchFiles(store, settings).rows(table)) == [("I", "a;'b")]


@pytest.mark.parametrize("preset", ["default", "hive", "mysql", "vertica"])
def test_a_dialect_that_rows_cannot_tell_null_in_is_refused(tmp_path: Path, preset: Any) -> None:
    files = BatchFiles(open_storage(str(tmp_path)), CustomCsv(preset=preset))
    with pytest.raises(
        ConfigurationError, match=rf"rows\(\) reads CSV of the preset redshift, not of {preset}"
    ):
        list(files.rows(TableBatch("shop", "orders", "", {}, "null", "")))
