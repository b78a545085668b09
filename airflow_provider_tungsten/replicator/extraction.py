"""What an extraction tells and keeps, be it from a server or from files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from airflow_provider_tungsten.replicator.assembler import Assembler
from airflow_provider_tungsten.replicator.errors import (
    StorageError,
    StorageUnavailableError,
    TungstenError,
    WriteConflictError,
)
from airflow_provider_tungsten.replicator.schema.tables import Tables
from airflow_provider_tungsten.replicator.storage import Storage
from airflow_provider_tungsten.replicator.thl.segment import Head
from airflow_provider_tungsten.replicator.thl.writer import LogWriter
from airflow_provider_tungsten.replicator.xa import XaStore

PROGRESS_SECONDS = 5.0

# Any other error ends reading, but leaves the whole transactions that were read before it.
STORE_ERRORS = (StorageUnavailableError, StorageError, WriteConflictError)


@dataclass(frozen=True)
class Progress:
    """How far a running extraction is; seconds since it began reading; lag as in :class:`ExtractResult`."""

    transactions: int
    rows: int
    bytes: int
    seconds: float
    event_id: str
    lag_seconds: float


@dataclass(frozen=True)
class ExtractResult:
    """What an extraction added to the log.

    :param first, last: seqnos added; None where none was.
    :param transactions, rows: kept ones; ``bytes``: of binlog, with what was passed over.
    :param segments: published.
    :param event_id: up to where the source was read; ``watermark``: its commit time, microseconds.
    :param lag_seconds: how far behind the source the log is: 0 where the head was reached, however long ago its last
        commit was; else the age of the last commit that was read, by the source's clock.
    :param reason: why it ended: ``head`` or the limit's name.
    :param connections: to the binlog; each but the first was opened because the one before was lost.
    :param warnings: of preflight.
    """

    first: int | None
    last: int | None
    transactions: int
    rows: int
    bytes: int
    segments: int
    event_id: str
    watermark: int
    seconds: float
    lag_seconds: float
    reason: str
    connections: int = 1
    warnings: tuple[str, ...] = ()


def xa_store(service: str, storage: Storage, head: Head, token: str, spool_bytes: int) -> XaStore:
    """Of the log of a service."""
    return XaStore(storage.sub(service).sub("xa"), head.resume.xa, token=token, memory=spool_bytes)


def storing(xa: XaStore, tables: Tables | None) -> Callable[[], None]:
    """What is done before a segment is published, so that all that it names is there."""

    def store() -> None:
        xa.store()
        if tables is not None:
            tables.keep()

    return store


def append(writer: LogWriter, reader: Assembler) -> None:
    """What was read whole, to the log.

    :raises StorageError: also where what is kept is damaged. It is no error of the source's: nothing that was read behind what
        could not be appended may be.
    """
    try:
        writer.add_tables(reader.drain())
        writer.commit(reader.resume)
    except STORE_ERRORS:
        raise
    except TungstenError as error:
        raise StorageError(str(error)) from error
