"""Declared sizes that would exhaust memory or time, were they believed: refused before anything is allocated."""

from __future__ import annotations

import random
import resource
import struct
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import zstandard

from airflow_provider_tungsten.replicator.binlog.constants import EventType
from airflow_provider_tungsten.replicator.binlog.definition import Column, TableDefinition
from airflow_provider_tungsten.replicator.binlog.events import (
    Event,
    parse_gtid,
    parse_previous_gtids,
    parse_query,
    parse_rotate,
    parse_rows,
    parse_xa_prepare,
)
from airflow_provider_tungsten.replicator.binlog.framing import payload_events
from airflow_provider_tungsten.replicator.binlog.mariadb import decompressed
from airflow_provider_tungsten.replicator.binlog.output import Output, OutputColumn, Transform
from airflow_provider_tungsten.replicator.binlog.rows import CsvEncoder, RowLayout, RowReader, ValueRefused
from airflow_provider_tungsten.replicator.binlog.table_map import TableMaps
from airflow_provider_tungsten.replicator.errors import CorruptLogError, TungstenError, UnsupportedError
from airflow_provider_tungsten.replicator.filters.tables import TableFilter
from airflow_provider_tungsten.replicator.thl import columns
from tests.unit.replicator.events import FILE, ONE_ROW, ROWS, TABLE_MAP, Events
from tests.unit.replicator.streams import bare, payload
from tests.unit.replicator.test_assembler import assembler

MOST_MEMORY = 32 * 1024 * 1024
MOST_SECONDS = 5.0
HUGE = b"\xfe" + (2**63 - 1).to_bytes(8, "little")
TWO_BILLION = b"\xfe" + (2**31).to_bytes(8, "little")


@contextmanager
def frugal() -> Iterator[None]:
    """Neither memory nor time, compiled modules' included."""
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_MEMORY // 1024
    assert time.process_time() - began < MOST_SECONDS  # a bound against hangs, not a figure


def _event(kind: int, body: bytes) -> Event:
    return Event(kind, 0, 0, 1, "log.000001", 4, 4 + len(body), body)


def _table_map(
    types: bytes = b"\x02\x03\x0f", meta: bytes = b"\x02\x50\x00", rest: bytes | None = None
) -> bytes:
    return TABLE_MAP[:15] + types + meta + (b"\x02\x01\x01\x00" if rest is None else rest)


BODIES: dict[str, Callable[[], object]] = {
    "a table map of two billion columns": lambda: TableMaps().definition(_table_map(types=TWO_BILLION)),
    "a table map whose type metadata are huge": lambda: TableMaps().definition(_table_map(meta=HUGE)),
    "a table map whose optional metadata are huge": lambda: TableMaps().definition(
        _table_map(rest=b"\x02\x04" + HUGE)
    ),
    "a character set for a column, and then none": lambda: TableMaps().definition(
        _table_map(rest=b"\x02\x01\x01\x00\x02\x02\x08\x00\x04\x05\x02id\x01v")
    ),
    "an ENUM of countless members": lambda: TableMaps().definition(
        _table_map(b"\x01\xfe", b"\x02\xf7\x01", b"\x01\x04\x02\x01e\x0a\x01\x2d\x06\x09" + HUGE)
    ),
    "rows of two billion columns": lambda: parse_rows(
        _event(EventType.WRITE_ROWS, bytes(8) + b"\x02\x00" + TWO_BILLION)
    ),
    "rows of more columns than there are numbers": lambda: parse_rows(
        _event(EventType.UPDATE_ROWS, bytes(8) + b"\x02\x00" + HUGE)
    ),
    "a GTID set of countless servers": lambda: parse_previous_gtids(
        (2**63).to_bytes(8, "little") + bytes(64)
    ),
    "a GTID set of countless intervals": lambda: parse_previous_gtids(
        (1).to_bytes(8, "little") + bytes(16) + (2**62).to_bytes(8, "little")
    ),
    "a tagged GTID set with a huge tag": lambda: parse_previous_gtids(
        (1 << 56 | 1 << 8 | 1).to_bytes(8, "little") + bytes(16) + b"\xff" + b"\x7f" * 8
    ),
    "a tagged GTID of huge numbers": lambda: parse_gtid(
        EventType.GTID_TAGGED, b"\x02" + (b"\xff" + b"\xff" * 8) * 3
    ),
    "a statement behind huge variables": lambda: parse_query(bytes(11) + b"\xff\xff" + b"SELECT 1"),
    "an XID of negative length": lambda: parse_xa_prepare(
        struct.pack("<?iii", False, 1, -(2**31), 2**31 - 1) + bytes(8)
    ),
}


@pytest.mark.parametrize("name", BODIES)
def test_bodies_that_declare_more_than_they_hold(name: str) -> None:
    with frugal(), pytest.raises(TungstenError):
        BODIES[name]()


def _payload(inner: bytes, size: int, compression: int = 0) -> Event:
    packed = zstandard.compress(inner, 19) if compression == 0 else inner
    head = b"\x02\x01" + bytes([compression])
    head += b"\x03\x09\xfe" + size.to_bytes(8, "little")
    head += b"\x01\x09\xfe" + len(packed).to_bytes(8, "little")
    return _event(EventType.TRANSACTION_PAYLOAD, head + b"\0" + packed)


def test_a_payload_of_more_than_any_server_s_cache() -> None:
    event = _payload(random.randbytes(3 << 20), (64 << 30) + 1)
    with frugal(), pytest.raises(UnsupportedError, match=r"log\.000001:4, TRANSACTION_PAYLOAD .*reposition"):
        _read(event)


def test_a_payload_that_holds_more_or_less_than_it_declares() -> None:
    header = struct.pack("<IBIIIH", 0, EventType.ROWS_QUERY, 1, 19 + 1000, 0, 0)
    inner = (header + bytes(1000)) * 3
    for size in (len(inner) - 1, len(inner) - 1019, len(inner) + 1, len(inner) + 1019):
        event = _payload(inner, size)
        with frugal(), pytest.raises(CorruptLogError):
            _read(event)


def test_an_event_in_a_payload_takes_memory_for_what_is_there() -> None:
    header = struct.pack("<IBIIIH", 0, EventType.ROWS_QUERY, 1, 1 << 30, 0, 0)
    event = _payload(header + random.randbytes(200_000), 1 << 30)
    with frugal(), pytest.raises(CorruptLogError, match="ends inside an event"):
        _read(event)


def test_a_payload_whose_window_is_larger_than_mysql_s() -> None:
    frame = zstandard.FRAME_HEADER + b"\x00" + bytes([30 - 10 << 3]) + b"\x01\0\0"  # 1 GiB
    head = b"\x02\x01\0\x03\x01\x14\x01\x01" + bytes([len(frame)])
    with frugal(), pytest.raises(CorruptLogError, match="cannot be decompressed"):
        _read(_event(EventType.TRANSACTION_PAYLOAD, head + b"\0" + frame))


def _compressed_rows(size: int, packed: bytes) -> Event:
    head = bytes(8) + b"\x02\0\x01\xff" + b"\x84" + size.to_bytes(4, "big")
    return _event(EventType.WRITE_ROWS_COMPRESSED, head + packed)


@pytest.mark.parametrize("size", [2**32 - 1, (1 << 30) + 1, 1 << 30, 0, 999])
def test_a_compressed_event_of_mariadb_that_declares_other_than_it_holds(size: int) -> None:
    with frugal(), pytest.raises(CorruptLogError):
        decompressed(_compressed_rows(size, zlib.compress(random.randbytes(1000))))


def test_a_compressed_event_of_mariadb_that_holds_more_than_it_declares() -> None:
    bomb = zlib.compress(bytes(256 << 20))
    with frugal(), pytest.raises(CorruptLogError, match="does not hold what it says"):
        decompressed(_compressed_rows(1000, bomb))


@pytest.mark.parametrize("size", [(1 << 30) + 1, 2**32 - 1])
@pytest.mark.parametrize("kind", ["text", "blob"])
def test_a_compressed_column_is_read_within_limits_by_whatever_reads_it(kind: str, size: int) -> None:
    column = Column("p", kind, 140, 4, charset="utf8mb4" if kind == "text" else None)
    value = b"\x84" + size.to_bytes(4, "big") + zlib.compress(bytes(100_000))
    image = b"\0" + len(value).to_bytes(4, "little") + value
    definition = TableDefinition("a", "t", (column,))
    shortened = Output((OutputColumn(True, (Transform("truncate", count=1),)),))
    encoder = CsvEncoder(definition, [], max_text_bytes=None, max_binary_bytes=None, output=shortened)
    with frugal():
        with pytest.raises(ValueRefused, match="more than 1073741824 bytes"):
            list(RowReader(definition).images(image))
        with pytest.raises(ValueRefused, match="more than 1073741824 bytes"):
            encoder.encode(image, "insert", seqno=1, row_id=1, commit_ts=0)


def test_a_transaction_of_countless_tables_is_refused() -> None:
    made = Events()
    excluded = assembler(table_filter=TableFilter(exclude=["a.*"]))
    excluded.take(Events().begin())
    wide = TABLE_MAP[6:] + b"\x0a\xfd" + (100_000).to_bytes(3, "little")
    maps = (
        made.event(EventType.TABLE_MAP, number.to_bytes(6, "little") + wide + bytes([number]) * 100_000)
        for number in range(200)
    )
    with (
        frugal(),
        pytest.raises(UnsupportedError, match=r"TABLE_MAP .*a\.t: .* more tables than are kept in memory"),
    ):
        excluded.take(maps)


def _wide_table_map(columns: int) -> bytes:
    """Of a table of so many columns, all named."""
    count = b"\xfd" + columns.to_bytes(3, "little") if columns > 250 else bytes([columns])
    names = b"".join(f"\x07c{number:06}".encode() for number in range(columns))
    nulls = bytes((columns + 7) // 8)
    rest = b"\0" + nulls + b"\x01\xfd" + len(nulls).to_bytes(3, "little") + nulls
    return (
        TABLE_MAP[:14]
        + count
        + b"\x03" * columns
        + rest
        + b"\x04\xfd"
        + len(names).to_bytes(3, "little")
        + names
    )


def test_a_table_of_more_columns_than_mysql_makes() -> None:
    assert len(TableMaps().definition(_wide_table_map(4096)).columns) == 4096
    made = Events()
    taking = assembler()
    taking.take(made.begin())
    for count in (4097, 400_000):
        body = _wide_table_map(count)
        with (
            frugal(),
            pytest.raises(
                CorruptLogError,
                match=rf"{FILE}:\d+, TABLE_MAP \(19\): a\.t: .* {count} columns, of which MySQL makes 4096 at most",
            ),
        ):
            taking.take([made.event(EventType.TABLE_MAP, body)])


@pytest.mark.parametrize(("size", "limit"), [((4 << 20) + 1, "4 MiB"), (200 << 20, "16 MiB")])
def test_a_huge_table_map_is_refused_unread(size: int, limit: str) -> None:
    made = Events()
    taking = assembler()
    taking.take(made.begin())
    event = made.event(EventType.TABLE_MAP, TABLE_MAP.ljust(size, b"\0"))
    with (
        frugal(),
        pytest.raises(
            UnsupportedError, match=rf"{FILE}:\d+, TABLE_MAP \(19\): a\.t: .* {size} bytes.*\({limit}\)"
        ),
    ):
        taking.take([event])


def test_the_same_tables_statement_after_statement_are_known_once() -> None:
    made = Events()
    taking = assembler()
    statement = [*made.one_row()]
    count = 500_000
    assert count * len(TABLE_MAP) > 16 << 20
    taking.take(made.begin())
    taking.take(event for _ in range(count) for event in statement)
    taking.take([made.event(EventType.XID, bytes(8))])
    assert taking.rows == count


def test_fragments_without_end_wait_on_disk_however_small_they_are() -> None:
    """Rows of two tables by turns: a fragment each."""
    made = Events()
    taking = assembler()
    taking.take(made.begin())
    other = (7).to_bytes(6, "little") + TABLE_MAP[6:].replace(b"\x01t\0", b"\x01u\0")
    taking.take([made.event(EventType.TABLE_MAP, body) for body in (TABLE_MAP, other)])
    for _ in range(20_000):
        taking.take([made.rows(), made.event(EventType.WRITE_ROWS, other[:6] + ROWS[6:] + ONE_ROW)])
        assert taking.fragments.open_size() <= 1 << 20
    assert taking._spooled
    taking.take([made.event(EventType.XID, bytes(8))])
    assert taking.rows == 40_000


def test_a_statement_is_no_commit_for_ending_in_one() -> None:
    """A comment can hold anything."""
    for ending in (b"BEGIN", b"COMMIT"):
        made = Events()
        taking = assembler()
        taking.take([made.gtid()])
        query = made.query("DROP TABLE t -- ")
        taking.take([query._replace(body=query.body + b"\0" + ending)])
        kept = [event.payload for table in taking.drain() for event in columns.to_events(table)]
        assert kept == [b"DROP TABLE t -- \0" + ending]


def test_a_file_s_name_is_no_longer_than_mysql_has_any() -> None:
    """It stands in the event id of every fragment."""
    assert parse_rotate(bytes(8) + b"x" * 511).file == "x" * 511
    for body in (bytes(8) + b"x" * 512, bytes(8) + b"\xff" * 200, bytes(64 << 20)):
        with frugal(), pytest.raises(CorruptLogError, match="more than 511 bytes"):
            parse_rotate(body)


def test_a_compressed_transaction_holds_no_other() -> None:
    inside = Events(0)
    body = bare([inside.event(EventType.XID, bytes(8))])
    for _ in range(5000):
        body = bare([inside.event(EventType.TRANSACTION_PAYLOAD, payload(body, len(body), 255))])
    made = Events()
    with frugal(), pytest.raises(CorruptLogError, match="TRANSACTION_PAYLOAD .* inside of it"):
        assembler().take(
            [made.gtid(), made.event(EventType.TRANSACTION_PAYLOAD, payload(body, len(body), 255))]
        )


def _read(event: Event) -> int:
    return sum(len(inner.body) for inner in payload_events(event))


def test_a_payload_that_declares_more_than_it_holds() -> None:
    with frugal(), pytest.raises(CorruptLogError):
        _read(_payload(bytes(100), 2**63))


def test_a_payload_of_countless_events_is_never_in_memory_whole() -> None:
    header = struct.pack("<IBIIIH", 0, EventType.ROWS_QUERY, 1, 19 + 8173, 0, 0)
    inner = (header + bytes(8173)) * 20_000  # 160 MB out of a few KB
    event = _payload(inner, len(inner))
    del inner
    with frugal():
        assert _read(event) == 20_000 * 8173


def test_an_event_inside_a_payload_is_no_longer_than_mysql_makes_any() -> None:
    size = 3 * 1024 * 1024 * 1024
    header = struct.pack("<IBIIIH", 0, EventType.ROWS_QUERY, 1, size, 0, 0)
    with frugal(), pytest.raises(CorruptLogError, match="more than MySQL can write"):
        _read(_payload(header + random.randbytes(200_000), size))


_JSON = TableDefinition("a", "t", (Column("j", "json", 245, 4),))


def _json_row(value: bytes) -> bytes:
    return b"\0" + len(value).to_bytes(4, "little") + value


def _encode(value: bytes) -> bytes:
    return (
        CsvEncoder(_JSON, ["opcode"], max_text_bytes=None)
        .encode(_json_row(value), "insert", seqno=1, row_id=1, commit_ts=0)
        .csv
    )


def _sized(length: int) -> bytes:
    return bytes(length >> 7 * at & 0x7F | 0x80 * (at < 4) for at in range(5))


@pytest.mark.parametrize("kind", [b"\x0c", b"\x0f\xfc"], ids=["string", "opaque"])
def test_json_that_is_too_long_is_not_written_first(kind: bytes) -> None:
    encoder = CsvEncoder(_JSON, [], max_text_bytes=65535)
    length = 60 << 20
    head = _json_row(kind + _sized(length))
    row = bytearray(len(head) + length)
    row[: len(head)] = b"\0" + (len(row) - 5).to_bytes(4, "little") + head[5:]
    with frugal(), pytest.raises(ValueRefused, match="more than 65535 bytes"):
        encoder.encode(row, "insert", seqno=1, row_id=1, commit_ts=0)


def _nested(depth: int) -> bytes:
    value = b"\x02" + struct.pack("<HH", 0, 4)
    for _ in range(depth):
        inner = value[1:]
        value = b"\x02" + struct.pack("<HHBH", 1, 7 + len(inner), value[0], 7) + inner
    return value


def test_json_nested_as_deep_as_mysql_allows_and_deeper() -> None:
    assert _encode(_nested(99)) == b"I," + b"[" * 100 + b"]" * 100 + b"\n"
    with frugal(), pytest.raises(CorruptLogError):
        _encode(_nested(4000))


def test_json_whose_values_are_the_same_bytes_again_and_again() -> None:
    depth, width = 12, 50
    level = 4 + 3 * width
    value = b"\x02"
    for number in range(depth):
        last = number == depth - 1
        entry = struct.pack("<BH", 4, 1) if last else struct.pack("<BH", 2, level)
        value += struct.pack("<HH", width, level * (depth - number)) + entry * width
    with frugal(), pytest.raises(CorruptLogError):
        _encode(value)


def test_json_that_refers_to_itself() -> None:
    with frugal(), pytest.raises(CorruptLogError):
        _encode(b"\x02" + struct.pack("<HHBHBH", 2, 10, 2, 0, 2, 0))


def test_row_images_whose_lengths_reach_behind_their_end() -> None:
    layout = RowLayout(TableDefinition("a", "t", (Column("b", "longblob", 252, 4),)))
    with frugal(), pytest.raises(CorruptLogError):
        layout.count(b"\0" + b"\xff\xff\xff\xff" + b"x", 1)
    assert layout.count(b"", 1) == 0


def test_definitions_that_no_table_has_are_refused() -> None:
    impossible = Column("d", "decimal", 246, 255 | 255 << 8)
    with pytest.raises((CorruptLogError, UnsupportedError)):
        RowLayout(TableDefinition("a", "t", (impossible,)))
