"""An applier's position, and whether a batch may be applied there: decided without I/O, the same for every target.

Where a position is kept, and how it moves together with the data, is the target's business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_provider_tungsten.replicator.batch.manifest import Plan
from airflow_provider_tungsten.replicator.errors import DivergedError, GapError

WAYS_OUT = (
    "either restore the THL and the files that belong to the target, or begin anew under another service or applier "
    "name with a fresh dump"
)


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


@dataclass(frozen=True)
class Recorded:
    """A position as it is written down.

    :param applied_latency: seconds from the commit of its record at the source to its commit on the target.
    :param fields: as they stand there, by the target's own names; JSON values.
    """

    position: Position
    applied_latency: float
    fields: dict[str, Any]


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


def _check_record(batch: str, position: Position, seqno: int, epoch: int, event_id: str) -> None:
    if (position.epoch_number, position.event_id) != (epoch, event_id):
        raise DivergedError(
            f"{batch}: record {seqno} of its log has epoch {epoch} and event id {event_id!r}, the target applied epoch "
            f"{position.epoch_number} and event id {position.event_id!r} under that seqno; {WAYS_OUT}"
        )
