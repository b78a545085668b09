"""The applier's position on the target: one row of ``trep_commit_seqno``, moved in the transaction that loads the data.

Whether a batch may be applied there is decided here, without I/O; :mod:`.load` takes the lock and runs the statements.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_tungsten.replicator.batch.manifest import Plan
from airflow_provider_tungsten.replicator.errors import DivergedError, GapError
from airflow_provider_tungsten.replicator.redshift.ddl import Relation

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Position:
    """What an applier has applied: everything up to and including ``seqno``.

    :param seqno: -1 before the first.
    :param epoch_number, event_id, source_id: of the record at ``seqno``; -1 and '' before the first.
    :param thl_uuid: of the log that was applied; '' before the first.
    :param watermark: of the record at ``seqno``, microseconds since 1970 UTC.
    """

    seqno: int = -1
    epoch_number: int = -1
    event_id: str = ""
    source_id: str = ""
    thl_uuid: str = ""
    watermark: int = 0


def after(plan: Plan, source_id: str) -> Position:
    """The position once ``plan`` is applied."""
    return Position(plan.last, plan.epoch_number, plan.event_id, source_id, plan.thl_uuid, plan.watermark)


def is_applied(position: Position, plan: Plan) -> bool:
    """Whether the batch is in the target already; False: it is the very next one.

    :raises GapError: the batch does not follow the position, or the position lies inside it.
    :raises DivergedError: the target was filled from another log, or another past of it.
    """
    batch = f"batch {plan.first}-{plan.last}"
    if position.seqno < 0 and plan.first == 0:
        return False
    if position.thl_uuid not in ("", plan.thl_uuid):
        raise DivergedError(
            f"{batch} is of THL {plan.thl_uuid}, the target was filled from THL {position.thl_uuid} up to seqno "
            f"{position.seqno}; {WAYS_OUT}"
        )
    if position.seqno > plan.last:
        return True
    if position.seqno == plan.last:
        _check_record(batch, position, plan.last, plan.epoch_number, plan.event_id)
        return True
    if position.seqno >= plan.first:
        raise GapError(
            f"the target is at seqno {position.seqno}, inside {batch}: it was not filled by these batches; {WAYS_OUT}"
        )
    if position.seqno != plan.first - 1:
        raise GapError(
            f"{batch} does not follow the target's position, seqno {position.seqno}: "
            f"{position.seqno + 1}-{plan.first - 1} must be applied first"
        )
    _check_record(batch, position, plan.first - 1, plan.previous_epoch, plan.previous_event_id)
    return False


WAYS_OUT = (
    "either restore the THL and the files that belong to the target, or begin anew under another service or applier "
    "name with a fresh dump"
)


def _check_record(batch: str, position: Position, seqno: int, epoch: int, event_id: str) -> None:
    if (position.epoch_number, position.event_id) != (epoch, event_id):
        raise DivergedError(
            f"{batch}: record {seqno} of its log has epoch {epoch} and event id {event_id!r}, the target applied epoch "
            f"{position.epoch_number} and event id {position.event_id!r} under that seqno; {WAYS_OUT}"
        )


def create(table: Relation) -> str:
    """Tungsten's columns (``SqlCommitSeqno.java``), then the applier and the log. One row an applier."""
    return (
        f"CREATE TABLE IF NOT EXISTS {table.sql} (task_id INTEGER, seqno BIGINT, fragno SMALLINT, last_frag BOOLEAN, "
        f"source_id VARCHAR(256), epoch_number BIGINT, eventid VARCHAR(256), applied_latency INTEGER, "
        f"update_timestamp TIMESTAMP, shard_id VARCHAR(128), extract_timestamp TIMESTAMP, applier VARCHAR(64), "
        f"thl_uuid VARCHAR(64)) DISTSTYLE ALL"
    )


def lock(table: Relation) -> str:
    return f"LOCK {table.sql}"


def select(table: Relation) -> str:
    """Argument: the applier."""
    return (
        f"SELECT seqno, epoch_number, eventid, source_id, thl_uuid, extract_timestamp FROM {table.sql} "
        f"WHERE applier = %s"
    )


def insert_first(table: Relation) -> str:
    """Argument: the applier."""
    return (
        f"INSERT INTO {table.sql} (task_id, seqno, fragno, last_frag, source_id, epoch_number, eventid, "
        f"applied_latency, update_timestamp, shard_id, extract_timestamp, applier, thl_uuid) "
        f"VALUES (0, -1, -1, TRUE, '', -1, '', 0, GETDATE(), '', '1970-01-01', %s, '')"
    )


def update(table: Relation) -> str:
    """Arguments: :func:`update_arguments`. It must change one row."""
    return (
        f"UPDATE {table.sql} SET seqno = %s, fragno = 0, last_frag = TRUE, source_id = %s, epoch_number = %s, "
        f"eventid = %s, applied_latency = %s, update_timestamp = GETDATE(), extract_timestamp = %s, thl_uuid = %s "
        f"WHERE applier = %s AND seqno = %s"
    )


def update_arguments(applier: str, old: Position, new: Position, now: float) -> tuple[Any, ...]:
    """:param now: seconds since 1970 UTC."""
    latency = max(0, int(now - new.watermark / 1_000_000))
    committed = (_EPOCH + timedelta(microseconds=new.watermark)).replace(tzinfo=None)
    return (
        new.seqno,
        new.source_id,
        new.epoch_number,
        new.event_id,
        latency,
        committed,
        new.thl_uuid,
        applier,
        old.seqno,
    )


def from_row(row: tuple[Any, ...]) -> Position:
    """A row of :func:`select`."""
    seqno, epoch, event_id, source_id, thl_uuid, committed = row
    watermark = (committed.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
    return Position(int(seqno), int(epoch), event_id, source_id, thl_uuid, watermark)
