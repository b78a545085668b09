"""Where reading begins, and whether the source is still the one that was left. Reading itself is the stream's."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import NamedTuple

from airflow_provider_tungsten.replicator.binlog.constants import GTID_EVENTS, EventType
from airflow_provider_tungsten.replicator.binlog.events import parse_gtid, parse_previous_gtids
from airflow_provider_tungsten.replicator.binlog.framing import Event
from airflow_provider_tungsten.replicator.binlog.gtid import GtidSet
from airflow_provider_tungsten.replicator.errors import ConfigurationError, DivergedError, LogPurgedError
from airflow_provider_tungsten.replicator.service import Start
from airflow_provider_tungsten.replicator.source.connection import Connection, explained, rows
from airflow_provider_tungsten.replicator.source.preflight import ServerFacts
from airflow_provider_tungsten.replicator.source.stream import Replica, open_dump
from airflow_provider_tungsten.replicator.thl.event import Resume, parse_event_id

FILE_BEGIN = 4
_WAYS_OUT = (
    "Look into it first: if the source was restored, reset or replaced, the DAG's parameter `reposition` starts at a "
    "place of the new history and records the gap, behind which the tables must be loaded again"
)


class LogFile(NamedTuple):
    name: str
    size: int

    @property
    def number(self) -> int:
        return file_number(self.name)


class Source(NamedTuple):
    """A server with a session on it."""

    replica: Replica
    connection: Connection
    facts: ServerFacts


def file_number(file: str) -> int:
    """Names sort wrongly behind ``.999999``; their numbers do not."""
    return int(file.rpartition(".")[2])


def log_files(source: Source) -> list[LogFile]:
    """The server's binlog files, oldest first; sizes in bytes."""
    with explained(source.replica.endpoint):
        found = rows(source.connection, "SHOW BINARY LOGS")
    return [LogFile(row["Log_name"], int(row["File_size"])) for row in found]


def first_place(source: Source, start: Start) -> Resume:
    """The place that `start` means on this server.

    :raises ConfigurationError: no such place.
    :raises LogPurgedError: the server no longer has the log from there on.
    """
    if start.at == "earliest":
        file = log_files(source)[0].name
        return _resume(source, file, FILE_BEGIN, _previous_gtids(source, file))
    if start.at == "now":
        facts = source.facts
        now = int((time.time() + facts.clock_offset) * 1_000_000)
        return _resume(source, facts.file, facts.position, GtidSet.parse(facts.gtid_executed), now)
    if start.event_id is not None:
        return _at_event_id(source, start.event_id)
    return _behind_gtid_set(source, str(start.gtid_set))


def check_source(source: Source, resume: Resume) -> None:
    """Whether the server can still be read on from `resume`, as far as that shows without reading.

    :raises LogPurgedError: the file is gone.
    :raises DivergedError: it is another server, or another history on it.
    """
    where = f"MySQL at {source.replica.endpoint}"
    if source.facts.server_uuid != resume.server_uuid:
        raise DivergedError(
            f"{where} is server {source.facts.server_uuid}; this log was read from {resume.server_uuid}. {_WAYS_OUT}"
        )
    files = log_files(source)
    found = next((file for file in files if file.name == resume.file), None)
    if found is None and file_number(resume.file) < files[0].number:
        raise LogPurgedError(
            f"{where} no longer has {resume.file}, in which reading must go on at {resume.position}; its oldest log "
            f"is {files[0].name}. What it held is lost to this service. Start anew with the DAG's parameter "
            "`reposition`, which records the gap, and load the tables again; a longer binlog_expire_logs_seconds prevents it"
        )
    if found is None or found.size < resume.position:
        end = f"{files[-1].name}:{files[-1].size}"
        raise DivergedError(
            f"{where} has nothing at {resume.file}:{resume.position}, where reading must go on; its log ends at {end}. "
            f"{_WAYS_OUT}"
        )
    _check_gtids(source, resume, where)


def _check_gtids(source: Source, resume: Resume, where: str) -> None:
    if not source.facts.gtids or not resume.gtid_executed:
        return
    ours = GtidSet.parse(resume.gtid_executed)
    if not GtidSet.parse(source.facts.gtid_executed).contains(ours):
        raise DivergedError(f"{where} has not executed all GTIDs that were read from it before. {_WAYS_OUT}")
    # In mid-file the extractor reads the last transaction again and compares.
    if resume.position == FILE_BEGIN and _previous_gtids(source, resume.file) != ours:
        raise DivergedError(f"{resume.file} of {where} does not follow what was read before. {_WAYS_OUT}")


def _resume(source: Source, file: str, position: int, executed: GtidSet, watermark: int = 0) -> Resume:
    return Resume(source.facts.server_uuid, file, position, str(executed), watermark=watermark)


def _previous_gtids(source: Source, file: str) -> GtidSet:
    """The GTIDs executed before a file began, as the file itself says."""
    with explained(source.replica.endpoint):
        found = rows(source.connection, "SHOW BINLOG EVENTS IN %s LIMIT 3", [file])
    text = next((row["Info"] for row in found if row["Event_type"] == "Previous_gtids"), "")
    return GtidSet.parse(re.sub(r"\s", "", text))


def _events(source: Source, file: str) -> Iterator[Event]:
    """The events that stand in the log, from the begin of `file` on."""
    with open_dump(source.replica, file, FILE_BEGIN) as dump:
        yield from (event for event in dump.events() if event.end > event.start)


def _at_event_id(source: Source, text: str) -> Resume:
    """Reads the file up to the place: for the GTIDs before it, and to see that a transaction begins there."""
    file, position = parse_event_id(text)
    names = {found.name: found.size for found in log_files(source)}
    if file not in names:
        raise LogPurgedError(
            f"start at {text}: MySQL at {source.replica.endpoint} has no log {file}; it has {', '.join(names)}"
        )
    if position == FILE_BEGIN:
        return _resume(source, file, position, _previous_gtids(source, file))
    executed = GtidSet()
    end = FILE_BEGIN
    fits = False
    for event in _events(source, file):
        if event.file != file or event.start >= position:
            fits = event.start == position and event.type in GTID_EVENTS | {EventType.ROTATE, EventType.STOP}
            break
        end = event.end
        if event.type == EventType.PREVIOUS_GTIDS:
            executed = parse_previous_gtids(event.body)
        elif event.type in GTID_EVENTS:
            gtid = parse_gtid(event.type, event.body)
            if gtid.gno:
                executed.add(gtid.source_id, gtid.gno, gtid.tag)
    else:
        fits = end == position
    if not fits:
        raise ConfigurationError(
            f"source.start.event_id {text}: no transaction begins there; give the position behind a transaction, "
            "as SHOW BINARY LOG STATUS or a dump with --source-data tells it"
        )
    return _resume(source, file, position, executed)


def _behind_gtid_set(source: Source, text: str) -> Resume:
    """The first transaction that is not in the set; later ones that are in it will be passed over."""
    try:
        wanted = GtidSet.parse(text)
    except ValueError as error:
        raise ConfigurationError(f"source.start.gtid_set: {error}") from None
    if not source.facts.gtids:
        raise ConfigurationError(
            f"source.start.gtid_set: MySQL at {source.replica.endpoint} has gtid_mode off; start at an event id"
        )
    if not GtidSet.parse(source.facts.gtid_executed).contains(wanted):
        raise ConfigurationError(
            f"source.start.gtid_set: MySQL at {source.replica.endpoint} has not executed all of {wanted}; "
            "the set belongs to another server or to its future"
        )
    files = [file.name for file in log_files(source)]
    begin = next((file for file in reversed(files) if wanted.contains(_previous_gtids(source, file))), None)
    if begin is None:
        raise LogPurgedError(
            f"MySQL at {source.replica.endpoint} has purged transactions that are not in {wanted}: its oldest log "
            f"{files[0]} begins behind {_previous_gtids(source, files[0])}. Start with a newer dump of the data"
        )
    file, position = begin, FILE_BEGIN
    for event in _events(source, begin):
        if event.type in GTID_EVENTS:
            gtid = parse_gtid(event.type, event.body)
            if not gtid.gno or not wanted.has(gtid.source_id, gtid.gno, gtid.tag):
                return _resume(source, event.file, event.start, wanted)
        file, position = event.file, event.end
    return _resume(source, file, position, wanted)
