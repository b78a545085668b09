"""The heartbeat: a row in the source's own ``tungsten_<service>.heartbeat`` whose change shows how far the log is behind.

In the log it becomes a record of its own kind, and no row of any target; what recognises it there is the collector.
"""

from __future__ import annotations

from contextlib import closing

from airflow_provider_tungsten.replicator.errors import ConfigurationError
from airflow_provider_tungsten.replicator.filters.tables import HEARTBEAT_TABLE, heartbeat_schema
from airflow_provider_tungsten.replicator.source.connection import (
    Connection,
    MySQLEndpoint,
    connect,
    explained,
    rows,
)

NAME_CHARACTERS = 128
# The name of the heartbeat that an extraction begins with.
EXTRACTION = "extraction"
_COLUMNS = (
    "id INT NOT NULL PRIMARY KEY, source_tstamp TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6), "
    f"name VARCHAR({NAME_CHARACTERS}) CHARACTER SET utf8mb4 NOT NULL"
)


def beat(endpoint: MySQLEndpoint, service: str, name: str) -> None:
    """Changes the heartbeat's row of a service; makes schema and table where they are missing.

    :param name: what the record in the log will be called; up to 128 characters.
    :raises ConfigurationError: a name that is empty or too long.
    :raises PreflightError: a missing privilege, with the mend.
    :raises TerminalError: the server refuses, being read-only perhaps.
    :raises SourceUnavailableError: it cannot be reached.
    """
    if not 0 < len(name) <= NAME_CHARACTERS:
        raise ConfigurationError(
            f"a heartbeat's name has 1 to {NAME_CHARACTERS} characters; this one has {len(name)}"
        )
    with closing(connect(endpoint)) as connection, explained(endpoint):
        write_heartbeat(connection, service, name)


def write_heartbeat(connection: Connection, service: str, name: str) -> None:
    """The same on an open session, which commits by itself.

    :raises pymysql.err.MySQLError: see :func:`explained`.
    """
    schema = heartbeat_schema(service)
    table = f"`{schema}`.`{HEARTBEAT_TABLE}`"
    with connection.cursor() as cursor:
        # Asked first: CREATE … IF NOT EXISTS goes to the binary log each time, and needs a privilege.
        if not rows(connection, "SELECT 1 FROM information_schema.schemata WHERE schema_name = %s", [schema]):
            cursor.execute(f"CREATE DATABASE IF NOT EXISTS `{schema}`")
        if not heartbeat_exists(connection, service):
            cursor.execute(f"CREATE TABLE IF NOT EXISTS {table} ({_COLUMNS}) ENGINE = InnoDB")
        cursor.execute(
            f"INSERT INTO {table} (id, source_tstamp, name) VALUES (1, NOW(6), %s)"
            " ON DUPLICATE KEY UPDATE source_tstamp = NOW(6), name = %s",
            (name, name),
        )


def heartbeat_exists(connection: Connection, service: str) -> bool:
    """Whether the table is there, as far as the user may see."""
    found = rows(
        connection,
        "SELECT 1 FROM information_schema.tables WHERE table_schema = %s AND table_name = %s",
        [heartbeat_schema(service), HEARTBEAT_TABLE],
    )
    return bool(found)


def heartbeat_grant(user: str, service: str) -> str:
    """The statement that gives `user` what the heartbeat needs."""
    return f"GRANT CREATE, SELECT, INSERT, UPDATE ON `{heartbeat_schema(service)}`.* TO '{user}'@'%'"
