"""Applies micro-batches to Redshift: one transaction each, over all its tables, with the position moved in it.

The statements are :mod:`.ddl`'s, :mod:`.merge`'s and :mod:`.position`'s; files and plans are the batch room's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_tungsten.replicator.batch.files import manifest_key, read_manifest
from airflow_provider_tungsten.replicator.batch.hint import Hint, write_hint
from airflow_provider_tungsten.replicator.batch.manifest import BatchManifest, Plan, TableBatch
from airflow_provider_tungsten.replicator.binlog.definition import TableDefinition
from airflow_provider_tungsten.replicator.errors import DivergedError, GapError, TargetError
from airflow_provider_tungsten.replicator.redshift import ddl, errors, merge, position
from airflow_provider_tungsten.replicator.redshift.ddl import FoundColumn, Header, Names, Relation
from airflow_provider_tungsten.replicator.redshift.position import Position
from airflow_provider_tungsten.replicator.redshift.session import CommitUnknownError, Session
from airflow_provider_tungsten.replicator.redshift.types import catalog_type
from airflow_provider_tungsten.replicator.service import RedshiftApplier, Service
from airflow_provider_tungsten.replicator.storage import Storage

if TYPE_CHECKING:
    from airflow_provider_tungsten.replicator.thl.log import Log

_ALREADY_THERE = {"23505", "42P06", "42P07"}


class Plans(Protocol):
    """What of a chain is needed here."""

    def plans(self, first: int = 0) -> Iterator[Plan]: ...


@dataclass(frozen=True)
class LoadResult:
    """What one load did; ``first`` and ``last`` are None when everything was there already.

    :param rows: CSV rows copied.
    :param position: the target's, afterwards.
    """

    first: int | None
    last: int | None
    batches: int
    rows: int
    seconds: float
    position: Position


class _CopyFailedError(TargetError):
    """COPY stopped at its data; which line it was can be read once the transaction is rolled back."""

    def __init__(self, table: TableBatch) -> None:
        self.table = table
        super().__init__(f"COPY failed for {table.schema}.{table.table}")


class Target:
    """An applier's tables on Redshift.

    :param store: the applier's folder, from which COPY reads.
    """

    def __init__(
        self, session: Session, service: str, applier_name: str, applier: RedshiftApplier, store: Storage
    ) -> None:
        self._session = session
        self._applier_name = applier_name
        self._applier = applier
        self._url = store.url.rstrip("/") + "/"
        self._names = Names.of(service, applier)
        self._commit_table = self._names.commit_table
        self._ready: dict[tuple[str, str], tuple[str, tuple[str, ...]]] = {}

    def prepare(self) -> Position:
        """Makes the commit table and the applier's row where they are missing, and reads the position.

        :raises TargetUnavailableError, TargetError: see :class:`Session`.
        """
        with self._session.transaction():
            missing = not self._columns(self._commit_table)
        if missing:
            self._create_commit_table()
        with self._session.locked(self._commit_table):
            found = self._find_position()
            if found is None:
                self._session.execute(
                    position.insert_first(self._commit_table),
                    (self._applier_name,),
                    doing="write the position",
                )
            return found or Position()

    def apply(self, manifest: BatchManifest, source_id: str) -> tuple[Position, bool]:
        """Applies one micro-batch, if it is the next.

        :param source_id: of record ``manifest.plan.last``.
        :returns: the target's position afterwards, and whether this call moved it.
        :raises GapError, DivergedError: see :func:`position.is_applied`.
        :raises DataError: COPY refused a value.
        :raises TargetError, TargetUnavailableError: see :class:`Session`; nothing of the batch is applied.
        """
        try:
            self._fit_tables(manifest)
            return self._apply(manifest, source_id)
        except CommitUnknownError:
            with self._session.locked(self._commit_table):
                current = self._position()
            if position.is_applied(current, manifest.plan):
                return current, True
            raise
        except _CopyFailedError as error:
            raise self._load_error(error.table) from error

    def _apply(self, manifest: BatchManifest, source_id: str) -> tuple[Position, bool]:
        with self._session.locked(self._commit_table):
            current = self._position()
            if position.is_applied(current, manifest.plan):
                return current, False
            for table in sorted(manifest.tables, key=lambda table: (table.schema, table.table)):
                self._load_table(manifest, table)
            new = position.after(manifest.plan, source_id)
            self._move(current, new)
        return new, True

    def _load_table(self, manifest: BatchManifest, table: TableBatch) -> None:
        live, stage = (
            self._names.live(table.schema, table.table),
            self._names.stage(table.schema, table.table),
        )
        doing = f"apply {manifest.plan.first}-{manifest.plan.last} to {live}"
        if table.truncate:
            # One that has never been loaded may not be there.
            if self._columns(live):
                self._session.execute(merge.empty(live), doing=doing)
            return
        definition, header = TableDefinition.from_json(table.definition), Header(manifest.header)
        self._session.execute(merge.empty(stage), doing=doing)
        self._copy(manifest, table, stage, header, definition)
        self._session.execute(merge.delete_staged(live, stage, definition), doing=doing)
        self._session.execute(merge.insert_last(live, stage, header, definition), doing=doing)

    def _copy(
        self,
        manifest: BatchManifest,
        table: TableBatch,
        stage: Relation,
        header: Header,
        definition: TableDefinition,
    ) -> None:
        self._copy_to(stage, manifest, table, header, definition)
        doubtful = merge.doubtful(definition)
        doing = f"look for empty values of {stage}"
        if not doubtful or self._session.query(merge.count_nulls(stage, doubtful), doing=doing) == [(0,)]:
            return
        self._session.execute(merge.create_probe(header, definition), doing=doing)
        self._copy_to(merge.PROBE, manifest, table, header, definition)
        for column in doubtful:
            self._session.execute(merge.restore_empty(stage, header, column), doing=doing)
        self._session.execute(ddl.drop_table(merge.PROBE), doing=doing)

    def _copy_to(
        self,
        relation: Relation,
        manifest: BatchManifest,
        table: TableBatch,
        header: Header,
        definition: TableDefinition,
    ) -> None:
        statement = merge.copy(
            relation,
            header,
            definition,
            self._url + table.copy_manifest,
            iam_role=self._applier.iam_role,
            compression=manifest.compression,
            null=table.null,
            region=self._applier.region,
            cut=relation == merge.PROBE,
        )
        doing = f"copy {self._url}{table.copy_manifest} to {relation}"
        try:
            self._session.execute(statement, doing=doing)
        except TargetError as error:
            if error.__cause__ is not None and errors.is_load_error(error.__cause__):
                raise _CopyFailedError(table) from error
            raise
        [(copied,)] = self._session.query(merge.COPIED_ROWS, doing=doing)
        if copied != table.total_rows:
            raise TargetError(
                f"COPY loaded {copied} rows of {definition.name} from {self._url}{table.copy_manifest}, the batch has "
                f"{table.total_rows}: its files are not those that were written; remove the batch's files and write it anew"
            )

    def _load_error(self, table: TableBatch) -> Exception:
        live = self._names.live(table.schema, table.table)
        prefix = errors.files_prefix([self._url + part.key for part in table.parts])
        with self._session.transaction():
            rows = self._session.query(errors.LOAD_ERRORS, (prefix,), doing="read sys_load_error_detail")
        return errors.load_error(rows[0] if rows else None, f"{table.schema}.{table.table}", str(live))

    # The position

    def _find_position(self) -> Position | None:
        rows = self._session.query(
            position.select(self._commit_table), (self._applier_name,), doing="read the position"
        )
        if len(rows) > 1:
            raise TargetError(
                f"{self._commit_table} has {len(rows)} rows for applier {self._applier_name}; it must have one: "
                f"leave the one that belongs to the target's data"
            )
        return position.from_row(rows[0]) if rows else None

    def _position(self) -> Position:
        found = self._find_position()
        if found is None:
            raise TargetError(
                f"the row of applier {self._applier_name} has gone from {self._commit_table} while a load was at work"
            )
        return found

    def _move(self, old: Position, new: Position) -> None:
        arguments = position.update_arguments(self._applier_name, old, new, time.time())
        changed = self._session.execute(
            position.update(self._commit_table), arguments, doing="move the position"
        )
        if changed != 1:
            raise TargetError(
                f"moving the position of applier {self._applier_name} from {old.seqno} to {new.seqno} changed {changed} rows "
                f"of {self._commit_table}, not one; nothing was applied"
            )

    def _create_commit_table(self) -> None:
        try:
            with self._session.transaction():
                self._create_schema(self._commit_table.schema)
                self._session.execute(
                    position.create(self._commit_table), doing=f"create {self._commit_table}"
                )
        except TargetError as error:
            # Another first load was quicker.
            if (
                error.__cause__ is None
                or errors.server_fields(error.__cause__).get("C") not in _ALREADY_THERE
            ):
                raise

    # Tables

    def _fit_tables(self, manifest: BatchManifest) -> None:
        """Makes or checks what the batch's tables need, each in a transaction of its own."""
        for table in manifest.tables:
            if table.truncate:
                continue
            key, state = (table.schema, table.table), (table.definition, manifest.header)
            if self._ready.get(key) == state:
                continue
            with self._session.locked(self._commit_table):
                if position.is_applied(self._position(), manifest.plan):
                    return
                self._fit_table(Header(manifest.header), TableDefinition.from_json(table.definition))
            self._ready[key] = state

    def _fit_table(self, header: Header, definition: TableDefinition) -> None:
        source = definition.schema, definition.table
        live, stage = self._names.live(*source), self._names.stage(*source)
        doing = f"make the tables for {definition.name}"
        self._create_schema(live.schema)
        notes = self._session.query(ddl.STAGE_NOTES, (stage.schema,), doing=doing)
        ddl.check_sole_source([note for (note,) in notes], definition, live)
        found = self._columns(live)
        if not found:
            self._session.execute(
                ddl.create_table(live, ddl.live_columns(definition)), doing=f"create {live}"
            )
        elif findings := ddl.misfits(live, definition, found):
            raise TargetError(
                f"{live} cannot take the rows of {definition.name}:\n"
                + "\n".join(f"  - {line}" for line in findings)
            )
        needed, staged = ddl.stage_columns(header, definition), self._columns(stage)
        if staged and ddl.stage_fits(needed, staged):
            return
        if staged:
            self._session.execute(ddl.drop_table(stage), doing=f"make {stage} anew")
        self._session.execute(ddl.create_table(stage, needed), doing=f"create {stage}")
        self._session.execute(ddl.note_source(stage, definition, live), doing=f"create {stage}")

    def _create_schema(self, schema: str) -> None:
        # Asked first: CREATE … IF NOT EXISTS needs a privilege even where there is nothing to create.
        [(found,)] = self._session.query(ddl.SCHEMA_EXISTS, (schema,), doing=f"look up schema {schema}")
        if not found:
            self._session.execute(ddl.create_schema(schema), doing=f"create schema {schema}")

    def _columns(self, relation: Relation) -> list[FoundColumn]:
        rows = self._session.query(ddl.COLUMNS, relation, doing=f"look up the columns of {relation}")
        return [
            FoundColumn(
                name,
                catalog_type(data_type, length, precision, scale),
                nullable.upper() == "YES",
                bool(default),
            )
            for name, data_type, length, precision, scale, nullable, default in rows
        ]


def load(
    connect: Callable[[], Any],
    log: Log,
    chain: Plans,
    store: Storage,
    service: Service,
    applier_name: str,
    *,
    through: int,
    progress: Callable[..., None] | None = None,
) -> LoadResult:
    """Applies, in order, every planned micro-batch behind the target's position that begins at or before ``through``.

    Safe to run at any time, also twice at once: who comes second waits and finds the work done.

    :param connect: gives a connection of ``redshift_connector``.
    :param store: the applier's folder, where its plans and batches lie.
    :param progress: called after every COMMIT with ``seqno`` reached, ``batches`` and ``rows`` (of CSV) so far.
    :raises GapError: a batch that should be applied next has not been written, or does not follow the position.
    :raises DivergedError: the log is not the one the target was filled from.
    :raises DataError, TargetError, TargetUnavailableError: see :meth:`Target.apply`.
    """
    started = time.monotonic()
    applier = service.applier(applier_name)
    sources = _Sources(log)
    applied: list[Plan] = []
    rows = 0
    with Session(
        connect,
        lock_timeout=applier.lock_timeout_seconds,
        statement_timeout=applier.statement_timeout_seconds,
    ) as session:
        target = Target(session, service.service, applier_name, applier, store)
        current = target.prepare()
        _check_log(log, current)
        _mirror(store, current)
        for plan in chain.plans(current.seqno + 1):
            if plan.first > through:
                break
            if plan.last <= current.seqno:
                continue
            manifest = _manifest(store, plan, current)
            current, moved = target.apply(manifest, sources.of(plan))
            _mirror(store, current)
            if moved:
                applied.append(plan)
                rows += manifest.total_rows
                if progress:
                    progress(seqno=current.seqno, batches=len(applied), rows=rows)
    return LoadResult(
        first=applied[0].first if applied else None,
        last=applied[-1].last if applied else None,
        batches=len(applied),
        rows=rows,
        seconds=time.monotonic() - started,
        position=current,
    )


class _Sources:
    """The source id of a plan's last record; it can only change with the epoch."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._by_epoch: dict[int, str] = {}

    def of(self, plan: Plan) -> str:
        if plan.epoch_number not in self._by_epoch:
            self._by_epoch[plan.epoch_number] = self._log.record(plan.last).source_id
        return self._by_epoch[plan.epoch_number]


def _check_log(log: Log, current: Position) -> None:
    """The record at the target's position must be the one that was applied."""
    if current.seqno < 0:
        return
    head = log.head()
    there = "no log" if head is None else f"THL {head.uuid} with seqnos up to {head.last}"
    what = f"the target is at seqno {current.seqno} ({current.event_id}) of THL {current.thl_uuid}"
    if head is None or head.uuid != current.thl_uuid or head.last < current.seqno:
        raise DivergedError(f"{what}, but there is {there}; {position.WAYS_OUT}")
    if current.seqno < log.first_seqno():
        return  # purged since it was applied; the next plan names it too
    record = log.record(current.seqno)
    if (record.epoch_number, record.event_id) != (current.epoch_number, current.event_id):
        raise DivergedError(
            f"{what}, epoch {current.epoch_number}, but the log has {record.event_id}, epoch {record.epoch_number}, "
            f"under that seqno; {position.WAYS_OUT}"
        )


def _mirror(store: Storage, current: Position) -> None:
    """For those who ask whether there is anything to load."""
    write_hint(store, Hint(current.seqno, current.epoch_number, current.event_id, current.thl_uuid))


def _manifest(store: Storage, plan: Plan, current: Position) -> BatchManifest:
    manifest = read_manifest(store, plan.first, plan.last)
    key = f"{store.url.rstrip('/')}/{manifest_key(plan.first, plan.last)}"
    if manifest is None:
        raise GapError(
            f"micro-batch {plan.first}-{plan.last}, next behind the target's position {current.seqno}, has not been "
            f"written: {key} is missing; run the batch step (and the upload behind it) for that range"
        )
    if manifest.plan != plan:
        raise DivergedError(f"{key} was written for another plan than the chain's; {position.WAYS_OUT}")
    return manifest
