"""Source in, log out: reads a server's binlog from where the THL ends and appends committed transactions to it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import structlog

from airflow_provider_tungsten.replicator.assembler import Assembler, Limits, Origin
from airflow_provider_tungsten.replicator.errors import (
    CorruptLogError,
    DivergedError,
    LogPurgedError,
    PreflightError,
    RangeError,
    SourceUnavailableError,
    TungstenError,
    UnsupportedError,
)
from airflow_provider_tungsten.replicator.service import Service, Start
from airflow_provider_tungsten.replicator.source.connection import MySQLEndpoint, connect
from airflow_provider_tungsten.replicator.source.position import Source, check_source, first_place
from airflow_provider_tungsten.replicator.source.preflight import ServerFacts, preflight, report_host
from airflow_provider_tungsten.replicator.source.stream import Replica, open_dump
from airflow_provider_tungsten.replicator.storage import Storage
from airflow_provider_tungsten.replicator.thl.event import Kind, Resume, ThlEvent
from airflow_provider_tungsten.replicator.thl.log import Log
from airflow_provider_tungsten.replicator.thl.segment import Head
from airflow_provider_tungsten.replicator.thl.writer import LogWriter

log = structlog.get_logger(__name__)

PROGRESS_SECONDS = 5.0

# What ends reading but leaves whole transactions that were read before it; what the log's store raises is not among it.
_READING_ERRORS = (
    *(SourceUnavailableError, LogPurgedError, PreflightError),
    *(UnsupportedError, CorruptLogError, DivergedError),
)


@dataclass(frozen=True)
class Progress:
    """How far a running extraction is; seconds since it began reading."""

    transactions: int
    rows: int
    bytes: int
    seconds: float
    event_id: str


@dataclass(frozen=True)
class ExtractResult:
    """What an extraction added to the log.

    :param first, last: seqnos added; None where none was.
    :param transactions, rows: kept ones; ``bytes``: of binlog, with what was passed over.
    :param segments: published.
    :param event_id: up to where the source was read; ``watermark``: its commit time, microseconds.
    :param reason: why it ended: ``head`` or the limit's name.
    :param warnings: of preflight.
    """

    first: int | None
    last: int | None
    transactions: int
    rows: int
    bytes: int
    segments: int
    event_id: str
    watermark: int
    seconds: float
    reason: str
    warnings: tuple[str, ...] = ()


def extract(
    service: Service,
    endpoint: MySQLEndpoint,
    storage: Storage,
    *,
    token: str,
    progress: Callable[[Progress], None] | None = None,
) -> ExtractResult:
    """Reads from the THL's end to a limit or to the head the server had when this began.

    The first time it begins the log with a ``start`` record, before it reads. What was read whole before an error is
    published before the error is raised.

    :param storage: the store of the THL; the log is ``<service>/`` in it.
    :param token: of :func:`~.storage.new_token`: signs what is written.
    :param progress: called every few seconds.
    :raises PreflightError: the server is not fit; with all findings.
    :raises LogPurgedError, DivergedError: the source cannot be read on from where the log ends.
    :raises UnsupportedError, CorruptLogError: something in the binlog that is not understood; names file:position.
    :raises WriteConflictError: another extractor appends to this log; the message says who.
    :raises SourceUnavailableError, StorageUnavailableError: a later attempt may succeed.
    """
    began = time.monotonic()
    thl = Log(storage, service.service)
    replica = _replica(service, endpoint)
    with closing(connect(endpoint)) as connection:
        facts = preflight(connection, endpoint, service, storage)
        source = Source(replica, connection, facts)
        head = thl.head()
        if head is None:
            head = _begin(thl, source, service.source.start, token)
        else:
            check_source(source, head.resume)
    task = _Task(service, replica, facts, head, progress)
    limits = service.thl
    with thl.writer(
        head, token=token, segment_bytes=limits.segment_bytes, segment_events=limits.segment_events
    ) as writer:
        failure = task.read(writer)
        task.add_position(writer)
        writer.close()
    result = task.result(writer, time.monotonic() - began)
    if failure is not None:
        raise failure
    return result


def reposition(
    service: Service,
    endpoint: MySQLEndpoint,
    storage: Storage,
    start: Start,
    *,
    token: str,
    reason: str,
) -> ThlEvent:
    """Lets reading go on at `start`, whatever lies between: the way out when log was purged or the source replaced.

    Writes a ``gap`` record with a new epoch, at which every applier stops until it is acknowledged.

    :param reason: who asks; kept in the record. Asked twice for one reason, the second time finds the first one's record.
    :raises RangeError: there is no log yet that could have a gap.
    """
    thl = Log(storage, service.service)
    with closing(connect(endpoint)) as connection:
        facts = preflight(connection, endpoint, service, storage)
        head = thl.head()
        if head is None:
            raise RangeError(
                f"{thl.url} is empty: there is nothing to reposition; set source.start and extract"
            )
        if (done := _gap_made_for(thl, head, reason)) is not None:
            return done
        place = first_place(Source(_replica(service, endpoint), connection, facts), start)
    before = head.resume
    watermark = max(before.watermark, place.watermark)
    resume = Resume(place.server_uuid, place.file, place.position, place.gtid_executed, watermark=watermark)
    options = {
        "from_event_id": before.event_id,
        "from_server_uuid": before.server_uuid,
        "from_gtid_executed": before.gtid_executed,
        "to_event_id": resume.event_id,
        "to_server_uuid": resume.server_uuid,
        "to_gtid_executed": resume.gtid_executed,
        "reason": reason,
    }
    origin = Origin(str(endpoint), head.last + 1, head.last + 1)
    record = _record(Kind.GAP, origin, resume, options)
    with thl.writer(head, token=token, segment_bytes=1, segment_events=1) as writer:
        writer.add([record])
        writer.commit(resume)
    log.warning("repositioned", service=service.service, seqno=record.seqno, **options)
    return record


def _gap_made_for(thl: Log, head: Head, reason: str) -> ThlEvent | None:
    """The gap record with that reason; every epoch but the first begins with one."""
    epoch = head.epoch_number
    while epoch > thl.first_seqno():
        record = thl.record(epoch)
        if (record.options or {}).get("reason") == reason:
            return record
        epoch = thl.record(epoch - 1).epoch_number
    return None


def _replica(service: Service, endpoint: MySQLEndpoint) -> Replica:
    return Replica(endpoint, service.source.server_id, report_host(service.service))


def _begin(thl: Log, source: Source, start: Start, token: str) -> Head:
    resume = first_place(source, start)
    options = {name: value for name, value in start.model_dump().items() if value is not None}
    return thl.create(
        resume,
        source_id=str(source.replica.endpoint),
        token=token,
        extracted_ts=time.time_ns() // 1000,
        options=options,
    )


def _record(kind: Kind, origin: Origin, resume: Resume, options: dict[str, str]) -> ThlEvent:
    """A record about the log itself; it takes a seqno."""
    now = time.time_ns() // 1000
    return ThlEvent(
        seqno=origin.next_seqno,
        fragno=0,
        last_frag=True,
        epoch_number=origin.epoch_number,
        source_id=origin.source_id,
        event_id=resume.event_id,
        gtid=resume.transaction_gtid,
        commit_ts=resume.transaction_ts or resume.watermark or now,
        watermark=resume.watermark,
        extracted_ts=now,
        kind=kind,
        schema_name="",
        table_name="",
        shard_id="",
        rows=0,
        definition=None,
        payload=None,
        options=options,
    )


class _Task:
    """One extraction, from the log's head on."""

    def __init__(
        self,
        service: Service,
        replica: Replica,
        facts: ServerFacts,
        head: Head,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        limits = service.source.limits
        self._replica = replica
        self._facts = facts
        self._began_at = head.resume
        self._origin = Origin(str(replica.endpoint), head.epoch_number, head.last + 1)
        self._max_seconds = limits.max_seconds
        self._progress = progress
        self._assembler = Assembler(
            head.resume,
            self._origin,
            service.source.table_filter(),
            Limits(limits.max_transactions, limits.max_bytes, facts.file, facts.position),
            spool_bytes=service.source.spool_bytes,
        )

    def read(self, writer: LogWriter) -> TungstenError | None:
        """Reads to the end and appends; what ended it too early, if anything did."""
        began_at = self._began_at
        position = began_at.position if began_at.transaction_start is None else began_at.transaction_start
        failure: TungstenError | None = None
        try:
            with open_dump(self._replica, began_at.file, position) as dump:
                began = told = time.monotonic()
                for chunk in dump:
                    self._assembler.feed(dump.stream, chunk)
                    self._append(writer)
                    now = time.monotonic()
                    if now - began > self._max_seconds:
                        self._assembler.end("max_seconds")
                    if self._assembler.ended:
                        break
                    if now - told > PROGRESS_SECONDS:
                        told = now
                        self._tell(now - began)
        except _READING_ERRORS as error:
            failure = error
        if failure is None or isinstance(failure, CorruptLogError | UnsupportedError):
            failure = self._assembler.unverified or failure
        self._append(writer)
        return failure

    def _append(self, writer: LogWriter) -> None:
        writer.add(self._assembler.drain())
        writer.commit(self._assembler.resume)

    def _tell(self, seconds: float) -> None:
        if self._progress is not None:
            done = self._assembler
            self._progress(Progress(done.transactions, done.rows, done.bytes, seconds, done.resume.event_id))

    def add_position(self, writer: LogWriter) -> None:
        """Remembers that the source was read on although there was nothing to keep."""
        resume, before = self._assembler.resume, self._began_at
        if self._assembler.transactions or (resume.file, resume.position) == (before.file, before.position):
            return
        writer.add([_record(Kind.POSITION, self._origin, resume, {})])
        writer.commit(resume)

    def result(self, writer: LogWriter, seconds: float) -> ExtractResult:
        first, end = self._origin.next_seqno, writer.next_seqno
        done, resume = self._assembler, self._assembler.resume
        return ExtractResult(
            first=first if end > first else None,
            last=end - 1 if end > first else None,
            transactions=done.transactions,
            rows=done.rows,
            bytes=done.bytes,
            segments=writer.segments,
            event_id=resume.event_id,
            watermark=resume.watermark,
            seconds=seconds,
            reason=done.ended or "head",
            warnings=self._facts.warnings,
        )
