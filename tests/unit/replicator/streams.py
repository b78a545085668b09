"""Binlogs as bytes: random ones, of whatever a transaction may hold, and compressed transactions made by hand."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable

import zstandard
from hypothesis import strategies as st

from airflow_provider_tungsten.replicator.binlog.constants import EventType
from airflow_provider_tungsten.replicator.binlog.framing import Event
from tests.unit.replicator.events import TABLE_MAP, UUID, Events

_SOURCE = bytes.fromhex(UUID.replace("-", ""))
# From a MySQL 9.6.0; its number is read as 3.
_TAGGED = bytes.fromhex(
    "0278000000 02aaee25020804650222c503c502e1029cc10311035502dead0304 0c060a6d7974616708000a040c7f1cf3b814244a0610a10412430f0b"
)
_IMAGES = (b"\x02\x01\0\0\0", b"\0\x02\0\0\0\x01x", b"\0\x03\0\0\0\x28" + b"long" * 10)
_V1 = {EventType.WRITE_ROWS: 23, EventType.UPDATE_ROWS: 24, EventType.DELETE_ROWS: 25}


def on_the_wire(events: Iterable[Event]) -> bytes:
    """As they lie in a file, behind its magic; of what stands inside compressed transactions see `payload`."""
    return b"".join(_wire(event, checksum=True) for event in events)


def _wire(event: Event, *, checksum: bool) -> bytes:
    length = 19 + len(event.body) + 4 * checksum
    head = struct.pack(
        "<IBIIIH",
        event.timestamp,
        event.type,
        event.server_id,
        length,
        event.end & 0xFFFFFFFF if checksum else 0,
        event.flags,
    )
    return head + event.body + (struct.pack("<I", zlib.crc32(head + event.body)) if checksum else b"")


def bare(events: Iterable[Event]) -> bytes:
    """As they lie inside a compressed transaction."""
    return b"".join(_wire(event, checksum=False) for event in events)


def payload(packed: bytes, size: int, compression: int = 0) -> bytes:
    """Body of a TRANSACTION_PAYLOAD.

    :param size: what it says of its events' bytes.
    """

    def field(kind: int, value: int) -> bytes:
        return bytes([kind, 9, 0xFE]) + value.to_bytes(8, "little")

    return field(2, compression) + field(3, size) + field(1, len(packed)) + b"\0" + packed


def table_map(number: int, table: str) -> bytes:
    """Of schema a and the columns id INT, v VARCHAR(20)."""
    name = table.encode()
    return number.to_bytes(6, "little") + TABLE_MAP[6:11] + bytes([len(name)]) + name + TABLE_MAP[13:]


def _gtid(made: Events, kind: str, number: int) -> Event:
    named = b"\0" + _SOURCE + number.to_bytes(8, "little")
    clock, time = b"\x02" + bytes(16), (1_700_000_000_000_000 + number).to_bytes(7, "little")
    original = time[:6] + bytes([time[6] | 0x80]) + (5_000_000).to_bytes(7, "little")
    bodies = {
        "gtid": (EventType.GTID, named + clock + time + b"\x10"),
        "again": (EventType.GTID, b"\0" + _SOURCE + (1).to_bytes(8, "little") + clock + time + b"\x10"),
        "replicated": (EventType.GTID, named + clock + original + b"\xfc\x10\x20"),
        "without times": (EventType.GTID, named + bytes(17)),
        "anonymous": (EventType.ANONYMOUS_GTID, b"\0" + bytes(24) + clock + time + b"\x10"),
        "tagged": (EventType.GTID_TAGGED, _TAGGED),
    }
    return made.event(*bodies[kind])


def _rows(made: Events, kind: int, number: int, count: int, pick: int, version: str) -> Event:
    width = 2 if kind == EventType.UPDATE_ROWS else 1
    images = b"".join(_IMAGES[(pick + at) % 3] for at in range(count * width))
    head = number.to_bytes(6, "little") + b"\x01\0"
    extra = {"v1": b"", "v2": b"\x02\0", "extra": b"\x07\0\x01\x01\0\0\0"}[version]
    body = head + extra + b"\x02" + b"\xff" * width + images
    return made.event(_V1[kind] if version == "v1" else kind, body)


_ROW_STEP = st.tuples(
    st.just("rows"),
    st.sampled_from([(1, "t"), (2, "u"), (2, "v"), (3, "excluded"), (4, "less")]),
    st.lists(
        st.tuples(
            st.sampled_from([EventType.WRITE_ROWS, EventType.UPDATE_ROWS, EventType.DELETE_ROWS]),
            st.integers(0, 5),
            st.integers(0, 2),
            st.sampled_from(["v2", "v2", "v1", "extra"]),
        ),
        max_size=3,
    ),
)
_STEP = st.one_of(
    _ROW_STEP,
    _ROW_STEP,
    _ROW_STEP,
    st.tuples(st.sampled_from(["SAVEPOINT s", "SAVEPOINT t", "ROLLBACK TO s", "statement"])),
)
_TRANSACTION = st.one_of(
    st.tuples(
        st.sampled_from(["gtid", "gtid", "again", "replicated", "without times", "anonymous", "tagged"]),
        st.lists(_STEP, max_size=6),
        st.sampled_from(["XID", "XID", "COMMIT", "ROLLBACK"]),
        st.booleans(),
    ),
    st.tuples(
        st.just("ddl"), st.sampled_from(["DROP TABLE t", "CREATE TABLE excluded (a INT)", "TRUNCATE u"])
    ),
    st.tuples(st.just("rotate")),
)


def _inside(made: Events, steps: list[tuple], end: str) -> list[Event]:
    events, set_ = [made.query("BEGIN")], False
    for step in steps:
        if step[0] == "rows":
            (number, table), changes = step[1:]
            events.append(made.event(EventType.TABLE_MAP, table_map(number, table)))
            events += [_rows(made, kind, number, *rest) for kind, *rest in changes]
        elif step[0] == "statement":
            events.append(made.event(EventType.ROWS_QUERY, b"\x05hello"))
        elif set_ or step[0] != "ROLLBACK TO s":
            set_ = set_ or step[0] == "SAVEPOINT s"
            events.append(made.query(step[0]))
    return [*events, made.event(EventType.XID, bytes(8)) if end == "XID" else made.query(end)]


def _binlog(transactions: list[tuple]) -> list[Event]:
    made = Events(4)
    file = 1
    events = [made.server()]
    for number, (kind, *rest) in enumerate(transactions, 1):
        if kind == "rotate":
            events.append(made.rotate(f"mysql-bin.{file + 1:06d}"))
            file += 1
            made.position = 4
            events.append(made.server())
        elif kind == "ddl":
            events += [_gtid(made, "gtid", number), made.query(rest[0])]
        else:
            steps, end, compressed = rest
            events.append(_gtid(made, kind, number))
            if compressed:
                inner = bare(_inside(Events(0), steps, end))
                body = payload(zstandard.compress(inner, 1), len(inner))
                events.append(made.event(EventType.TRANSACTION_PAYLOAD, body))
            else:
                events += _inside(made, steps, end)
    return events


def binlogs() -> st.SearchStrategy[list[Event]]:
    """Events from the beginning of ``mysql-bin.000001`` on, in several files perhaps, of a server that may be cut back."""
    return st.lists(_TRANSACTION, min_size=1, max_size=8).map(_binlog)
