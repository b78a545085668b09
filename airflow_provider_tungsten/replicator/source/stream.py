"""The binlog as the server sends it: a dump is asked for, and its bytes are handed on as they arrive.

PyMySQL carries the connection and mysql-replication registers us as a replica. Dump command and reading are our own:
its dump cannot pass 4 GiB, and its reading, a packet and a Python object at a time, costs more than all that follows.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pymysql.constants import COMMAND, ER
from pymysql.err import OperationalError
from pymysqlreplication.binlogstream import ReportSlave

from airflow_provider_tungsten.replicator.binlog.framing import Dump, EventStream
from airflow_provider_tungsten.replicator.binlog.gtid import GtidSet
from airflow_provider_tungsten.replicator.errors import (
    ConfigurationError,
    CorruptLogError,
    DivergedError,
    LogPurgedError,
    SourceUnavailableError,
    TungstenError,
    UnsupportedError,
)
from airflow_provider_tungsten.replicator.source.connection import (
    Connection,
    MySQLEndpoint,
    connect,
    explain,
    explained,
)
from airflow_provider_tungsten.replicator.source.mariadb import CAPABILITY, SEND_ANNOTATE_ROWS, is_mariadb

READ_BYTES = 1024 * 1024
LAST_SHORT_POSITION = 2**32 - 1  # of COM_BINLOG_DUMP
_NON_BLOCK = 0x01
_FATAL_READING_BINLOG = ER.MASTER_FATAL_ERROR_READING_BINLOG  # 1236, of which only the text tells what it is
_PATIENCE_SECONDS = 600  # of the server, while a segment is being stored and nobody reads
_HEARTBEATS = 3  # of which none may come before the connection counts as lost

# What error 1236 says, in the words of MySQL 5.6 to 9.7 and MariaDB, which have no other key.
_PURGED = ("could not find first log file", "could not find next log", "purged", "could not find gtid state")
_SAME_REPLICA = ("same server_uuid", "same server_id")
_OTHER_GTID_MODE = "@@global.gtid_mode = o"
_OTHER_HISTORY = ("position", "more gtids than", "not in the master's binlog", "is missing the gtid")


@dataclass(frozen=True)
class Replica:
    """As whom the log is asked for.

    :param host: the name under which we stand in SHOW REPLICAS.
    :param verify_checksum: of the events that come.
    """

    endpoint: MySQLEndpoint
    server_id: int
    host: str
    verify_checksum: bool = True


@contextmanager
def open_dump(replica: Replica, file: str, position: int) -> Iterator[Dump]:
    """Asks for the log from `position` in `file` to its present end.

    :param position: offset of an event's first byte, 64-bit.

    The dump that it yields ends where the log ends at that moment. Reading it raises

    :raises LogPurgedError: the server no longer has the file.
    :raises DivergedError: there is no event at that position.
    :raises CorruptLogError: what arrives is no log.
    :raises SourceUnavailableError: not to be reached, or the connection was lost.
    """
    connection = connect(replica.endpoint)
    try:
        with explained(replica.endpoint):
            register(connection, replica)
            _request(connection, replica, file, position)
        stream = EventStream(file, position, verify_checksum=replica.verify_checksum)
        yield Dump(stream, _chunks(connection, replica.endpoint, stream))
    finally:
        connection._force_close()


def register(connection: Connection, replica: Replica) -> None:
    """Makes the session a replica's: in SHOW REPLICAS, until it ends.

    Each has a UUID of its own, as the server ends an older dump of a UUID that it meets again.
    """
    settings = {
        "binlog_checksum": "@@global.binlog_checksum",
        "heartbeat_period": str(int(replica.endpoint.read_timeout / _HEARTBEATS * 10**9)),
    }
    ours = str(uuid.uuid4())
    assignments = [CAPABILITY] + [
        f"@{word}_{name} = {value}" for word in ("source", "master") for name, value in settings.items()
    ]
    assignments += [f"@{word}_uuid = '{ours}'" for word in ("replica", "slave")]
    assignments.append(f"SESSION net_write_timeout = {_PATIENCE_SECONDS}")
    with connection.cursor() as cursor:
        cursor.execute(f"SET {', '.join(assignments)}")
    connection._write_bytes(ReportSlave(replica.host).encoded(replica.server_id))
    connection._next_seq_id = 1
    connection._read_packet()


def _request(connection: Connection, replica: Replica, file: str, position: int) -> None:
    name = file.encode()
    server_id = replica.server_id
    mariadb = is_mariadb(connection.get_server_info(), "")
    if position <= LAST_SHORT_POSITION:
        command = COMMAND.COM_BINLOG_DUMP
        flags = _NON_BLOCK | (SEND_ANNOTATE_ROWS if mariadb else 0)
        packet = struct.pack("<IHI", position, flags, server_id) + name
    elif mariadb:
        raise UnsupportedError(
            f"MariaDB at {replica.endpoint} cannot be asked for {file}:{position}: its command has 32 bits for the offset. "
            "Start at the next file with the DAG's parameter `reposition`, and load the tables again"
        )
    else:
        # Only this command has 64 bits for the offset. It keeps to the file it is given; the empty set leaves out
        # nothing.
        command = COMMAND.COM_BINLOG_DUMP_GTID
        nothing = GtidSet().encode()
        packet = struct.pack("<HII", _NON_BLOCK, server_id, len(name)) + name
        packet += struct.pack("<QI", position, len(nothing)) + nothing
    connection._execute_command(command, packet)


def _chunks(connection: Connection, endpoint: MySQLEndpoint, stream: EventStream) -> Iterator[memoryview]:
    start = stream.position
    connection._sock.settimeout(endpoint.read_timeout)
    receive = connection._sock.recv_into
    buffer = memoryview(bytearray(READ_BYTES))
    while not stream.ended:
        try:
            size = receive(buffer)
        except OSError as error:
            raise _lost(endpoint, stream, str(error)) from None
        if not size:
            raise _lost(endpoint, stream, "the server closed it")
        yield buffer[:size]
        if stream.error is not None:
            code, _, text = stream.error
            raise dump_error(endpoint, stream, start, code, text)


def _lost(endpoint: MySQLEndpoint, stream: EventStream, reason: str) -> SourceUnavailableError:
    return SourceUnavailableError(
        f"the connection to MySQL at {endpoint} was lost at {stream.file}:{stream.position} ({reason}); "
        "reading goes on there with the next attempt"
    )


def dump_error(
    endpoint: MySQLEndpoint, stream: EventStream, start: int, code: int, text: str
) -> TungstenError:
    """What the server says instead of more log. Its own words are the only key to error 1236."""
    where = f"{endpoint} at {stream.file}:{stream.position}"
    if code != _FATAL_READING_BINLOG:
        error = explain(endpoint, OperationalError(code, text))
        if isinstance(error, SourceUnavailableError):
            return _lost(endpoint, stream, f"{code}: {text}")
        return error
    said = text.lower()
    if any(words in said for words in _PURGED):
        return LogPurgedError(
            f"{where}: the log is no longer there ({text}). What it held is lost to this service. Start anew with "
            "the DAG's parameter `reposition`, which records the gap, and load the tables again"
        )
    if any(words in said for words in _SAME_REPLICA):
        return ConfigurationError(
            f"{where}: another replica reads with the same server_id or server_uuid ({text}): give this service a "
            "source.server_id of its own, and end the other reader"
        )
    if _OTHER_GTID_MODE in said:
        return ConfigurationError(
            f"{where}: the source does not send what it logged under another gtid_mode than it has now ({text}): SET GLOBAL "
            "gtid_mode one step back there, to OFF_PERMISSIVE or ON_PERMISSIVE, until this service has read behind that"
        )
    if stream.position == start or any(words in said for words in _OTHER_HISTORY):
        return DivergedError(
            f"{where}: no event begins there ({text}): this is not the log that was read before, or the position "
            "was mistyped. Check that the source was not reset or restored; the DAG's parameter `reposition` starts "
            "elsewhere"
        )
    return CorruptLogError(f"{where}: the server cannot read its own log: {text}")
