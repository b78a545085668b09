"""Micro-batches put into a store as the batch step puts them, from values that a test spells out itself."""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import zstandard

from airflow_provider_tungsten.replicator.batch.files import copy_manifest, manifest_key, table_stem
from airflow_provider_tungsten.replicator.batch.manifest import BatchManifest, Part, Plan, TableBatch
from airflow_provider_tungsten.replicator.binlog.definition import TableDefinition
from airflow_provider_tungsten.replicator.service import RedshiftApplier, Service, parse_service
from airflow_provider_tungsten.replicator.storage import Storage
from airflow_provider_tungsten.replicator.thl.event import ThlEvent, event_id

Row = tuple[str | None, ...]
WATERMARK = 1_700_000_000_000_000


@dataclass(frozen=True)
class Head:
    uuid: str
    last: int


class Records:
    """What a load asks of the log."""

    def __init__(self, uuid: str = "5b9f3f1c") -> None:
        self.uuid = uuid
        self.last = -1

    def head(self) -> Head | None:
        return None if self.last < 0 else Head(self.uuid, self.last)

    def first_seqno(self) -> int:
        return 0

    def record(self, seqno: int) -> ThlEvent:
        moment = WATERMARK + seqno
        return ThlEvent(
            seqno, 0, True, 0, "db1", event_id_of(seqno), "", moment, moment, moment, "insert", "shop", "t", "", 1, None, None, None
        )  # fmt: skip


def event_id_of(seqno: int) -> str:
    return event_id("mysql-bin.000001", 4 + 100 * seqno, 7)


class Feed:
    """An applier's folder that grows batch by batch, and the log it comes from.

    :param url: ``s3://bucket/prefix`` of ``store``.
    """

    def __init__(self, store: Storage, url: str, **settings: object) -> None:
        self.service: Service = parse_service(
            {
                "service": "orders",
                "source": {"connection": "mysql", "server_id": 1},
                "thl": {"url": url},
                "appliers": {"main": {"files": {"url": url}, **settings}},
            }
        )
        self.applier: RedshiftApplier = self.service.applier("main")
        self.store = store.sub("orders").sub("main")
        self.log = Records()
        self._plans: list[Plan] = []

    def plans(self, first: int = 0) -> Iterator[Plan]:
        """As a chain gives them."""
        return (plan for plan in self._plans if plan.first >= first)

    def batch(
        self,
        tables: Mapping[TableDefinition, Sequence[Row]] | None = None,
        *,
        truncate: tuple[str, str] | None = None,
        transactions: int = 3,
        written: bool = True,
        change: Callable[[BatchManifest], BatchManifest] = lambda manifest: manifest,
    ) -> Plan:
        """The next batch. A row is its opcode and the text of its values; None is NULL.

        :param written: False: only planned.
        """
        plan = self._plan(transactions, "truncate" if truncate else "rows" if tables else "records")
        shares = [self._share(plan, definition, rows) for definition, rows in (tables or {}).items()]
        if truncate:
            shares = [TableBatch(*truncate, "", {}, "", "", truncate=True)]
        shares.sort(key=lambda share: (share.schema, share.table))
        csv_settings = self.applier.csv
        header = tuple(csv_settings.header_prefix + name for name in csv_settings.header)
        manifest = change(BatchManifest(plan, header, csv_settings.compression, tuple(shares)))
        self._plans.append(plan)
        if written:
            self.store.create(manifest_key(plan.first, plan.last), manifest.to_json(), token="test")
        return plan

    def _plan(self, transactions: int, effect: str) -> Plan:
        first = self.log.last + 1
        self.log.last = last = first + transactions - 1
        return Plan(
            service="orders",
            applier="main",
            thl_uuid=self.log.uuid,
            first=first,
            last=last,
            previous_epoch=0 if first else -1,
            previous_event_id=event_id_of(first - 1) if first else "",
            epoch_number=0,
            event_id=event_id_of(last),
            watermark=WATERMARK + last,
            effect=effect,
            transactions=transactions,
            rows=1,
            image_bytes=1,
            fingerprint="f",
            writer="test",
        )

    def _share(self, plan: Plan, definition: TableDefinition, rows: Sequence[Row]) -> TableBatch:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        for number, (opcode, *values) in enumerate(rows):
            seqno = plan.first + number * (plan.last - plan.first + 1) // len(rows)
            head = {"opcode": opcode, "seqno": seqno, "row_id": number + 1}
            head["commit_timestamp"] = "2026-11-20 12:00:00.123456"
            front = [head[name] for name in self.applier.csv.header]
            writer.writerow(front + ["\\N" if value is None else value for value in values])
        plain = text.getvalue().encode()
        data = zstandard.compress(plain) if self.applier.csv.compression == "zstd" else plain
        stem = table_stem(definition.schema, definition.table, plan.first, plan.last)
        digest = hashlib.sha256(data).hexdigest()
        part = Part(f"{stem}.0000-{digest[:16]}.csv", len(rows), len(data), len(plain), digest)
        self.store.create(part.key, data, token="test")
        manifest = copy_manifest([part], self.store.url)
        self.store.create(f"{stem}.manifest", manifest, token="test")
        opcodes = dict(sorted(Counter(str(row[0]) for row in rows).items()))
        return TableBatch(
            definition.schema, definition.table, definition.json, opcodes, "\\N", f"{stem}.manifest", (part,)
        )
