"""The heartbeat: a row in the source's own ``tungsten_<service>.heartbeat`` whose change shows how far the log is behind.

In the log it becomes a record of its own kind, and no row of any target; what recognises it there is the collector.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager

from pymysql.constants import ER
from pymysql.err import MySQLError

from airflow_provider_tungsten.replicator.errors import (
    ConfigurationError,
    CorruptLogError,
    PreflightError,
    UnsupportedError,
)
from airflow_provider_tungsten.replicator.filters.tables import HEARTBEAT_TABLE, heartbeat_schema
from airflow_provider_tungsten.replicator.source.connection import (
    Connection,
    MySQLEndpoint,
    connect,
    explain,
    rows,
)

NAME_CHARACTERS = 128
# The name of the heartbeat that an extraction begins with.
EXTRACTION = "extraction"
_COLUMNS = (
    "id INT NOT NULL PRIMARY KEY, source_tstamp TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6), "
    f"name VARCHAR({NAME_CHARACTERS}) CHARACTER SET utf8mb4 NOT NULL"
)
# What follows the names in the table map of that table: number of columns, their types, their types' metadata (length in
# front; fraction's digits, greatest length in bytes), which may be NULL.
_SHAPE = bytes.fromhex("03 03110f 03 060002 00")
# In front of the name in a row's image: null bitmap, id, time.
_BEFORE_NAME = 1 + 4 + 7
_NO_PRIVILEGE = frozenset(
    {ER.DBACCESS_DENIED_ERROR, ER.TABLEACCESS_DENIED_ERROR, ER.SPECIFIC_ACCESS_DENIED_ERROR}
)
_READ_ONLY = frozenset({ER.OPTION_PREVENTS_STATEMENT, 1836})


# On the source


def beat(endpoint: MySQLEndpoint, service: str, name: str) -> None:
    """Changes the heartbeat's row of a service; makes schema and table where they are missing.

    :param name: what the record in the log will be called; up to 128 characters.
    :raises ConfigurationError: a name that is empty or too long.
    :raises PreflightError: a missing privilege, or a server that is read-only; with the mend.
    :raises SourceUnavailableError: it cannot be reached.
    """
    if not 0 < len(name) <= NAME_CHARACTERS:
        raise ConfigurationError(
            f"a heartbeat's name has 1 to {NAME_CHARACTERS} characters; this one has {len(name)}"
        )
    with closing(connect(endpoint)) as connection:
        write_heartbeat(connection, endpoint, service, name)


def write_heartbeat(connection: Connection, endpoint: MySQLEndpoint, service: str, name: str) -> None:
    """The same on an open session, which commits by itself."""
    schema = heartbeat_schema(service)
    table = f"`{schema}`.`{HEARTBEAT_TABLE}`"
    with _explained(endpoint, service), connection.cursor() as cursor:
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


@contextmanager
def _explained(endpoint: MySQLEndpoint, service: str) -> Iterator[None]:
    try:
        yield
    except MySQLError as error:
        code, text = (*error.args, "", "")[:2]
        if code in _NO_PRIVILEGE:
            finding = f"a privilege for the heartbeat is missing ({text}): {heartbeat_grant(endpoint.user, service)}"
        elif code in _READ_ONLY:
            finding = f"the heartbeat cannot be written ({text}): {READ_ONLY_MEND}"
        else:
            raise explain(endpoint, error) from None
        raise PreflightError(f"MySQL at {endpoint}", [finding]) from None


READ_ONLY_MEND = (
    "switch source.heartbeat off, and let `tungsten heartbeat` write it on the server that takes writes, from which it "
    "comes here by replication"
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


def heartbeat_lacks(grants: Iterable[str], service: str, *, exists: bool) -> list[str]:
    """Privileges that the heartbeat needs and no grant gives.

    :param grants: rows of SHOW GRANTS.
    :param exists: whether the table is there.
    """
    lacking = ["SELECT", "INSERT", "UPDATE"] + ["CREATE"] * (not exists)
    for row in grants:
        match = re.match(r"GRANT (.+?) ON (?:TABLE )?(\S+?)\.(\S+) TO ", row)
        if match and _covers(match[2], heartbeat_schema(service)) and _covers(match[3], HEARTBEAT_TABLE):
            given = re.split(r",\s*", re.sub(r"\(.*?\)", "", match[1]).upper())
            lacking = [] if "ALL PRIVILEGES" in given else [name for name in lacking if name not in given]
    return lacking


def _covers(pattern: str, name: str) -> bool:
    r"""A schema or table of a grant: ``*``, or a quoted name in which ``%`` and ``_`` stand for others unless escaped."""
    parts = re.findall(r"\\.|.", pattern.strip("`"))
    wild = {"%": ".*", "_": ".", "*": ".*"}
    return bool(re.fullmatch("".join(wild.get(part, re.escape(part[-1])) for part in parts), name))


# In the log


def check_heartbeat_table(body: bytes, schema: str) -> None:
    """:param body: of its TABLE_MAP.

    :raises UnsupportedError: it is not the table that is made here.
    """
    at = 8 + 1 + len(schema.encode()) + 1 + 1 + len(HEARTBEAT_TABLE) + 1
    if body[at : at + len(_SHAPE)] != _SHAPE:
        raise UnsupportedError(
            f"{schema}.{HEARTBEAT_TABLE} has other columns than the heartbeat: drop it, and it is made anew; start behind "
            "this place with the DAG's parameter `reposition`"
        )


def heartbeat_name(images: bytes) -> str:
    """The name in the last of some row images.

    :raises CorruptLogError: they are no rows of the heartbeat.
    """
    at, name = 0, b""
    while at < len(images):
        begin = at + _BEFORE_NAME + 2
        end = begin + int.from_bytes(images[begin - 2 : begin], "little")
        if images[at] & 0b111 or end > len(images):
            raise CorruptLogError("rows of the heartbeat that do not fit its table")
        at, name = end, images[begin:end]
    return name.decode(errors="replace")
