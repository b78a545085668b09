from __future__ import annotations

import os
import struct

import pytest
import zstandard

from airflow_provider_tungsten.replicator.binlog.constants import ROWS_EVENTS, EventType
from airflow_provider_tungsten.replicator.binlog.framing import Dump, Event, EventStream, payload_events
from airflow_provider_tungsten.replicator.errors import CorruptLogError, UnsupportedError
from tests.unit.replicator.binlog.wire import Writer, packets

XID = EventType.XID
ROTATE = EventType.ROTATE


def read(payloads: list[bytes], position: int = 4, **options: bool) -> list[Event]:
    return EventStream("log.000001", position, **options).feed(packets(payloads))


def test_events_carry_header_offsets_and_body_without_checksum() -> None:
    writer = Writer()
    payloads = [writer.description(), writer.event(XID, b"12345678", flags=0x80)]
    description, xid = read(payloads)
    start = description.end
    assert (description.type, description.start) == (EventType.FORMAT_DESCRIPTION, 4)
    assert xid == (XID, 0x80, 1_700_000_000, 7, "log.000001", start, start + 31, b"12345678")
    assert xid.place == f"log.000001:{start}, XID (16)"


def test_rows_come_without_their_bodies_where_nobody_wants_them() -> None:
    writer = Writer()
    kinds = [EventType.QUERY, *sorted(ROWS_EVENTS), XID]
    data = packets([writer.description(), *(writer.event(kind, b"body") for kind in kinds)])
    found = EventStream("log.000001", 4).feed(data, rows=False)
    assert [event.body for event in found[1:]] == [b"body", *[b""] * len(ROWS_EVENTS), b"body"]
    assert [event[:-1] for event in found] == [
        event[:-1] for event in EventStream("log.000001", 4).feed(data)
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 100, 1000])
def test_pieces_of_any_size_give_the_same_events(size: int) -> None:
    writer = Writer()
    data = packets([writer.description(), *(writer.event(XID, os.urandom(n)) for n in range(50))])
    stream = EventStream("log.000001", 4)
    events = [event for at in range(0, len(data), size) for event in stream.feed(data[at : at + size])]
    assert events == EventStream("log.000001", 4).feed(data)
    assert len(events) == 51
    assert stream.position == writer.position


@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
def test_the_events_of_a_file_are_those_of_a_dump(size: int) -> None:
    writer = Writer()
    payloads = [writer.description(), *(writer.event(XID, os.urandom(n)) for n in range(50))]
    data = b"".join(payload[1:] for payload in payloads)
    stream = EventStream("log.000001", 4, framing="file")
    events = [event for at in range(0, len(data), size) for event in stream.feed(data[at : at + size])]
    assert events == read(payloads)
    assert (stream.position, stream.pending) == (4 + len(data), 0)
    stream.feed(data[:10])
    assert stream.pending == 10


def test_a_file_from_its_middle_on() -> None:
    writer = Writer()
    description = writer.description()
    start = writer.position
    stream = EventStream("log.000001", start, framing="file")
    events = stream.feed(description[1:] + writer.event(XID, b"12345678")[1:])
    assert [(event.start, event.end) for event in events] == [(start, start), (start, start + 31)]


@pytest.mark.parametrize(("length", "reason"), [(18, "shorter than"), (0xFFFFFFFF, "more than MySQL can")])
def test_a_file_that_declares_an_impossible_length(length: int, reason: str) -> None:
    stream = EventStream("log.000001", 4, framing="file")
    with pytest.raises(CorruptLogError, match=rf"log\.000001:4: .*{reason}"):
        stream.feed(bytes(9) + struct.pack("<I", length) + bytes(6))


def test_a_dump_hands_out_chunks_or_events() -> None:
    payloads = [Writer().description()]
    data = packets(payloads)
    halves = [data[:30], data[30:]]
    assert list(Dump(EventStream("log.000001", 4), iter(halves)).events()) == read(payloads)
    assert list(Dump(EventStream("log.000001", 4), iter(halves))) == halves


@pytest.mark.parametrize(
    "size", [0xFFFFFF - 25, 0xFFFFFF - 24, 0xFFFFFF - 23, 0xFFFFFF, 2 * 0xFFFFFF - 24, 40_000_000]
)
def test_events_over_the_packet_limit_are_joined(size: int) -> None:
    writer = Writer()
    body = os.urandom(1000) * (size // 1000) + bytes(size % 1000)
    data = packets([writer.description(), writer.event(XID, body), writer.event(XID, b"next")])
    stream = EventStream("log.000001", 4)
    events = [event for at in range(0, len(data), 262144) for event in stream.feed(data[at : at + 262144])]
    assert [len(event.body) for event in events[1:]] == [size, 4]
    assert events[1].body == body


def test_logs_without_checksums() -> None:
    writer = Writer(checksum=False)
    assert read([writer.description(), writer.event(XID, b"12345678")])[1].body == b"12345678"


def test_a_wrong_checksum_stops_and_names_the_place() -> None:
    writer = Writer()
    payloads = [writer.description(), writer.event(XID, b"12345678")]
    start = writer.position - 31
    broken = payloads[1][:-5] + b"9" + payloads[1][-4:]
    with pytest.raises(CorruptLogError, match=rf"log\.000001:{start}: the checksum of XID \(16\) is wrong"):
        read([payloads[0], broken])
    assert read([payloads[0], broken], verify_checksum=False)[1].body == b"12345679"


def test_checksums_of_events_of_every_length() -> None:
    writer = Writer()
    bodies = [os.urandom(size) for size in [*range(300), 4096, 65_537]]
    payloads = [writer.description(), *(writer.event(EventType.XID, body) for body in bodies)]
    assert [event.body for event in read(payloads)[1:]] == bodies
    for number in (40, 150, 300):
        damaged = bytearray(payloads[number])
        damaged[len(damaged) // 2] ^= 4
        with pytest.raises(CorruptLogError, match="checksum of XID"):
            read([*payloads[:number], bytes(damaged)])


def test_a_dump_that_begins_inside_a_file() -> None:
    writer = Writer()
    payloads = [
        writer.artificial_rotate("log.000007", 500),
        writer.description(log_pos=0),
        writer.event(EventType.HEARTBEAT, b"log.000007", log_pos=500),
        writer.event(XID, b"12345678"),
    ]
    rotate, description, heartbeat, xid = read(payloads, 4)
    assert (rotate.file, rotate.start, rotate.end) == ("log.000007", 500, 500)
    assert (description.start, description.end) == (500, 500)
    assert (heartbeat.start, heartbeat.end) == (500, 500)
    assert (xid.file, xid.start, xid.end) == ("log.000007", 500, 531)


def test_an_encrypted_file_comes_in_plain_over_the_wire_and_is_refused_where_it_lies() -> None:
    begin = Writer()
    whole = [begin.description(), begin.event(EventType.START_ENCRYPTION, bytes(17), flags=0x80)]
    assert [event.start for event in read([*whole, begin.event(XID, bytes(8))])] == [4, 126, 166]
    inside = Writer(500)
    again = [inside.description(log_pos=0), inside.event(EventType.START_ENCRYPTION, bytes(17), log_pos=0)]
    assert [event.end for event in read([*again, inside.event(XID, bytes(8))], 500)] == [500, 500, 531]
    stream = EventStream("log.000001", 4, framing="file")
    with pytest.raises(UnsupportedError, match=r"log\.000001:126: the file is encrypted"):
        stream.feed(b"".join(payload[1:] for payload in whole))


@pytest.mark.parametrize("checksum", [True, False])
def test_the_artificial_rotate_before_any_description_loses_its_checksum_if_it_has_one(
    checksum: bool,
) -> None:
    rotate = Writer(checksum=checksum).artificial_rotate("log.000007", 500)
    assert read([rotate])[0].file == "log.000007"


def test_a_real_rotate_ends_its_file_and_begins_the_next() -> None:
    writer = Writer()
    payloads = [writer.description(), writer.event(ROTATE, struct.pack("<Q", 4) + b"log.000002")]
    end = writer.position
    stream = EventStream("log.000001", 4)
    rotate = stream.feed(packets(payloads))[1]
    assert (rotate.file, rotate.end) == ("log.000001", end)
    assert (stream.file, stream.position) == ("log.000002", 4)
    next_file = Writer()
    more = packets([next_file.artificial_rotate("log.000002", 4), next_file.description()], sequence=3)
    assert [(event.file, event.start) for event in stream.feed(more)] == [
        ("log.000002", 4),
        ("log.000002", 4),
    ]


def test_offsets_go_beyond_four_gigabytes() -> None:
    near = 2**32 - 10
    writer = Writer(near)
    payloads = [writer.description(log_pos=0), *(writer.event(XID, b"12345678") for _ in range(2))]
    assert [event.end for event in read(payloads, near)] == [near, near + 31, near + 62]


def test_an_offset_that_does_not_follow_stops() -> None:
    writer = Writer()
    payloads = [writer.description(), writer.event(XID, b"12345678", log_pos=9999)]
    with pytest.raises(CorruptLogError, match="says that it ends at 9999"):
        read(payloads)
    payloads = [Writer().description(), writer.event(XID, b"12345678", log_pos=0)]
    with pytest.raises(CorruptLogError, match="does not say where it ends"):
        read(payloads)


def test_nothing_is_read_before_a_format_description() -> None:
    with pytest.raises(CorruptLogError, match="stands before any FORMAT_DESCRIPTION"):
        read([Writer().event(XID, b"12345678")])


def test_the_end_of_a_non_blocking_dump() -> None:
    stream = EventStream("log.000001", 4)
    assert len(stream.feed(packets([Writer().description(), b"\xfe\0\0\0\0"]))) == 1
    assert stream.ended
    assert stream.error is None


def test_the_servers_error_is_kept() -> None:
    stream = EventStream("log.000001", 4)
    stream.feed(packets([b"\xff" + struct.pack("<H", 1236) + b"#HY000Could not find first log file name"]))
    assert stream.error == (1236, "HY000", "Could not find first log file name")
    assert not stream.ended


def test_a_lost_packet_is_noticed() -> None:
    writer = Writer()
    stream = EventStream("log.000001", 4)
    stream.feed(packets([writer.description()]))
    with pytest.raises(CorruptLogError, match="packets from the server are missing"):
        stream.feed(packets([writer.event(XID, b"12345678")], sequence=3))


@pytest.mark.parametrize(
    "payload",
    [b"", b"\0", b"\0" + bytes(18), b"\x01" + bytes(40), b"\0" + bytes(19), b"\xff", b"\0" + b"\xff" * 30],
)
def test_what_is_no_event_is_corrupt(payload: bytes) -> None:
    with pytest.raises(CorruptLogError):
        read([Writer().description(), payload])


def _payload(compression: int, inner: bytes, compressed: bytes, size: int | None = None) -> Event:
    def field(kind: int, value: int) -> bytes:
        number = b"\xfe" + value.to_bytes(8, "little")
        return bytes([kind, len(number)]) + number

    size = len(inner) if size is None else size
    body = field(1, len(compressed)) + field(2, compression) + field(3, size) + b"\0" + compressed
    return Event(EventType.TRANSACTION_PAYLOAD, 0, 1, 7, "log.000001", 100, 200, body)


def _inner(count: int, size: int = 8) -> bytes:
    writer = Writer(checksum=False)
    return b"".join(writer.event(XID, bytes([number % 256]) * size)[1:] for number in range(count))


@pytest.mark.parametrize("compression", [0, 255])
def test_compressed_transactions_are_opened(compression: int) -> None:
    inner = _inner(1000)
    compressed = zstandard.ZstdCompressor().compress(inner) if compression == 0 else inner
    events = list(payload_events(_payload(compression, inner, compressed)))
    assert [event.body for event in events] == [bytes([number % 256]) * 8 for number in range(1000)]
    assert {(event.file, event.start, event.end, event.type) for event in events} == {
        ("log.000001", 100, 200, XID)
    }


def test_an_unknown_compression_is_refused() -> None:
    with pytest.raises(
        UnsupportedError, match=r"log\.000001:100, TRANSACTION_PAYLOAD .* unknown algorithm 3"
    ):
        list(payload_events(_payload(3, b"", b"")))


def test_a_payload_that_is_not_what_it_says_is_corrupt() -> None:
    inner = _inner(10)
    compressed = zstandard.ZstdCompressor().compress(inner)
    for event in (
        _payload(0, inner, compressed, len(inner) - 1),
        _payload(0, inner, compressed, len(inner) + 1),
        _payload(0, inner, compressed[:-5]),
        _payload(0, inner, b"not zstandard"),
        _payload(255, inner, inner, len(inner))._replace(body=b""),
    ):
        with pytest.raises(CorruptLogError):
            list(payload_events(event))


def test_a_compressed_transaction_is_never_in_memory_whole() -> None:
    inner = _inner(2000, 100_000)
    compressed = zstandard.ZstdCompressor().compress(inner)
    event = _payload(0, inner, compressed)
    del inner
    before = _resident()
    assert sum(len(item.body) for item in payload_events(event)) == 200_000_000
    assert _resident() - before < 50_000_000


def _resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
