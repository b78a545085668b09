"""Source in, log out: reads a server's binlog from where the THL ends and appends committed transactions to it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial

import structlog
from tenacity import Retrying, retry_if_exception, wait_exponential, wait_random

from airflow_provider_tungsten.replicator.assembler import Assembler, Limits
from airflow_provider_tungsten.replicator.errors import (
    CorruptLogError,
    DivergedError,
    RangeError,
    SourceUnavailableError,
    TungstenError,
    UnsupportedError,
)
from airflow_provider_tungsten.replicator.extraction import (
    PROGRESS_SECONDS,
    STORE_ERRORS,
    ExtractResult,
    Progress,
    append,
    storing,
    xa_store,
)
from airflow_provider_tungsten.replicator.filters.tables import heartbeat_schema
from airflow_provider_tungsten.replicator.records import Origin, record
from airflow_provider_tungsten.replicator.schema.begin import begin
from airflow_provider_tungsten.replicator.schema.store import name_of, write_catalog
from airflow_provider_tungsten.replicator.schema.tables import Tables, open_tables
from airflow_provider_tungsten.replicator.service import Service, Start
from airflow_provider_tungsten.replicator.source.connection import MySQLEndpoint, connect
from airflow_provider_tungsten.replicator.source.continuation import go_on
from airflow_provider_tungsten.replicator.source.heartbeat import EXTRACTION, write_heartbeat
from airflow_provider_tungsten.replicator.source.position import Source
from airflow_provider_tungsten.replicator.source.preflight import preflight, report_host
from airflow_provider_tungsten.replicator.source.server import ServerFacts, at_log_end
from airflow_provider_tungsten.replicator.source.stream import Replica, open_dump
from airflow_provider_tungsten.replicator.storage import Storage
from airflow_provider_tungsten.replicator.thl.event import Kind, Resume, ThlEvent
from airflow_provider_tungsten.replicator.thl.log import Log
from airflow_provider_tungsten.replicator.thl.segment import Head
from airflow_provider_tungsten.replicator.thl.writer import LogWriter
from airflow_provider_tungsten.replicator.xa import BEFORE_THE_LOG, XaStore

log = structlog.get_logger(__name__)

# A lost connection is taken up again within the task so many times, which bridges about half a minute.
CONNECTIONS = 7
WAIT = wait_exponential(multiplier=0.5, max=15) + wait_random(0, 1)

_LOOK = "Look at the place with mysqlbinlog --verify-binlog-checksum on the source;"
_WAY_OUT = (
    "start behind the damage with the DAG's parameter `reposition` and load the tables that it touched again"
)


def extract(
    service: Service,
    endpoint: MySQLEndpoint,
    storage: Storage,
    *,
    token: str,
    progress: Callable[[Progress], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> ExtractResult:
    """Reads from the THL's end to a limit or to the head the server had when this began.

    The first time it begins the log with a ``start`` record, before it reads. What was read whole before an error is
    published before the error is raised. A connection that is lost is opened again, and reading goes on behind the last
    whole transaction; so it does on another server that took over, which a ``position`` record then says.

    Takes up to 140 MB of memory, however large an event or a transaction is: what is large lies in temporary files.

    :param storage: the store of the THL; the log is ``<service>/`` in it.
    :param token: of :func:`~.storage.new_token`: signs what is written.
    :param progress: called every few seconds.
    :param stop: asked all the time; True ends reading behind the transaction that is being read.
    :raises PreflightError: the server is not fit; with all findings.
    :raises LogPurgedError, DivergedError: the source cannot be read on from where the log ends.
    :raises UnsupportedError, CorruptLogError: something in the binlog that is not understood; names file:position.
    :raises WriteConflictError: another extractor appends to this log; the message says who.
    :raises SourceUnavailableError, StorageUnavailableError: a later attempt may succeed.
    """
    began = time.monotonic()
    thl = Log(storage, service.service)
    head = thl.head()
    with _source(service, endpoint, storage, first_start=head is None) as source:
        if head is None:
            head = _begin(thl, source, service, token)
        place = go_on(source, head.resume)
        facts = _with_heartbeat(source, service) if service.source.heartbeat else source.facts
    xa = xa_store(service.service, storage, head, token, service.source.spool_bytes)
    tables = open_tables(thl.storage, head.resume.catalog, token=token)
    limits = service.thl
    with thl.writer(
        head,
        token=token,
        segment_bytes=limits.segment_bytes,
        segment_events=limits.segment_events,
        before_publish=storing(xa, tables),
    ) as writer:
        task = _Task(service, endpoint, storage, head, xa, writer, progress, tables, stop)
        task.begin(facts, place)
        failure = task.read()
        task.add_position()
        head = writer.close()
    xa.clean(head.last, head.resume.xa.values())
    result = task.result(time.monotonic() - began)
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
    with _source(service, endpoint, storage, first_start=True) as source:
        head = thl.head()
        if head is None:
            raise RangeError(
                f"{thl.url} is empty: there is nothing to reposition; set source.start and extract"
            )
        for gap in thl.gaps(head):
            if (gap.options or {}).get("reason") == reason:
                return gap
        place = _begun(thl, source, service, start, token)
    before = head.resume
    # What was read as prepared is known behind the gap, too.
    resume = replace(place, watermark=max(before.watermark, place.watermark), xa={**place.xa, **before.xa})
    options = _move(before, resume, reason)
    origin = Origin(str(endpoint), head.last + 1, head.last + 1)
    gap = record(Kind.GAP, origin, resume, options)
    with thl.writer(head, token=token, segment_bytes=1, segment_events=1) as writer:
        writer.add([gap])
        writer.commit(resume)
    log.warning("repositioned", service=service.service, seqno=gap.seqno, **options)
    return gap


def _move(before: Resume, after: Resume, reason: str) -> dict[str, str]:
    """Options of a record that says that reading goes on elsewhere."""
    return {
        "from_event_id": before.event_id,
        "from_server_uuid": before.server_uuid,
        "from_gtid_executed": before.gtid_executed,
        "to_event_id": after.event_id,
        "to_server_uuid": after.server_uuid,
        "to_gtid_executed": after.gtid_executed,
        "reason": reason,
    }


@contextmanager
def _source(
    service: Service, endpoint: MySQLEndpoint, storage: Storage, *, first_start: bool = False
) -> Iterator[Source]:
    """A session on a server that is fit."""
    with closing(connect(endpoint)) as connection:
        facts = preflight(connection, endpoint, service, storage, first_start=first_start)
        yield Source(_replica(service, endpoint), connection, facts)


def _with_heartbeat(source: Source, service: Service) -> ServerFacts:
    """The server as it is behind a heartbeat, which the extraction will meet before it ends."""
    write_heartbeat(source.connection, source.replica.endpoint, service.service, EXTRACTION)
    return at_log_end(source.connection, source.replica.endpoint, source.facts)


def _replica(service: Service, endpoint: MySQLEndpoint) -> Replica:
    source = service.source
    return Replica(endpoint, source.server_id, report_host(service.service), source.verify_checksum)


def _begun(thl: Log, source: Source, service: Service, start: Start, token: str) -> Resume:
    """The place that `start` means, with all that reading from there on needs to know."""
    place, catalog = begin(source, start, service.source.schema_dump)
    if catalog is not None:
        write_catalog(thl.storage, catalog, token=token)
    # Of XA transactions that are prepared there reading will not meet the rows.
    prepared = dict.fromkeys(source.facts.prepared_xids, BEFORE_THE_LOG)
    return replace(place, catalog=name_of(catalog), xa=prepared)


def _begin(thl: Log, source: Source, service: Service, token: str) -> Head:
    start = service.source.start
    resume = _begun(thl, source, service, start, token)
    options = {name: value for name, value in start.model_dump().items() if value is not None}
    if resume.xa:
        options["prepared_xids"] = " ".join(resume.xa)
    return thl.create(
        resume,
        source_id=str(source.replica.endpoint),
        token=token,
        extracted_ts=time.time_ns() // 1000,
        options=options,
    )


class _Task:
    """One extraction, from the log's head on, over one connection or several."""

    def __init__(
        self,
        service: Service,
        endpoint: MySQLEndpoint,
        storage: Storage,
        head: Head,
        xa: XaStore,
        writer: LogWriter,
        progress: Callable[[Progress], None] | None,
        tables: Tables | None,
        stop: Callable[[], bool],
    ) -> None:
        self._service = service
        self._replica = _replica(service, endpoint)
        self._open_source = partial(_source, service, endpoint, storage)
        self._noted = self._place = head.resume
        self._first, self._epoch_number = head.last + 1, head.epoch_number
        self._xa = xa
        self._writer = writer
        self._tables = tables
        self._progress = progress
        self._stop = stop
        self._told = self._began = time.monotonic()
        self._connections = 0
        self._broken: set[str] = set()
        self._reader: Assembler
        self._facts: ServerFacts
        # Of the connections before the present one:
        self._transactions = self._rows = self._bytes = 0

    def begin(self, facts: ServerFacts, place: Resume) -> None:
        """Gets ready to read from `place` to the end that the server's log has now."""
        before = self._reader.resume if self._connections else self._place
        if place.server_uuid != before.server_uuid:
            self._say_failover(before, replace(place, xa=self._xa.names))
        limits = self._service.source.limits
        self._facts = facts
        self._place = place
        self._connections += 1
        if self._tables is not None:
            self._tables.begin(facts.version)
        self._reader = Assembler(
            place,
            self._origin,
            self._service.extracted_tables(),
            Limits(
                limits.max_transactions - self._transactions,
                limits.max_bytes - self._bytes,
                facts.file,
                facts.position,
            ),
            self._xa,
            spool_bytes=self._service.source.spool_bytes,
            tables=self._tables,
            heartbeats=heartbeat_schema(self._service.service),
            folds_names=facts.folds_names,
        )

    @property
    def _origin(self) -> Origin:
        return Origin(str(self._replica.endpoint), self._epoch_number, self._writer.next_seqno)

    def _say_failover(self, before: Resume, place: Resume) -> None:
        options = _move(before, place, "failover")
        self._writer.add([record(Kind.POSITION, self._origin, place, options)])
        self._writer.commit(place)
        self._noted = place
        log.warning("failed over", service=self._service.service, **options)

    def read(self) -> TungstenError | None:
        """Reads to the end and appends; what ended it too early, if anything did."""
        attempts = Retrying(
            retry=retry_if_exception(self._may_pass),
            stop=lambda state: state.attempt_number >= CONNECTIONS or self._over,
            wait=WAIT,
            reraise=True,
        )
        try:
            for attempt in attempts:
                with attempt:
                    if attempt.retry_state.attempt_number > 1:
                        self._reconnect()
                    self._read_on()
        except TungstenError as error:
            if isinstance(error, STORE_ERRORS):
                raise
            return error
        return None

    def _may_pass(self, error: BaseException) -> bool:
        """Whether another connection may help: one was lost, or an event was broken and perhaps only on its way."""
        if isinstance(error, CorruptLogError):
            again = str(error) in self._broken
            self._broken.add(str(error))
            return not again
        return isinstance(error, SourceUnavailableError)

    @property
    def _over(self) -> bool:
        return time.monotonic() - self._began > self._service.source.limits.max_seconds

    def _reconnect(self) -> None:
        """Forgets what was not whole, and goes on behind what was."""
        done = self._reader
        log.warning(
            "connection lost",
            service=self._service.service,
            transactions=self._transactions + done.transactions,
            event_id=done.resume.event_id,
        )
        with self._open_source() as source:
            place = go_on(source, done.resume)
        self._transactions += done.transactions
        self._rows += done.rows
        self._bytes += done.bytes
        self.begin(source.facts, place)

    def _read_on(self) -> None:
        place, reader = self._place, self._reader
        position = place.position if place.transaction_start is None else place.transaction_start
        failure: TungstenError | None = None
        try:
            with open_dump(self._replica, place.file, position) as dump:
                for chunk in dump:
                    for _ in reader.feed(dump.stream, chunk):
                        append(self._writer, reader)
                    if self._over:
                        reader.end("max_seconds")
                    if self._stop():
                        reader.end("stopped")
                    if reader.ended:
                        break
                    self._tell()
        except STORE_ERRORS:
            raise
        except TungstenError as error:
            failure = error
        if reader.unverified and isinstance(failure, CorruptLogError | UnsupportedError | None):
            failure = DivergedError(
                f"{reader.unverified}. Reading ended with: {failure or 'the end of the log'}"
            )
        append(self._writer, reader)
        if isinstance(failure, CorruptLogError) and _WAY_OUT not in str(failure):
            failure = CorruptLogError(f"{failure}. {_LOOK} {_WAY_OUT}")
        if failure is not None:
            raise failure

    def _tell(self) -> None:
        now = time.monotonic()
        if self._progress is None or now - self._told <= PROGRESS_SECONDS:
            return
        self._told = now
        done = self._reader
        self._progress(
            Progress(
                self._transactions + done.transactions,
                self._rows + done.rows,
                self._bytes + done.bytes,
                now - self._began,
                done.resume.event_id,
                self._lag,
            )
        )

    @property
    def _lag(self) -> float:
        watermark = self._reader.resume.watermark
        if not watermark:
            return 0.0
        return round(max(0.0, time.time() + self._facts.clock_offset - watermark / 1_000_000), 3)

    def add_position(self) -> None:
        """Remembers that the source was read on although there was nothing to keep."""
        resume, before = self._reader.resume, self._noted
        kept = self._transactions + self._reader.transactions
        if kept or (resume.file, resume.position) == (before.file, before.position):
            return
        self._writer.add([record(Kind.POSITION, self._origin, resume, {})])
        self._writer.commit(resume)

    def result(self, seconds: float) -> ExtractResult:
        first, end = self._first, self._writer.next_seqno
        done, resume = self._reader, self._reader.resume
        reason = done.ended or "head"
        return ExtractResult(
            first=first if end > first else None,
            last=end - 1 if end > first else None,
            transactions=self._transactions + done.transactions,
            rows=self._rows + done.rows,
            bytes=self._bytes + done.bytes,
            segments=self._writer.segments,
            event_id=resume.event_id,
            watermark=resume.watermark,
            seconds=seconds,
            lag_seconds=0.0 if reason == "head" else self._lag,
            reason=reason,
            connections=self._connections,
            warnings=self._facts.warnings,
        )
