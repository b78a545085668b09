"""Whether reading can go on where it ended: on the server that was left, or on the one that took its place.

What shows only in the log itself (another transaction at the old place, another file of the old name) the assembler
sees, before it takes in anything.
"""

from __future__ import annotations

from dataclasses import replace

from airflow_provider_tungsten.replicator.binlog.gtid import GtidSet
from airflow_provider_tungsten.replicator.binlog.mariadb import MariadbPosition
from airflow_provider_tungsten.replicator.errors import DivergedError, LogPurgedError
from airflow_provider_tungsten.replicator.service import Start
from airflow_provider_tungsten.replicator.source import mariadb
from airflow_provider_tungsten.replicator.source.connection import Connection, MySQLEndpoint, explained
from airflow_provider_tungsten.replicator.source.position import (
    FILE_BEGIN,
    Source,
    behind,
    executed_before,
    file_number,
    first_place,
    log_files,
    previous_gtids,
    shortened,
)
from airflow_provider_tungsten.replicator.source.server import Server, purged_gtids
from airflow_provider_tungsten.replicator.thl.event import Resume

_WAYS_OUT = (
    "Look into it first: if the source was restored, reset or replaced, the DAG's parameter `reposition` starts at a "
    "place of the new history and records the gap, behind which the tables must be loaded again"
)


def go_on(source: Source, resume: Resume) -> Resume:
    """Where reading goes on: `resume` itself, or the same transaction's place by GTID, on a server that took over or
    behind files that were purged when they had been read.

    A server that took over is known by its GTIDs: it has executed all that were read, and still has all others.

    :raises LogPurgedError: what comes next is gone.
    :raises DivergedError: it is another history.
    """
    facts = source.facts
    if facts.server_uuid != resume.server_uuid:
        return _failed_over(source, resume)
    server = Server(facts.version, facts.mariadb)
    if not has_files(source.connection, source.replica.endpoint, server, resume):
        resume = _place_by_gtids(source, resume)
    _check_gtids(source, resume)
    return resume


def _where(source: Source) -> str:
    return f"MySQL at {source.replica.endpoint}"


def has_files(connection: Connection, endpoint: MySQLEndpoint, server: Server, resume: Resume) -> bool:
    """Whether the server that was read still has the place; False where GTIDs tell that all behind it is there, though
    the file is not.

    :raises LogPurgedError: what comes next is gone, or nobody can tell.
    :raises DivergedError: there never was such a place.
    """
    files, where = log_files(connection, endpoint), f"MySQL at {endpoint}"
    found = next((file for file in files if file.name == resume.file), None)
    if found is None and file_number(resume.file) < files[0].number:
        with explained(endpoint):
            lost = _lost(connection, server, files[0].name, resume)
        if not lost:
            return False
        raise LogPurgedError(
            f"{where} no longer has {resume.file}, in which reading must go on at {resume.position}; its oldest "
            f"log is {files[0].name}. Lost to this service: {lost}. Start anew with the DAG's parameter "
            "`reposition`, which records the gap, and load the tables again; a longer binlog_expire_logs_seconds "
            "prevents it"
        )
    if found is None or found.size < resume.position:
        end = f"{files[-1].name}:{files[-1].size}"
        raise DivergedError(
            f"{where} has nothing at {resume.file}:{resume.position}, where reading must go on; its log ends at "
            f"{end}. {_WAYS_OUT}"
        )
    return True


def _lost(connection: Connection, server: Server, oldest: str, resume: Resume) -> str:
    """What was purged before it was read, for a message; empty where GTIDs tell that nothing was."""
    unknown = "whatever it held"
    if not _known_by_gtids(resume):
        return unknown
    if server.mariadb:
        read = MariadbPosition.parse(resume.gtid_executed)
        return "" if mariadb.gtid_list(connection, oldest) == read else unknown
    ours, purged = GtidSet.parse(resume.gtid_executed), purged_gtids(connection)
    if purged is None:
        return unknown
    # Less than ours is another history, which began anew with the same numbers.
    return "" if purged == ours else shortened(purged.minus(ours)) or unknown


def _known_by_gtids(resume: Resume) -> bool:
    """Whether its GTIDs tell all that was read: the last transaction had one."""
    anonymous = resume.transaction_start is not None and not resume.transaction_gtid
    return bool(resume.gtid_executed) and not anonymous


def _check_gtids(source: Source, resume: Resume) -> None:
    if source.facts.mariadb:
        _check_mariadb_gtids(source, resume)
        return
    if not source.facts.gtids or not resume.gtid_executed:
        return
    ours = GtidSet.parse(resume.gtid_executed)
    if missing := ours.minus(GtidSet.parse(source.facts.gtid_executed)):
        raise DivergedError(
            f"{_where(source)} has not executed {shortened(missing)}, which was read from it before. {_WAYS_OUT}"
        )
    if resume.position == FILE_BEGIN and (unread := previous_gtids(source, resume.file).minus(ours)):
        raise DivergedError(
            f"{resume.file} of {_where(source)} does not follow what was read before: {shortened(unread)} came between. "
            f"{_WAYS_OUT}"
        )


def _check_mariadb_gtids(source: Source, resume: Resume) -> None:
    if not resume.gtid_executed:
        return
    ours, theirs = (
        MariadbPosition.parse(text) for text in (resume.gtid_executed, source.facts.gtid_executed)
    )
    if not theirs.contains(ours):
        raise DivergedError(
            f"{_where(source)} is at GTID position {theirs}, behind {ours}, which was read from it before. {_WAYS_OUT}"
        )
    if resume.position == FILE_BEGIN and executed_before(source, resume.file) != ours:
        raise DivergedError(
            f"{resume.file} of {_where(source)} does not follow {ours}, which was read before. {_WAYS_OUT}"
        )


def _failed_over(source: Source, resume: Resume) -> Resume:
    facts, where = source.facts, _where(source)
    servers = f"is server {facts.server_uuid}; this log was read from {resume.server_uuid}"
    if facts.mariadb or mariadb.is_mariadb_identity(resume.server_uuid):
        raise DivergedError(
            f"{where} {servers}. A log of MariaDB is read on by file and position, which hold for one server alone. "
            f"{_WAYS_OUT}"
        )
    if not facts.gtids or not _known_by_gtids(resume):
        raise DivergedError(
            f"{where} {servers}. Without GTIDs on both (gtid_mode = ON) nobody can tell which transactions of the one "
            f"the other has. {_WAYS_OUT}"
        )
    ours = GtidSet.parse(resume.gtid_executed)
    if missing := ours.minus(GtidSet.parse(facts.gtid_executed)):
        raise DivergedError(
            f"{where} {servers}, and has not executed {shortened(missing)}, which this log holds. A replica that lags "
            "behind gets them: let it catch up, then run again. Where they were lost in a failover, the target holds "
            f"what the source does not. {_WAYS_OUT}"
        )
    return _place_by_gtids(source, resume)


def _place_by_gtids(source: Source, resume: Resume) -> Resume:
    if source.facts.mariadb:
        place = first_place(source, Start(at="earliest"))
    else:
        place = behind(source, GtidSet.parse(resume.gtid_executed))
    return replace(
        resume,
        server_uuid=place.server_uuid,
        file=place.file,
        position=place.position,
        file_created=place.file_created,
        transaction_start=None,
        transaction_gtid="",
        transaction_ts=0,
    )
