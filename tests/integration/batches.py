"""Micro-batches put into a store as the batch step puts them, from values that a test spells out itself."""

from __future__ import annotations

import bz2
import csv
import hashlib
import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import zstandard

from airflow_provider_tungsten.replicator.batch.files import copy_manifest, manifest_key, table_stem
from airflow_provider_tungsten.replicator.batch.manifest import BatchManifest, Part, Plan, TableBatch
from airflow_provider_tungsten.replicator.binlog.definition import TableDefinition
from airflow_provider_tungsten.replicator.storage import Storage
from airflow_provider_tungsten.replicator.thl.log import Log
from tests.unit.replicator.batch.logs import Logbook, position

Row = tuple[str | None, ...]


class Feed(Logbook):
    """An applier's folder that grows batch by batch, and the log it comes from.

    The log's transactions hold nothing; what the batches hold is the test's.
    """

    def __init__(self, storage: Storage, **applier: Any) -> None:
        super().__init__(storage, **({"files": {"url": f"{storage.url}/files"}} | applier))
        self.applier = self.service.applier("redshift")
        self._plans: list[Plan] = []

    def pending(self, position: int) -> Iterator[Plan]:
        """As a chain gives them."""
        return (plan for plan in self._plans if plan.first > position)

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

        :param transactions: seqnos it takes; the first batch holds the log's start record too.
        :param written: False: only planned.
        """
        plan = self._plan(transactions, "truncate" if truncate else "rows" if tables else "records")
        shares = [self._share(plan, definition, rows) for definition, rows in (tables or {}).items()]
        if truncate:
            shares = [TableBatch(*truncate, "", {}, "", "", truncate=True)]
        shares.sort(key=lambda share: (share.schema, share.table))
        settings = self.applier.csv
        header = tuple(settings.header_prefix + name for name in settings.header)
        manifest = change(BatchManifest(plan, header, settings.compression, tuple(shares)))
        self._plans.append(plan)
        if written:
            self.store.create(manifest_key(plan.first, plan.last), manifest.to_json(), token="test")
        return plan

    def _plan(self, transactions: int, effect: str) -> Plan:
        first = self._plans[-1].last + 1 if self._plans else 0
        self.add(*[position()] * (transactions if first else transactions - 1))
        log = Log(self.storage.sub("thl"), "shop")
        head = log.head()
        assert head is not None
        last = log.record(head.last)
        before = log.record(first - 1) if first else None
        return Plan(
            service="shop",
            applier="redshift",
            thl_uuid=head.uuid,
            first=first,
            last=head.last,
            previous_epoch=before.epoch_number if before else -1,
            previous_event_id=before.event_id if before else "",
            epoch_number=last.epoch_number,
            event_id=last.event_id,
            watermark=last.watermark,
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
            head = {
                "opcode": opcode,
                "seqno": seqno,
                "row_id": number + 1,
                "commit_timestamp": "2026-11-20 12:00:00.123456",
            }
            front = [head[name] for name in self.applier.csv.header]
            writer.writerow(front + ["\\N" if value is None else value for value in values])
        plain = text.getvalue().encode()
        compress = {"zstd": zstandard.compress, "bzip2": bz2.compress, "none": bytes}
        data = compress[self.applier.csv.compression](plain)
        stem = table_stem(definition.schema, definition.table, plan.first, plan.last)
        digest = hashlib.sha256(data).hexdigest()
        part = Part(f"{stem}.0000-{digest[:16]}.csv", len(rows), len(data), len(plain), digest)
        self.store.create(part.key, data, token="test")
        self.store.create(f"{stem}.manifest", copy_manifest([part], self.store.url), token="test")
        opcodes = dict(sorted(Counter(str(row[0]) for row in rows).items()))
        return TableBatch(
            definition.schema, definition.table, definition.json, opcodes, "\\N", f"{stem}.manifest", (part,)
        )
