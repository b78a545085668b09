"""Transactions and files of over 4 GiB, where the offsets in the events' own headers have begun anew from 0."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from airflow_provider_tungsten.replicator.binlog.constants import EventType
from airflow_provider_tungsten.replicator.binlog.framing import EventStream
from airflow_provider_tungsten.replicator.filters.tables import TableFilter
from airflow_provider_tungsten.replicator.source.files import FilesDump, find_files
from airflow_provider_tungsten.replicator.thl.event import event_id
from tests.unit.replicator.binlog.wire import Writer
from tests.unit.replicator.events import FILE, ROWS, TABLE_MAP, Events
from tests.unit.replicator.test_assembler import assembler, drained

MAGIC = b"\xfebin"
MIB = 1 << 20
# An image of zeros is a row: nothing is NULL, id 0, v ''.
ROW_BYTES = 6
IMAGES = ROW_BYTES * (16 * MIB // ROW_BYTES)
BIG = TABLE_MAP.replace(b"\x01a\0\x01t\0", b"\x01a\0\x01B\0")


class LongLog:
    """A file's bytes as a server writes them without checksums, in pieces; `end` is where it ends."""

    def __init__(self) -> None:
        self.head = MAGIC + Writer(checksum=False).description()[1:]
        self.end = len(self.head)
        self._made = Events()

    def _event(self, kind: int, body: bytes, more: int = 0) -> bytes:
        """:param more: zeros behind the body."""
        size = 19 + len(body) + more
        self.end += size
        return struct.pack("<IBIIIH", 1_700_000_000, kind, 1, size, self.end % 2**32, 0) + body

    def transaction(self, *, big: int = 0) -> Iterator[bytes]:
        """One row of a.t, behind `big` events of rows of a.B."""
        yield from (self._event(event.type, event.body) for event in [*self._made.begin()])
        yield self._event(EventType.TABLE_MAP, BIG)
        for _ in range(big):
            yield self._event(EventType.WRITE_ROWS, ROWS, IMAGES)
            yield bytes(IMAGES)
        yield from (self._event(event.type, event.body) for event in [*self._made.one_row()])
        yield self._event(EventType.XID, bytes(8))


def test_a_transaction_goes_on_through_4_gib() -> None:
    long = LongLog()
    taking = assembler(table_filter=TableFilter(["a.t"]))
    stream = EventStream(FILE, 4, framing="file")
    assert not list(taking.feed(stream, long.head[4:]))
    ends, events = [], []
    for big in (0, 2**32 // IMAGES + 1, 0):
        for chunk in long.transaction(big=big):
            for _ in taking.feed(stream, chunk):
                pass
        ends.append(long.end)
        events += drained(taking)
    assert [event.event_id for event in events] == [event_id(FILE, end, 12) for end in ends]
    assert [event.rows for event in events] == [1, 1, 1]
    assert ends[0] < 2**32 < ends[1] == taking.resume.transaction_start
    assert taking.bytes == ends[-1] - len(long.head)


def test_a_file_is_read_on_from_behind_4_gib(tmp_path: Path) -> None:
    """What lies before is a hole, which takes no room on the disk."""
    long, file = LongLog(), tmp_path / FILE
    file.write_bytes(long.head)
    long.end = begin = 2**32 + 100
    with file.open("r+b") as out:
        out.seek(begin)
        out.writelines(long.transaction())
    found = [event for event in FilesDump(find_files(file), begin).events() if event.end > event.start]
    assert [event.type for event in found] == [*map(EventType, (33, 2, 19, 19, 30, 16))]
    assert (found[0].start, found[-1].end) == (begin, long.end)
    assert all(event.end == after.start for event, after in pairwise(found))
