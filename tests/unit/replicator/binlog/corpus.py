"""Binlog files for tests: where they are, and how a file becomes the packets that a dump of it would be."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_tungsten.replicator.binlog.constants import EventType
from airflow_provider_tungsten.replicator.binlog.framing import Event, EventStream, payload_events
from tests.unit.replicator.binlog.wire import packets

FOLDER = Path(os.environ.get("TUNGSTEN_CORPUS", Path(__file__).parents[5] / "shared" / "corpus"))
MAGIC = b"\xfebin"

needs_corpus = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"no binlog files in {FOLDER}; set TUNGSTEN_CORPUS to their folder"
)


def events_of(data: bytes) -> Iterator[bytes]:
    """A file's events; what is cut short at its end comes as it is."""
    assert data[:4] == MAGIC, "not a binlog file"
    at = 4
    while at < len(data):
        length = int.from_bytes(data[at + 9 : at + 13], "little") or len(data)
        yield data[at : at + length]
        at += length


def dump(data: bytes) -> bytes:
    """What a server would send for the file's bytes."""
    return packets(b"\0" + event for event in events_of(data))


def read(name: str, **options: bool) -> list[Event]:
    """All events of a corpus file."""
    path = FOLDER / name
    return EventStream(path.name, 4, **options).feed(dump(path.read_bytes()))


def flattened(events: list[Event]) -> Iterator[Event]:
    """Events with compressed transactions opened."""
    for event in events:
        if event.type == EventType.TRANSACTION_PAYLOAD:
            yield from payload_events(event)
        else:
            yield event
