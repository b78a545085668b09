"""What is different about a MariaDB server: how it is asked, what it must have set, and how it is known again.

MariaDB has no ``server_uuid`` and nothing else that names a server for good: ``server_uid`` is made of port and network
card, and changes with either. So a server is known by its ``server_id``, which its GTIDs carry, by these GTIDs, by the
time at which its log file was begun, and by the last transaction read, which is read again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from airflow_provider_tungsten.replicator.binlog.events import xid_text
from airflow_provider_tungsten.replicator.binlog.mariadb import MariadbPosition
from airflow_provider_tungsten.replicator.source.connection import Connection, rows

OLDEST = (10, 5, 0)
# What the master must be told before a dump: that this replica knows MariaDB's GTIDs; else it sends made-up events.
CAPABILITY = "@mariadb_slave_capability = 4"
# Flag of COM_BINLOG_DUMP. Without it the master leaves ANNOTATE_ROWS out, and offsets have holes that nobody can check.
SEND_ANNOTATE_ROWS = 0x02

_OFFSETS = "binlog_legacy_event_pos"
_ACTING = re.compile(r"^ *CONSTRAINT .* ON (DELETE|UPDATE) (CASCADE|SET NULL|SET DEFAULT)", re.MULTILINE)
_IDENTITY = "mariadb-"
_TABLES = {
    "SEQUENCE": "a sequence, whose numbers the log has as rows without a key",
    "SYSTEM VERSIONED": "a system-versioned table, whose log holds rows of its history among the present ones",
}


def is_mariadb(version: str, comment: str) -> bool:
    """:param version, comment: ``@@version`` and ``@@version_comment``."""
    return "mariadb" in f"{version} {comment}".lower()


def version_finding(version: tuple[int, int, int], text: str) -> str | None:
    """What is wrong with a version; None where it will do."""
    if version < OLDEST:
        return f"MariaDB {text} cannot log column names and keys (binlog_row_metadata): use MariaDB 10.5 or later"
    return None


def grant(user: str) -> str:
    """The statement that gives `user` all that extraction needs."""
    return (
        "GRANT REPLICATION SLAVE, BINLOG MONITOR, SLAVE MONITOR, REPLICATION MASTER ADMIN, SELECT ON *.* "
        f"TO '{user}'@'%'"
    )


def setting(name: str, value: str) -> str:
    """How a variable is set there, for good."""
    return f"SET GLOBAL {name} = {value}, and the same in the server's option file"


def identity(variables: Mapping[str, str]) -> str:
    """What stands for ``server_uuid``."""
    return f"{_IDENTITY}{variables['server_id']}"


def is_mariadb_identity(text: str) -> bool:
    """Whether it is one of :func:`identity`."""
    return text.startswith(_IDENTITY)


def executed(connection: Connection) -> str:
    """The GTID position of the server's binary log."""
    (row,) = rows(connection, "SELECT @@GLOBAL.gtid_binlog_pos AS position")
    return str(MariadbPosition.parse(row["position"]))


def gtid_list(connection: Connection, file: str) -> MariadbPosition:
    """The GTID position at which a file begins, as the file itself says."""
    found = rows(connection, "SHOW BINLOG EVENTS IN %s LIMIT 3", [file])
    text = next((row["Info"] for row in found if row["Event_type"] == "Gtid_list"), "[]")
    gtids = re.findall(r"(\d+)-(\d+)-(\d+)", text)
    return MariadbPosition((int(domain), int(server), int(number)) for domain, server, number in gtids)


def retention_seconds(variables: Mapping[str, str]) -> int:
    """After how many seconds the server purges its log; 0: never. Before 10.6 it counts days."""
    if "binlog_expire_logs_seconds" in variables:
        return int(variables["binlog_expire_logs_seconds"])
    return int(float(variables.get("expire_logs_days", "0")) * 86400)


def offset_finding(variables: Mapping[str, str]) -> str | None:
    """What is wrong with the offsets in the log, which MariaDB 11.4 and later leave out inside transactions."""
    if variables.get(_OFFSETS, "ON") == "ON":
        return None
    return f"{_OFFSETS} is OFF, so that events do not say where they end: {setting(_OFFSETS, 'ON')}"


def prepared_xids(connection: Connection) -> tuple[str, ...]:
    """XA transactions that are prepared and undecided, as ``X'61',X'',1``; every user may ask."""
    found = rows(connection, "XA RECOVER")
    return tuple(_xid(row["formatID"], row["gtrid_length"], bytes(row["data"])) for row in found)


def _xid(format_id: int, global_length: int, data: bytes) -> str:
    return xid_text(format_id, data[:global_length], data[global_length:])


def unfit_tables(connection: Connection, includes: Callable[[str, str], bool]) -> Iterator[str]:
    """A finding for each included table of a kind that cannot be replicated."""
    found = rows(
        connection,
        "SELECT table_schema AS s, table_name AS t, table_type AS type FROM information_schema.tables"
        " WHERE table_type IN %s ORDER BY 1, 2",
        [sorted(_TABLES)],
    )
    for row in found:
        if includes(row["s"], row["t"]):
            name = f"{row['s']}.{row['t']}"
            yield f"{name} is {_TABLES[row['type']]}: it is not supported; name it in source.exclude ({name})"


def cascading(connection: Connection, includes: Callable[[str, str], bool]) -> set[tuple[str, str]]:
    """Included tables with a foreign key that changes rows by itself.

    Read from their definitions: ``referential_constraints`` hides what a user may only SELECT.
    """
    found = rows(
        connection,
        "SELECT DISTINCT table_schema AS s, table_name AS t FROM information_schema.key_column_usage"
        " WHERE referenced_table_name IS NOT NULL",
    )
    tables = {(row["s"], row["t"]) for row in found if includes(row["s"], row["t"])}
    return {table for table in tables if _ACTING.search(_definition(connection, *table))}


def _definition(connection: Connection, schema: str, table: str) -> str:
    name = ".".join(f"`{part.replace('`', '``')}`" for part in (schema, table))
    (row,) = rows(connection, f"SHOW CREATE TABLE {name}")
    return str(row["Create Table"])
