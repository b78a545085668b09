"""However a log is cut into pieces, and whoever takes its events in, compiled or not: the same rows come out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_tungsten.replicator import assembler as module
from airflow_provider_tungsten.replicator.assembler import Assembler
from airflow_provider_tungsten.replicator.binlog.constants import EventType
from airflow_provider_tungsten.replicator.binlog.framing import Event, EventStream
from airflow_provider_tungsten.replicator.collector import Collector
from airflow_provider_tungsten.replicator.errors import CorruptLogError, UnsupportedError
from airflow_provider_tungsten.replicator.filters.tables import TableFilter
from airflow_provider_tungsten.replicator.records import Origin
from airflow_provider_tungsten.replicator.storage import LocalStorage
from airflow_provider_tungsten.replicator.thl.event import Resume, ThlEvent
from airflow_provider_tungsten.replicator.xa import XaStore
from tests.unit.replicator.events import FILE, ONE_ROW, ROWS, UUID, Events
from tests.unit.replicator.streams import binlogs, on_the_wire, table_map
from tests.unit.replicator.test_assembler import NEVER, drained

SPOOL = 1000
FILTER = TableFilter(exclude=["a.excluded"], exclude_columns=["a.less.v"])
BEGIN = Resume("server", FILE, 4)


@pytest.fixture(autouse=True)
def small_pieces() -> Iterator[None]:
    """Fragments and groups that a few rows fill."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "FRAGMENT_BYTES", 40)
        patch.setattr(module, "GROUP_BYTES", 400)
        yield


class ByHand(Assembler):
    """Takes in every event by the Python handler of its type."""

    def take_event(self, event: Event) -> None:
        self._on_event(event)
        if self._gtid is not None and self.fragments.open_size() > SPOOL:
            self._spill()


def new(kind: type[Assembler] = Assembler) -> Assembler:
    xa = XaStore(LocalStorage("/nowhere"), {}, token="test", memory=1 << 20)
    return kind(BEGIN, Origin("host:3306", 0, 1), FILTER, NEVER, xa, spool_bytes=SPOOL)


def comparable(taking: Assembler, events: list[ThlEvent]) -> tuple[object, ...]:
    kept = [event._replace(extracted_ts=0) for event in [*events, *drained(taking)]]
    return kept, taking.resume, taking.rows, taking.transactions, taking.bytes


def feed(taking: Assembler, pieces: Iterable[bytes], found: list[ThlEvent]) -> None:
    stream = EventStream(FILE, 4, framing="file")
    for piece in pieces:
        for _ in taking.feed(stream, piece):
            found += drained(taking)
    assert stream.pending == 0


def fed(log: bytes, cuts: list[int]) -> tuple[object, ...]:
    taking, found = new(), list[ThlEvent]()
    ends = pairwise([0, *sorted(cut % len(log) for cut in cuts), len(log)])
    feed(taking, (log[start:end] for start, end in ends), found)
    return comparable(taking, found)


def by_hand(log: bytes) -> tuple[object, ...]:
    taking, found = new(ByHand), []
    for event in EventStream(FILE, 4, framing="file").feed(log):
        taking.take([event])
        found += drained(taking)
    return comparable(taking, found)


@settings(max_examples=100)
@given(binlogs(), st.lists(st.integers(0, 1 << 20), max_size=12))
def test_the_same_log_gives_the_same_rows(events: list[Event], cuts: list[int]) -> None:
    log = on_the_wire(events)
    whole = fed(log, [])
    assert fed(log, cuts) == whole
    assert by_hand(log) == whole


def test_byte_by_byte_too() -> None:
    made = Events(4)
    log = on_the_wire(
        [made.server(), *made.transaction(), *made.transaction(), made.rotate("mysql-bin.000002")]
    )
    assert fed(log, [*range(len(log))]) == fed(log, [])


@pytest.mark.parametrize("table", ["t", "less"], ids=["all columns", "a column excluded"])
def test_an_event_without_rows_leaves_nothing(table: str) -> None:
    made = Events(4)
    name = table_map(1, table)
    events = [made.server(), *made.begin(), made.event(EventType.TABLE_MAP, name)]
    events.append(made.event(EventType.WRITE_ROWS, name[:6] + ROWS[6:]))
    log = on_the_wire([*events, made.event(EventType.XID, bytes(8))])
    kept, resume, *counts = fed(log, [])
    assert (kept, counts[:2]) == ([], [0, 0])
    assert isinstance(resume, Resume)
    assert resume.position == len(log) + 4


def test_tables_are_forgotten_wherever_the_log_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Events(4)
    events = [made.server()]
    for number in range(1, 6):
        name = table_map(number, f"t{number}")
        events += [*made.begin(), made.event(EventType.TABLE_MAP, name)]
        events.append(made.event(EventType.WRITE_ROWS, name[:6] + ROWS[6:] + ONE_ROW))
        events.append(made.event(EventType.XID, bytes(8)))
    log = on_the_wire(events)
    whole = fed(log, [])
    monkeypatch.setattr(module, "_KNOWN_TABLES", 2)
    forget, forgotten = Collector.forget_tables, list[int]()
    monkeypatch.setattr(Collector, "forget_tables", lambda self: forgotten.append(1) or forget(self))
    taking, found, stream = new(), list[ThlEvent](), EventStream(FILE, 4, framing="file")
    for at in range(len(log)):
        assert not list(taking.feed(stream, log[at : at + 1]))
        found += drained(taking)
    assert comparable(taking, found) == whole
    assert forgotten


@pytest.mark.parametrize("damage", ["a checksum", "an unknown event", "rows without their table"])
@pytest.mark.parametrize("size", [1 << 20, 100])
def test_before_a_damaged_event_every_whole_transaction_is_there_and_no_part_of_another(
    damage: str, size: int
) -> None:
    made = Events(4)
    events = [made.server()]
    for _ in range(7):
        events += made.transaction()
    place = made.position
    bad = {
        "a checksum": made.rows,
        "an unknown event": lambda: made.event(99),
        "rows without their table": made.rows,
    }
    opened = [*made.begin()] if damage == "rows without their table" else [*made.begin(), *made.one_row()]
    log = on_the_wire([*events, *opened, bad[damage](), *made.transaction()])
    if damage == "a checksum":
        end = len(on_the_wire([*events, *opened])) + 25
        log = log[:end] + bytes([log[end] ^ 1]) + log[end + 1 :]
    taking, found = new(), list[ThlEvent]()
    pieces = [log[start : start + size] for start in range(0, len(log), size)]
    with pytest.raises((CorruptLogError, UnsupportedError), match=FILE):
        feed(taking, pieces, found)
    found += drained(taking)
    assert [event.gtid for event in found] == [f"{UUID}:{number}" for number in range(1, 8)]
    assert (taking.resume.position, taking.resume.gtid_executed) == (place, f"{UUID}:1-7")
    assert drained(taking) == []
