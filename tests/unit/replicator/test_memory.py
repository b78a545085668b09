"""What a transaction takes in memory, however large it is and whatever it says of itself."""

from __future__ import annotations

import multiprocessing
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from airflow_provider_tungsten.replicator.binlog.constants import EventType
from airflow_provider_tungsten.replicator.binlog.framing import Event, EventStream
from airflow_provider_tungsten.replicator.filters.tables import TableFilter
from tests.unit.replicator.events import FILE, ONE_ROW, TABLE_MAP, UUID, Events
from tests.unit.replicator.streams import bare, on_the_wire, payload
from tests.unit.replicator.test_assembler import assembler, drained
from tests.unit.replicator.test_transactions import PREPARE, XID

MIB = 1 << 20
GIB = 1 << 30
MOST = 100 * MIB  # of transactions far larger; half of it is what goes to the segment's columns at a time


def _peak() -> int:
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024  # type: ignore[index]


def _child(work: Callable[[], object], results: multiprocessing.SimpleQueue[object]) -> None:
    Path("/proc/self/clear_refs").write_text("5")
    before = _peak()
    try:
        found = work()
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
    results.put((found, _peak() - before))


def measured(work: Callable[[], object]) -> tuple[object, int]:
    """What it gives, or its error's text; and by how many bytes a process of its own grew at most."""
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    child = context.Process(target=_child, args=(work, results))
    child.start()
    try:
        return results.get()  # type: ignore[no-any-return]
    finally:
        child.join()


# Compressed transactions


def compressed(made: Events, packed: bytes, size: int, compression: int = 0) -> list[Event]:
    return [made.gtid(), made.event(EventType.TRANSACTION_PAYLOAD, payload(packed, size, compression))]


def bomb(images: int, events: int) -> tuple[bytes, int]:
    """A transaction of so many events of so many rows each, and its size; it is never in memory whole here either."""
    inside = Events(0)
    rows = bare([inside.rows(ONE_ROW * images)])
    begin = bare([inside.query("BEGIN"), inside.event(EventType.TABLE_MAP, TABLE_MAP)])
    end = bare([inside.event(EventType.XID, bytes(8))])
    frames = [zstandard.compress(part, 3) for part in (begin, rows, end)]
    return frames[0] + frames[1] * events + frames[2], len(begin) + len(rows) * events + len(end)


LITTLE = bare([*Events(0).one_row()])


@pytest.mark.parametrize(
    ("packed", "size", "compression", "message"),
    [
        (zstandard.compress(LITTLE), GIB, 0, f"says that it holds {GIB}"),
        (zstandard.compress(LITTLE), 2 * MIB, 0, "ends inside an event|does not fit"),
        (zstandard.compress(bytes(19) + LITTLE), 2 * MIB, 0, "does not fit"),
        (
            zstandard.compress(LITTLE[:9] + MIB.to_bytes(4, "little") + LITTLE[13:]),
            2 * MIB,
            0,
            "ends inside an event",
        ),
        (zstandard.compress(LITTLE), len(LITTLE) - 1, 0, "does not fit"),
        (zstandard.compress(LITTLE * 2), len(LITTLE), 0, "holds more than it says"),
        (zstandard.compress(LITTLE) + b"none", len(LITTLE), 0, "cannot be decompressed"),
        (zstandard.compress(bytes(GIB // 4), 1), GIB // 4, 0, "does not fit"),
        (LITTLE, len(LITTLE), 7, "unknown algorithm 7"),
    ],
    ids=[
        "an impossible size",
        "little",
        "zeros",
        "a huge event",
        "less",
        "more",
        "no frame behind it",
        "a bomb of nothing",
        "another algorithm",
    ],
)
def test_a_compressed_transaction_that_is_not_what_it_says(
    packed: bytes, size: int, compression: int, message: str
) -> None:
    made = Events()
    events = [*made.transaction(), *compressed(made, packed, size, compression)]

    def work() -> object:
        taking = assembler()
        try:
            taking.take(events)
        finally:
            assert [event.gtid for event in drained(taking)] == [f"{UUID}:1"]
            assert taking.resume.gtid_executed == f"{UUID}:1"
        return "taken in"

    found, grown = measured(work)
    assert re.search(rf"^(CorruptLog|Unsupported)Error: .*{FILE}:\d+.*({message})", str(found))
    assert grown < MOST // 3


@pytest.mark.parametrize(("included", "events"), [(True, 96), (False, 1024)])
def test_a_compressed_transaction_larger_than_memory_is_streamed(included: bool, events: int) -> None:
    images = 2 * MIB // len(ONE_ROW)
    packed, size = bomb(images, events)
    assert size > len(packed) * 1000
    made = Events()
    log = [made.server(), *compressed(made, packed, size), *made.transaction()]

    def work() -> object:
        taking = assembler(table_filter=TableFilter(["*.*"] if included else ["b.*"]), spool_bytes=8 * MIB)
        taking.take(log)
        return taking.rows, sum(int(sum(table.column("rows").to_pylist())) for table in taking.drain())

    found, grown = measured(work)
    assert found == ((images * events + 1,) * 2 if included else (0, 0))
    assert grown < MOST


def test_many_compressed_transactions_in_one_piece_are_handed_over_by_their_size() -> None:
    images, count = MIB // len(ONE_ROW), 160
    packed, size = bomb(images, 1)
    made = Events(4)
    log = on_the_wire(
        [made.server(), *(event for _ in range(count) for event in compressed(made, packed, size))]
    )
    assert len(log) < MIB

    def work() -> object:
        taking, stream = assembler(), EventStream(FILE, 4, framing="file")
        rows = most = 0
        for _ in taking.feed(stream, log):
            most = max(most, taking.fragments.size)
            rows += sum(sum(table.column("rows").to_pylist()) for table in taking.drain())
        rows += sum(sum(table.column("rows").to_pylist()) for table in taking.drain())
        return rows, most < 10 * MIB

    found, grown = measured(work)
    assert found == (images * count, True)
    assert grown < MOST


# Transactions that do not fit into memory


def large(made: Events, number: int, events: int) -> list[Event]:
    """Rows of one MiB an event, all of the id `number`."""
    image = ONE_ROW[:1] + bytes([number]) + ONE_ROW[2:]
    rows = made.rows(image * (MIB // len(image)))
    return [made.event(EventType.TABLE_MAP, TABLE_MAP), *[rows] * events]


def ids(tables: object) -> dict[int, int]:
    """How many rows there are of each id."""
    found: dict[int, int] = {}
    for table in tables:  # type: ignore[attr-defined]
        for payload_, rows in zip(table.column("payload"), table.column("rows"), strict=True):
            number = payload_.as_py()[1]
            found[number] = found.get(number, 0) + rows.as_py()
    return found


PER_EVENT = MIB // len(ONE_ROW)


def spooled(middle: Callable[[Events], list[Event]]) -> tuple[object, int]:
    """A small transaction, a large one as `middle` has it, a small one: rows by id, and the rows that were counted."""
    made = Events()
    log = [made.server(), *made.transaction(), *middle(made), *made.transaction()]

    def work() -> object:
        taking = assembler(spool_bytes=4 * MIB)
        taking.take(log)
        return ids(taking.drain()), taking.rows

    return measured(work)


def test_a_large_transaction_is_kept_on_disk_until_its_end() -> None:
    found, grown = spooled(
        lambda made: [*made.begin(), *large(made, 2, 160), made.event(EventType.XID, bytes(8))]
    )
    assert found == ({1: 2, 2: 160 * PER_EVENT}, 160 * PER_EVENT + 2)
    assert grown < MOST


def test_rows_behind_a_savepoint_on_disk_are_taken_back() -> None:
    found, grown = spooled(
        lambda made: [
            *made.begin(),
            *large(made, 2, 20),
            made.query("SAVEPOINT s"),
            *large(made, 3, 130),
            made.query("ROLLBACK TO s"),
            *large(made, 4, 10),
            made.event(EventType.XID, bytes(8)),
        ]
    )
    assert found == ({1: 2, 2: 20 * PER_EVENT, 4: 10 * PER_EVENT}, 30 * PER_EVENT + 2)
    assert grown < MOST


def test_a_large_transaction_that_is_rolled_back_leaves_nothing() -> None:
    found, grown = spooled(lambda made: [*made.begin(), *large(made, 2, 160), made.query("ROLLBACK")])
    assert found == ({1: 2}, 2)
    assert grown < MOST


@pytest.mark.parametrize("verb", ["COMMIT", "ROLLBACK"])
def test_a_large_transaction_is_handed_over_to_xa(verb: str) -> None:
    def middle(made: Events) -> list[Event]:
        begin = [made.gtid(), made.query(f"XA START {XID}")]
        end = [made.query(f"XA END {XID}"), made.event(EventType.XA_PREPARE, PREPARE)]
        return [
            *begin,
            *large(made, 2, 160),
            *end,
            *made.transaction(),
            made.gtid(),
            made.query(f"XA {verb} {XID}"),
        ]

    found, grown = spooled(middle)
    kept = {2: 160 * PER_EVENT} if verb == "COMMIT" else {}
    assert found == ({1: 3} | kept, sum(kept.values()) + 3)
    assert grown < MOST
