"""Leaves a transaction out for one applier, on request: looks at what it holds, and whether it is not applied yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import structlog

from airflow_provider_tungsten.replicator.batch.files import manifest_key
from airflow_provider_tungsten.replicator.batch.skips import Skip, closed_by, read_skip, take_back, write_skip
from airflow_provider_tungsten.replicator.branch import Branch
from airflow_provider_tungsten.replicator.errors import ConfigurationError, RangeError
from airflow_provider_tungsten.replicator.thl.event import RECORD_KINDS, Kind
from airflow_provider_tungsten.replicator.thl.log import Log
from airflow_provider_tungsten.replicator.thl.low_water import now

logger = structlog.get_logger(__name__)


def skip(branch: Branch, seqno: int, *, applied: Callable[[], int], who: str, why: str, token: str) -> Skip:
    """Leaves a whole transaction out, whether it is planned or written already. A batch that was written with it is written
    anew by the next batch step.

    :param applied: gives the last seqno that is applied, read under the target's lock if it has one; asked before and again
        afterwards, so that a load that runs meanwhile is noticed.
    :returns: the record; the first one's where the seqno was skipped before.
    :raises RangeError: it is applied (or in a feed that others read), or just about to be; it is not in the log, or a record about
        the log itself.
    :raises ConfigurationError: no reason is given.
    """
    if not why.strip():
        raise ConfigurationError(f"seqno {seqno}: say why it is skipped; the reason is kept with it")
    store, log = branch.folder, branch.log
    if (found := read_skip(store, seqno)) is not None:
        return found
    made = _examined(log, seqno, who, why.strip())
    _check_open(branch, seqno, applied)
    if not write_skip(store, made, token):
        return read_skip(store, seqno) or made
    try:
        _check_open(branch, seqno, applied)
    except BaseException:
        take_back(store, seqno)  # who was quicker did not know of it
        raise
    logger.warning("transaction skipped", service=log.service, folder=store.url, **asdict(made))
    return made


def check(branch: Branch, seqno: int, *, applied: Callable[[], int]) -> None:
    """What :func:`skip` would refuse is refused, and nothing is done.

    :raises RangeError: as there.
    """
    if read_skip(branch.folder, seqno) is None:
        _examined(branch.log, seqno, "", "")
        _check_open(branch, seqno, applied)


def _check_open(branch: Branch, seqno: int, applied: Callable[[], int]) -> None:
    store, plan = branch.folder, next(branch.chain.locate(seqno, seqno), None)
    # Before what is done is asked for: who closes a batch opens it when that is done.
    writer = closed_by(store, plan) if plan else None
    if seqno <= (done := applied()):
        raise RangeError(
            f"seqno {seqno} is applied, the target is at {done}: a skip would change nothing. Change the target's rows"
        )
    if plan is None:
        return
    others = [other for other in plan.skipped if other != seqno]
    if branch.applier.is_feed and store.exists(batch := manifest_key(plan.first, plan.last, others)):
        raise RangeError(
            f"seqno {seqno} is in the feed: {store.url}/{batch} is written, and who reads it may have taken it. Tell its readers instead"
        )
    if writer is not None:
        step = "batch" if branch.applier.is_feed else "load"
        raise RangeError(
            f"seqno {seqno} is in batch {plan.first}-{plan.last}, at which {writer} is at work, or was killed: wait for that, or run "
            f"the {step} step again; where it fails, a skip is possible at once"
        )


def _examined(log: Log, seqno: int, who: str, why: str) -> Skip:
    tables: dict[str, dict[str, int]] = {}
    for event in log.scan(seqno, seqno):
        if event.kind in RECORD_KINDS:
            raise RangeError(
                f"seqno {seqno} is no transaction but the log's own record, {event.kind}: there is nothing to skip"
                + ("; a gap is acknowledged" if event.kind == Kind.GAP else "")
            )
        rows = tables.setdefault(f"{event.schema_name}.{event.table_name}", {})
        rows[event.kind] = rows.get(event.kind, 0) + event.rows
    head, record = log.head(), log.record(seqno)
    assert head is not None
    return Skip(seqno, head.uuid, record.event_id, record.gtid, record.commit_ts, tables, who, why, now())
