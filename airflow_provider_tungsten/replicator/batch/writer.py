"""Writes one planned micro-batch: row images to CSV parts, COPY manifests where the target reads them, and last of all the
batch manifest.

A batch exists when its manifest does. The same range under the same settings gives the same names and the same bytes, so
any number of attempts, one after the other or at once, end in one batch.
"""

from __future__ import annotations

import os
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Lock

from airflow_provider_tungsten.replicator.batch.files import (
    Uploads,
    missing_files,
    publish,
    put_manifest,
    read_manifest,
)
from airflow_provider_tungsten.replicator.batch.manifest import BatchManifest, Plan, TableBatch
from airflow_provider_tungsten.replicator.batch.parts import Parts
from airflow_provider_tungsten.replicator.batch.settings import ApplierSettings
from airflow_provider_tungsten.replicator.batch.skips import reopen
from airflow_provider_tungsten.replicator.batch.spans import included_statement, statement_tables
from airflow_provider_tungsten.replicator.batch.table_writer import TableWriter
from airflow_provider_tungsten.replicator.batch.tables import AppliedTables
from airflow_provider_tungsten.replicator.binlog.rows import (
    NULL_CANDIDATES,
    CsvEncoder,
    SentinelCollision,
    Workspace,
)
from airflow_provider_tungsten.replicator.errors import (
    ConfigurationError,
    DataError,
    DivergedError,
)
from airflow_provider_tungsten.replicator.filters.rows import RowFilters
from airflow_provider_tungsten.replicator.service import Service
from airflow_provider_tungsten.replicator.storage import Storage
from airflow_provider_tungsten.replicator.thl.event import Kind, ThlEvent
from airflow_provider_tungsten.replicator.thl.log import Log
from airflow_provider_tungsten.replicator.thl.runs import RowRun

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
        # Not parts of a table that had to be written anew: whoever reads folders, not manifests, would count them.
        uploads.keep({key for table in tables for key in table.keys})
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


def _replanned(plan: Plan, what: str) -> ConfigurationError:
    return ConfigurationError(
        f"batch {plan.first}–{plan.last} was planned while the applier's include and exclude rules left a table out that they take "
        f"now: {what}, and the batch is not cut there. Exclude the table again until position {plan.last} is applied"
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
        self._definitions: dict[TableName, str] = {}
        self._candidates: dict[TableName, int] = defaultdict(int)
        self._truncated: dict[TableName, TableBatch] = {}

    def write(self) -> list[TableBatch]:
        """Every table's share, in name order; all files but the batch manifest are stored when this returns."""
        done: dict[TableName, TableWriter] = {}
        collided = self._pass(done, None)
        while collided:
            collided = self._pass(done, collided)
        shares = [writer.end() for writer in done.values()]
        tables = [share for share in (job.result() for job in shares) if share.parts]
        self._uploads.wait()
        return sorted([*tables, *self._truncated.values()], key=lambda table: (table.schema, table.table))

    def _pass(self, done: dict[TableName, TableWriter], only: set[TableName] | None) -> set[TableName]:
        """Reads the range and fills ``done``; returns the tables that must be written anew with another sentinel."""
        collided: set[TableName] = set()
        with ThreadPoolExecutor(len(self._workspaces), "tungsten-tables") as pool:
            plan = self._plan
            ids = not {"event_id", "gtid"}.isdisjoint(self._applier.csv.header)
            for runs in self._log.read_runs(plan.first, plan.last, plan.skipped, ids=ids):
                if isinstance(runs, ThlEvent):
                    self._check_statement(runs)
                    continue
                todo = deque(run for run in runs if self._is_wanted(run, only))
                self._check_definitions(todo)
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

    def _check_definitions(self, runs: Iterable[RowRun]) -> None:
        """A table has one in a batch, and so one run among those that are written at the same time."""
        for run in runs:
            if (
                self._definitions.setdefault((run.schema_name, run.table_name), run.definition)
                != run.definition
            ):
                place = f"{run.schema_name}.{run.table_name} changes its definition at seqno {run.seqnos[run.places[0]]}"
                raise _replanned(self._plan, place)

    def _take(
        self,
        todo: deque[RowRun],
        workspace: Workspace,
        done: dict[TableName, TableWriter],
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
        done: dict[TableName, TableWriter],
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

    def _new_writer(self, name: TableName, definition: str, workspace: Workspace) -> TableWriter:
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
        return TableWriter(
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
                    own = self._tables.own_rows(schema, table)
                    self._truncated[name] = TableBatch(
                        *name, event.definition or "", {}, "", "", truncate=True, own=own
                    )
