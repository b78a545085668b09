"""What stands in memory behind an event, a row image or a value changes nothing: no read goes over an end, a cut one's least of all."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator

import pytest

from airflow_provider_tungsten.replicator.binlog._spooled import SpooledBuffer
from airflow_provider_tungsten.replicator.binlog.constants import ColumnType, EventType
from airflow_provider_tungsten.replicator.binlog.definition import Column
from airflow_provider_tungsten.replicator.binlog.framing import Event, EventStream
from airflow_provider_tungsten.replicator.binlog.large_text import pieces_of
from airflow_provider_tungsten.replicator.binlog.partial import PartialUpdates
from airflow_provider_tungsten.replicator.binlog.rows import CsvEncoder, RowLayout, RowReader
from airflow_provider_tungsten.replicator.errors import TungstenError
from airflow_provider_tungsten.replicator.thl.event import Resume
from tests.unit.replicator.binlog import partial_rows
from tests.unit.replicator.binlog.test_rows import image, number, table
from tests.unit.replicator.binlog.witnesses import VARIANTS, WITNESSES
from tests.unit.replicator.events import FILE, ONE_ROW, ROWS, TABLE_MAP, Events
from tests.unit.replicator.test_assembler import assembler

ID = Column("id", "int", ColumnType.LONG)
_PREFIXED = frozenset({ColumnType.BLOB, ColumnType.JSON, ColumnType.GEOMETRY, ColumnType.VECTOR})


def outcomes(read: Callable[[memoryview], object], data: bytes, end: int) -> list[object]:
    """Of reading up to an end behind which the rest stands, or nothing, or what cannot be."""
    found = []
    for behind in (data[end:], b"", bytes(18), b"\xff" * 18, b"\x01" * 18):
        try:
            found.append(read(memoryview(data[:end] + behind)[:end]))
        except TungstenError as error:
            found.append(str(error))
    return found


def same(found: Iterable[object]) -> bool:
    first, *others = found
    return all(other == first for other in others)


def readers(column: Column) -> Iterator[Callable[[memoryview], object]]:
    definition = table(ID, column)
    key = [1, 0]
    for large in (None, 0):
        reader = RowReader(definition)
        yield lambda data, reader=reader, large=large: [
            [text and "".join(pieces_of(text)) for text in image]
            for image in reader.images(data, large=large)
        ]
    for kind, header in (("insert", ["primary_key"]), ("update", [])):
        encoder = CsvEncoder(
            definition,
            header,
            key=key,
            update_opcode=True,
            max_text_bytes=None,
            refuse_nul=False,
            refuse_zero_dates=False,
        )
        yield lambda data, encoder=encoder, kind=kind: encoder.encode(
            data, kind, seqno=1, row_id=1, commit_ts=0
        )
    layout = RowLayout(definition)
    yield lambda data: layout.count(data, 1)
    yield lambda data: layout.drop(data, 2, [False, True])


@pytest.mark.parametrize("kind", sorted(WITNESSES | VARIANTS))
def test_nothing_behind_a_row_image_is_read(kind: str) -> None:
    column, value = (WITNESSES | VARIANTS)[kind]
    row = image(number(1), value)
    for read in readers(column):
        for end in range(len(row), 2 * len(row) + 1):
            assert same(outcomes(read, 2 * row, end))


DOCUMENT = partial_rows.binary({"a": [1, "text", None, True, {"b": "c", "d": 70_000}], "e": "x" * 20})


@pytest.mark.parametrize("kind", ["json document", *sorted(WITNESSES | VARIANTS)])
def test_nothing_behind_a_value_is_read(kind: str) -> None:
    column, value = (WITNESSES | VARIANTS).get(
        kind, (Column("j", "json", 245, 4), partial_rows.long(DOCUMENT))
    )
    if column.code not in _PREFIXED:
        return
    head = 1 + 4 + column.meta
    whole = image(number(1), value)
    for size in range(len(whole) - head):
        data = whole[:5] + size.to_bytes(column.meta, "little") + whole[head:]
        for read in readers(column):
            assert same(outcomes(read, data, head + size))


def test_nothing_behind_a_partial_update_is_read() -> None:
    updates = PartialUpdates(partial_rows.TABLE)

    def whole(data: bytes) -> bytes:
        out = SpooledBuffer()
        updates.whole(out, data)
        return bytes(out)

    for end in range(len(partial_rows.TWO_ROWS)):
        assert same(outcomes(whole, partial_rows.TWO_ROWS, end))


def _wire(event: Event, position: int) -> bytes:
    length = 19 + len(event.body)
    return struct.pack("<IBIIIH", event.timestamp, event.type, 1, length, position + length, 0) + event.body


def _log(events: Iterable[Event]) -> bytes:
    """Without checksums, so that an event's end is the end of its body."""
    description = Events(4).server()
    log = _wire(description._replace(body=description.body[:-1] + bytes(5)), 4)
    log = log[:-4] + struct.pack("<I", zlib.crc32(log[:-4]))
    for event in events:
        log += _wire(event, 4 + len(log))
    return log


def _taken(log: memoryview) -> object:
    taking = assembler(Resume("", FILE, 4))
    stream = EventStream(FILE, 4, framing="file")
    list(taking.feed(stream, log))
    return [*taking.fragments.fragments()], taking.resume, taking.open_at, stream.position


UPDATE = ROWS[:-1] + b"\xff\xff" + 2 * ONE_ROW
PLAIN = {
    "GTID": (0, lambda made: made.gtid()),
    "a GTID with times": (0, lambda made: made.event(EventType.GTID, made.gtid().body[:-1] + b"\x80" + bytes(7) + b"\xfc\1\1")),
    "BEGIN": (1, lambda made: made.query("BEGIN")),
    "COMMIT": (2, lambda made: made.query("COMMIT")),
    "TABLE_MAP": (2, lambda made: made.event(EventType.TABLE_MAP, TABLE_MAP)),
    "TABLE_MAP again": (3, lambda made: made.event(EventType.TABLE_MAP, TABLE_MAP)),
    "WRITE_ROWS": (3, lambda made: made.rows(2 * ONE_ROW)),
    "UPDATE_ROWS": (3, lambda made: made.event(EventType.UPDATE_ROWS, UPDATE)),
    "DELETE_ROWS_V1": (3, lambda made: made.event(EventType.DELETE_ROWS_V1, ROWS[:8] + ROWS[10:] + ONE_ROW)),
    "XID": (3, lambda made: made.event(EventType.XID, bytes(8))),
}  # fmt: skip


@pytest.mark.parametrize("name", PLAIN)
def test_nothing_behind_an_event_is_read(name: str) -> None:
    before, make = PLAIN[name]
    made = Events(4)
    first = [*made.begin(), made.event(EventType.TABLE_MAP, TABLE_MAP)][:before]
    event = make(made)
    for end in range(len(event.body) + 1):
        log = _log([*first, event._replace(body=event.body[:end])])
        # Less than a header: what stands behind waits to become an event.
        found = []
        for behind in (event.body[end : end + 18], b"", bytes(18), b"\xff" * 18):
            try:
                found.append(_taken(memoryview(log + behind)))
            except TungstenError as error:
                found.append(str(error))
        assert same(found)
    assert not isinstance(found[0], str)  # whole, it is taken in
