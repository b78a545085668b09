"""Objects of the compiled part after an error, and while they are at work: whole, or of no further use and saying so."""

from __future__ import annotations

import zlib

import pytest

from airflow_provider_tungsten.replicator.binlog._assembly import Assembly
from airflow_provider_tungsten.replicator.binlog._fragments import Fragments
from airflow_provider_tungsten.replicator.binlog.constants import EventType
from airflow_provider_tungsten.replicator.binlog.definition import Column, TableDefinition
from airflow_provider_tungsten.replicator.binlog.framing import Event, EventStream
from airflow_provider_tungsten.replicator.binlog.output import Output, OutputColumn, Transform
from airflow_provider_tungsten.replicator.binlog.rows import CsvEncoder, RowLayout, RowReader, ValueRefused
from airflow_provider_tungsten.replicator.errors import CorruptLogError
from tests.unit.replicator.binlog.wire import Writer

TEXT = Column("c", "longtext", 252, 4, charset="utf8mb4")
TABLE = TableDefinition("s", "t", (TEXT,))
PACKED = TableDefinition("s", "t", (Column("c", "longtext", 140, 4, charset="utf8mb4"),))


def row(raw: bytes) -> bytes:
    return b"\0" + len(raw).to_bytes(4, "little") + raw


def test_a_stream_that_failed_takes_nothing_more() -> None:
    writer = Writer()
    description, event = writer.description()[1:], writer.event(EventType.XID, bytes(8))[1:]
    damaged = event[:20] + b"\1" + event[21:]
    for before in (b"", description[:10]):  # with and without something that waits for its rest
        stream = EventStream("log.000001", 4, framing="file")
        stream.feed(before)
        with pytest.raises(CorruptLogError, match="checksum"):
            stream.feed(description[len(before) :] + damaged)
        with pytest.raises(RuntimeError, match=r"log\.000001:126: .*takes nothing more"):
            stream.feed(event)


class Meddler(Assembly):
    """Feeds the stream that it takes events from."""

    stream: EventStream
    data: bytes

    def _on_event(self, event: Event) -> None:
        self.stream.feed(self.data)


def test_a_stream_is_not_fed_by_what_it_feeds() -> None:
    data = Writer().description()[1:]
    meddler = Meddler((1, 1, "", 0), 1 << 20, 1 << 20, 1, 1 << 20)
    meddler.stream, meddler.data = EventStream("log.000001", 4, framing="file"), bytes(1 << 20)
    meddler.stream.feed(data[:10])
    with pytest.raises(RuntimeError, match="being fed"):
        meddler.stream.feed_to(meddler, data[10:])


def test_what_a_refused_event_lost_is_not_counted_with_the_next() -> None:
    output = Output((OutputColumn(True, (Transform("truncate", count=2),)),))
    encoder = CsvEncoder(TABLE, [], output=output)
    with pytest.raises(CorruptLogError):
        encoder.encode(row(b"abc") + b"\0", "insert", seqno=1, row_id=1, commit_ts=0)
    encoded = encoder.encode(row(b"def"), "insert", seqno=2, row_id=1, commit_ts=0)
    assert (encoded.csv, encoded.next_row_id, dict(encoded.conversions)) == (
        b"de\n",
        2,
        {"truncated_texts": 1},
    )


def test_an_encoder_does_not_work_inside_itself() -> None:
    def meddle(text: str | None) -> str | None:
        encoder.encode(row(b"y" * 10_000), "insert", seqno=1, row_id=1, commit_ts=0)
        return text

    encoder = CsvEncoder(
        TABLE, [], output=Output((OutputColumn(True, (Transform("python", "meddle", call=meddle),)),))
    )
    with pytest.raises(ValueRefused, match="RuntimeError"):
        encoder.encode(row(b"x"), "insert", seqno=1, row_id=1, commit_ts=0)


def test_columns_are_kept_or_not_by_the_truth_of_what_is_given() -> None:
    number = Column("n", "tinyint", 1)
    layout = RowLayout(TableDefinition("s", "t", (number, number)))
    keep: list[object] = [True, -1]
    assert layout.drop(b"\x02\x05", 1, keep) == b"\x02\x05"  # type: ignore[arg-type]


def test_a_fragment_holds_no_more_rows_than_its_count() -> None:
    """Rows of which every column is left out are no bytes."""
    fragments = Fragments(1 << 20)
    for _ in range(3):
        fragments.add(0, 0, 1 << 30, b"")
    assert [rows for _, _, rows, _, _ in fragments.fragments()] == [1 << 30] * 3


def test_fragments_that_are_cut_while_they_are_read_are_not_read() -> None:
    fragments = Fragments(1)
    for number in range(5):
        fragments.add(number, 0, 1, b"x" * 100)
    found = []
    for fragment in fragments.fragments():
        found.append(fragment[0])
        fragments.cut(2)
    assert len(found) == 2


def test_a_reader_does_not_work_inside_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    inflate = zlib.decompressobj

    def meddle(bits: int) -> object:
        with pytest.raises(RuntimeError, match="one thread at a time"):
            list(reader.images(value))
        return inflate(bits)

    reader, value = RowReader(PACKED), row(b"\x81\3" + zlib.compress(b"abc"))
    monkeypatch.setattr(zlib, "decompressobj", meddle)
    assert list(reader.images(value)) == [("abc",)]
