"""How far source, log and targets are, as far as they answer: what is missing says why. Changes nothing."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

from airflow_provider_tungsten.replicator.batch.apply import check_log
from airflow_provider_tungsten.replicator.batch.cutter import MAX_SPAN
from airflow_provider_tungsten.replicator.batch.files import gap_key
from airflow_provider_tungsten.replicator.batch.hint import Hint, read_hint
from airflow_provider_tungsten.replicator.batch.position import Position
from airflow_provider_tungsten.replicator.batch.skips import Skip, list_skips
from airflow_provider_tungsten.replicator.batch.spans import COLUMNS, Span, spans
from airflow_provider_tungsten.replicator.branch import Branch
from airflow_provider_tungsten.replicator.errors import DivergedError, LogPurgedError, TungstenError
from airflow_provider_tungsten.replicator.positions import applied
from airflow_provider_tungsten.replicator.runner import Connections
from airflow_provider_tungsten.replicator.service import Service
from airflow_provider_tungsten.replicator.source.connection import connect, explained
from airflow_provider_tungsten.replicator.source.continuation import has_files
from airflow_provider_tungsten.replicator.source.server import (
    checked_server,
    clock_offset,
    log_status,
    server_identity,
)
from airflow_provider_tungsten.replicator.thl.appliers import check_not_removed
from airflow_provider_tungsten.replicator.thl.event import event_id
from airflow_provider_tungsten.replicator.thl.log import Log
from airflow_provider_tungsten.replicator.thl.segment import Head


@dataclass(frozen=True)
class Gap:
    """A ``gap`` record: reading went on elsewhere.

    :param acknowledged: whether the applier may pass it.
    """

    seqno: int
    event_id: str
    reason: str
    acknowledged: bool


@dataclass(frozen=True)
class ApplierStatus:
    """One applier. A figure that is not known is None, and ``missing`` says why.

    :param seqno: last applied, -1 before the first; with its ``event_id``.
    :param applied_latency: seconds from the commit at the source, by its clock, to the one at the target, by the load's.
    :param relative_latency: seconds since the commit at the source, by its clock, up to which the target has everything that
        concerns it: the last applied one, or a later record of the log when only heartbeats, excluded tables and the like lie between.
    :param behind: seqnos of the log behind that.
    :param catch_up: seconds that takes at the speed of the last load.
    :param error: what the next load would meet.
    """

    name: str
    type: str
    seqno: int | None = None
    event_id: str | None = None
    epoch_number: int | None = None
    applied_latency: float | None = None
    relative_latency: float | None = None
    behind: int | None = None
    catch_up: float | None = None
    skips: tuple[Skip, ...] = ()
    gaps: tuple[Gap, ...] = ()
    error: str | None = None
    missing: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Status:
    """A service. A figure that is not known is None, and ``missing`` says why.

    :param first, last: seqnos that the log holds.
    :param event_id: up to where the source was read; ``current_event_id``: where its log ends now.
    :param error: what the next extraction would meet.
    :param begun: False: there is no log yet, and nothing wrong with that.
    """

    service: str
    time: float
    first: int | None = None
    last: int | None = None
    epoch_number: int | None = None
    source_id: str | None = None
    event_id: str | None = None
    current_event_id: str | None = None
    error: str | None = None
    begun: bool = True
    missing: dict[str, str] = field(default_factory=dict)
    appliers: tuple[ApplierStatus, ...] = ()


def read_status(service: Service, branches: list[Branch], connections: Connections) -> Status:
    """Asks everybody once."""
    now = time.time()
    missing = _Missing()
    head: Head | None = None
    log = Log(connections.store(service.thl), service.service)
    with missing.told("log"):
        head = log.head()
    error = missing.get("log")
    begun = head is not None or error is not None
    if not begun:
        missing["log"] = f"{log.url} holds no log yet: the first run begins it (tungsten run, or the DAG)"
    current = offset = lost = None
    with missing.told("current_event_id"):
        current, offset, lost = _source(service, connections, head)
    return Status(
        service=service.service,
        time=now,
        first=head.first if head else None,
        last=head.last if head else None,
        epoch_number=head.epoch_number if head else None,
        source_id=log.record(head.last).source_id if head else None,
        event_id=head.resume.event_id if head else None,
        current_event_id=current,
        error=missing.get("current_event_id") or lost or error,
        begun=begun,
        missing=missing,
        appliers=tuple(_applier(branch, head, connections, now, offset) for branch in branches),
    )


class _Missing(dict[str, str]):
    @contextmanager
    def told(self, *names: str) -> Iterator[None]:
        """What goes wrong inside the block is the reason why these are missing."""
        try:
            yield
        except TungstenError as error:
            self.update(dict.fromkeys(names, str(error)))


def _source(service: Service, connections: Connections, head: Head | None) -> tuple[str, float, str | None]:
    """Where its log ends, by how many seconds its clock is ahead of ours, and why reading cannot go on, if it cannot."""
    endpoint = connections.mysql(service.source.connection)
    with closing(connect(endpoint)) as connection, explained(endpoint):
        server = checked_server(connection, endpoint)
        found = log_status(connection, server)
        current = event_id(found["File"], int(found["Position"])) if found else ""
        lost = None
        if head is not None and head.resume.server_uuid == server_identity(connection, server):
            try:
                has_files(connection, endpoint, server, head.resume)
            except (LogPurgedError, DivergedError) as error:
                lost = str(error)
        return current, clock_offset(connection), lost


def _applier(
    branch: Branch, head: Head | None, connections: Connections, now: float, offset: float | None
) -> ApplierStatus:
    missing = _Missing()
    position, latency, hint = Position(), None, None
    skips: list[Skip] = []
    gaps: list[Gap] = []
    with missing.told("skips", "gaps", "catch_up"):
        skips, gaps, hint = list_skips(branch.folder), _gaps(branch, head), read_hint(branch.folder)
    with missing.told("applied_latency"):
        position, latency = applied(branch, connections.redshift)
    error = missing.get("applied_latency") if latency is None else None
    if error is not None:
        position = _mirrored(branch, hint)
        missing["seqno"] = "as the last load left it; the target does not tell"
    error = error or _obstacle(branch, position)
    loaded = position.seqno, position.watermark
    if head and error is None and position.seqno + 1 >= head.first:
        skipped = [one.seqno for one in skips]
        with missing.told("relative_latency", "behind"):
            loaded = _loaded(branch, position, head, skipped)
    error = error or _unacknowledged(gaps, loaded[0])
    if loaded[1] and offset is None:
        missing.setdefault("relative_latency", "by our clock; the source does not tell its own")
    behind = max(0, head.last - loaded[0]) if head else None
    return ApplierStatus(
        name=branch.name,
        type=branch.applier.type,
        seqno=position.seqno,
        event_id=position.event_id,
        epoch_number=position.epoch_number,
        applied_latency=latency,
        relative_latency=max(0.0, now + (offset or 0.0) - loaded[1] / 1_000_000) if loaded[1] else None,
        behind=behind,
        catch_up=_catch_up(behind, hint, missing),
        skips=tuple(skips),
        gaps=tuple(gaps),
        error=error,
        missing=missing,
    )


def _loaded(branch: Branch, position: Position, head: Head, skipped: Sequence[int]) -> tuple[int, int]:
    """Seqno and watermark of the record up to which the target has everything, as planning would find it; at most a
    micro-batch's span behind the position, since what follows waits for that batch.
    """
    seqno, watermark = position.seqno, position.watermark
    last = min(head.last, seqno + MAX_SPAN)
    if seqno < last:
        for span in spans(
            branch.log.scan_columns(seqno + 1, last, COLUMNS), branch.chain.tables, sorted(skipped)
        ):
            place = _first_that_waits(span)
            if place:
                seqno, watermark = span.first + place - 1, span.watermarks[place - 1]
            if place < len(span.epochs):
                break
    return seqno, watermark


def _first_that_waits(span: Span) -> int:
    """Its place; one behind the last where none does."""
    waiting = (
        place for place, mark in span.marks.items() if mark.statement or mark.refusal or mark.gap is not None
    )
    return min(bisect_left(span.transactions, 1) - 1, *waiting, len(span.epochs))


def _mirrored(branch: Branch, hint: Hint | None) -> Position:
    """What is known of the position when the target does not answer."""
    if hint is None:
        return Position()
    watermark = 0
    try:
        watermark = branch.log.record(hint.seqno).watermark
    except TungstenError:
        pass  # purged since, or the log does not answer either: then the time is not known
    return Position(hint.seqno, hint.epoch_number, hint.event_id, "", hint.thl_uuid, watermark)


def _catch_up(behind: int | None, hint: Hint | None, missing: _Missing) -> float | None:
    if not behind:
        return None if behind is None else 0.0
    if hint is None or not hint.transactions:
        missing["catch_up"] = "no load has been measured yet"
        return None
    return behind * hint.seconds / hint.transactions


def _gaps(branch: Branch, head: Head | None) -> list[Gap]:
    """All that the log still holds."""
    gaps = [
        Gap(
            record.seqno,
            record.event_id,
            (record.options or {}).get("reason", ""),
            branch.folder.exists(gap_key(record.seqno)),
        )
        for record in (branch.log.gaps(head) if head else ())
    ]
    return gaps[::-1]


def _obstacle(branch: Branch, position: Position) -> str | None:
    """What would stop the next load, as far as it can be seen from here."""
    try:
        check_not_removed(branch.log, branch.name)
        check_log(branch.log, position)
    except TungstenError as error:
        return str(error)
    return None


def _unacknowledged(gaps: list[Gap], seqno: int) -> str | None:
    """Of the gap that comes next, behind ``seqno``."""
    for gap in gaps:
        if gap.seqno == seqno + 1 and not gap.acknowledged:
            return (
                f"seqno {gap.seqno} is a gap ({gap.reason}) that is not acknowledged: bring the target to the state from "
                f"which the log goes on, then run: tungsten position acknowledge-gap --seqno {gap.seqno}"
            )
    return None
