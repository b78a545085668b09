"""The applier's position on Redshift: the statements about one row of ``trep_commit_seqno``.

It moves in the transaction that loads the data; :mod:`.load` takes the lock and runs the statements.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_tungsten.replicator.batch.position import Position
from airflow_provider_tungsten.replicator.redshift.ddl import Relation

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# What a position is made of, in the order of `from_row`; and all that a row holds.
READ = ("seqno", "epoch_number", "eventid", "source_id", "thl_uuid", "extract_timestamp")
COLUMNS = (
    *("task_id", "seqno", "fragno", "last_frag", "source_id", "epoch_number", "eventid", "applied_latency"),
    *("update_timestamp", "shard_id", "extract_timestamp", "applier", "thl_uuid"),
)


def create(table: Relation) -> str:
    """Tungsten's columns (``SqlCommitSeqno.java``), then the applier and the log. One row an applier."""
    return (
        f"CREATE TABLE IF NOT EXISTS {table.sql} (task_id INTEGER, seqno BIGINT, fragno SMALLINT, last_frag BOOLEAN, "
        f"source_id VARCHAR(256), epoch_number BIGINT, eventid VARCHAR(256), applied_latency INTEGER, "
        f"update_timestamp TIMESTAMP, shard_id VARCHAR(128), extract_timestamp TIMESTAMP, applier VARCHAR(64), "
        f"thl_uuid VARCHAR(64)) DISTSTYLE ALL"
    )


def lock(table: Relation) -> str:
    return f"LOCK {table.sql}"


def select(table: Relation) -> str:
    """Argument: the applier."""
    return f"SELECT {', '.join(READ)} FROM {table.sql} WHERE applier = %s"


def select_all(table: Relation) -> str:
    """The whole row. Argument: the applier."""
    return f"SELECT {', '.join(COLUMNS)} FROM {table.sql} WHERE applier = %s"


def remove(table: Relation) -> str:
    """Argument: the applier."""
    return f"DELETE FROM {table.sql} WHERE applier = %s"


def insert_first(table: Relation) -> str:
    """Argument: the applier."""
    return (
        f"INSERT INTO {table.sql} (task_id, seqno, fragno, last_frag, source_id, epoch_number, eventid, "
        f"applied_latency, update_timestamp, shard_id, extract_timestamp, applier, thl_uuid) "
        f"VALUES (0, -1, -1, TRUE, '', -1, '', 0, GETDATE(), '', '1970-01-01', %s, '')"
    )


def update(table: Relation) -> str:
    """Arguments: :func:`update_arguments`. It must change one row."""
    return (
        f"UPDATE {table.sql} SET seqno = %s, fragno = 0, last_frag = TRUE, source_id = %s, epoch_number = %s, "
        f"eventid = %s, applied_latency = %s, update_timestamp = GETDATE(), extract_timestamp = %s, thl_uuid = %s "
        f"WHERE applier = %s AND seqno = %s"
    )


def update_arguments(applier: str, old: Position, new: Position, now: float) -> tuple[Any, ...]:
    """:param now: seconds since 1970 UTC."""
    latency = max(0, int(now - new.watermark / 1_000_000))
    committed = (_EPOCH + timedelta(microseconds=new.watermark)).replace(tzinfo=None)
    return (
        new.seqno,
        new.source_id,
        new.epoch_number,
        new.event_id,
        latency,
        committed,
        new.thl_uuid,
        applier,
        old.seqno,
    )


def from_row(row: tuple[Any, ...]) -> Position:
    """A row of :func:`select`."""
    seqno, epoch, event_id, source_id, thl_uuid, committed = row
    watermark = (committed.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
    return Position(int(seqno), int(epoch), event_id, source_id, thl_uuid, watermark)
