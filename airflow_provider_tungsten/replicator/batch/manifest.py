"""What is written down of a micro-batch: its plan (the boundaries) and its manifest (the files). Both write-once JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

FORMAT = 1


def _dump(body: dict[str, Any]) -> bytes:
    return json.dumps(
        {"format": FORMAT, **body}, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=vars
    ).encode()


def _load(data: bytes) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(data)
    if body.pop("format") != FORMAT:
        raise ValueError("written by another version of this package")
    return body


@dataclass(frozen=True)
class Plan:
    """The boundaries of one micro-batch, decided once.

    :param first: first seqno, one behind the plan before it.
    :param last: last seqno; ``first <= last``.
    :param previous_epoch: epoch number of record ``first - 1``; -1 before seqno 0.
    :param previous_event_id: event id of record ``first - 1``; '' before seqno 0.
    :param epoch_number: of record ``last``.
    :param event_id: of record ``last``.
    :param watermark: of record ``last``, microseconds since 1970 UTC: decides the data interval the batch belongs to.
    :param effect: ``rows`` (row images), ``truncate``, ``ddl``, or ``records`` (nothing to load).
    :param transactions: seqnos in the range that hold rows or statements for this applier.
    :param rows: of row images the applier's filter lets through; ``image_bytes`` their bytes in the log.
    :param fingerprint: of the version and the settings that make the files' names and bytes.
    :param writer: token of who made the plan.
    :param skipped: seqnos in the range that the applier leaves out, as of now: they join after the plan is made, too, and
        whoever reads it fills them in (:mod:`.skips`). A batch written with others is not this plan's.
    """

    service: str
    applier: str
    thl_uuid: str
    first: int
    last: int
    previous_epoch: int
    previous_event_id: str
    epoch_number: int
    event_id: str
    watermark: int
    effect: str
    transactions: int
    rows: int
    image_bytes: int
    fingerprint: str
    writer: str
    skipped: tuple[int, ...] = ()

    def to_json(self) -> bytes:
        return _dump(vars(self))

    @classmethod
    def from_json(cls, data: bytes) -> Plan:
        """:raises ValueError, TypeError, KeyError: not a plan of this format."""
        return cls.from_body(_load(data))

    @classmethod
    def from_body(cls, body: dict[str, Any]) -> Plan:
        """:raises TypeError, KeyError: likewise."""
        return cls(**{**body, "skipped": tuple(body["skipped"])})


@dataclass(frozen=True)
class Part:
    """One CSV file of a table.

    :param key: object name below the applier's folder.
    :param size: bytes as stored.
    :param csv_bytes: bytes uncompressed.
    :param sha256: of the bytes as stored, hexadecimal.
    :param partition: that the rows' commit times lie in, e.g. ``commit_hour=2026-11-20-14``; '' without partitions.
    """

    key: str
    rows: int
    size: int
    csv_bytes: int
    sha256: str
    partition: str = ""


@dataclass(frozen=True)
class TableBatch:
    """A table's share of a micro-batch.

    :param definition: JSON of the table's definition (``TableDefinition.json``), excluded columns left out.
    :param rows: CSV rows per opcode, e.g. ``{"I": 3, "D": 1}``.
    :param null: what stands for NULL in these files.
    :param copy_manifest: object name of the COPY manifest below the applier's folder; '' when there are no files, and for
        targets that read without one.
    :param truncate: the live table is emptied (and there are no files).
    :param own: columns and values of the rows that are meant by that, where other schemas have theirs in the same table; else
        all are.
    :param conversions: values that were changed on their way, by what was done to them.
    """

    schema: str
    table: str
    definition: str
    rows: dict[str, int]
    null: str
    copy_manifest: str
    parts: tuple[Part, ...] = ()
    truncate: bool = False
    own: dict[str, str] = field(default_factory=dict)
    conversions: dict[str, int] = field(default_factory=dict)

    @property
    def total_rows(self) -> int:
        return sum(self.rows.values())

    @property
    def keys(self) -> list[str]:
        """Names of all its files, the COPY manifest last."""
        return [part.key for part in self.parts] + [self.copy_manifest] * bool(self.copy_manifest)


@dataclass(frozen=True)
class BatchManifest:
    """The last object a batch writes: a batch exists when its manifest does.

    :param plan: the plan as written (its ``writer`` included, so the manifest of a plan is always the same bytes).
    :param header: header columns in front of the table's, with their prefix, in order.
    :param compression: ``zstd``, ``gzip``, ``bzip2`` or ``none``.
    :param tables: in name order.
    """

    plan: Plan
    header: tuple[str, ...]
    compression: str
    tables: tuple[TableBatch, ...]

    @property
    def total_rows(self) -> int:
        return sum(table.total_rows for table in self.tables)

    def to_json(self) -> bytes:
        return _dump(vars(self))

    @classmethod
    def from_json(cls, data: bytes) -> BatchManifest:
        """:raises ValueError, TypeError, KeyError: not a manifest of this format."""
        body = _load(data)
        tables = tuple(
            TableBatch(**{**table, "parts": tuple(Part(**part) for part in table["parts"])})
            for table in body["tables"]
        )
        return cls(Plan.from_body(body["plan"]), tuple(body["header"]), body["compression"], tables)
