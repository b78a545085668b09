"""Reading access to the files of an applier's batches: bytes as stored, CSV text, or rows."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, cast

import zstandard

from airflow_provider_tungsten.replicator.batch.manifest import Part, TableBatch
from airflow_provider_tungsten.replicator.batch.presets import Csv
from airflow_provider_tungsten.replicator.errors import ConfigurationError
from airflow_provider_tungsten.replicator.storage import LocalStorage, Storage


class BatchFiles:
    """The files of an applier, as its batches' manifests name them.

    :param store: the applier's folder.
    :param settings: of its CSV.
    """

    def __init__(self, store: Storage, settings: Csv) -> None:
        self._store = store
        self._settings = settings

    def url(self, part: Part) -> str:
        """``s3://bucket/…``, or the path of a local file."""
        return f"{self._store.url.rstrip('/')}/{part.key}"

    def path(self, part: Part) -> Path | None:
        """The file, where the store is a local folder; else None."""
        return Path(self.url(part)) if isinstance(self._store, LocalStorage) else None

    def open(self, part: Part) -> BinaryIO:
        """The bytes as stored, compressed or not; seekable."""
        return self._store.open(part.key)

    def open_csv(self, part: Part) -> BinaryIO:
        """The CSV's bytes, in UTF-8; read as they come."""
        file, ending = self.open(part), part.key[part.key.rfind(".") :]
        if ending == ".zst":
            reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True, closefd=True)
            return cast(BinaryIO, io.BufferedReader(reader))
        if ending == ".gz":
            return cast(BinaryIO, gzip.GzipFile(fileobj=file))
        return cast(BinaryIO, bz2.BZ2File(file)) if ending == ".bz2" else file

    def rows(self, table: TableBatch) -> Iterator[tuple[str | None, ...]]:
        """The rows of all parts in the order of the log: header columns, then the table's; None is NULL.

        :raises ConfigurationError: the dialect is not one that Python's csv reads back: NULL a sentinel, quotes doubled.
        """
        dialect = self._settings.dialect
        if (
            dialect.null is not None
            or dialect.escape != dialect.quote
            or dialect.record_separator[-1] != "\n"
        ):
            raise ConfigurationError(
                f"rows() reads CSV of the preset redshift, not of {self._settings.preset} with these settings: set the applier's "
                "csv.preset to redshift, or read the files by open_csv()"
            )
        csv.field_size_limit(sys.maxsize)
        with ExitStack() as opened:
            for part in table.parts:
                file = opened.enter_context(self.open_csv(part))
                text = io.TextIOWrapper(file, encoding="utf-8", newline="")
                lines = csv.reader(
                    text, delimiter=dialect.field_separator, quotechar=dialect.quote, strict=True
                )
                if self._settings.effective("use_headers"):
                    next(lines)
                for row in lines:
                    yield tuple(None if value == table.null else value for value in row)
