"""Binlog files for tests: where they are, and how a file becomes the packets that a dump of it would be."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_tungsten.replicator.binlog.constants import EventType
from airflow_provider_tungsten.replicator.binlog.framing import Event, EventStream, payload_events

FOLDER = Path(os.environ.get("TUNGSTEN_CORPUS", Path(__file__).parents[5] / "shared" / "corpus"))
MAGIC = b"\xfebin"
PACKET_LIMIT = 0xFFFFFF

needs_corpus = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"no binlog files in {FOLDER}; set TUNGSTEN_CORPUS to their folder"
)


def packets(data: bytes) -> bytes:
    """The events of a file's bytes as a server would send them; what is cut short at the end is sent as it is."""
    assert data[:4] == MAGIC
    parts = []
    at, sequence = 4, 1
    while at < len(data):
        length = int.from_bytes(data[at + 9 : at + 13], "little") or len(data)
        event = b"\0" + data[at : at + length]
        at += length
        while True:
            piece, event = event[:PACKET_LIMIT], event[PACKET_LIMIT:]
            parts.append(len(piece).to_bytes(3, "little") + bytes([sequence & 0xFF]) + piece)
            sequence += 1
            if len(piece) < PACKET_LIMIT:
                break
    return b"".join(parts)


def read(name: str, **options: bool) -> list[Event]:
    """All events of a corpus file."""
    path = FOLDER / name
    return EventStream(path.name, 4, **options).feed(packets(path.read_bytes()))


def flattened(events: list[Event]) -> Iterator[Event]:
    """Events with compressed transactions opened."""
    for event in events:
        if event.type == EventType.TRANSACTION_PAYLOAD:
            yield from payload_events(event)
        else:
            yield event
