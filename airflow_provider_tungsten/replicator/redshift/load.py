"""Applies micro-batches to Redshift: one transaction each, over all its tables, with the position moved in it.

The statements are :mod:`.ddl`'s, :mod:`.merge`'s and :mod:`.position`'s; files and the order of things are the batch room's.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from airflow_provider_tungsten.replicator.batch.manifest import BatchManifest, TableBatch
from airflow_provider_tungsten.replicator.batch.position import Position, is_applied
from airflow_provider_tungsten.replicator.binlog.definition import TableDefinition
from airflow_provider_tungsten.replicator.errors import TargetError
from airflow_provider_tungsten.replicator.redshift import ddl, errors, merge, position
from airflow_provider_tungsten.replicator.redshift.ddl import FoundColumn, Header, Names, Relation
from airflow_provider_tungsten.replicator.redshift.session import CommitUnknownError, Session
from airflow_provider_tungsten.replicator.redshift.settings import RedshiftApplier
from airflow_provider_tungsten.replicator.storage import Storage

_ALREADY_THERE = {"23505", "42P06", "42P07"}


class _CopyFailedError(TargetError):
    """COPY stopped at its data; which line it was can be read once the transaction is rolled back."""


class Target:
    """An applier's tables on Redshift: a :class:`BatchApplier`.

    Who comes second waits for the first, and finds the work done.

    :param connect: gives a connection of ``redshift_connector``.
    :param service, applier_name: their names.
    :param store: the applier's folder, from which COPY reads.
    """

    def __init__(
        self,
        connect: Callable[[], Any],
        service: str,
        applier_name: str,
        applier: RedshiftApplier,
        store: Storage,
    ) -> None:
        self._session = Session.of(applier, connect)
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

    def begin(self, batch: BatchManifest) -> Position:
        """Fits the tables, takes the lock, and reads the position under it.

        :raises GapError, DivergedError: see :func:`is_applied`.
        :raises TargetError, TargetUnavailableError: see :class:`Session`.
        """
        self._fit_tables(batch)
        self._session.lock(self._commit_table)
        with self._session.guarded():
            self._batch, self._current = batch, self._position()
            if is_applied(self._current, batch.plan):
                self._session.rollback()
        return self._current

    def apply(self, table: TableBatch) -> None:
        """Copies and merges a table's share.

        :raises DataError: COPY refused a value.
        :raises TargetError, TargetUnavailableError: see :class:`Session`; nothing of the batch is applied.
        """
        try:
            with self._session.guarded():
                self._load_table(self._batch, table)
        except _CopyFailedError as error:
            raise self._load_error(table) from error

    def commit(self, new: Position) -> Position:
        """Moves the position and commits."""
        with self._session.guarded():
            self._move(self._current, new)
        try:
            self._session.commit()
        except CommitUnknownError:
            with self._session.locked(self._commit_table):
                current = self._position()
            if is_applied(current, self._batch.plan):
                return current
            raise
        return new

    def release(self) -> None:
        """Closes the session."""
        self._session.close()

    def _load_table(self, manifest: BatchManifest, table: TableBatch) -> None:
        live, stage = (
            self._names.live(table.schema, table.table),
            self._names.stage(table.schema, table.table),
        )
        doing = f"apply {manifest.plan.first}-{manifest.plan.last} to {live}"
        if table.truncate:
            # One that has never been loaded may not be there.
            if self._columns(live):
                self._session.execute(merge.empty(live, table.own), doing=doing)
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
                raise _CopyFailedError(f"COPY failed for {table.schema}.{table.table}") from error
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
                if is_applied(self._position(), manifest.plan):
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
        return ddl.found_columns(
            self._session.query(ddl.COLUMNS, relation, doing=f"look up the columns of {relation}")
        )
