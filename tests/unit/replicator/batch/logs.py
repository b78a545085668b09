"""Small logs for the tests of this room: transactions as one-liners, row images written by hand."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from airflow_provider_tungsten.replicator.batch.chain import Chain
from airflow_provider_tungsten.replicator.batch.cutter import Piece, pieces
from airflow_provider_tungsten.replicator.batch.settings import ApplierSettings
from airflow_provider_tungsten.replicator.batch.spans import COLUMNS, spans
from airflow_provider_tungsten.replicator.batch.tables import AppliedTables
from airflow_provider_tungsten.replicator.binlog.definition import Column, TableDefinition
from airflow_provider_tungsten.replicator.service import Service, parse_service
from airflow_provider_tungsten.replicator.storage import Storage, new_token, open_storage
from airflow_provider_tungsten.replicator.thl.columns import to_table
from airflow_provider_tungsten.replicator.thl.event import Kind, Resume, ThlEvent, event_id
from airflow_provider_tungsten.replicator.thl.log import Log

ID = Column("id", "int", 3, nullable=False)
NOTE = Column("note", "varchar", 15, meta=800, charset="utf8mb4", length=200)
ORDERS = TableDefinition("shop", "orders", (ID, NOTE), ("id",))
ITEMS = TableDefinition("shop", "items", (ID, NOTE), ("id",))
LOOSE = TableDefinition("shop", "loose", (ID, NOTE))
WIDER = TableDefinition("shop", "orders", (ID, NOTE, Column("more", "int", 3)), ("id",))

Row = tuple[int, str | None]


def image(row: Row) -> bytes:
    """Null bitmap, INT, VARCHAR(200) in utf8mb4 with its two-byte length; WIDER's third column as NULL is not needed."""
    number, note = row
    if note is None:
        return b"\x02" + number.to_bytes(4, "little")
    text = note.encode()
    return b"\x00" + number.to_bytes(4, "little") + len(text).to_bytes(2, "little") + text


def rows(
    definition: TableDefinition = ORDERS, *values: Row, kind: Kind = Kind.INSERT, count: int | None = None
) -> dict[str, Any]:
    """An event of row images; for an update ``values`` are before and after in turn."""
    payload = b"".join(image(value) for value in values or ((1, "a"),))
    images = len(values) or 1
    return {
        "kind": kind,
        "schema_name": definition.schema,
        "table_name": definition.table,
        "definition": definition.json,
        "rows": count if count is not None else images // (2 if kind == Kind.UPDATE else 1),
        "payload": payload,
    }


def statement(effect: str, schema: str = "shop", table: str = "orders") -> dict[str, Any]:
    return {
        "kind": Kind.TRUNCATE if effect == "truncate" else Kind.DDL,
        "schema_name": schema,
        "table_name": table,
        "payload": b"a statement",
        "options": {"effect": effect, "tables": json.dumps([[schema, table]]), "schema": schema},
    }


def position() -> dict[str, Any]:
    return {"kind": Kind.POSITION}


def heartbeat() -> dict[str, Any]:
    return {"kind": Kind.HEARTBEAT, "options": {"heartbeat": "extraction"}}


def gap() -> dict[str, Any]:
    """A gap record; it begins an epoch."""
    return {"kind": Kind.GAP, "options": {"from": "bin.000001:4", "to": "bin.000007:4"}}


def events(
    seqno: int, fragments: Sequence[dict[str, Any]], epoch: int, second: float | None = None
) -> list[ThlEvent]:
    """One transaction of the log."""
    watermark = int((seqno if second is None else second) * 1_000_000)
    empty: dict[str, Any] = {
        "schema_name": "",
        "table_name": "",
        "definition": None,
        "payload": None,
        "options": None,
    }
    return [
        ThlEvent(
            seqno=seqno,
            fragno=number,
            last_frag=number == len(fragments) - 1,
            epoch_number=epoch,
            source_id="db1",
            event_id=event_id("bin.000001", 100 + seqno),
            gtid="",
            commit_ts=watermark,
            watermark=watermark,
            extracted_ts=watermark,
            shard_id="",
            payload_bytes=len(fragment.get("payload") or b""),
            **(empty | {"rows": 0} | fragment),
        )
        for number, fragment in enumerate(fragments)
    ]


def pieces_of(
    stream: Sequence[ThlEvent],
    applier: ApplierSettings,
    *,
    acknowledged: Collection[int] = (),
    skipped: Sequence[int] = (),
    group: int = 10_000,
) -> Iterator[Piece]:
    """The micro-batches of a log, which is read ``group`` events at a time; each row group has dictionaries of its own."""
    groups = (to_table(stream[begin : begin + group]) for begin in range(0, len(stream), group))
    columns = (batch for each in groups for batch in each.select(COLUMNS).to_batches())
    return pieces(spans(columns, AppliedTables(applier), skipped), applier.batches, acknowledged.__contains__)


class Logbook:
    """A THL and an applier's chain in one folder; ``add`` makes the log grow."""

    def __init__(self, folder: Path | Storage, **applier: Any) -> None:
        self.storage = open_storage(str(folder)) if isinstance(folder, Path) else folder
        self.service = make_service(**applier)
        self.log = Log(self.storage.sub("thl"), "shop")
        self.store = self.storage.sub("files").sub("shop").sub("redshift")
        self._epoch = 0
        if self.log.head() is None:
            self.log.create(
                Resume("uuid", "bin.000001", 4),
                source_id="db1",
                token=new_token(),
                extracted_ts=0,
                options={},
            )

    def add(
        self, *transactions: Sequence[dict[str, Any]] | dict[str, Any], segment_events: int = 10_000
    ) -> None:
        """Each a list of events, or one event alone, under the next seqnos."""
        head = self.log.head()
        assert head is not None
        epoch = head.epoch_number
        with self.log.writer(
            head, token=new_token(), segment_bytes=1 << 30, segment_events=segment_events
        ) as writer:
            for transaction in transactions:
                fragments = [transaction] if isinstance(transaction, dict) else transaction
                seqno = writer.next_seqno
                if fragments[0]["kind"] == Kind.GAP:
                    epoch = seqno
                writer.add(events(seqno, fragments, epoch))
                writer.commit(Resume("uuid", "bin.000001", 100 + seqno, watermark=seqno * 1_000_000))

    def chain(self, **applier: Any) -> Chain:
        """A new one, as another process would have it; with other settings when given."""
        service = make_service(**applier) if applier else self.service
        return Chain(self.store, self.log, service, "redshift")


def make_service(**applier: Any) -> Service:
    return parse_service(
        {
            "service": "shop",
            "source": {"connection": "mysql", "server_id": 7},
            "thl": {"url": "/nowhere/thl"},
            "appliers": {"redshift": {"files": {"url": "s3://bucket/files"}, **applier}},
        }
    )
