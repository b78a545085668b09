"""The text of the statements about the position."""

from __future__ import annotations

from datetime import datetime

from airflow_provider_tungsten.replicator.batch.position import Position
from airflow_provider_tungsten.replicator.redshift import position
from airflow_provider_tungsten.replicator.redshift.ddl import Relation

TABLE = Relation("tungsten_orders", "trep_commit_seqno")
BEFORE = Position(9, 3, "b.000001:9;1", "db1", "u1", 1)
AFTER = Position(19, 4, "b.000001:19;1", "db1", "u1", 1_700_000_000_123_456)


def test_statements() -> None:
    assert position.lock(TABLE) == 'LOCK "tungsten_orders"."trep_commit_seqno"'
    assert position.create(TABLE) == (
        'CREATE TABLE IF NOT EXISTS "tungsten_orders"."trep_commit_seqno" (task_id INTEGER, seqno BIGINT, '
        "fragno SMALLINT, last_frag BOOLEAN, source_id VARCHAR(256), epoch_number BIGINT, eventid VARCHAR(256), "
        "applied_latency INTEGER, update_timestamp TIMESTAMP, shard_id VARCHAR(128), extract_timestamp TIMESTAMP, "
        "applier VARCHAR(64), thl_uuid VARCHAR(64)) DISTSTYLE ALL"
    )
    assert position.select(TABLE) == (
        "SELECT seqno, epoch_number, eventid, source_id, thl_uuid, extract_timestamp "
        'FROM "tungsten_orders"."trep_commit_seqno" WHERE applier = %s'
    )
    assert position.insert_first(TABLE) == (
        'INSERT INTO "tungsten_orders"."trep_commit_seqno" (task_id, seqno, fragno, last_frag, source_id, epoch_number, '
        "eventid, applied_latency, update_timestamp, shard_id, extract_timestamp, applier, thl_uuid) "
        "VALUES (0, -1, -1, TRUE, '', -1, '', 0, GETDATE(), '', '1970-01-01', %s, '')"
    )
    assert position.update(TABLE) == (
        'UPDATE "tungsten_orders"."trep_commit_seqno" SET seqno = %s, fragno = 0, last_frag = TRUE, source_id = %s, '
        "epoch_number = %s, eventid = %s, applied_latency = %s, update_timestamp = GETDATE(), extract_timestamp = %s, "
        "thl_uuid = %s WHERE applier = %s AND seqno = %s"
    )


def test_the_update_is_fenced_by_the_old_seqno_and_tells_the_latency() -> None:
    committed = datetime(2023, 11, 14, 22, 13, 20, 123456)
    assert position.update_arguments("main", BEFORE, AFTER, 1_700_000_007.5) == (
        19, "db1", 4, "b.000001:19;1", 7, committed, "u1", "main", 9,
    )  # fmt: skip
    assert position.from_row((19, 4, "b.000001:19;1", "db1", "u1", committed)) == AFTER
