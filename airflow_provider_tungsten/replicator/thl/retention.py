"""Deletes the old end of a log that nobody needs any more: whole segments, oldest first, behind the slowest applier.

A low-water record comes before any deletion, so that a purge that is cut off at any point is finished by the next.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import structlog

from airflow_provider_tungsten.replicator.errors import CorruptLogError, RangeError
from airflow_provider_tungsten.replicator.storage import ObjectInfo, ObjectMissingError
from airflow_provider_tungsten.replicator.thl import appliers
from airflow_provider_tungsten.replicator.thl.appliers import Applied, Position
from airflow_provider_tungsten.replicator.thl.log import Log
from airflow_provider_tungsten.replicator.thl.low_water import (
    LowWater,
    clear_low_water,
    find_low_water,
    now,
    write_low_water,
)
from airflow_provider_tungsten.replicator.thl.segment import SegmentInfo, SegmentReader, first_of, key_of
from airflow_provider_tungsten.replicator.thl.settings import Retention

if TYPE_CHECKING:
    from airflow_provider_tungsten.replicator.service import Service

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Purged:
    """What a purge did, or would do.

    :param first: first seqno that the log holds afterwards.
    :param segments, bytes: deleted.
    :param held_by: why no more went although it was due: the applier that needs it, and how far that is; '' where
        nothing is held.
    """

    first: int
    segments: int
    bytes: int
    held_by: str


class _Floor(NamedTuple):
    """Records below this seqno are needed by nobody; who needs this one."""

    seqno: int
    who: str


def after_load(thl: Log, service: Service, applier: str, position: Position, *, token: str) -> Purged | None:
    """What follows every load: the position is mirrored, and what the settings let go is purged.

    :param position: the target's, after the load.
    :returns: None where everything is kept.
    :raises ConfigurationError: the applier was removed from the log.
    """
    appliers.mirror(thl, applier, position, token=token)
    retention = service.thl.retention
    if retention is None:
        return None
    return purge(thl, expected=service.appliers, retention=retention, token=token)


def purge(
    thl: Log,
    *,
    expected: Collection[str],
    token: str,
    retention: Retention | None = None,
    through: int | None = None,
    dry_run: bool = False,
) -> Purged:
    """Deletes what may go: by the settings, or by command the segments that end at ``through`` or before.

    The newest segment stays, and so does, with all behind it, the segment that holds the slowest applier's position: the
    record there is compared before anything more is applied. Purges at once do no harm.

    :param expected: names of the service's appliers: one that has not begun holds everything.
    :param dry_run: delete nothing.
    :raises RangeError: ``through`` is not in the log, or an applier needs it still.
    """
    head = thl.head()
    if head is None:
        raise RangeError(f"{thl.url} holds no log yet: there is nothing to purge")
    if through is not None and not head.first <= through <= head.last:
        raise RangeError(
            f"seqno {through} does not exist: the log {thl.url} holds {head.first} to {head.last}"
        )
    if not dry_run:
        _finish(thl)
    floor = _floor(thl, expected)
    due: list[tuple[SegmentInfo, int]] = []
    held_by = ""
    for info, size in _due(thl, head.first, retention, through):
        if info.last >= floor.seqno:
            held_by = floor.who
            break
        due.append((info, size))
    if held_by and through is not None:
        raise RangeError(
            f"the log {thl.url} is needed still, so nothing is purged through seqno {through}: {held_by}. Let it catch up; "
            "an applier that is given up is removed with `tungsten applier remove`, and taken out of the service"
        )
    if not due:
        return Purged(thl.first_seqno(), 0, 0, held_by)
    purged = Purged(due[-1][0].last + 1, len(due), sum(size for _, size in due), held_by)
    if not dry_run:
        last = due[-1][0]
        write_low_water(
            thl.storage,
            LowWater(purged.first, last.uuid, last.epoch_number, last.event_id, last.watermark, token, now()),
        )
        _finish(thl)
        log.info(
            "purged",
            service=thl.service,
            first=head.first,
            last=last.last,
            segments=purged.segments,
            bytes=purged.bytes,
            held_by=held_by,
            writer=token,
        )
    return purged


def _floor(thl: Log, expected: Collection[str]) -> _Floor:
    known = appliers.positions(thl)
    given_up = appliers.removed(thl)
    known |= {name: Applied() for name in expected if name not in known and name not in given_up}
    if not known:
        return _Floor(-1, "no applier is registered with it")
    name, slowest = min(known.items(), key=lambda item: item[1].seqno)
    if slowest.seqno < 0:
        return _Floor(-1, f"applier {name} has applied nothing yet")
    return _Floor(slowest.seqno, f"applier {name} is known to have applied up to seqno {slowest.seqno}")


def _due(
    thl: Log, first: int, retention: Retention | None, through: int | None
) -> Iterator[tuple[SegmentInfo, int]]:
    """Footers and bytes of the segments that nothing but an applier's need keeps, oldest first; never the newest."""
    items = _segments(thl, first)
    oldest, excess = 0, 0
    if through is None and retention is not None:
        if retention.max_age is not None:
            oldest = time.time_ns() // 1000 - int(retention.max_age.total_seconds() * 1_000_000)
        if retention.max_bytes is not None:
            items = list(items)
            excess = sum(item.size for item in items) - retention.max_bytes
    for item, following in pairwise(items):
        last = first_of(following.key) - 1
        if through is not None and last > through:
            return
        try:
            info = thl.info(first_of(item.key))
        except RangeError:
            return  # another purge is at it
        if info.last != last:
            raise CorruptLogError(
                f"{thl.url}/{info.key} ends at seqno {info.last}, the next segment begins at {last + 1}: nothing is purged "
                "before what is missing is restored"
            )
        if through is None and info.watermark >= oldest and excess <= 0:
            return
        excess -= item.size
        yield info, item.size


def _segments(thl: Log, first: int) -> Iterator[ObjectInfo] | list[ObjectInfo]:
    return thl.storage.list("thl-", key_of(first - 1) if first > 0 else "")


def _finish(thl: Log) -> None:
    """Deletes what lies below the low-water mark, and what only that needed."""
    low_water = find_low_water(thl.storage)
    if low_water is None:
        return
    below = []
    for item in thl.storage.list("thl-"):
        if first_of(item.key) >= low_water:
            break
        below.append(item.key)
    if below:
        for name in _unnamed_catalogs(thl, below):
            thl.storage.delete(name)
        for key in below:
            thl.storage.delete(key)
    clear_low_water(thl.storage)


def _unnamed_catalogs(thl: Log, below: list[str]) -> set[str]:
    """Catalogs that segments below the low-water mark name, and none that the log holds."""
    names: set[str] = set()
    for key in below:
        try:
            info = SegmentReader(thl.storage.open(key), f"{thl.url}/{key}").info
        except ObjectMissingError:
            continue  # another purge was quicker
        names.add(info.resume.catalog)
    names.discard("")
    if names and (head := thl.head()) is not None:
        for info in thl.segments(head.first):
            names.discard(info.resume.catalog)
            if not names:
                break
    return names
