"""Binlog files in, log out: what the extractor does, without a server. Goes on where the THL ends when files were added."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from airflow_provider_tungsten.replicator.assembler import Assembler
from airflow_provider_tungsten.replicator.assembler import Limits as ReadingLimits
from airflow_provider_tungsten.replicator.binlog.events import server_version
from airflow_provider_tungsten.replicator.binlog.executed import parse_executed
from airflow_provider_tungsten.replicator.binlog.gtid import GtidSet
from airflow_provider_tungsten.replicator.errors import (
    CorruptLogError,
    DivergedError,
    PreflightError,
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
from airflow_provider_tungsten.replicator.schema.catalog import Catalog
from airflow_provider_tungsten.replicator.schema.dump import catalog_at
from airflow_provider_tungsten.replicator.schema.store import name_of, write_catalog
from airflow_provider_tungsten.replicator.schema.tables import Tables, open_tables
from airflow_provider_tungsten.replicator.service import Limits, Start
from airflow_provider_tungsten.replicator.settings import MIB, TableRules
from airflow_provider_tungsten.replicator.source.files import (
    FILE_BEGIN,
    FilesDump,
    LogFile,
    checked_files,
    find_files,
    first_place,
    read_head,
)
from airflow_provider_tungsten.replicator.storage import Storage
from airflow_provider_tungsten.replicator.thl.event import Kind, Resume
from airflow_provider_tungsten.replicator.thl.log import Log
from airflow_provider_tungsten.replicator.thl.segment import Head
from airflow_provider_tungsten.replicator.thl.writer import LogWriter
from airflow_provider_tungsten.replicator.xa import XaStore

UNLIMITED = Limits(max_transactions=10**15, max_bytes=10**18, max_seconds=10**9)

_COPY = "copy it again"
_WAY_OUT = (
    "; where its server holds it no better (mysqlbinlog --verify-binlog-checksum), begin another log behind the place and "
    "load the tables that it touched again"
)


@dataclass(frozen=True)
class FilesSource:
    """Binlog files instead of a server.

    :param where: a folder, a pattern or a file: see :func:`~.source.files.find_files`.
    :param start: where a log that is not there yet begins; not ``now``.
    :param schema_dump: file of ``mysqldump --no-data``, taken where reading begins: names what the files do not.
    :param spool_bytes: a transaction larger than this waits for its commit on disk, not in memory.
    """

    where: Path
    start: Start = Start(at="earliest")
    rules: TableRules = TableRules()
    limits: Limits = UNLIMITED
    spool_bytes: int = 32 * MIB
    segment_bytes: int = 128 * MIB
    segment_events: int = 500_000
    verify_checksum: bool = True
    schema_dump: Path | None = None


def extract_files(
    service: str,
    source: FilesSource,
    storage: Storage,
    *,
    token: str,
    progress: Callable[[Progress], None] | None = None,
) -> ExtractResult:
    """Reads the files to their end, or to a limit. What was read whole before an error is published before it is raised.

    The log is an ordinary one; as files do not tell their server's uuid, its is ''. Reading can go on from a server by
    GTID.

    :param service: name of the stream; the log is ``<service>/`` in `storage`.
    :raises ConfigurationError: no such files, or no such start.
    :raises LogPurgedError: files are missing between, or where reading must go on.
    :raises DivergedError: files that do not follow each other, or what was read before.
    :raises UnsupportedError, CorruptLogError: something in the files that is not understood, or damaged; names file:position.
    :raises WriteConflictError: another extractor appends to this log.
    """
    thl = Log(storage, service)
    files = find_files(source.where)
    head = thl.head() or _begin(thl, storage, files, source, token)
    wanted = _files_from(files, head.resume)
    xa = xa_store(service, storage, head, token, source.spool_bytes)
    tables = open_tables(thl.storage, head.resume.catalog, token=token)
    if tables is not None and wanted:
        tables.begin(server_version(read_head(wanted[0]).description.server_version))
    with thl.writer(
        head,
        token=token,
        segment_bytes=source.segment_bytes,
        segment_events=source.segment_events,
        before_publish=storing(xa, tables),
    ) as writer:
        task = _Task(source, files[-1], head, xa, writer, progress, tables)
        failure = task.read(wanted) if wanted else None
        task.add_position()
        head = writer.close()
    xa.clean(head.last, head.resume.xa.values())
    if failure is not None:
        raise failure
    return task.result()


class _Task:
    """One extraction, from the log's head on."""

    def __init__(
        self,
        source: FilesSource,
        last: LogFile,
        head: Head,
        xa: XaStore,
        writer: LogWriter,
        progress: Callable[[Progress], None] | None,
        tables: Tables | None,
    ) -> None:
        limits = source.limits
        self._source = source
        self._last = last
        self._place = head.resume
        self._first = head.last + 1
        self._writer = writer
        self._progress = progress
        self._origin = Origin(str(source.where), head.epoch_number, self._first)
        self._reader = Assembler(
            head.resume,
            self._origin,
            source.rules.table_filter(),
            ReadingLimits(limits.max_transactions, limits.max_bytes, last.name, last.size),
            xa,
            spool_bytes=source.spool_bytes,
            tables=tables,
            heartbeats=heartbeat_schema(head.segment.service),
        )
        self._warnings: list[str] = []
        self._told = self._began = time.monotonic()

    def read(self, files: list[LogFile]) -> TungstenError | None:
        """Reads to the end and appends; what ended it too early, if anything did."""
        place, reader = self._place, self._reader
        position = place.position if place.transaction_start is None else place.transaction_start
        dump = FilesDump(files, position, self._executed, verify_checksum=self._source.verify_checksum)
        failure: TungstenError | None = None
        try:
            self._take_in(dump)
            _check_end(self._last, reader)
        except STORE_ERRORS:
            raise
        except TungstenError as error:
            failure = error
        if failure is None or isinstance(failure, CorruptLogError | UnsupportedError):
            failure = reader.unverified or failure
        append(self._writer, reader)
        self._warnings = dump.warnings
        if isinstance(failure, CorruptLogError) and _COPY not in str(failure):
            failure = CorruptLogError(f"{failure}. The file may be damaged: {_COPY}{_WAY_OUT}")
        return failure

    def _take_in(self, dump: FilesDump) -> None:
        for chunk in dump:
            for _ in self._reader.feed(dump.stream, chunk):
                append(self._writer, self._reader)
            now = time.monotonic()
            if now - self._began > self._source.limits.max_seconds:
                self._reader.end("max_seconds")
            if self._reader.ended:
                break
            self._tell(now)

    def _executed(self) -> GtidSet:
        """Empty where it is MariaDB's, whose files do not tell what went before them in this way."""
        executed = parse_executed(self._reader.resume.gtid_executed)
        return executed if isinstance(executed, GtidSet) else GtidSet()

    def _tell(self, now: float) -> None:
        if self._progress is None or now - self._told <= PROGRESS_SECONDS:
            return
        self._told = now
        done = self._reader
        seconds = now - self._began
        self._progress(
            Progress(done.transactions, done.rows, done.bytes, seconds, done.resume.event_id, lag_seconds=0.0)
        )

    def add_position(self) -> None:
        """Remembers that the files were read on although there was nothing to keep."""
        resume, before = self._reader.resume, self._place
        if self._reader.transactions or (resume.file, resume.position) == (before.file, before.position):
            return
        self._writer.add([record(Kind.POSITION, self._origin, resume, {})])
        self._writer.commit(resume)

    def result(self) -> ExtractResult:
        end, done = self._writer.next_seqno, self._reader
        return ExtractResult(
            first=self._first if end > self._first else None,
            last=end - 1 if end > self._first else None,
            transactions=done.transactions,
            rows=done.rows,
            bytes=done.bytes,
            segments=self._writer.segments,
            event_id=done.resume.event_id,
            watermark=done.resume.watermark,
            seconds=time.monotonic() - self._began,
            lag_seconds=0.0,
            reason=done.ended or "head",
            warnings=tuple(self._warnings),
        )


def _check_end(file: LogFile, reader: Assembler) -> None:
    open_at = reader.open_at
    if open_at is not None and not reader.ended and not read_head(file).in_use:
        raise CorruptLogError(
            f"{file.name}:{open_at}: the file ends inside the transaction that begins here, and was closed by its server, "
            "or copied by mysqlbinlog, which does not say whether it was: complete it, and read on"
        )


def _begin(thl: Log, storage: Storage, files: list[LogFile], source: FilesSource, token: str) -> Head:
    resume = first_place(files, source.start)
    if (finding := storage.check_write_once()) is not None:
        raise PreflightError(thl.url, [finding])
    catalog = catalog_at(source.schema_dump, resume.event_id) if source.schema_dump else Catalog.empty()
    write_catalog(thl.storage, catalog, token=token)
    resume = replace(resume, catalog=name_of(catalog))
    options = {name: value for name, value in source.start.model_dump().items() if value is not None}
    return thl.create(
        resume,
        source_id=str(source.where),
        token=token,
        extracted_ts=time.time_ns() // 1000,
        options=options,
    )


def _files_from(files: list[LogFile], resume: Resume) -> list[LogFile]:
    """Those that are left to read; none where the file that is to come is not there yet."""
    names = [file.name for file in files]
    if resume.position == FILE_BEGIN and resume.file not in names and _comes_next(files[-1], resume.file):
        return []
    wanted = checked_files(files, resume.file)
    if wanted[0].size < resume.position:
        raise DivergedError(
            f"{wanted[0].path} ends at {wanted[0].size}, before {resume.position}, where reading must go on: it is not the "
            "file that was read before, or its copy is not whole"
        )
    return wanted


def _comes_next(last: LogFile, name: str) -> bool:
    following = LogFile(last.path.with_name(name), 0)
    return last.number is not None and following.number == last.number + 1
