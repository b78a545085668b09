"""Leaves a transaction out for one applier, on request: looks at what it holds, and whether it is not applied yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import structlog

from airflow_provider_tungsten.replicator.batch.files import manifest_key
from airflow_provider_tungsten.replicator.batch.skips import Skip, read_skip, take_back, write_skip
from airflow_provider_tungsten.replicator.branch import Branch
from airflow_provider_tungsten.replicator.errors import ConfigurationError, RangeError
from airflow_provider_tungsten.replicator.thl.event import RECORD_KINDS, Kind
from airflow_provider_tungsten.replicator.thl.log import Log
from airflow_provider_tungsten.replicator.thl.low_water import now

logger = structlog.get_logger(__name__)


def skip(branch: Branch, seqno: int, *, applied: Callable[[], int], who: str, why: str, token: str) -> Skip:
    """Leaves a whole transaction out, whether it is planned or written already. A batch that was written with it is written
    anew by the next batch step.

    :param applied: gives the last seqno that is applied, read under the target's lock; asked before and again afterwards, so
        that a load that runs meanwhile is noticed.
    :returns: the record; the first one's where the seqno was skipped before.
    :raises RangeError: it is applied (or in a feed that others read), not in the log, or a record about the log itself.
    :raises ConfigurationError: no reason is given.
    """
    if not why.strip():
        raise ConfigurationError(f"seqno {seqno}: say why it is skipped; the reason is kept with it")
    store, log = branch.folder, branch.log
    if (found := read_skip(store, seqno)) is not None:
        return found
    made = _examined(log, seqno, who, why.strip())
    batch = _in_feed(branch, seqno)
    _check_open(branch, seqno, applied(), batch)
    if not write_skip(store, made, token):
        return read_skip(store, seqno) or made
    try:
        _check_open(branch, seqno, applied(), batch)
    except RangeError:
        take_back(store, seqno)  # who was quicker did not know of it
        raise
    logger.warning("transaction skipped", service=log.service, folder=store.url, **asdict(made))
    return made


def _in_feed(branch: Branch, seqno: int) -> str | None:
    """Name of the manifest with which the seqno is its readers'; None where a load comes first."""
    plan = next(branch.chain.locate(seqno, seqno), None) if branch.applier.is_feed else None
    return manifest_key(plan.first, plan.last, plan.skipped) if plan else None


def _check_open(branch: Branch, seqno: int, applied: int, batch: str | None) -> None:
    if seqno <= applied:
        raise RangeError(
            f"seqno {seqno} is applied, the target is at {applied}: a skip would change nothing. Change the target's rows"
        )
    if batch and branch.folder.exists(batch):
        raise RangeError(
            f"seqno {seqno} is in the feed: {branch.folder.url}/{batch} is written, and who reads it may have taken it. Tell "
            "its readers instead"
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
