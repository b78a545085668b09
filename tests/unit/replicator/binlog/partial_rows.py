"""Partial JSON updates made by hand: documents in MySQL's binary form, diffs, and the events that hold them."""

from __future__ import annotations

import struct
from typing import Any

from airflow_provider_tungsten.replicator.binlog.constants import ColumnType, EventType
from airflow_provider_tungsten.replicator.binlog.definition import Column, TableDefinition
from airflow_provider_tungsten.replicator.binlog.events import Event

REPLACE, INSERT, REMOVE = range(3)
JSON = Column("j", "json", ColumnType.JSON, 4)
ID = Column("id", "int", ColumnType.LONG)
TABLE = TableDefinition("shop", "things", (ID, JSON, Column("k", "json", ColumnType.JSON, 4)))


def value(found: Any) -> tuple[int, bytes]:
    """Type and bytes in MySQL's small format."""
    if isinstance(found, bool) or found is None:
        return 4, bytes([{None: 0, True: 1, False: 2}[found]])
    if isinstance(found, int):
        return (5, struct.pack("<h", found)) if abs(found) < 1 << 15 else (7, struct.pack("<i", found))
    if isinstance(found, str):
        return 12, bytes([len(found.encode())]) + found.encode()
    keys = (
        sorted((key.encode() for key in found), key=lambda key: (len(key), key))
        if isinstance(found, dict)
        else []
    )
    values = (
        [value(found[key.decode()]) for key in keys] if isinstance(found, dict) else list(map(value, found))
    )
    at = 4 + 4 * len(keys) + 3 * len(values)
    entries, tail = b"", b"".join(keys)
    for key in keys:
        entries += struct.pack("<HH", at, len(key))
        at += len(key)
    for kind, data in values:
        inline = kind in (4, 5)
        entries += bytes([kind]) + (data.ljust(2, b"\0") if inline else struct.pack("<H", at))
        at += 0 if inline else len(data)
        tail += b"" if inline else data
    return 0 if isinstance(found, dict) else 2, struct.pack("<HH", len(values), at) + entries + tail


def binary(found: Any) -> bytes:
    kind, data = value(found)
    return bytes([kind]) + data


def diff(operation: int, path: str, found: Any = None) -> bytes:
    raw = bytes([operation, len(path.encode())]) + path.encode()
    if operation == REMOVE:
        return raw
    return raw + bytes([len(binary(found))]) + binary(found)


def long(raw: bytes) -> bytes:
    return struct.pack("<I", len(raw)) + raw


def event(images: bytes, columns: int = 3, bitmap: bytes = b"\x07") -> Event:
    head = (9).to_bytes(6, "little") + b"\x01\x00\x02\x00" + bytes([columns]) + 2 * bitmap
    return Event(EventType.PARTIAL_UPDATE_ROWS, 0, 1, 7, "log.000001", 100, 200, head + images)


def before(number: int, *documents: Any) -> bytes:
    return b"\x00" + struct.pack("<i", number) + b"".join(long(binary(found)) for found in documents)


CHANGE = long(diff(REPLACE, "$.x", 2))
ROW = before(1, {"x": 1}, [1]) + b"\x01\x03" + b"\x00" + struct.pack("<i", 1) + CHANGE + long(b"")
TWO_ROWS = ROW + before(2, {"x": 1}, [1]) + b"\0" + before(3, [], "")
