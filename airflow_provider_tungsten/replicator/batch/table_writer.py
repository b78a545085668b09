"""One table's share of a micro-batch: its rows to parts, partition by partition, and what is to be said of them."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import BinaryIO

import structlog

from airflow_provider_tungsten.replicator.batch.files import (
    Uploads,
    copy_manifest,
    table_stem,
)
from airflow_provider_tungsten.replicator.batch.manifest import Part, Plan, TableBatch
from airflow_provider_tungsten.replicator.batch.names import FileNames
from airflow_provider_tungsten.replicator.batch.parts import CHUNK, Job, PartFile, Parts
from airflow_provider_tungsten.replicator.batch.tables import AppliedTable
from airflow_provider_tungsten.replicator.binlog.refusals import CallableFailed, NotCarried
from airflow_provider_tungsten.replicator.binlog.rows import (
    CsvEncoder,
    ValueRefused,
    Workspace,
)
from airflow_provider_tungsten.replicator.errors import (
    CorruptLogError,
    DataError,
    TungstenError,
)
from airflow_provider_tungsten.replicator.filters.rows import RowFilters
from airflow_provider_tungsten.replicator.thl.runs import RowRun

logger = structlog.get_logger(__name__)


@dataclass(slots=True)
class _OpenPart:
    """A part that grows, and its rows so far."""

    file: PartFile
    rows: int = 0


class TableWriter:
    """One table's parts and counts in one batch. Rows are numbered in log order, whichever partitions they go to."""

    def __init__(
        self,
        table: AppliedTable,
        definition: str,
        rows: RowFilters | None,
        encoder: CsvEncoder,
        titles: bytes,
        null: str,
        plan: Plan,
        names: FileNames,
        part_bytes: int,
        parts: Parts,
        uploads: Uploads,
        url: str | None,
    ) -> None:
        """:param url: of the applier's folder, for the COPY manifest; None: the target needs none."""
        self._table = table
        self._definition = definition
        self._rows = rows
        self._encoder = encoder
        self._titles = titles
        self._null = null
        self._plan = plan
        self._names = names
        self._part_bytes = part_bytes
        self._files = parts
        self._uploads = uploads
        self._url = url
        self._row_id = 1
        self._opcodes: Counter[str] = Counter()
        self._conversions: Counter[str] = Counter()
        self._parts: list[Job[Part]] = []
        self._share: Job[TableBatch] | None = None
        self._open: dict[str, _OpenPart] = {}
        self._numbers: dict[str, int] = defaultdict(int)

    def add(self, run: RowRun, workspace: Workspace) -> None:
        """
        :param workspace: nobody else's meanwhile.
        :raises SentinelCollision: a value equals the text that stands for NULL.
        """
        self._encoder.workspace = workspace
        if self._rows is not None:
            try:
                run = self._rows.filtered(run)
            except (ValueRefused, CorruptLogError) as error:
                raise self._explained(error, run.seqnos[self._rows.failed]) from None
        for partition, piece in self._partitions(run):
            self._add_to(partition, piece)

    def _partitions(self, run: RowRun) -> Iterator[tuple[str, RowRun]]:
        """The run's adjacent events of one partition at a time."""
        if not self._names.partitioned:
            yield "", run
            return
        start = 0
        of_events = (self._names.partition(run.commits[place]) for place in run.places)
        for partition, events in groupby(of_events):
            end = start + sum(1 for _ in events)
            yield partition, run.piece(start, end)
            start = end

    def _add_to(self, partition: str, run: RowRun) -> None:
        start = 0
        while start < len(run.places):
            part = self._open.get(partition)
            if part is None:
                part = self._open[partition] = _OpenPart(self._files.new())
                part.file.add(self._titles)
            start += self._add(run, start, part)
            if part.file.csv_bytes >= self._part_bytes:
                self._close_part(partition)

    def _add(self, run: RowRun, start: int, part: _OpenPart) -> int:
        """:returns: how many of the run's events went into the part: a part ends with the event that fills it."""
        limit = max(0, min(CHUNK, self._part_bytes - part.file.csv_bytes))
        try:
            encoded, events = self._encoder.encode_run(
                run, start, row_id=self._row_id, limit=limit, sink=part.file.add
            )
        except (ValueRefused, CorruptLogError) as error:
            raise self._explained(error, run.seqnos[self._encoder.failed]) from None
        part.file.add(encoded.csv)
        part.rows += encoded.next_row_id - self._row_id
        self._row_id = encoded.next_row_id
        # Counter.update costs more than the rows of a short run.
        for opcode, count in encoded.opcodes.items():
            self._opcodes[opcode] += count
        for name, count in encoded.conversions.items():
            self._conversions[name] += count
        return events

    def _close_part(self, partition: str) -> None:
        part = self._open.pop(partition)
        if not part.rows:
            part.file.discard()  # filters left nothing
            return
        number = self._numbers[partition]
        self._numbers[partition] += 1

        def stored(source: bytes | BinaryIO, size: int, sha256: str) -> Part:
            target = self._table.definition
            seqnos = self._plan.first, self._plan.last
            key = self._names.key((target.schema, target.table), partition, seqnos, number, sha256)
            self._uploads.put(key, source, size)
            return Part(key, part.rows, size, part.file.csv_bytes, sha256, partition)

        self._parts.append(part.file.close(stored))

    def end(self) -> Job[TableBatch]:
        """No rows come any more.

        :returns: the table's share; all of its files are on their way to the store then.
        """
        if self._share is None:
            for partition in list(self._open):
                self._close_part(partition)
            self._share = self._files.in_background(self._finished, 0)
        return self._share

    def discard(self) -> None:
        """Ends without a share. Parts that are stored already are removed when the batch is whole."""
        for part in self._open.values():
            part.file.discard()

    def _finished(self) -> TableBatch:
        target = self._table.definition
        parts = tuple(part.result() for part in self._parts)
        if self._conversions:
            logger.info(
                "values converted",
                table=target.name,
                first=self._plan.first,
                last=self._plan.last,
                **self._conversions,
            )
        return TableBatch(
            target.schema,
            target.table,
            self._definition if target == self._table.logged else target.json,
            dict(sorted(self._opcodes.items())),
            self._null,
            "" if self._url is None or not parts else self._listed(parts, self._url),
            parts,
            conversions=dict(sorted(self._conversions.items())),
        )

    def _listed(self, parts: tuple[Part, ...], url: str) -> str:
        """Name of the COPY manifest."""
        data = copy_manifest(parts, url)
        target = self._table.definition
        stem = table_stem(target.schema, target.table, self._plan.first, self._plan.last)
        key = f"{stem}-{hashlib.sha256(data).hexdigest()[:16]}.manifest"
        self._uploads.put(key, data, len(data))
        return key

    def _explained(self, error: ValueRefused | CorruptLogError, seqno: int) -> TungstenError:
        """The same with table and seqno."""
        if isinstance(error, CorruptLogError):
            return CorruptLogError(f"seqno {seqno}: {error}")
        name = self._table.logged.name
        why = "" if isinstance(error, NotCarried | CallableFailed) else ", which the target cannot hold"
        return DataError(
            f"{name}.{error.column}, seqno {seqno}: {error.reason}{why}. Exclude the "
            f"column (exclude_columns: {name}.{error.column}) or the "
            f"table (exclude: {name}) in the applier's rules, or change such values by a filter (zerodate2null, "
            "truncatetext, mask, cast): each works at once"
        )
