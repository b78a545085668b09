"""Writes one planned micro-batch: row images to CSV parts, COPY manifests where the target reads them, and last of all the
batch manifest.

A batch exists when its manifest does. The same range under the same settings gives the same names and the same bytes, so
any number of attempts, one after the other or at once, end in one batch.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import groupby
from threading import Lock
from typing import BinaryIO

import structlog

from airflow_provider_tungsten.replicator.batch.files import (
    Uploads,
    copy_manifest,
    missing_files,
    publish,
    put_manifest,
    read_manifest,
    table_stem,
)
from airflow_provider_tungsten.replicator.batch.manifest import BatchManifest, Part, Plan, TableBatch
from airflow_provider_tungsten.replicator.batch.names import FileNames
from airflow_provider_tungsten.replicator.batch.parts import CHUNK, Job, PartFile, Parts
from airflow_provider_tungsten.replicator.batch.settings import ApplierSettings
from airflow_provider_tungsten.replicator.batch.skips import reopen
from airflow_provider_tungsten.replicator.batch.spans import included_statement, statement_tables
from airflow_provider_tungsten.replicator.batch.tables import AppliedTable, AppliedTables
from airflow_provider_tungsten.replicator.binlog.refusals import CallableFailed, NotCarried
from airflow_provider_tungsten.replicator.binlog.rows import (
    NULL_CANDIDATES,
    CsvEncoder,
    SentinelCollision,
    ValueRefused,
    Workspace,
)
from airflow_provider_tungsten.replicator.errors import (
    ConfigurationError,
    CorruptLogError,
    DataError,
    DivergedError,
)
from airflow_provider_tungsten.replicator.filters.rows import RowFilters
from airflow_provider_tungsten.replicator.service import Service
from airflow_provider_tungsten.replicator.storage import Storage
from airflow_provider_tungsten.replicator.thl.event import Kind, ThlEvent
from airflow_provider_tungsten.replicator.thl.log import Log
from airflow_provider_tungsten.replicator.thl.runs import RowRun

logger = structlog.get_logger(__name__)
Progress = Callable[[int, int], None]
TableName = tuple[str, str]
_PROGRESS_ROWS = 20_000
# Each makes the CSV of another table.
_MOST_THREADS = 2


def write_batch(
    log: Log,
    plan: Plan,
    service: Service,
    applier_name: str,
    store: Storage,
    *,
    token: str,
    progress: Progress | None = None,
) -> BatchManifest:
    """Makes the batch of ``plan`` exist in ``store``, or finds that it does.

    Takes about 100 MB, however large an event or a value is; what is larger than 16 MiB of either lies in a temporary file meanwhile.
    Only a Python callable of the filters has its values in memory whole, and so has what is read of a log of before format 2.

    :param store: the applier's folder, in the final store or in the staging folder; COPY manifests name the final one.
    :param progress: called now and then with rows done and rows in all.
    :raises DivergedError: the plan was made from another log.
    :raises UnsupportedError: a table without a primary key, an unsupported column type.
    :raises DataError: a value that the target cannot hold.
    :raises ConfigurationError: a table joined the applier's rules that the plan left out of its cuts.
    """
    found = read_manifest(store, plan)
    applier = service.applier(applier_name)
    in_feed = applier.is_feed and applier.staging_folder is None
    put = publish if in_feed else put_manifest
    if found is not None and found.plan == plan and not any(missing_files(store, found)):
        if in_feed:
            reopen(store, plan)
        return found
    files = applier.csv.header_names, applier.csv.compression
    if plan.effect == "records" and log.head() is not None and plan.last < log.first_seqno():
        # Nothing of what was purged is to be loaded.
        return put(store, BatchManifest(plan, *files, ()), token)
    _check_log(log, plan)
    with (
        Uploads(store, token) as uploads,
        closing(Parts(applier.csv.compression)) as parts,
    ):
        applied = AppliedTables(applier, service.filters)
        batch = _Batch(log, plan, service.service, applier_name, applier, applied, uploads, parts, progress)
        tables = tuple(batch.write())
    # Parts of a table that had to be written anew: whoever reads folders, not manifests, would count them.
    for key in uploads.keys - {key for table in tables for key in table.keys}:
        store.delete(key)
    return put(store, BatchManifest(plan, *files, tables), token)


def _check_log(log: Log, plan: Plan) -> None:
    head = log.head()
    record = log.record(plan.last) if head is not None and head.last >= plan.last else None
    known = (plan.thl_uuid, plan.epoch_number, plan.event_id)
    if head is None or record is None or (head.uuid, record.epoch_number, record.event_id) != known:
        raise DivergedError(
            f"batch {plan.first}–{plan.last} was planned from THL {plan.thl_uuid} and ends at {plan.event_id}; the log at hand does "
            "not hold that: it was wiped, rebuilt or restored. Bring the old log back, or load the target anew under a new "
            "applier name"
        )


class _Batch:
    """One writing of a batch: a pass over the log, and another one for each table whose NULL sentinel met a value."""

    def __init__(
        self,
        log: Log,
        plan: Plan,
        service: str,
        applier_name: str,
        applier: ApplierSettings,
        tables: AppliedTables,
        uploads: Uploads,
        parts: Parts,
        progress: Progress | None,
    ) -> None:
        self._log = log
        self._plan = plan
        self._service = service
        self._applier = applier
        self._uploads = uploads
        self._parts = parts
        self._progress = progress
        self._names = applier.file_names(service, applier_name)
        self._url = f"{applier.files.url}/{service}/{applier_name}"
        self._tables = tables
        # A filter's own Python need not be made for several threads.
        threads = 1 if tables.run_python else min(_MOST_THREADS, len(os.sched_getaffinity(0)))
        self._workspaces = [Workspace() for _ in range(threads)]
        self._lock = Lock()
        self._rows = self._reported = 0
        self._candidates: dict[TableName, int] = defaultdict(int)
        self._truncated: dict[TableName, TableBatch] = {}

    def write(self) -> list[TableBatch]:
        """Every table's share, in name order; all files but the batch manifest are stored when this returns."""
        done: dict[TableName, _TableWriter] = {}
        collided = self._pass(done, None)
        while collided:
            collided = self._pass(done, collided)
        shares = [writer.end() for writer in done.values()]
        tables = [share for share in (job.result() for job in shares) if share.parts]
        self._uploads.wait()
        return sorted([*tables, *self._truncated.values()], key=lambda table: (table.schema, table.table))

    def _pass(self, done: dict[TableName, _TableWriter], only: set[TableName] | None) -> set[TableName]:
        """Reads the range and fills ``done``; returns the tables that must be written anew with another sentinel."""
        collided: set[TableName] = set()
        with ThreadPoolExecutor(len(self._workspaces), "tungsten-tables") as pool:
            for runs in self._log.read_runs(self._plan.first, self._plan.last, self._plan.skipped):
                if isinstance(runs, ThlEvent):
                    self._check_statement(runs)
                    continue
                todo = deque(run for run in runs if self._is_wanted(run, only))
                del runs  # or their rows would be in memory beside the next
                others = self._workspaces[1 : len(todo)]
                helping = [pool.submit(self._take, todo, each, done, collided) for each in others]
                try:
                    self._take(todo, self._workspaces[0], done, collided, reports=only is None)
                finally:
                    for helper in helping:
                        helper.result()
        return collided

    def _is_wanted(self, run: RowRun, only: set[TableName] | None) -> bool:
        name = (run.schema_name, run.table_name)
        return (only is None or name in only) and self._tables.includes(*name)

    def _take(
        self,
        todo: deque[RowRun],
        workspace: Workspace,
        done: dict[TableName, _TableWriter],
        collided: set[TableName],
        *,
        reports: bool = False,
    ) -> None:
        """Writes runs, each of another table, until none is left, or one cannot be written: then nobody goes on."""
        try:
            while todo:
                try:
                    run = todo.popleft()
                except IndexError:
                    break
                if (run.schema_name, run.table_name) not in collided:
                    self._write(run, workspace, done, collided)
                if self._progress is not None:
                    self._count(run.rows, reports=reports)
        except BaseException:
            todo.clear()
            raise

    def _write(
        self,
        run: RowRun,
        workspace: Workspace,
        done: dict[TableName, _TableWriter],
        collided: set[TableName],
    ) -> None:
        name = (run.schema_name, run.table_name)
        with self._lock:
            writer = done.get(name)
            if writer is None:
                writer = done[name] = self._new_writer(name, run.definition, workspace)
        try:
            writer.add(run, workspace)
            if run.is_last:
                writer.end()
        except SentinelCollision:
            done.pop(name).discard()
            collided.add(name)
            self._candidates[name] += 1

    def _count(self, rows: int, *, reports: bool) -> None:
        with self._lock:
            self._rows += rows
        if reports and self._progress is not None and self._rows - self._reported >= _PROGRESS_ROWS:
            self._reported = self._rows
            self._progress(self._rows, self._plan.rows)

    def _new_writer(self, name: TableName, definition: str, workspace: Workspace) -> _TableWriter:
        candidate = self._candidates[name]
        if candidate >= len(NULL_CANDIDATES):
            raise DataError(
                f"{'.'.join(name)}, batch {self._plan.first}–{self._plan.last}: every text that could stand for NULL is a value of "
                "this table; make batches smaller (batches.max_rows) or exclude the column (exclude_columns)"
            )
        table = self._tables.applied(definition)
        csv = self._applier.csv
        null = NULL_CANDIDATES[candidate] if csv.dialect.null is None else csv.dialect.null
        rows = RowFilters(table.logged, table.output, table.rows) if table.rows else None
        encoder = CsvEncoder(
            rows.definition if rows else table.logged,
            csv.header,
            key=table.key,
            output=table.output,
            dialect=csv.dialect,
            null=null,
            service=self._service,
            timestamp_digits=csv.timestamp_digits,
            distinguish_updates=csv.distinguish_updates,
            update_opcode=csv.update_opcode,
            workspace=workspace,
            **csv.limits,
        )
        names = (*csv.header_names, *(column.name for column in table.definition.columns))
        return _TableWriter(
            table,
            definition,
            rows,
            encoder,
            encoder.titles(names) if csv.effective("use_headers") else b"",
            null,
            self._plan,
            self._names,
            self._applier.batches.part_bytes,
            self._parts,
            self._uploads,
            self._url if self._applier.copy_manifests else None,
        )

    def _check_statement(self, event: ThlEvent) -> None:
        if event.kind not in (Kind.DDL, Kind.TRUNCATE):
            return
        effect = included_statement(event, self._tables)
        if effect is not None and self._plan.first != self._plan.last:
            raise _replanned(self._plan, f"seqno {event.seqno} is a statement on one of the applier's tables")
        if effect == "truncate":
            for schema, table in statement_tables(event):
                if self._tables.includes(schema, table):
                    name = self._tables.target(schema, table)
                    self._truncated[name] = TableBatch(
                        *name, event.definition or "", {}, "", "", truncate=True
                    )


def _replanned(plan: Plan, what: str) -> ConfigurationError:
    return ConfigurationError(
        f"batch {plan.first}–{plan.last} was planned while the applier's include and exclude rules left a table out that they take "
        f"now: {what}, and the batch is not cut there. Exclude the table again until position {plan.last} is applied"
    )


@dataclass(slots=True)
class _OpenPart:
    """A part that grows, and its rows so far."""

    file: PartFile
    rows: int = 0


class _TableWriter:
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
        if run.definition != self._definition:
            raise _replanned(
                self._plan,
                f"{self._table.logged.name} changes its definition at seqno {run.seqnos[run.places[0]]}",
            )
        if self._rows is not None:
            with self._explained(run, self._rows):
                run = self._rows.filtered(run)
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
        limit = min(CHUNK, self._part_bytes - part.file.csv_bytes)
        with self._explained(run, self._encoder):
            encoded, events = self._encoder.encode_run(
                run, start, row_id=self._row_id, limit=limit, sink=part.file.add
            )
        part.file.add(encoded.csv)
        part.rows += encoded.next_row_id - self._row_id
        self._row_id = encoded.next_row_id
        # Counter.update costs more than the rows of a short run.
        for opcode, count in encoded.opcodes.items():
            self._opcodes[opcode] += count
        for name, count in encoded.conversions.items():
            self._conversions[name] += count
        return events

    @contextmanager
    def _explained(self, run: RowRun, reader: CsvEncoder | RowFilters) -> Iterator[None]:
        """Refusals with table and seqno."""
        try:
            yield
        except ValueRefused as error:
            raise self._refused(run.seqnos[reader.failed], error) from None
        except CorruptLogError as error:
            raise CorruptLogError(f"seqno {run.seqnos[reader.failed]}: {error}") from None

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

    def _refused(self, seqno: int, error: ValueRefused) -> DataError:
        name = self._table.logged.name
        why = "" if isinstance(error, NotCarried | CallableFailed) else ", which the target cannot hold"
        return DataError(
            f"{name}.{error.column}, seqno {seqno}: {error.reason}{why}. Exclude the "
            f"column (exclude_columns: {name}.{error.column}) or the "
            f"table (exclude: {name}) in the applier's rules, or change such values by a filter (zerodate2null, "
            "truncatetext, mask, cast): each works at once"
        )
