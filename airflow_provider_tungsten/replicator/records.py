"""THL events out of what was read: a transaction's fragments, and records about the log itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

from airflow_provider_tungsten.replicator.thl import columns
from airflow_provider_tungsten.replicator.thl.event import Kind, Resume, ThlEvent
from airflow_provider_tungsten.replicator.xa import Fragments


class Origin(NamedTuple):
    """What every THL event of a task has in common.

    :param source_id: host and port that were read, as Tungsten has it; the server itself is known by its server_uuid.
    """

    source_id: str
    epoch_number: int
    next_seqno: int


def record(kind: Kind, origin: Origin, resume: Resume, options: dict[str, str]) -> ThlEvent:
    """A record about the log itself; it takes a seqno."""
    now = time.time_ns() // 1000
    return ThlEvent(
        seqno=origin.next_seqno,
        fragno=0,
        last_frag=True,
        epoch_number=origin.epoch_number,
        source_id=origin.source_id,
        event_id=resume.event_id,
        gtid=resume.transaction_gtid,
        commit_ts=resume.transaction_ts or resume.watermark or now,
        watermark=resume.watermark,
        extracted_ts=now,
        kind=kind,
        schema_name="",
        table_name="",
        shard_id="",
        rows=0,
        definition=None,
        payload=None,
        options=options,
    )


def of_transaction(
    fragments: Fragments, seqno: int, origin: Origin, place: str, times: tuple[str, int, int, int]
) -> Iterator[ThlEvent]:
    """Of a transaction that got `seqno`, an event for each fragment.

    :param place: its event id; ``times``: gtid, commit_ts, watermark, extracted_ts.
    """
    last = len(fragments) - 1
    for number, (kind, (schema, table, definition), rows, payload, options, whole) in enumerate(fragments):
        yield ThlEvent(
            seqno,
            number,
            number == last,
            origin.epoch_number,
            origin.source_id,
            place,
            *times,
            kind,
            schema,
            table,
            schema or columns.UNKNOWN_SHARD,
            rows,
            definition,
            payload,
            options,
            whole,
        )
