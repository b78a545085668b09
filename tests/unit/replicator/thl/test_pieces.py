"""Large events of rows lie in the log in pieces: whole for whoever reads it, and what is not all there is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa
import pytest

from airflow_provider_tungsten.replicator.batch.writer import write_batch
from airflow_provider_tungsten.replicator.binlog._spooled import SpooledBuffer
from airflow_provider_tungsten.replicator.errors import CorruptLogError
from airflow_provider_tungsten.replicator.spool import Fragment, TableKey
from airflow_provider_tungsten.replicator.storage import LocalStorage
from airflow_provider_tungsten.replicator.thl import columns, pieces, writer
from airflow_provider_tungsten.replicator.thl.columns import to_table
from airflow_provider_tungsten.replicator.thl.event import Kind, ThlEvent
from airflow_provider_tungsten.replicator.thl.pieces import in_pieces, joined, joined_events
from airflow_provider_tungsten.replicator.thl.runs import RowRun
from tests.unit.replicator.batch.logs import ITEMS, Logbook, events, position, rows, statement
from tests.unit.replicator.test_memory import MIB
from tests.unit.replicator.thl.support import new_log, resume, seqnos, transaction, write
from tests.unit.replicator.thl.test_runs import flat

PIECE = 40
Records = list[ThlEvent]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is large here."""
    monkeypatch.setattr(columns, "GROUP_BYTES", 100)
    monkeypatch.setattr(pieces, "PIECE_BYTES", PIECE)


def in_records(transaction: Iterable[ThlEvent]) -> Records:
    """As extraction puts them into a segment."""
    found: Records = []
    for event in transaction:
        table = TableKey(event.schema_name, event.table_name, event.definition)
        fragment = Fragment(Kind(event.kind), table, event.rows, bytes(event.payload or b""), event.options)
        for kind, _, count, payload, options, whole in in_pieces(fragment):
            found.append(
                event._replace(
                    kind=kind,
                    rows=count,
                    payload=payload,
                    options=options,
                    payload_bytes=whole or len(payload),
                )
            )
    last = len(found) - 1
    return [event._replace(fragno=number, last_frag=number == last) for number, event in enumerate(found)]


def large(seqno: int, sizes: Iterable[int] = (50, 250, 20, 101, 119)) -> Records:
    """A transaction of events of so many bytes; those of more than 100 are in pieces in the end."""
    sizes = list(sizes)
    found = transaction(seqno, fragments=len(sizes))
    return [
        event._replace(payload=bytes([65 + number]) * size, payload_bytes=size, options={"n": str(number)})
        for number, (event, size) in enumerate(zip(found, sizes, strict=True))
    ]


@pytest.mark.parametrize("group", [30, 90, 1000])
def test_events_in_pieces_come_back_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: int
) -> None:
    monkeypatch.setattr(writer, "GROUP_BYTES", group)
    wanted = [large(1), transaction(2), large(3, [101]), large(4, [300, 300])]
    log = new_log(LocalStorage(tmp_path))
    write(log, [in_records(events) for events in wanted], per_segment=19)
    all_events = [event for events in wanted for event in events]
    assert list(log.read(1, 4)) == all_events
    assert list(log.scan(1, 4)) == [event._replace(payload=None) for event in all_events]
    assert list(log.read(3, 3)) == wanted[2]
    assert seqnos(log.read(2, 3)) == [2, 3]
    assert [(run.counts[0], bytes(run.payload)) for run in flat(log.read_runs(3, 3))] == [(2, b"A" * 101)]  # type: ignore[union-attr]
    assert log.record(4)[:3] == (4, 15, True)
    assert log.record(4).event_id == all_events[-1].event_id
    assert [info.tables for info in log.segments(1)] == [
        {("shop", "orders"): (7, 14)},
        {("shop", "orders"): (2, 4)},
    ]


def test_a_large_event_comes_with_what_it_lies_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "PIECE_BYTES", MIB)
    wanted = [*large(1, [50, 33 * MIB, 20]), *large(2, [34 * MIB])]
    log = new_log(LocalStorage(tmp_path))
    write(log, [in_records(wanted[:3]), in_records(wanted[3:])])
    for found, event in zip(log.read(1, 2), wanted, strict=True):
        assert isinstance(found.payload, SpooledBuffer) == (event.payload_bytes > 50)
        assert bytes(found.payload or b"") == event.payload
    runs = [run for run in flat(log.read_runs(1, 2)) if isinstance(run, RowRun)]
    assert [run.spooled is not None for run in runs] == [False, True, False, True]
    assert [bytes(run.payload) for run in runs] == [event.payload for event in wanted]
    assert [memoryview(run.spooled) == run.payload for run in runs if run.spooled] == [True, True]


def test_only_a_segment_with_pieces_is_of_the_new_format(tmp_path: Path) -> None:
    log = new_log(LocalStorage(tmp_path), 1)
    write(log, [in_records(large(2))])
    write(log, [transaction(3)])
    assert [info.format for info in log.segments(0)] == [1, 1, 2, 1]


def test_a_statement_stays_in_one_record() -> None:
    statement = Fragment(Kind.DDL, TableKey("s", "t", None), 0, bytes(500), {})
    assert list(in_pieces(statement)) == [statement]


def test_a_batch_of_events_in_pieces_is_that_of_whole_ones(tmp_path: Path) -> None:
    big = [(number, f"{number:050d}") for number in range(12)]
    log = [
        [rows(ITEMS, *big[:3])],
        [
            rows(ITEMS, (99, "x")),
            rows(ITEMS, *big, kind=Kind.UPDATE),
            rows(ITEMS, (98, None), kind=Kind.DELETE),
        ],
        position(),
        [statement("create")],
        [rows(ITEMS, *big, kind=Kind.DELETE), rows(ITEMS, (97, "y"))],
    ]
    found = []
    for folder, change in (("whole", list), ("pieces", in_records)):
        book = Logbook(tmp_path / folder)
        head = book.log.head()
        assert head is not None
        with book.log.writer(head, token="t", segment_bytes=1 << 30, segment_events=9) as appending:
            for number, made in enumerate(log, 1):
                fragments = made if isinstance(made, list) else [made]
                appending.add(change(events(number, fragments, 0)))
                appending.commit(resume(number))
        chain = book.chain(batches={"max_rows": 5})
        batches = []
        for plan in chain.extend(token="t", limit=9, waiting=False):
            manifest = write_batch(book.log, plan, book.service, "redshift", book.store, token="t")
            batches.append((plan.first, plan.last, plan.rows, plan.image_bytes, manifest.tables))
        found.append(batches)
    assert len(found[0]) > 2
    assert found[0] == found[1]


def joined_up(records: Records, group: int = 100) -> None:
    batches = to_table(records).to_batches(max_chunksize=group)
    list(joined(batches, "here"))


def shorter(record: ThlEvent) -> ThlEvent:
    payload = bytes(record.payload or b"")[:-1]
    return record._replace(payload=payload, payload_bytes=len(payload))


def renumbered(records: Records) -> Records:
    """Fragments without a gap, so that numbers do not tell that one is missing."""
    last = len(records) - 1
    return [record._replace(fragno=at, last_frag=at == last) for at, record in enumerate(records)]


DAMAGE: dict[str, tuple[Callable[[Records], Records], str]] = {
    # Of [50], [250 in 7], [20], [101 in 3], [119 in 3].
    "the last piece is missing": (lambda log: renumbered(log[:-1]), "ends after 80 of its 119"),
    "one before an event is missing": (
        lambda log: renumbered([*log[:7], *log[8:]]),
        "ends after 240 of its 250",
    ),
    "one before a piece is missing": (lambda log: [*log[:3], *log[4:]], "out of order"),
    "the first is missing": (lambda log: renumbered([log[0], *log[2:]]), "continues no event"),
    "the next event begins too early": (
        lambda log: renumbered([*log[:11], *log[12:]]),
        "ends after 80 of its 101",
    ),
    "two are swapped": (lambda log: [*log[:3], log[4], log[3], *log[5:]], "out of order"),
    "one is there twice": (lambda log: renumbered([*log[:8], *log[7:]]), "continues no event"),
    "one is shorter": (lambda log: [*log[:3], shorter(log[3]), *log[4:]], "ends after 249 of its 250"),
    "one is longer": (
        lambda log: [*log[:7], log[7]._replace(payload=b"x" * 20, payload_bytes=20), *log[8:]],
        "more than its 250",
    ),
    "one is empty": (
        lambda log: renumbered([*log[:3], log[3]._replace(payload=b"", payload_bytes=0), *log[3:]]),
        "more than its 250",
    ),
    "one of another table": (
        lambda log: [*log[:3], log[3]._replace(table_name="other"), *log[4:]],
        "out of order",
    ),
    "one of another definition": (
        lambda log: [*log[:3], log[3]._replace(definition="{}"), *log[4:]],
        "out of order",
    ),
    "one of another transaction": (
        lambda log: [*log[:3], *(record._replace(seqno=2) for record in log[3:])],
        "out of order",
    ),
    "an end in between": (lambda log: [*log[:3], log[3]._replace(last_frag=True), *log[4:]], "out of order"),
    "an impossible size": (
        lambda log: [log[0], log[1]._replace(payload_bytes=2**31), *log[2:]],
        f"an event of {2**31} bytes begins with 40",
    ),
    "a statement in pieces": (
        lambda log: [log[0], log[1]._replace(kind=Kind.DDL), *log[2:]],
        "not as long as it says",
    ),
    "less than it says": (
        lambda log: [log[0]._replace(payload_bytes=51), *log[1:]],
        "ends after 50 of its 51",
    ),
}


@pytest.mark.parametrize("group", [1, 4, 100])
@pytest.mark.parametrize(("damage", "message"), DAMAGE.values(), ids=DAMAGE)
def test_pieces_that_do_not_make_up_their_event_are_refused(
    damage: Callable[[Records], Records], message: str, group: int
) -> None:
    records = in_records(large(1))
    assert [record.kind == Kind.CONTINUED for record in records] == [
        *(False, False, *[True] * 6, False, False, True, True, False, True, True)
    ]
    joined_up(records, group)
    with pytest.raises(
        CorruptLogError, match=rf"^here: seqno 1, shop.orders: .*{message}.*restore it from a copy"
    ):
        joined_up(damage(records), group)


def test_an_event_of_more_than_it_says_is_refused() -> None:
    table = to_table(transaction(1))
    table = table.set_column(
        table.schema.get_field_index("payload_bytes"), "payload_bytes", pa.array([1], pa.int64())
    )
    with pytest.raises(CorruptLogError, match="seqno 1, .* an event of 1 bytes begins with 4"):
        list(joined(table.to_batches(), "here"))


def test_without_payloads_too_a_piece_must_continue_an_event() -> None:
    records = in_records(large(1))
    for damaged in (records[2:], [*records[:3], records[3]._replace(table_name="other"), *records[4:]]):
        with pytest.raises(CorruptLogError, match="here: seqno 1: a piece continues no event"):
            list(joined_events(damaged, "here"))


def test_a_damaged_log_is_told_with_its_segment(tmp_path: Path) -> None:
    log = new_log(LocalStorage(tmp_path))
    write(log, [renumbered(in_records(large(1))[:-1])])
    for read in (log.read(1, 1), log.read_runs(1, 1)):
        with pytest.raises(
            CorruptLogError, match=r"/shop/thl-0{18}1\.parquet: seqno 1, .*pieces are missing"
        ):
            list(read)
