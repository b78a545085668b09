"""What extraction takes of events far larger than it may: of each kind that may be large, in every way it may come."""

from __future__ import annotations

import hashlib
import os
import re
import struct
import zlib
from collections.abc import Callable, Iterator

import pytest
import zstandard

from airflow_provider_tungsten.replicator.binlog.constants import EventType
from airflow_provider_tungsten.replicator.binlog.framing import EventStream
from airflow_provider_tungsten.replicator.filters.tables import TableFilter
from tests.unit.replicator.binlog.wire import packets
from tests.unit.replicator.events import FILE, ONE_ROW, ROWS, SECONDS, Events
from tests.unit.replicator.events import TABLE_MAP as SMALL_TABLE_MAP
from tests.unit.replicator.streams import bare, on_the_wire
from tests.unit.replicator.test_assembler import assembler
from tests.unit.replicator.test_large_rows import TABLE_MAP, UPDATE
from tests.unit.replicator.test_memory import MIB, measured

SIZE = 120 * MIB
# Far less than the event once; what waits to be written as columns, and the largest piece of a buffer in memory, are in it.
MOST = 90 * MIB
BLOCK = os.urandom(MIB)
VALUE = [b"\0\x01\0\0\0", SIZE.to_bytes(4, "little"), *[BLOCK] * (SIZE // MIB)]
HALF = [b"\0\x01\0\0\0", (SIZE // 2).to_bytes(4, "little"), *[BLOCK] * (SIZE // 2 // MIB)]
IMAGES = [ONE_ROW * (MIB // len(ONE_ROW))] * (SIZE // MIB)
# The same with v JSON.
JSON_TABLE_MAP = TABLE_MAP.replace(b"\x03\xfc\x01\x04", b"\x03\xf5\x01\x04")
QUERY = (12).to_bytes(4, "little") + bytes(4) + b"\1" + bytes(4) + b"a\0"
Pieces = list[bytes]


def sha(pieces: Pieces) -> str:
    found = hashlib.sha256()
    for piece in pieces:
        found.update(piece)
    return found.hexdigest()


def event(made: Events, kind: int, pieces: Pieces) -> Iterator[bytes]:
    """As it lies in a file; never in memory as a whole."""
    length = 19 + sum(map(len, pieces)) + 4
    made.position += length
    head = struct.pack("<IBIIIH", SECONDS, kind, 1, length, made.position & 0xFFFFFFFF, 0)
    checksum = 0
    for piece in (head, *pieces):
        checksum = zlib.crc32(piece, checksum)
        yield piece
    yield struct.pack("<I", checksum)


def rows(made: Events, pieces: Pieces, kind: int = EventType.WRITE_ROWS) -> Iterator[bytes]:
    """A transaction of one event of rows."""
    head = UPDATE if kind == EventType.UPDATE_ROWS else ROWS
    table = SMALL_TABLE_MAP if pieces is IMAGES else TABLE_MAP
    yield on_the_wire([made.gtid(), made.query("BEGIN"), made.event(EventType.TABLE_MAP, table)])
    yield from event(made, kind, [head, *pieces])
    yield on_the_wire([made.event(EventType.XID, bytes(8))])


def updated(made: Events) -> Iterator[bytes]:
    return rows(made, HALF * 2, EventType.UPDATE_ROWS)


def compressed(made: Events, level: int | None = 1) -> Iterator[bytes]:
    """:param level: of Zstandard; None: a payload that says that it is not compressed."""
    inside = Events(0)
    head = struct.pack("<IBIIIH", SECONDS, EventType.WRITE_ROWS, 1, 19 + len(ROWS) + 9 + SIZE, 0, 0)
    pieces = [
        bare([inside.query("BEGIN"), inside.event(EventType.TABLE_MAP, TABLE_MAP)]) + head + ROWS,
        *VALUE,
        bare([inside.event(EventType.XID, bytes(8))]),
    ]
    size = sum(map(len, pieces))
    if level is not None:
        stream = zstandard.ZstdCompressor(level=level).compressobj()
        pieces = [*map(stream.compress, pieces), stream.flush()]
    fields = [(2, 255 if level is None else 0), (3, size), (1, sum(map(len, pieces)))]
    front = b"".join(bytes([number, 9, 0xFE]) + value.to_bytes(8, "little") for number, value in fields)
    yield on_the_wire([made.gtid()])
    yield from event(made, EventType.TRANSACTION_PAYLOAD, [front + b"\0", *pieces])


def compressed_by_mariadb(made: Events) -> Iterator[bytes]:
    stream = zlib.compressobj(0)
    pieces = [*map(stream.compress, VALUE), stream.flush()]
    head = ROWS[:8] + ROWS[10:] + b"\x84" + (SIZE + 9).to_bytes(4, "big")
    yield on_the_wire([made.mariadb_gtid(1), made.event(EventType.TABLE_MAP, TABLE_MAP)])
    yield from event(made, EventType.WRITE_ROWS_COMPRESSED_V1, [head, *pieces])
    yield on_the_wire([made.event(EventType.XID, bytes(8))])


def packed(log: bytes) -> list[memoryview]:
    """As a server sends it."""
    events, at = [], 0
    while at < len(log):
        events.append(b"\0" + log[at : (at := at + int.from_bytes(log[at + 9 : at + 13], "little"))])
    wire = memoryview(packets(events))
    return [wire[start : start + MIB] for start in range(0, len(wire), MIB)]


def taken(
    log: Callable[[Events], Iterator[bytes]], columns: tuple[str, ...] = (), *, sent: bool = False
) -> tuple[object, int]:
    """Rows and the hash of what becomes of their images, or the error; and the memory that it took.

    :param columns: that are excluded. ``sent``: by a server.
    """
    made = Events(4)
    pieces = [on_the_wire([made.server()]), *log(made)]
    chunks = packed(b"".join(pieces)) if sent else pieces

    def work() -> object:
        taking = assembler(table_filter=TableFilter(["*.*"], (), columns))
        stream = EventStream(FILE, 4, framing="packets" if sent else "file")
        found = hashlib.sha256()

        def drain() -> None:
            for table in taking.drain():
                for payload in table.column("payload"):
                    found.update(payload.as_buffer())

        for chunk in chunks:
            for _ in taking.feed(stream, chunk):
                drain()
        drain()
        return taking.rows, found.hexdigest()

    return measured(work)


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        (updated, (1, sha(HALF * 2))),
        (lambda made: rows(made, IMAGES), (sum(map(len, IMAGES)) // len(ONE_ROW), sha(IMAGES))),
        (compressed, (1, sha(VALUE))),
        (lambda made: compressed(made, None), (1, sha(VALUE))),
        (compressed_by_mariadb, (1, sha(VALUE))),
    ],
    ids=["an update", "small rows", "compressed", "a payload as it is", "compressed by MariaDB"],
)
def test_rows_of_an_event_larger_than_memory_wait_on_disk(
    log: Callable[[Events], Iterator[bytes]], expected: object
) -> None:
    found, grown = taken(log)
    assert found == expected
    assert grown < MOST, grown


def test_a_row_larger_than_memory_is_joined_out_of_packets_on_disk() -> None:
    found, grown = taken(lambda made: rows(made, VALUE), sent=True)
    assert found == (1, sha(VALUE))
    assert grown < MOST, grown


def test_large_rows_without_an_excluded_column() -> None:
    found, grown = taken(lambda made: rows(made, VALUE), ("a.t.id",))
    assert found == (1, sha([b"\0", *VALUE[1:]]))
    assert grown < MOST, grown


WIDE = 240
NAMES = b"".join(b"\x04c%03d" % number for number in range(WIDE))
WIDE_TABLE_MAP = (
    TABLE_MAP[:8] + b"\x01a\0\x01t\0" + bytes([WIDE]) + b"\xfc" * WIDE + bytes([WIDE]) + b"\x04" * WIDE
) + b"\xff" * (WIDE // 8) + b"\x02\x01\x3f\x04\xfc" + len(NAMES).to_bytes(2, "little") + NAMES  # fmt: skip


@pytest.mark.parametrize("excluded", [(), ("a.t.c007",)], ids=["all", "without one"])
def test_a_row_of_many_large_values(excluded: tuple[str, ...]) -> None:
    size = SIZE // WIDE
    value = [size.to_bytes(4, "little"), BLOCK[:size]]
    bits = bytes(WIDE // 8)

    def log(made: Events) -> Iterator[bytes]:
        yield on_the_wire([*made.begin(), made.event(EventType.TABLE_MAP, WIDE_TABLE_MAP)])
        head = ROWS[:10] + bytes([WIDE]) + b"\xff" * (WIDE // 8)
        yield from event(made, EventType.WRITE_ROWS, [head, bits, *value * WIDE])
        yield on_the_wire([made.event(EventType.XID, bytes(8))])

    found, grown = taken(log, excluded)
    assert found == (1, sha([bits, *value * (WIDE - len(excluded))]))
    assert grown < MOST, grown


@pytest.mark.parametrize(
    ("beginning", "expected"),
    [
        (b"INSERT INTO t VALUES (", "^UnsupportedError: .*INSERT on a.t in statement format"),
        (b"INSERT INTO mysql.t VALUES (", "rows"),
        (b"CREATE VIEW v AS SELECT ", "rows"),
        (b"GRANT /*", "^UnsupportedError: .*a statement .GRANT. of 12582"),
        (b"/*", "^UnsupportedError: .*a statement .a comment first. of 12582"),
        (b"CREATE DATABASE d COMMENT '", "^UnsupportedError: .*more than 4 MiB"),
        (b"CREATE TABLE t (i INT, ", "^UnsupportedError: .*more than 4 MiB"),
        (b"ALTER TABLE t ANALYZE PARTITION p, ", "^UnsupportedError: .*more than 4 MiB"),
        (b"SAVEPOINT ", "^UnsupportedError: .*more than 4 MiB"),
        (b"none ", "^UnsupportedError: .*a statement .NONE. of 12582"),
    ],
    ids=lambda value: value.decode() if isinstance(value, bytes) else "",
)
def test_a_statement_larger_than_memory_is_judged_by_its_beginning(beginning: bytes, expected: str) -> None:
    def log(made: Events) -> Iterator[bytes]:
        yield on_the_wire([made.gtid()])
        yield from event(made, EventType.QUERY, [QUERY + beginning, *[b"1," * (MIB // 2)] * (SIZE // MIB)])
        yield on_the_wire(made.transaction())

    found, grown = taken(log)
    if expected == "rows":
        assert found == (1, sha([ONE_ROW]))
    else:
        assert re.search(expected, str(found)), found
    assert grown < MOST, grown


@pytest.mark.parametrize("kind", [EventType.ROWS_QUERY, EventType.APPEND_BLOCK])
def test_what_is_passed_over_is_not_copied(kind: EventType) -> None:
    def log(made: Events) -> Iterator[bytes]:
        yield on_the_wire([made.gtid(), made.query("BEGIN")])
        yield from event(made, kind, [BLOCK] * (SIZE // MIB))
        yield on_the_wire([*made.one_row(), made.event(EventType.XID, bytes(8))])

    found, grown = taken(log)
    assert found == (1, sha([ONE_ROW]))
    assert grown < MOST, grown


ENTRY = b"\x05\x07\0\0\0"  # of a small number in a large array
NUMBERS = 20_000_000


def array(count: int, more: int = 0) -> bytes:
    """The beginning of a JSON array of so many elements, of which so many bytes do not stand in their entries."""
    return b"\x03" + count.to_bytes(4, "little") + (8 + count * len(ENTRY) + more).to_bytes(4, "little")


def test_a_partial_update_of_a_json_array_of_millions_takes_no_more() -> None:
    entries = [ENTRY * 1000] * (NUMBERS // 1000)
    before = [b"\0\1\0\0\0", (9 + NUMBERS * 5).to_bytes(4, "little"), array(NUMBERS), *entries]
    long_text = b"\x0c\xc8\x01" + b"x" * 200
    diff = b"\0" + b"\x04$[9]" + bytes([len(long_text)]) + long_text
    after = [b"\x01\x01", b"\0\1\0\0\0", len(diff).to_bytes(4, "little"), diff]

    def log(made: Events) -> Iterator[bytes]:
        yield on_the_wire([made.gtid(), made.query("BEGIN"), made.event(EventType.TABLE_MAP, JSON_TABLE_MAP)])
        yield from event(made, EventType.PARTIAL_UPDATE_ROWS, [UPDATE, *before, *after])
        yield on_the_wire([made.event(EventType.XID, bytes(8))])

    text_at = (8 + NUMBERS * len(ENTRY)).to_bytes(4, "little")
    whole = [
        *before,
        b"\0\1\0\0\0",
        (9 + NUMBERS * len(ENTRY) + 202).to_bytes(4, "little"),
        array(NUMBERS, 202),
        ENTRY * 9 + b"\x0c" + text_at + ENTRY * 990,
        *entries[1:],
        long_text[1:],
    ]
    found, grown = taken(log)
    assert found == (1, sha(whole))
    assert grown < MOST, grown
