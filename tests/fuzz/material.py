"""What is mutated: the events of binlog files, cut into transactions, and their row images with definitions.

Files are cut by their events' own lengths, so that nothing under test takes part.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from airflow_provider_tungsten.replicator.binlog.constants import ROWS_EVENTS, EventType
from airflow_provider_tungsten.replicator.binlog.definition import TableDefinition
from airflow_provider_tungsten.replicator.binlog.events import Event, has_checksum_field, parse_rows
from airflow_provider_tungsten.replicator.binlog.framing import payload_events
from airflow_provider_tungsten.replicator.binlog.mariadb import COMPRESSED_EVENTS, decompressed
from airflow_provider_tungsten.replicator.binlog.table_map import TableMaps
from airflow_provider_tungsten.replicator.errors import TungstenError

HEADER = struct.Struct("<IBIIIH")
MAGIC = b"\xfebin"
LARGEST = 20_000
LONGEST = 40
_BEGINS = frozenset({EventType.GTID, EventType.ANONYMOUS_GTID, EventType.GTID_TAGGED, 162})


@dataclass(frozen=True)
class Transaction:
    """:param events: as they stand in a file with that FORMAT_DESCRIPTION; ``checksum``: whether each ends in one."""

    description: bytes
    events: tuple[bytes, ...]
    checksum: bool


@dataclass(frozen=True)
class Images:
    """Row images of one event and what they are of."""

    definition: TableDefinition
    kind: str
    payload: bytes


@dataclass
class Material:
    """:param events, transactions: by event type; a transaction stands under the type of each of its events."""

    transactions: dict[int, list[Transaction]] = field(default_factory=dict)
    events: dict[int, list[Event]] = field(default_factory=dict)
    images: list[Images] = field(default_factory=list)

    def transaction(self, dice: random.Random) -> Transaction:
        """Every type of event is as likely as any other."""
        return dice.choice(self.transactions[dice.choice([*self.transactions])])

    def event(self, dice: random.Random) -> Event:
        return dice.choice(self.events[dice.choice([*self.events])])

    def coverage(self) -> dict[int, int]:
        """Events by their type."""
        return {kind: len(events) for kind, events in sorted(self.events.items())}


def raw_events(data: bytes) -> Iterator[bytes]:
    """A file's events behind its magic; what is cut short at its end is left out."""
    at = 4
    while at + HEADER.size <= len(data):
        length = int.from_bytes(data[at + 9 : at + 13], "little")
        if length < HEADER.size or at + length > len(data):
            return
        yield data[at : at + length]
        at += length


def material_of(logs: Iterable[bytes]) -> Material:
    material = Material()
    for data in logs:
        if data[:4] == MAGIC:
            _add_file(material, [*raw_events(data)])
    return material


def _add_file(material: Material, events: list[bytes]) -> None:
    if not events or events[0][4] != EventType.FORMAT_DESCRIPTION:
        return
    description = events[0]
    body = description[HEADER.size :]
    checksum = has_checksum_field(body) and len(body) > 5 and body[-5] == 1
    parsed = [_parsed(event, checksum) for event in events[1:]]
    for event in parsed:
        if len(event.body) < LARGEST:
            material.events.setdefault(event.type, []).append(event)
    _add_images(material, parsed)
    begin = 1
    for at in range(2, len(events) + 1):
        # What is prepared goes together with what follows: its decision, perhaps.
        begins = at == len(events) or (events[at][4] in _BEGINS and events[at - 1][4] != EventType.XA_PREPARE)
        if begins or at - begin >= LONGEST:
            piece = tuple(events[begin:at])
            if sum(map(len, piece)) < LARGEST:
                transaction = Transaction(description, piece, checksum)
                for kind in {event[4] for event in piece}:
                    material.transactions.setdefault(kind, []).append(transaction)
            begin = at


def _parsed(event: bytes, checksum: bool) -> Event:
    timestamp, kind, server_id, _, end, flags = HEADER.unpack_from(event)
    body = event[HEADER.size : len(event) - (4 if checksum else 0)]
    return Event(kind, flags, timestamp, server_id, "log", max(0, end - len(event)), end, body)


def _add_images(material: Material, events: Iterable[Event]) -> None:
    maps = TableMaps()
    for event in _flattened(events):
        try:
            if event.type == EventType.TABLE_MAP:
                maps.add(event.body)
            elif event.type in ROWS_EVENTS:
                frame = parse_rows(event)
                if frame.full_image and len(event.body) < LARGEST:
                    images = Images(maps.get(frame.table_id), frame.kind, event.body[frame.payload_offset :])
                    material.images.append(images)
        except TungstenError:
            continue  # a table that names no columns, or an event that is not understood: mutated all the same


def _flattened(events: Iterable[Event]) -> Iterator[Event]:
    for event in events:
        if event.type == EventType.TRANSACTION_PAYLOAD:
            with suppress(TungstenError):
                yield from payload_events(event)
        elif event.type in COMPRESSED_EVENTS:
            yield decompressed(event)
        else:
            yield event
