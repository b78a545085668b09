"""How bytes and events are broken: everything is decided by the dice, so that a seed says it all."""

from __future__ import annotations

import random
import zlib

import zstandard

from airflow_provider_tungsten.replicator.binlog.constants import EventType
from airflow_provider_tungsten.replicator.binlog.mariadb import COMPRESSED_EVENTS
from tests.fuzz.material import HEADER, Transaction

# They stand in no file.
_UNPLACED = (EventType.HEARTBEAT, EventType.HEARTBEAT_V2)
_EDGES = (0, 1, 0x7F, 0x80, 0xFB, 0xFC, 0xFD, 0xFE, 0xFF)
_NUMBERS = (0, 1, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)


def mutated(data: bytes, dice: random.Random) -> bytes:
    """Bits flipped, bytes and numbers set to edges, pieces cut out, doubled, or cut off."""
    changed = bytearray(data)
    for _ in range(dice.choice((1, 1, 1, 2, 5))):
        at = dice.randrange(len(changed) + 1)
        choice = dice.randrange(9)
        if choice == 0:
            del changed[at:]
        elif choice == 1:
            del changed[at : at + dice.randrange(1, 9)]
        elif choice == 2:
            changed[at:at] = changed[at : at + dice.randrange(1, 9)]
        elif choice == 3:
            width = dice.choice((2, 3, 4, 8))
            changed[at : at + width] = (dice.choice(_NUMBERS) & (1 << 8 * width) - 1).to_bytes(
                width, "little"
            )
        elif at < len(changed):
            changed[at] = dice.choice(
                (changed[at] ^ 1 << dice.randrange(8), dice.choice(_EDGES), dice.randrange(256))
            )
    return bytes(changed)


def broken_stream(first: Transaction, other: Transaction, dice: random.Random) -> bytes:
    """A file's events behind its magic: a FORMAT_DESCRIPTION and a transaction, one event of which is broken.

    Mostly lengths, offsets and checksums are made to fit again, so that what lies behind them is reached.
    """
    events = list(first.events)
    at = dice.randrange(len(events))
    choice = dice.randrange(16)
    description = first.description
    if choice == 0:
        description = mutated(description, dice)
    elif choice == 1:
        events[at] = mutated(events[at], dice)
        return b"".join((description, *events))
    elif choice == 2:
        events[at] = _with_header(events[at], dice)
    elif choice == 3:
        del events[at]
    elif choice == 4:
        events.insert(dice.randrange(len(events) + 1), events[at])
    elif choice == 5:
        to = dice.randrange(len(events))
        events[at], events[to] = events[to], events[at]
    elif choice == 6:
        events.insert(at, _rechecked(dice.choice(other.events), other.checksum, first.checksum))
    elif events[at][4] == EventType.TRANSACTION_PAYLOAD and choice < 14:
        events[at] = _with_payload(events[at], first.checksum, dice)
    elif events[at][4] in COMPRESSED_EVENTS and choice < 14:
        events[at] = _with_inflated(events[at], first.checksum, dice)
    else:
        events[at] = _with_body(events[at], first.checksum, dice)
    fixed = dice.random() < 0.95
    data = b"".join((description, *_renumbered(events, len(description), first.checksum, fixed)))
    return data[: dice.randrange(len(data))] if choice == 7 else data


def _end(checksum: bool) -> int | None:
    return -4 if checksum else None


def _with_header(event: bytes, dice: random.Random) -> bytes:
    fields = list(HEADER.unpack_from(event))
    which = dice.randrange(6)
    if which == 1 and dice.random() < 0.8:
        fields[1] = dice.choice(tuple(EventType)) & 0xFF
    else:
        width = (4, 1, 4, 4, 4, 2)[which]
        fields[which] = (fields[which] ^ 1 << dice.randrange(8 * width)) & (1 << 8 * width) - 1
    return HEADER.pack(*fields) + event[HEADER.size :]


def _with_body(event: bytes, checksum: bool, dice: random.Random) -> bytes:
    body = mutated(event[HEADER.size : _end(checksum)], dice)
    return _framed(event, body, checksum)


def _framed(event: bytes, body: bytes, checksum: bool) -> bytes:
    fields = list(HEADER.unpack_from(event))
    fields[3] = HEADER.size + len(body) + (4 if checksum else 0)
    return HEADER.pack(*fields) + body + (bytes(4) if checksum else b"")


def _rechecked(event: bytes, had: bool, has: bool) -> bytes:
    return event if had == has else _framed(event, event[HEADER.size : _end(had)], has)


def _with_payload(event: bytes, checksum: bool, dice: random.Random) -> bytes:
    """Breaks what is inside a compressed transaction, and compresses it again."""
    body = event[HEADER.size : _end(checksum)]
    try:
        frame = body[body.index(zstandard.FRAME_HEADER) :]
        inner = zstandard.ZstdDecompressor().decompressobj().decompress(frame)
    except (ValueError, zstandard.ZstdError):
        return _with_body(event, checksum, dice)
    inner = mutated(inner, dice)
    packed = zstandard.compress(inner, 1) if dice.random() < 0.7 else inner
    size = len(inner) if dice.random() < 0.9 else dice.choice(_NUMBERS)
    fields = (
        (2, 0 if packed is not inner else 255),
        (3, size),
        (1, len(packed)),
    )
    head = b"".join(bytes([kind]) + _sized(number) for kind, number in fields)
    return _framed(event, head + b"\0" + packed, checksum)


def _with_inflated(event: bytes, checksum: bool, dice: random.Random) -> bytes:
    """The same of what MariaDB compressed: from a byte that says how, and the length behind it."""
    body = event[HEADER.size : _end(checksum)]
    for at in range(len(body)):
        if body[at] & 0xF8 == 0x80:
            width = body[at] & 7
            try:
                inner = zlib.decompress(body[at + 1 + width :])
            except zlib.error:
                continue
            inner = mutated(inner, dice)
            size = len(inner) if dice.random() < 0.9 else dice.choice(_NUMBERS) & 0xFFFFFFFF
            packed = b"\x84" + size.to_bytes(4, "big") + zlib.compress(inner, 1)
            return _framed(
                event, (mutated(body[:at], dice) if dice.random() < 0.2 else body[:at]) + packed, checksum
            )
    return _with_body(event, checksum, dice)


def in_packets(data: bytes, dice: random.Random) -> bytes:
    """The whole events of a stream as a server sends them, with or without what it sends first."""
    events = []
    if dice.random() < 0.5:
        events.append(
            HEADER.pack(0, EventType.ROTATE, 1, HEADER.size + 19, 0, 0x20)
            + b"\4"
            + bytes(7)
            + b"log.000001\0"
        )
    at = 0
    while at + HEADER.size <= len(data):
        length = max(HEADER.size, int.from_bytes(data[at + 9 : at + 13], "little"))
        events.append(data[at : at + length])
        at += length
    return b"".join(
        (1 + len(event)).to_bytes(3, "little") + bytes([(1 + number) & 0xFF, 0]) + event
        for number, event in enumerate(events)
    )


def _sized(number: int) -> bytes:
    value = bytes([number]) if number < 251 else b"\xfe" + number.to_bytes(8, "little")
    return bytes([len(value)]) + value


def _renumbered(events: list[bytes], begin: int, checksum: bool, fixed: bool) -> list[bytes]:
    """The events with the offsets that they now have, and checksums that are right (unless not ``fixed``)."""
    position = 4 + begin
    result = []
    for event in events:
        if len(event) >= HEADER.size + (4 if checksum else 0):
            if event[4] not in _UNPLACED:
                position += int.from_bytes(event[9:13], "little")
            if fixed or not checksum:
                event = event[:13] + (position & 0xFFFFFFFF).to_bytes(4, "little") + event[17:]
                if checksum:
                    event = event[:-4] + zlib.crc32(event[:-4]).to_bytes(4, "little")
        result.append(event)
    return result
