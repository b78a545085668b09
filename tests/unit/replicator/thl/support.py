"""Events and logs for the tests of the log."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider_tungsten.replicator.storage import Storage
from airflow_provider_tungsten.replicator.thl.event import Kind, Resume, ThlEvent, event_id
from airflow_provider_tungsten.replicator.thl.log import Log

SERVER = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
EPOCH = 1_700_000_000_000_000
SECOND = 1_000_000


def resume(seqno: int = 0) -> Resume:
    """As if every transaction took 100 bytes of the binlog and a second."""
    return Resume(
        SERVER, "mysql-bin.000002", 4 + 100 * seqno, f"{SERVER}:1-{seqno}", watermark=EPOCH + seqno * SECOND
    )


def transaction(
    seqno: int, *, fragments: int = 1, payload: bytes = b"row", table: str = "orders"
) -> list[ThlEvent]:
    """One committed transaction of inserts."""
    at = EPOCH + seqno * SECOND
    return [
        ThlEvent(
            seqno=seqno,
            fragno=fragno,
            last_frag=fragno == fragments - 1,
            epoch_number=0,
            source_id=SERVER,
            event_id=event_id("mysql-bin.000002", 4 + 100 * seqno, 27),
            gtid=f"{SERVER}:{seqno}",
            commit_ts=at - 5,
            watermark=at,
            extracted_ts=at + 5,
            kind=Kind.INSERT,
            schema_name="shop",
            table_name=table,
            shard_id="shop",
            rows=2,
            definition='{"columns":[]}',
            payload=payload + b"%d" % fragno,
            options=None,
            payload_bytes=len(payload + b"%d" % fragno),
        )
        for fragno in range(fragments)
    ]


def write(
    log: Log, transactions: list[list[ThlEvent]], *, per_segment: int = 10, token: str = "tester"
) -> None:
    """Appends them, a segment ending with the transaction that brings it to ``per_segment`` events."""
    head = log.head()
    assert head is not None
    with log.writer(head, token=token, segment_bytes=2**40, segment_events=per_segment) as writer:
        for events in transactions:
            writer.add(events)
            writer.commit(resume(events[-1].seqno))


def new_log(storage: Storage, count: int = 0, *, per_segment: int = 10) -> Log:
    """A log of the start record and ``count`` transactions of one event."""
    log = Log(storage, "shop")
    log.create(resume(), source_id=SERVER, token="beginner", extracted_ts=EPOCH)
    write(log, [transaction(seqno) for seqno in range(1, count + 1)], per_segment=per_segment)
    return log


def seqnos(events: Iterator[ThlEvent]) -> list[int]:
    return [event.seqno for event in events]
