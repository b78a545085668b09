"""Corpus files through the door that the product has: files → extractor → THL → CSV text; and what is expected of each."""

from __future__ import annotations

import csv
import io
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytest

from airflow_provider_tungsten.replicator.binlog.definition import TableDefinition
from airflow_provider_tungsten.replicator.binlog.rows import NULL_CANDIDATES, CsvEncoder, SentinelCollision
from airflow_provider_tungsten.replicator.errors import TungstenError
from airflow_provider_tungsten.replicator.file_extractor import FilesSource, extract_files
from airflow_provider_tungsten.replicator.filters.tables import TableFilter
from airflow_provider_tungsten.replicator.service import Start
from airflow_provider_tungsten.replicator.settings import TableRules
from airflow_provider_tungsten.replicator.storage import open_storage
from airflow_provider_tungsten.replicator.thl.event import RECORD_KINDS, ROW_KINDS, ThlEvent
from airflow_provider_tungsten.replicator.thl.log import Log

# Beside the checkout, where nothing else is said.
FOLDER = Path(os.environ.get("TUNGSTEN_CORPUS", Path(__file__).parents[3] / "shared" / "corpus"))

needs_corpus = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"no binlog files in {FOLDER}; set TUNGSTEN_CORPUS to their folder"
)


class Row(NamedTuple):
    """An image: ``opcode`` I or D (an update is a D of the old and an I of the new); values None, or canonical text."""

    gtid: str
    place: str
    table: str
    opcode: str
    names: tuple[str, ...]
    values: tuple[str | None, ...]

    @property
    def by_name(self) -> dict[str, str | None]:
        return dict(zip(self.names, self.values, strict=True))


@dataclass(frozen=True)
class Reading:
    """What one reading gave: THL events, and what stopped it."""

    events: list[ThlEvent]
    error: TungstenError | None

    @property
    def counts(self) -> dict[str, str]:
        """Per table its operations in the order of the alphabet, as in ``{"shop.t": "ddl 1, insert 3"}``."""
        found: dict[str, Counter[str]] = {}
        for event in self.events:
            if event.kind in RECORD_KINDS:
                continue
            name = f"{event.schema_name}.{event.table_name}"
            found.setdefault(name, Counter())[event.kind] += event.rows or 1
        return {
            name: ", ".join(f"{kind} {count}" for kind, count in sorted(counter.items()))
            for name, counter in sorted(found.items())
        }

    def rows(self) -> Iterator[Row]:
        for event in self.events:
            if event.kind in ROW_KINDS:
                yield from rows_of(event)


def read(
    name: str,
    *,
    start: str | None = None,
    include: Sequence[str] = ("*.*",),
    exclude: Sequence[str] = (),
    exclude_columns: Sequence[str] = (),
    dump: str = "",
) -> Reading:
    """:param name: file below the corpus' folder. ``dump``: what `mysqldump --no-data` would have written."""
    rules = TableRules(include=tuple(include), exclude=tuple(exclude), exclude_columns=tuple(exclude_columns))
    failure = None
    with TemporaryDirectory(prefix="tungsten-corpus-") as folder:
        storage = open_storage(folder)
        schema_dump = Path(folder) / "dump.sql" if dump else None
        if schema_dump is not None:
            schema_dump.write_text(dump)
        source = FilesSource(FOLDER / name, Start.parse(start or "earliest"), rules, schema_dump=schema_dump)
        try:
            extract_files("corpus", source, storage, token="test")
        except TungstenError as error:
            failure = error
        log = Log(storage, "corpus")
        head = log.head()
        events = [*log.read(0, head.last)] if head else []
    return Reading(events, failure)


def rows_of(event: ThlEvent) -> Iterator[Row]:
    assert event.definition is not None
    assert event.payload is not None
    definition = TableDefinition.from_json(event.definition)
    for null in NULL_CANDIDATES:
        encoder = CsvEncoder(
            definition, ["opcode"], null=null, max_text_bytes=None, refuse_nul=False, refuse_zero_dates=False
        )
        try:
            text = encoder.encode(event.payload, event.kind, seqno=1, row_id=1, commit_ts=0).csv.decode()
            break
        except SentinelCollision:
            continue
    names = tuple(column.name for column in definition.columns)
    for opcode, *values in csv.reader(io.StringIO(text, newline="")):
        nulled = tuple(None if value == null else value for value in values)
        yield Row(event.gtid, event.event_id, definition.name, opcode, names, nulled)


@dataclass(frozen=True)
class Case:
    """One reading of a file and what is right.

    :param counts: see `Reading.counts`; up to the refusal where there is one.
    :param rows: opcode and values of every row image.
    :param error: class of the refusal; ``words``: a regular expression that its message holds.
    :param system: MySQL's own schemas are read like any other: some files have their tables there.
    """

    name: str
    counts: dict[str, str] = field(default_factory=dict)
    error: type[TungstenError] | None = None
    words: str = ""
    rows: tuple[tuple[str | None, ...], ...] | None = None
    start: str | None = None
    exclude: tuple[str, ...] = ()
    exclude_columns: tuple[str, ...] = ()
    system: bool = False
    dump: str = ""

    def __str__(self) -> str:
        return (
            self.name.rpartition("/")[2]
            + (f" from {self.start}" if self.start else "")
            + " with a dump" * bool(self.dump)
        )

    def read(self) -> Reading:
        return read(
            self.name,
            start=self.start,
            exclude=self.exclude,
            exclude_columns=self.exclude_columns,
            dump=self.dump,
        )

    def check(self, monkeypatch: pytest.MonkeyPatch) -> Reading:
        if self.system:
            monkeypatch.setattr(TableFilter, "SYSTEM_SCHEMAS", frozenset())
        reading = self.read()
        assert (reading.error is None) == (self.error is None), reading.error
        if self.error is not None:
            assert type(reading.error) is self.error
            assert re.search(self.words, str(reading.error))
        assert reading.counts == self.counts
        rows = [(row.opcode, *row.values) for row in reading.rows()]
        if self.rows is not None:
            assert rows == [*self.rows]
        return reading


def refused(name: str, error: type[TungstenError], words: str, **options: Any) -> Case:
    return Case(name, error=error, words=words, **options)


def unnamed(folder: str, cases: Sequence[Case]) -> set[str]:
    """Files of a folder of which nothing is expected."""
    files = {path.name for path in (FOLDER / folder).iterdir() if path.suffix not in (".txt", ".sql")}
    return files - {case.name.rpartition("/")[2] for case in cases}
