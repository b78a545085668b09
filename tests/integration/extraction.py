"""A service that extracts from a test server into a log in a folder, for the tests of the extracting side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from airflow_provider_tungsten.replicator.extraction import ExtractResult
from airflow_provider_tungsten.replicator.extractor import extract
from airflow_provider_tungsten.replicator.service import Service, parse_service
from airflow_provider_tungsten.replicator.source.connection import MySQLEndpoint
from airflow_provider_tungsten.replicator.storage import Storage, new_token, open_storage
from airflow_provider_tungsten.replicator.thl.event import ThlEvent
from airflow_provider_tungsten.replicator.thl.log import Log
from tests.stack.mysql import MySQL

NAME = "shop"
SERVER_ID = 4711


def endpoint(mysql: MySQL, **changes: Any) -> MySQLEndpoint:
    """The replication user over TLS checked against the server's authority."""
    settings = {"host": mysql.host, "port": mysql.port, "user": mysql.user, "password": mysql.password}
    return MySQLEndpoint(
        **{**settings, "ssl_ca": str(mysql.ca_file), "ssl_mode": "verify_identity", **changes}
    )


def service(
    thl: str | Path,
    *,
    segment_events: int = 500_000,
    filters: Sequence[Any] = (),
    applier: str = "redshift",
    **source: Any,
) -> Service:
    return parse_service(
        {
            "service": NAME,
            "source": {"connection": "mysql_default", "server_id": SERVER_ID, **source},
            "thl": {"url": str(thl), "segment_events": segment_events},
            "filters": list(filters),
            "appliers": {applier: {"type": applier, "files": {"url": "s3://bucket/files"}}},
        }
    )


class Extraction:
    """Runs tasks of one service, one after the other; the first run begins the log at `start`, by default `now`."""

    def __init__(self, mysql: MySQL, folder: Path, **source: Any) -> None:
        folder.mkdir(exist_ok=True)
        self.mysql = mysql
        self.folder = folder
        self.source = source

    @property
    def storage(self) -> Storage:
        return open_storage(str(self.folder))

    @property
    def log(self) -> Log:
        return Log(self.storage, NAME)

    def service(self, **changes: Any) -> Service:
        return service(self.folder, **{**self.source, **changes})

    def run(self, **changes: Any) -> ExtractResult:
        """One task; `changes` to the source's settings hold for it alone."""
        return extract(self.service(**changes), endpoint(self.mysql), self.storage, token=new_token("test"))

    def events(self, first: int = 0) -> list[ThlEvent]:
        """All events of the log from seqno `first` on."""
        head = self.log.head()
        return list(self.log.read(first, head.last)) if head and head.last >= first else []

    def kinds(self, first: int = 1) -> list[str]:
        """What is in the log, in short: kind, table and rows of every event."""
        return [" ".join(_words(event)) for event in self.events(first)]


def _words(event: ThlEvent) -> Iterator[str]:
    yield str(event.kind)
    if event.table_name:
        yield event.table_name
    if event.rows:
        yield str(event.rows)
