"""Events and packets made by hand, for what no server can be made to send."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable

from airflow_provider_tungsten.replicator.binlog.constants import EventFlag, EventType

PACKET_LIMIT = 0xFFFFFF
VERSION = b"9.7.0"


def packets(payloads: Iterable[bytes], sequence: int = 1) -> bytes:
    """Payloads as the MySQL protocol frames them."""
    parts = []
    for payload in payloads:
        while True:
            piece, payload = payload[:PACKET_LIMIT], payload[PACKET_LIMIT:]
            parts.append(len(piece).to_bytes(3, "little") + bytes([sequence & 0xFF]) + piece)
            sequence += 1
            if len(piece) < PACKET_LIMIT:
                break
    return b"".join(parts)


class Writer:
    """Events one behind the other, as a server would number them."""

    def __init__(self, position: int = 4, *, checksum: bool = True) -> None:
        self.position = position
        self.checksum = checksum

    def event(self, kind: int, body: bytes = b"", *, flags: int = 0, log_pos: int | None = None) -> bytes:
        """A packet's payload. ``log_pos`` None: where the event ends; the position moves only then."""
        has_checksum = self.checksum or kind == EventType.FORMAT_DESCRIPTION
        length = 19 + len(body) + (4 if has_checksum else 0)
        if log_pos is None:
            self.position += length
            log_pos = self.position
        event = struct.pack("<IBIIIH", 1_700_000_000, kind, 7, length, log_pos & 0xFFFFFFFF, flags) + body
        return b"\0" + event + (struct.pack("<I", zlib.crc32(event)) if has_checksum else b"")

    def description(self, *, log_pos: int | None = None) -> bytes:
        lengths = bytearray(41)
        lengths[EventType.TABLE_MAP - 1] = 8
        lengths[EventType.WRITE_ROWS - 1] = 10
        head = struct.pack("<H50sIB", 4, VERSION, 0, 19)
        return self.event(
            EventType.FORMAT_DESCRIPTION, head + bytes(lengths) + bytes([self.checksum]), log_pos=log_pos
        )

    def artificial_rotate(self, file: str, position: int) -> bytes:
        body = struct.pack("<Q", position) + file.encode()
        self.position = position
        return self.event(EventType.ROTATE, body, flags=EventFlag.ARTIFICIAL, log_pos=0)
