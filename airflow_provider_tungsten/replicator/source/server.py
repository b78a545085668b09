"""What a server is and where its log ends: all that reading it needs to know.

Whether it is fit to be read is :mod:`.preflight`'s.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from airflow_provider_tungsten.replicator.binlog.events import server_version
from airflow_provider_tungsten.replicator.binlog.gtid import GtidSet
from airflow_provider_tungsten.replicator.errors import PreflightError
from airflow_provider_tungsten.replicator.source import mariadb
from airflow_provider_tungsten.replicator.source.connection import (
    Connection,
    MySQLEndpoint,
    explained,
    rows,
)

Version = tuple[int, int, int]

_OLDEST: Version = (8, 0, 0)
_BINARY_LOG_STATUS: Version = (8, 2, 0)  # SHOW BINARY LOG STATUS; SHOW MASTER STATUS is gone since 8.4
# What stands in @@version or @@version_comment of servers that speak MySQL's protocol but keep no binary log of its.
_NO_MYSQL = ("tidb", "vitess", "planetscale")


class Server(NamedTuple):
    """:param mariadb: whether it is MariaDB, whose versions count on their own."""

    version: Version
    mariadb: bool

    def since(self, version: Version) -> bool:
        """Whether it is MySQL of at least that version."""
        return not self.mariadb and self.version >= version


@dataclass(frozen=True)
class ServerFacts:
    """What is known of the server at one moment.

    :param gtids: whether ``gtid_mode`` is ON.
    :param names_columns: whether its log names columns and keys (``binlog_row_metadata`` is FULL).
    :param file, position, gtid_executed: where its log ended.
    :param clock_offset: seconds by which its clock is ahead of ours.
    :param gtid_purged: executed there and not in its log, or no longer.
    :param prepared_xids: XA transactions that were prepared and not decided, as ``X'61',X'',1``; asked only for a
        first start, as whoever starts behind their rows will meet no more than their end.
    :param warnings: what is not right but does no harm.
    :param folds_names: whether it keeps all names of tables in lower case (``lower_case_table_names`` is 1), which statements
        may write as they like.
    """

    version: Version
    server_uuid: str
    gtids: bool  # MySQL's
    names_columns: bool
    file: str
    position: int
    gtid_executed: str
    clock_offset: float
    gtid_purged: str = ""
    prepared_xids: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    mariadb: bool = False
    folds_names: bool = False


def checked_server(connection: Connection, endpoint: MySQLEndpoint) -> Server:
    """What server it is.

    :raises PreflightError: none whose log can be read.
    """
    server = rows(connection, "SELECT @@version AS version, @@version_comment AS comment")[0]
    version = server_version(server["version"])
    finding = None
    known_as = f"{server['version']} {server['comment']}".lower()
    if any(name in known_as for name in _NO_MYSQL):
        finding = (
            f"{server['comment']} {server['version']} keeps no MySQL binary log: read from a MySQL server"
        )
    elif mariadb.is_mariadb(server["version"], server["comment"]):
        finding = mariadb.version_finding(version, server["version"])
    elif version < _OLDEST:
        finding = f"MySQL {server['version']} cannot log column names: use MySQL 8.0 or later"
    if finding:
        raise PreflightError(f"MySQL at {endpoint}", [finding])
    return Server(version, mariadb.is_mariadb(server["version"], server["comment"]))


def case_finding(lower_case_table_names: str) -> str | None:
    """What is wrong with the server's way to keep names."""
    if lower_case_table_names != "2":
        return None
    return (
        "lower_case_table_names is 2 (macOS): statements and rows in the log may call a table by names that differ in case; "
        "replicate from a server on which it is 0 or 1"
    )


def server_identity(connection: Connection, server: Server) -> str:
    """As a log's resume has it."""
    found = rows(
        connection, "SHOW GLOBAL VARIABLES WHERE Variable_name IN (%s, %s)", ["server_id", "server_uuid"]
    )
    variables = {row["Variable_name"]: row["Value"] for row in found}
    return mariadb.identity(variables) if server.mariadb else str(variables["server_uuid"])


def purged_gtids(connection: Connection) -> GtidSet | None:
    """What MySQL executed and has not in its log, or no longer; None where GTIDs do not tell (``gtid_mode`` is not ON)."""
    (found,) = rows(connection, "SELECT @@GLOBAL.gtid_mode AS mode, @@GLOBAL.gtid_purged AS purged")
    return GtidSet.parse(re.sub(r"\s", "", found["purged"])) if found["mode"] == "ON" else None


def clock_offset(connection: Connection) -> float:
    """Seconds by which the server's clock is ahead of ours, to half the time that asking takes."""
    before = time.time()
    theirs = float(rows(connection, "SELECT UNIX_TIMESTAMP(NOW(6)) AS now")[0]["now"])
    return round(theirs - (before + time.time()) / 2, 3)


def at_log_end(connection: Connection, endpoint: MySQLEndpoint, facts: ServerFacts) -> ServerFacts:
    """The same, with the log's end as it is now."""
    with explained(endpoint):
        status = log_status(connection, Server(facts.version, facts.mariadb))
    return replace(facts, **log_end(status))


def log_end(status: dict[str, Any]) -> dict[str, Any]:
    """Of :func:`log_status`, as the fields of :class:`ServerFacts`."""
    return {
        "file": status["File"],
        "position": int(status["Position"]),
        "gtid_executed": re.sub(r"\s", "", status.get("Executed_Gtid_Set") or ""),
    }


def log_status(connection: Connection, server: Server) -> dict[str, Any]:
    """File, Position, Binlog_Do_DB, Binlog_Ignore_DB, Executed_Gtid_Set; empty where the binary log is off."""
    words = "BINARY LOG" if server.since(_BINARY_LOG_STATUS) else "MASTER"
    found = rows(connection, f"SHOW {words} STATUS")
    if found and server.mariadb:
        found[0]["Executed_Gtid_Set"] = mariadb.executed(connection)
    return found[0] if found else {}
