"""What a server says instead of more log, in its own words of several versions."""

from __future__ import annotations

import pytest

from airflow_provider_tungsten.replicator.binlog.framing import EventStream
from airflow_provider_tungsten.replicator.errors import (
    ConfigurationError,
    CorruptLogError,
    DivergedError,
    LogPurgedError,
    PreflightError,
    SourceUnavailableError,
    TungstenError,
)
from airflow_provider_tungsten.replicator.source.connection import MySQLEndpoint
from airflow_provider_tungsten.replicator.source.stream import dump_error


@pytest.mark.parametrize(
    ("code", "text", "moved", "error"),
    [
        (1236, "Could not find first log file name in binary log index file", False, LogPurgedError),
        (
            1236,
            "Cannot replicate because the source purged required binary logs. Replicate …",
            False,
            LogPurgedError,
        ),
        (
            1236,
            "The slave is connecting using … but the master has purged binary logs",
            False,
            LogPurgedError,
        ),
        (
            1236,
            "Cannot replicate because the master purged required binary logs. Replicate the missing transactions",
            False,
            LogPurgedError,
        ),
        (
            1236,
            "Could not find GTID state requested by slave in any binlog files. Probably the slave state is too old",
            False,
            LogPurgedError,
        ),
        (1236, "could not find next log; the first event 'b.1' at 4", True, LogPurgedError),
        (
            1236,
            "Cannot replicate GTID-transaction when @@GLOBAL.GTID_MODE = OFF, at file ./b.000001, position 847.",
            False,
            ConfigurationError,
        ),
        (
            1236,
            "Cannot replicate anonymous transaction when @@GLOBAL.GTID_MODE = ON, at file ./b.000001, position 847.",
            True,
            ConfigurationError,
        ),
        (
            1236,
            "Slave has more GTIDs than the master has, using the master's SERVER_UUID",
            True,
            DivergedError,
        ),
        (
            1236,
            "Error: connecting slave requested to start from GTID 0-1-9, which is not in the master's binlog",
            False,
            DivergedError,
        ),
        (
            1236,
            "Client requested source to start replication from position > file size",
            False,
            DivergedError,
        ),
        (1236, "Client requested master to start replication from impossible position", False, DivergedError),
        (1236, "bogus data in log event; the first event 'b.1' at 4", False, DivergedError),
        (
            1236,
            "log event entry exceeded max_allowed_packet; Increase max_allowed_packet",
            False,
            DivergedError,
        ),
        (1236, "binlog truncated in the middle of event; the last event read", True, CorruptLogError),
        (
            1236,
            "A replica with the same server_uuid/server_id as this replica has connected to the source;",
            False,
            ConfigurationError,
        ),
        (
            1236,
            "A slave with the same server_uuid/server_id as this slave has connected to the master;",
            True,
            ConfigurationError,
        ),
        (1236, "event read from binlog did not pass checksum verification", True, CorruptLogError),
        (1053, "Server shutdown in progress", True, SourceUnavailableError),
        (1927, "Connection was killed", True, SourceUnavailableError),
        (1160, "Got an error writing communication packets", True, SourceUnavailableError),
        (3032, "The server is currently in offline mode", True, SourceUnavailableError),
        (
            1227,
            "Access denied; you need (at least one of) the REPLICATION SLAVE privilege(s)",
            False,
            PreflightError,
        ),
    ],
)
def test_refusals_are_told_apart(code: int, text: str, moved: bool, error: type[TungstenError]) -> None:
    stream = EventStream("mysql-bin.000003", 1000)
    found = dump_error(MySQLEndpoint("db.example.com"), stream, 4 if moved else 1000, code, text)
    assert type(found) is error
    assert error is PreflightError or "mysql-bin.000003:1000" in str(found)
