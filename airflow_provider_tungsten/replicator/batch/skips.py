"""Transactions that one applier leaves out on purpose: who skipped which seqno, why, and what was in it, kept for good.

A skip is a write-once object beside the plans. Planning takes such a seqno for one without anything to load; the batch step
leaves it out of the files; and the seqnos left out are part of a batch manifest's name, so that a batch that was written
with them is made anew under another. What is applied stays applied.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import structlog

from airflow_provider_tungsten.replicator.batch.files import manifest_key
from airflow_provider_tungsten.replicator.errors import ConfigurationError, CorruptLogError, RangeError
from airflow_provider_tungsten.replicator.storage import ObjectExistsError, Storage
from airflow_provider_tungsten.replicator.thl.event import RECORD_KINDS, Kind
from airflow_provider_tungsten.replicator.thl.log import Log
from airflow_provider_tungsten.replicator.thl.low_water import now

if TYPE_CHECKING:
    from airflow_provider_tungsten.replicator.branch import Branch

logger = structlog.get_logger(__name__)

FOLDER = "_batches/skips/"
_KEY = re.compile(r"_batches/skips/(\d{19})\.json")


@dataclass(frozen=True)
class Skip:
    """One transaction that is left out.

    :param thl_uuid, event_id, gtid: of the record.
    :param tables: ``schema.table`` → rows (a statement: 0) by kind, of all tables, whatever the applier takes.
    :param who: who asked for it; ``why``: the reason given.
    :param time: when, ISO 8601 in UTC.
    """

    seqno: int
    thl_uuid: str
    event_id: str
    gtid: str
    commit_ts: int
    tables: dict[str, dict[str, int]]
    who: str
    why: str
    time: str


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
    try:
        store.create(_key(seqno), json.dumps(asdict(made), ensure_ascii=False).encode(), token=token)
    except ObjectExistsError:
        return _read(store, seqno)
    try:
        _check_open(branch, seqno, applied(), batch)
    except RangeError:
        store.delete(_key(seqno))  # who was quicker did not know of it
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


def read_skip(store: Storage, seqno: int) -> Skip | None:
    """The skip of one seqno, None where there is none."""
    return _read(store, seqno) if store.exists(_key(seqno)) else None


def list_skips(store: Storage) -> list[Skip]:
    """All skips of an applier, by seqno."""
    return [_read(store, seqno) for seqno in skipped(store)]


def skipped(store: Storage, first: int = 0, last: int | None = None) -> tuple[int, ...]:
    """The seqnos that are skipped between ``first`` and ``last``, by name alone."""
    found = []
    for item in store.list(FOLDER, _key(first - 1) if first > 0 else ""):
        match = _KEY.fullmatch(item.key)
        if match is None:
            raise CorruptLogError(f"{store.url}/{item.key} lies among the skips and is none; move it away")
        if last is not None and int(match[1]) > last:
            break
        found.append(int(match[1]))
    return tuple(found)


def _key(seqno: int) -> str:
    return f"{FOLDER}{seqno:019d}.json"


def _read(store: Storage, seqno: int) -> Skip:
    try:
        return Skip(**json.loads(store.read(_key(seqno))))
    except (ValueError, TypeError) as error:
        raise CorruptLogError(
            f"{store.url}/{_key(seqno)} is not a skip of this version: {error!r}"
        ) from error


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
