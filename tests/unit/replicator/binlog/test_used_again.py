"""Objects of the compiled part after an error, and while they are at work: whole, or of no further use and saying so."""

from __future__ import annotations

import copy
import struct
import zlib
from array import array
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_tungsten.replicator.binlog import _images, _partial
from airflow_provider_tungsten.replicator.binlog._assembly import Assembly, Table
from airflow_provider_tungsten.replicator.binlog._charset import Charset
from airflow_provider_tungsten.replicator.binlog._fragments import Fragments
from airflow_provider_tungsten.replicator.binlog._images import Op
from airflow_provider_tungsten.replicator.binlog._json_children import (
    Children,
    Written,
    put_pieces,
)
from airflow_provider_tungsten.replicator.binlog._spooled import SpooledBuffer
from airflow_provider_tungsten.replicator.binlog.constants import EventType
from airflow_provider_tungsten.replicator.binlog.definition import Column, TableDefinition
from airflow_provider_tungsten.replicator.binlog.framing import Event, EventStream
from airflow_provider_tungsten.replicator.binlog.output import Output, OutputColumn, Transform
from airflow_provider_tungsten.replicator.binlog.partial import PartialUpdates
from airflow_provider_tungsten.replicator.binlog.rows import (
    CsvEncoder,
    RowLayout,
    RowReader,
    ValueRefused,
    Workspace,
)
from airflow_provider_tungsten.replicator.errors import CorruptLogError
from tests.unit.replicator.binlog.wire import Writer

TEXT = Column("c", "longtext", 252, 4, charset="utf8mb4")
TABLE = TableDefinition("s", "t", (TEXT,))
JSON = TableDefinition("s", "t", (Column("c", "json", 245, 4),))
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


def test_partial_updates_are_not_made_whole_inside_others(monkeypatch: pytest.MonkeyPatch) -> None:
    diff = b"\0\3$.a\5\5\1\0"
    payload = row(b"\0\0\0\4\0") + b"\1\1" + row(diff)

    def meddle(*_: object) -> list[bytes]:
        with pytest.raises(RuntimeError, match="one payload at a time"):
            updates.whole(SpooledBuffer(), payload)
        return [b"whole"]

    updates, out = PartialUpdates(JSON), SpooledBuffer()
    monkeypatch.setattr(_partial, "pieces", meddle)
    updates.whole(out, payload)
    assert bytes(out).endswith(b"whole")


class Keeper(Assembly):
    """Keeps the events that it is given."""

    kept: list[Event]

    def _on_event(self, event: Event) -> None:
        self.kept.append(event)

    def _spill(self) -> None: ...


def keeper() -> Keeper:
    made = Keeper((1, 1, "", 0), 1 << 20, 1 << 20, 1, 1 << 20)
    made.kept = []
    return made


@pytest.mark.parametrize("first", [10, 1 << 21])
def test_a_large_event_may_be_kept(first: int) -> None:
    heartbeat = struct.Struct("<IBIIIH")
    sink, stream = keeper(), EventStream("log.000001", 4, framing="file", verify_checksum=False)
    for byte in b"abc":
        data = bytearray(heartbeat.pack(0, 27, 1, 19 + (1 << 21), 0, 0) + bytes([byte]) * (1 << 21))
        stream.feed_to(sink, bytes(data[:first]))
        stream.feed_to(sink, bytes(data[first:]))
    assert [bytes(event.body) for event in sink.kept] == [bytes([byte]) * (1 << 21) for byte in b"abc"]


def test_what_a_payload_is_said_to_lie_in_does_not_grow_meanwhile() -> None:
    spooled = SpooledBuffer()
    spooled.append(b"x")

    def sink(_: object) -> None:
        with pytest.raises(BufferError):
            spooled.append(b"y")
        taken.append(True)

    taken: list[bool] = []
    value = row(b"x" * 100)
    run: Any = SimpleNamespace(
        seqnos=array("q", [1]),
        commits=array("q", [0]),
        kinds=b"\0",
        counts=array("i", [1]),
        offsets=array("i", [0, len(value)]),
        payload=value,
        places=memoryview(array("Q", [0])).cast("B").cast("Q"),
        spooled=spooled,
    )
    encoder = CsvEncoder(TABLE, [], workspace=Workspace(10))
    encoder.encode_run(run, 0, row_id=1, limit=1000, sink=sink)
    assert taken


def new(kind: type[Any]) -> Any:
    return kind.__new__(kind)


def given_a_workspace() -> Any:
    encoder = new(CsvEncoder)
    encoder.workspace = Workspace()
    return encoder


@pytest.mark.parametrize(
    "use",
    [
        lambda: new(CsvEncoder).titles(["a"]),
        lambda: new(CsvEncoder).encode(b"", "insert", seqno=1, row_id=1, commit_ts=0),
        lambda: given_a_workspace().encode(b"", "insert", seqno=1, row_id=1, commit_ts=0),
        lambda: list(new(RowReader).pieces(0, b"x")),
        lambda: new(Keeper).take_event(Event(27, 0, 0, 0, "log.000001", 4, 8, b"")),
        lambda: new(Children).key(0),
        lambda: new(Children).value(0),
        lambda: put_pieces(SpooledBuffer(), [Written()]),
        *(lambda kind=kind: new(kind) for kind in (Charset, EventStream, Fragments, Table)),
    ],
)
def test_what_was_not_initialized_is_of_no_use(use: Callable[[], object]) -> None:
    with pytest.raises((RuntimeError, TypeError, ValueError, IndexError)):
        use()


@pytest.mark.parametrize("kind", [CsvEncoder, RowReader, RowLayout, PartialUpdates])
def test_nothing_is_initialized_twice(kind: type[Any]) -> None:
    arguments = (TABLE, []) if kind is CsvEncoder else (TABLE,)
    made = kind(*arguments)
    with pytest.raises(RuntimeError, match="once"):
        made.__init__(*arguments)


def test_an_assembly_is_not_initialized_twice() -> None:
    made = keeper()
    with pytest.raises(RuntimeError, match="once"):
        made.__init__((1, 1, "", 0), 1 << 20, 1 << 20, 1, 1 << 20)  # type: ignore[misc]


@pytest.mark.parametrize(
    "made",
    [CsvEncoder(TABLE, []), Fragments(1), EventStream("log.000001", 4), SpooledBuffer(), Workspace()],
    ids=lambda made: type(made).__name__,
)
def test_what_has_memory_of_its_own_is_not_copied(made: object) -> None:
    with pytest.raises(TypeError):
        copy.copy(made)


@pytest.mark.parametrize(
    "use",
    [
        lambda: Children(0, memoryview(b"\0\0\4\0")).key(1 << 40),
        lambda: Children(2, memoryview(b"\0\0\4\0")).value(0),
        lambda: Children(2, memoryview(b"\0\0\4\0")).part(1, 2),
        lambda: Fragments(1).cut(2**64 - 1),
        lambda: list(RowReader(TABLE).pieces(1 << 30, b"abc")),
        lambda: _images.RowLayout("t", [], [(Op.SIGNED, 1, 0, 0, 0, (), None)]),
        lambda: _images.RowLayout("t", ["c"], [(Op.ENUM, 1, 0, 0, 0, ("text",), None)]),
    ],
)
def test_what_lies_outside_is_refused(use: Callable[[], object]) -> None:
    with pytest.raises((IndexError, ValueError, TypeError)):
        use()


class Odd(str):
    def encode(self, *_: object) -> Any:
        return 5


def test_a_callable_may_give_any_text() -> None:
    output = Output((OutputColumn(True, (Transform("python", "odd", call=lambda text: Odd("abc")),)),))
    encoded = CsvEncoder(TABLE, [], output=output).encode(row(b"x"), "insert", seqno=1, row_id=1, commit_ts=0)
    assert encoded.csv == b"abc\n"
