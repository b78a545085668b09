"""Brings written micro-batches into a target, in order: the five steps that a target carries out, and who calls them.

What the steps do is the target's own: Redshift's and S3's are two classes of this shape, a user's own may be a third.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from airflow_provider_tungsten.replicator.batch.files import manifest_key, read_manifest
from airflow_provider_tungsten.replicator.batch.hint import Hint, read_hint, write_hint
from airflow_provider_tungsten.replicator.batch.manifest import BatchManifest, Plan, TableBatch
from airflow_provider_tungsten.replicator.batch.position import WAYS_OUT, Position, after, is_applied
from airflow_provider_tungsten.replicator.batch.skips import check_skips, closed
from airflow_provider_tungsten.replicator.errors import DivergedError, GapError, TargetError, TungstenError
from airflow_provider_tungsten.replicator.storage import Storage

if TYPE_CHECKING:
    from airflow_provider_tungsten.replicator.thl.log import Log


class BatchApplier(Protocol):
    """A target. ``prepare`` comes first, ``release`` last and always; between them, for every batch that is not applied
    yet, ``begin``, ``apply`` once a table, ``commit``. An error ends the load: the steps behind it are not called."""

    def prepare(self) -> Position:
        """Opens the target and makes what it needs of its own.

        :returns: what is applied so far; ``Position()`` where nothing is.
        """

    def begin(self, batch: BatchManifest) -> Position | None:
        """A batch comes, the next behind the position.

        :returns: what is applied now, read under the lock that the batch is applied under; the batch is passed over,
            and nothing may be left open, when another load has applied it meanwhile. None: as before.
        """

    def apply(self, table: TableBatch) -> None:
        """One table's share of the batch; shares come in name order."""

    def commit(self, position: Position) -> Position:
        """All of the batch and its position become visible, at once.

        :param position: of the batch's end.
        :returns: what is applied now.
        """

    def release(self) -> None:
        """Closes the target; what was begun and not committed is undone."""


class Plans(Protocol):
    """What of a chain is needed here."""

    def pending(self, position: int) -> Iterator[Plan]: ...


@dataclass(frozen=True)
class LoadResult:
    """What one load did; ``first`` and ``last`` are None when everything was there already.

    :param rows: CSV rows of the batches applied.
    :param position: the target's, afterwards.
    :param warnings: what a person should know although the load went well.
    """

    first: int | None
    last: int | None
    batches: int
    rows: int
    seconds: float
    position: Position
    warnings: tuple[str, ...] = ()


def apply_batches(
    applier: BatchApplier,
    log: Log,
    chain: Plans,
    store: Storage,
    *,
    through: int,
    progress: Callable[..., None] | None = None,
    closed_by: str | None = None,
) -> LoadResult:
    """Applies, in order, every planned micro-batch behind the target's position that begins at or before ``through``.

    Safe to run at any time: what is applied is passed over.

    :param store: the applier's folder, where its plans and batches lie.
    :param progress: called after every commit with ``seqno`` reached, ``batches`` and ``rows`` (of CSV) so far.
    :param closed_by: token with which a batch is closed to skips while it is applied; None: the target's own lock does that.
    :raises GapError: a batch that should be applied next has not been written, or does not follow the position.
    :raises DivergedError: the log is not the one the target was filled from.
    :raises TungstenError: of the applier; nothing of the batch is applied.
    """
    started = time.monotonic()
    sources = _Sources(log)
    applied: list[Plan] = []
    rows = 0
    try:
        current = applier.prepare()
        check_log(log, current)
        begin = current
        _mirror(store, current)
        for plan in chain.pending(current.seqno):
            if plan.first > through:
                break
            if plan.last <= current.seqno:
                continue
            batch = _batch(store, plan, current)
            current, moved = _apply(applier, batch, current, sources.of(plan), store, closed_by)
            _mirror(store, current, begin, time.monotonic() - started)
            if moved:
                applied.append(plan)
                rows += batch.total_rows
                if progress:
                    progress(seqno=current.seqno, batches=len(applied), rows=rows)
    except BaseException as error:
        _release_too(applier, error)
        raise
    applier.release()
    return LoadResult(
        first=applied[0].first if applied else None,
        last=applied[-1].last if applied else None,
        batches=len(applied),
        rows=rows,
        seconds=time.monotonic() - started,
        position=current,
    )


def _apply(
    applier: BatchApplier,
    batch: BatchManifest,
    current: Position,
    source_id: str,
    store: Storage,
    closed_by: str | None,
) -> tuple[Position, bool]:
    """:returns: the target's position afterwards, and whether this batch moved it."""
    current = applier.begin(batch) or current
    if is_applied(current, batch.plan):
        return current, False
    with _without_skips(store, batch.plan, closed_by):
        for table in sorted(batch.tables, key=lambda table: (table.schema, table.table)):
            applier.apply(table)
        current = applier.commit(after(batch.plan, source_id))
    if not is_applied(current, batch.plan):
        raise TargetError(
            f"batch {batch.plan.first}-{batch.plan.last} was committed, and yet the target is at seqno {current.seqno}: "
            "commit must move the position that prepare reads"
        )
    return current, True


@contextmanager
def _without_skips(store: Storage, plan: Plan, closed_by: str | None) -> Iterator[None]:
    """:raises GapError: the batch was written with what is skipped by now."""
    if closed_by is not None:
        with closed(store, plan, closed_by):
            yield
        return
    # Under the target's lock, for which whoever skips a seqno waits before the position is asked.
    check_skips(store, plan)
    yield


def _release_too(applier: BatchApplier, error: BaseException) -> None:
    """After an error, which stays the one that is told."""
    try:
        applier.release()
    except TungstenError as another:
        error.add_note(f"release failed too: {another}")


class _Sources:
    """The source id of a plan's last record; it can only change with the epoch."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._by_epoch: dict[int, str] = {}

    def of(self, plan: Plan) -> str:
        if plan.epoch_number not in self._by_epoch:
            # Of a plan for what was purged, the next record tells.
            there = max(plan.last, self._log.first_seqno())
            self._by_epoch[plan.epoch_number] = self._log.record(there).source_id
        return self._by_epoch[plan.epoch_number]


def check_log(log: Log, current: Position) -> None:
    """The record at the target's position must be the one that was applied.

    :raises DivergedError: it is another, or there is none.
    """
    if current.seqno < 0:
        return
    head = log.head()
    there = "no log" if head is None else f"THL {head.uuid} with seqnos up to {head.last}"
    what = f"the target is at seqno {current.seqno} ({current.event_id}) of THL {current.thl_uuid}"
    if head is None or head.uuid != current.thl_uuid or head.last < current.seqno:
        raise DivergedError(f"{what}, but there is {there}; {WAYS_OUT}")
    if current.seqno < log.first_seqno():
        return  # purged since it was applied; the next plan names it too
    record = log.record(current.seqno)
    if (record.epoch_number, record.event_id) != (current.epoch_number, current.event_id):
        raise DivergedError(
            f"{what}, epoch {current.epoch_number}, but the log has {record.event_id}, epoch {record.epoch_number}, "
            f"under that seqno; {WAYS_OUT}"
        )


def _mirror(store: Storage, current: Position, begin: Position | None = None, seconds: float = 0) -> None:
    """For those who ask whether there is anything to load, and how fast it goes.

    :param begin: where this load began, ``seconds`` ago; None: it has applied nothing yet.
    """
    known = read_hint(store)
    place = Hint(current.seqno, current.epoch_number, current.event_id, current.thl_uuid)
    if begin is not None:
        place = replace(place, transactions=current.seqno - begin.seqno, seconds=seconds)
    elif known is not None:
        place = replace(place, transactions=known.transactions, seconds=known.seconds)
    if place != known:
        write_hint(store, place)


def _batch(store: Storage, plan: Plan, current: Position) -> BatchManifest:
    manifest = read_manifest(store, plan)
    key = f"{store.url.rstrip('/')}/{manifest_key(plan.first, plan.last, plan.skipped)}"
    if manifest is None:
        raise GapError(
            f"micro-batch {plan.first}-{plan.last}, next behind the target's position {current.seqno}, has not been "
            f"written: {key} is missing; run the batch step (and the upload behind it) for that range"
        )
    if manifest.plan != plan:
        raise DivergedError(f"{key} was written for another plan than the chain's; {WAYS_OUT}")
    return manifest
