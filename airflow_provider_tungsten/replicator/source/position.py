"""Where reading begins on a server: places found by name, offset or GTIDs. Reading itself is the stream's.

A GTID set's place is found by ourselves and then read from like any other, so that offsets stay known and checked;
mysql-replication leaves the search to the server, but can ask it for no set with tags and none beyond 4 GiB.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import NamedTuple

from airflow_provider_tungsten.replicator.binlog.constants import GTID_EVENTS, EventType
from airflow_provider_tungsten.replicator.binlog.events import parse_gtid
from airflow_provider_tungsten.replicator.binlog.executed import Executed, executed_behind, parse_executed
from airflow_provider_tungsten.replicator.binlog.framing import Event
from airflow_provider_tungsten.replicator.binlog.gtid import GtidSet
from airflow_provider_tungsten.replicator.errors import ConfigurationError, CorruptLogError, LogPurgedError
from airflow_provider_tungsten.replicator.service import Start
from airflow_provider_tungsten.replicator.source import mariadb
from airflow_provider_tungsten.replicator.source.connection import (
    Connection,
    MySQLEndpoint,
    explained,
    rows,
)
from airflow_provider_tungsten.replicator.source.server import ServerFacts
from airflow_provider_tungsten.replicator.source.stream import Replica, open_dump
from airflow_provider_tungsten.replicator.thl.event import Resume, parse_event_id

FILE_BEGIN = 4
_SHOWN = 400
_PIECE = 64


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


def log_files(connection: Connection, endpoint: MySQLEndpoint) -> list[LogFile]:
    """The server's binlog files, oldest first; sizes in bytes."""
    with explained(endpoint):
        found = rows(connection, "SHOW BINARY LOGS")
    return [LogFile(row["Log_name"], int(row["File_size"])) for row in found]


def first_place(source: Source, start: Start) -> Resume:
    """The place that `start` means on this server.

    :raises ConfigurationError: no such place.
    :raises LogPurgedError: the server no longer has the log from there on.
    """
    if start.at == "earliest":
        file = log_files(source.connection, source.replica.endpoint)[0].name
        return _resume(source, file, FILE_BEGIN, executed_before(source, file))
    if start.at == "now":
        facts = source.facts
        now = int((time.time() + facts.clock_offset) * 1_000_000)
        return _resume(source, facts.file, facts.position, parse_executed(facts.gtid_executed), now)
    if start.event_id is not None:
        return _at_event_id(source, start.event_id)
    return _behind_gtid_set(source, str(start.gtid_set))


def _resume(source: Source, file: str, position: int, executed: Executed, watermark: int = 0) -> Resume:
    created = _created(source, file, position)
    return Resume(
        source.facts.server_uuid, file, position, str(executed), watermark=watermark, file_created=created
    )


def _created(source: Source, file: str, position: int) -> int:
    """When a file was begun. In small pieces: a broken event further on is the extractor's to meet."""
    with open_dump(source.replica, file, position) as dump:
        for chunk in dump:
            for at in range(0, len(chunk), _PIECE):
                for event in dump.stream.feed(chunk[at : at + _PIECE]):
                    if event.type == EventType.FORMAT_DESCRIPTION:
                        return event.timestamp
    raise CorruptLogError(f"{file}:{position}: the server sent no FORMAT_DESCRIPTION")


def executed_before(source: Source, file: str) -> Executed:
    """What was executed before a file began, as the file itself says."""
    if not source.facts.mariadb:
        return previous_gtids(source, file)
    with explained(source.replica.endpoint):
        return mariadb.gtid_list(source.connection, file)


def previous_gtids(source: Source, file: str) -> GtidSet:
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
    names = {found.name: found.size for found in log_files(source.connection, source.replica.endpoint)}
    if file not in names:
        where = f"start at {text}: MySQL at {source.replica.endpoint}"
        if file_number(file) < file_number(next(iter(names))):
            raise LogPurgedError(
                f"{where} has purged {file}; its oldest log is {next(iter(names))}. Start with a newer dump of the data"
            )
        raise ConfigurationError(f"{where} has no log {file}; it has {', '.join(names)}")
    if position == FILE_BEGIN:
        return _resume(source, file, position, executed_before(source, file))
    executed: Executed = GtidSet()
    end = FILE_BEGIN
    fits = False
    for event in _events(source, file):
        if event.file != file or event.start >= position:
            fits = event.start == position and event.type in GTID_EVENTS | {EventType.ROTATE, EventType.STOP}
            break
        end = event.end
        executed = executed_behind(executed, event)
    else:
        fits = end == position
    if not fits:
        raise ConfigurationError(
            f"source.start.event_id {text}: no transaction begins there; give the position behind a transaction, "
            "as SHOW BINARY LOG STATUS or a dump with --source-data tells it"
        )
    return _resume(source, file, position, executed)


def _behind_gtid_set(source: Source, text: str) -> Resume:
    if source.facts.mariadb:
        raise ConfigurationError(
            f"source.start.gtid_set: MariaDB at {source.replica.endpoint} is read by file and position: start at an event id"
        )
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
    return behind(source, wanted)


def behind(source: Source, known: GtidSet) -> Resume:
    """The first transaction that is not in a set, all of which the server has executed; later ones that are in it are
    passed over when they are met.

    :raises LogPurgedError: the server no longer has, or never logged, some that are not in the set.
    :raises ConfigurationError: transactions without GTID lie there.
    """
    where = f"MySQL at {source.replica.endpoint}"
    lost = GtidSet.parse(source.facts.gtid_purged).minus(known)
    begin = None
    for name in (
        []
        if lost
        else [file.name for file in reversed(log_files(source.connection, source.replica.endpoint))]
    ):
        lost = previous_gtids(source, name).minus(known)
        if not lost:
            begin = name
            break
    if begin is None:
        raise LogPurgedError(
            f"{where} has purged transactions that are not among those that are known: {shortened(lost)}. Start with a "
            "newer dump of the data, or, to go on behind a gap, with the DAG's parameter `reposition`"
        )
    file, position = begin, FILE_BEGIN
    for event in _events(source, begin):
        if event.type == EventType.ANONYMOUS_GTID:
            raise ConfigurationError(
                f"{event.place} of {where} is a transaction without GTID: which were read before cannot be told by a "
                "GTID set; start at a file:position"
            )
        if event.type in GTID_EVENTS:
            gtid = parse_gtid(event.type, event.body)
            if not known.has(gtid.source_id, gtid.gno, gtid.tag):
                return _resume(source, event.file, event.start, known)
        file, position = event.file, event.end
    return _resume(source, file, position, known)


def shortened(gtids: GtidSet) -> str:
    """A set for a message: a long history's may have a thousand parts."""
    text = str(gtids)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
