"""What must stop extraction, and where exactly a transaction begins and ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from airflow_provider_tungsten.replicator.assembler import Assembler, Limits
from airflow_provider_tungsten.replicator.binlog.constants import EventFlag, EventType
from airflow_provider_tungsten.replicator.binlog.framing import Event
from airflow_provider_tungsten.replicator.errors import CorruptLogError, DivergedError, UnsupportedError
from airflow_provider_tungsten.replicator.filters.tables import TableFilter
from airflow_provider_tungsten.replicator.records import Origin
from airflow_provider_tungsten.replicator.storage import LocalStorage
from airflow_provider_tungsten.replicator.thl import columns
from airflow_provider_tungsten.replicator.thl.event import Resume, ThlEvent
from airflow_provider_tungsten.replicator.xa import XaStore
from tests.unit.replicator.events import FILE, ONE_ROW, SECONDS, TABLE_MAP, UUID, Events
from tests.unit.replicator.streams import bare, payload

NEVER = Limits(10**9, 10**12, "mysql-bin.999999", 0)


@pytest.fixture
def made() -> Events:
    return Events()


def assembler(resume: Resume | None = None, **changes: object) -> Assembler:
    place = resume or Resume("server", FILE, 157)
    xa = XaStore(LocalStorage("/nowhere"), place.xa, token="test", memory=1 << 20)
    settings = {"limits": NEVER, "table_filter": TableFilter(), "xa": xa, "spool_bytes": 1 << 20, **changes}
    return Assembler(place, Origin("host:3306", 0, 1), **settings)  # type: ignore[arg-type]


def assembled(events: Iterable[Event], **changes: object) -> list[ThlEvent]:
    taking = assembler(**changes)
    taking.take(events)
    return drained(taking)


def drained(taking: Assembler) -> list[ThlEvent]:
    return [event for table in taking.drain() for event in columns.to_events(table)]


def test_a_transaction_is_there_when_it_ends_and_not_before(made: Events) -> None:
    events = made.transaction()
    taking = assembler()
    taking.take(events[:-1])
    assert drained(taking) == []
    assert taking.resume.position == 157
    taking.take(events[-1:])
    (event,) = drained(taking)
    assert (event.seqno, event.kind, event.rows, event.payload) == (1, "insert", 1, ONE_ROW)
    assert event.event_id == f"{FILE}:{made.position:016d};12"
    assert event.gtid == f"{UUID}:1"
    assert event.commit_ts == event.watermark == SECONDS * 1_000_000
    assert taking.resume == Resume(
        "server", FILE, made.position, f"{UUID}:1", 157, f"{UUID}:1", event.commit_ts, event.watermark
    )


def test_a_file_of_the_same_name_that_was_begun_at_another_time_is_diverged(made: Events) -> None:
    description = made.server()
    taking = assembler()
    taking.take([description, *made.transaction()])
    place = taking.resume
    assert place.file_created == SECONDS
    assembler(place).take([description])
    with pytest.raises(DivergedError, match=r"mysql-bin\.000001:.* not the file of that name"):
        assembler(place).take([description._replace(timestamp=SECONDS + 1)])


def test_the_end_of_the_last_file_is_passed_up_to_where_the_next_is_known(made: Events) -> None:
    taking = assembler(limits=Limits(10**9, 10**12, FILE, 157))
    rotate = made.rotate("mysql-bin.000002")
    description = Events(4).server()._replace(timestamp=SECONDS + 9, file="mysql-bin.000002")
    taking.take([rotate, description, *made.transaction()])
    assert (taking.ended, taking.transactions) == ("head", 0)
    place = taking.resume
    assert (place.file, place.position, place.file_created) == ("mysql-bin.000002", 4, SECONDS + 9)


def test_the_watermark_never_goes_back(made: Events) -> None:
    early = [event._replace(timestamp=SECONDS - 100) for event in made.transaction()]
    late = made.transaction()
    first, second = assembled([*late, *early])
    assert (first.commit_ts - second.commit_ts, second.watermark - first.watermark) == (100_000_000, 0)


def test_rollback_leaves_nothing_but_the_place(made: Events) -> None:
    taking = assembler()
    rollback = made.query("ROLLBACK")
    taking.take([made.server(), *made.begin(), *made.one_row(), rollback, *made.transaction()])
    assert [event.gtid for event in drained(taking)] == [f"{UUID}:2"]
    assert taking.resume.gtid_executed == f"{UUID}:1-2"


STOPPERS: dict[str, Callable[[Events], list[Event]]] = {
    "INCIDENT": lambda made: [made.event(EventType.INCIDENT, bytes(3))],
    "unknown event type 99": lambda made: [made.event(99)],
    "XA COMMIT of X'61',X'',1, whose PREPARE was not read": lambda made: [
        made.gtid(),
        made.query("XA COMMIT X'61',X'',1"),
    ],
    "XA RECOVER in a form": lambda made: [made.gtid(), made.query("XA RECOVER")],
    r"PRE_GA_WRITE_ROWS \(20\): it is not understood": lambda made: [*made.begin(), made.event(20, bytes(9))],
    r"UPDATE on a\.t in statement format": lambda made: [
        *made.begin(),
        made.query("UPDATE t SET v = 'hidden'"),
    ],
    r"INSERT on b\.u in statement format": lambda made: [
        *made.begin(),
        made.query("INSERT INTO b.u VALUES (1)"),
    ],
    r"LOAD in statement format": lambda made: [
        *made.begin(),
        made.query("LOAD DATA INFILE 'f' INTO TABLE t"),
    ],
}


@pytest.mark.parametrize("match", STOPPERS)
def test_what_is_not_understood_stops_and_names_its_place(made: Events, match: str) -> None:
    events = STOPPERS[match](made)
    with pytest.raises(UnsupportedError, match=match) as caught:
        assembled(events)
    assert f"{FILE}:{events[-1].start}" in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_rows_without_their_table_map(made: Events) -> None:
    with pytest.raises(CorruptLogError, match="without a TABLE_MAP"):
        assembled([*made.begin(), made.rows()])


def test_rows_of_the_dummy_table_end_a_statement_and_hold_no_row(made: Events) -> None:
    frame = bytes.fromhex("ffffff000000 0100 0200 01 ff")
    ending = [made.event(EventType.WRITE_ROWS, frame), made.event(EventType.XID, bytes(8))]
    [kept] = assembled([*made.begin(), *made.one_row(), *ending])
    assert kept.rows == 1
    with pytest.raises(CorruptLogError, match="without a TABLE_MAP"):
        assembled([*made.begin(), made.event(EventType.WRITE_ROWS, frame + ONE_ROW)])


def test_table_maps_do_not_outlive_their_transaction(made: Events) -> None:
    with pytest.raises(CorruptLogError, match="without a TABLE_MAP"):
        assembled([*made.transaction(), *made.begin(), made.rows()])


def test_images_that_do_not_fit_their_table(made: Events) -> None:
    with pytest.raises(CorruptLogError, match=FILE):
        assembled([*made.begin(), made.event(EventType.TABLE_MAP, TABLE_MAP), made.rows(ONE_ROW[:-1])])


def test_a_transaction_inside_another_and_an_end_without_begin(made: Events) -> None:
    with pytest.raises(CorruptLogError, match="begins inside"):
        assembled([*made.begin(), made.gtid()])
    with pytest.raises(CorruptLogError, match="did not begin"):
        assembled([made.event(EventType.XID, bytes(8))])
    with pytest.raises(CorruptLogError, match="outside of any transaction"):
        assembled([made.query("TRUNCATE t")])


def test_a_file_that_ends_inside_a_transaction(made: Events) -> None:
    with pytest.raises(CorruptLogError, match="ends inside"):
        assembled([*made.begin(), made.rotate("mysql-bin.000002")])


def test_what_mysql_marks_ignorable_is_passed_over(made: Events) -> None:
    ignorable = made.event(99, flags=EventFlag.IGNORABLE)
    statement = made.event(EventType.ROWS_QUERY, b"\x05hello")
    assert (
        len(assembled([ignorable, *made.begin(), statement, *made.one_row(), made.event(EventType.XID)])) == 1
    )


def test_statements_on_mysqls_own_tables_do_not_matter(made: Events) -> None:
    heartbeat = "INSERT INTO mysql.rds_heartbeat2(id, value) VALUES (1, 2) ON DUPLICATE KEY UPDATE value = 2"
    assert assembled([*made.begin(), made.query(heartbeat), made.query("COMMIT")]) == []


def test_a_statement_that_is_not_understood_is_kept_without_its_texts(made: Events) -> None:
    (event,) = assembled([made.gtid(), made.query("FROBNICATE USER u BY 'secret'")])
    assert (event.kind, event.schema_name, event.table_name) == ("ddl", "a", "")
    assert event.payload == b"FROBNICATE USER u BY '?'"
    assert (event.options or {})["effect"] == "unknown"


def test_ddl_of_excluded_tables_is_dropped(made: Events) -> None:
    rename = [made.gtid(), made.query("RENAME TABLE x TO t")]
    assert assembled([made.gtid(), made.query("DROP TABLE x")], table_filter=TableFilter(["a.t"])) == []
    (event,) = assembled(rename, table_filter=TableFilter(["a.t"]))
    assert event.table_name == "t"


def test_a_new_file_is_a_place_of_its_own(made: Events) -> None:
    taking = assembler()
    taking.take([*made.transaction(), made.rotate("mysql-bin.000002")])
    resume = taking.resume
    assert (resume.file, resume.position, resume.transaction_start) == ("mysql-bin.000002", 4, None)


# Going on


def test_the_last_transaction_is_met_again_and_not_kept_twice(made: Events) -> None:
    taking = assembler()
    events = made.transaction()
    taking.take(events)
    again = assembler(taking.resume)
    again.take([*events, *made.transaction()])
    assert again.unverified is None
    assert [event.gtid for event in drained(again)] == [f"{UUID}:2"]


@pytest.mark.parametrize(
    "changed",
    [
        lambda events: [event._replace(timestamp=1) for event in events],
        lambda events: [events[0]._replace(body=bytes(17) + b"\x63" + bytes(24)), *events[1:]],
        lambda events: [*events[:-1], events[-1]._replace(end=events[-1].end + 1)],
    ],
    ids=["time", "gtid", "end"],
)
def test_another_transaction_at_its_place_is_diverged(
    made: Events, changed: Callable[[list[Event]], list[Event]]
) -> None:
    taking = assembler()
    events = made.transaction()
    taking.take(events)
    again = assembler(taking.resume)
    with pytest.raises(DivergedError, match="not the transaction"):
        again.take(changed(events))
    assert again.resume == taking.resume


def test_until_the_last_transaction_is_met_again_every_failure_means_diverged(made: Events) -> None:
    taking = assembler()
    events = made.transaction()
    taking.take(events)
    again = assembler(taking.resume)
    again.take(events[:-1])
    assert isinstance(again.unverified, DivergedError)
    with pytest.raises(UnsupportedError):
        again.take([made.event(99)])
    assert isinstance(again.unverified, DivergedError)
    again.take(events[-1:])
    assert again.unverified is None


def test_a_compressed_transaction_without_a_commit_time_is_met_again(made: Events) -> None:
    inside = Events(0)
    end = inside.event(EventType.XID, bytes(8))._replace(timestamp=SECONDS - 1)
    plain = bare([inside.query("BEGIN"), *inside.one_row(), end])
    events = [made.gtid(), made.event(EventType.TRANSACTION_PAYLOAD, payload(plain, len(plain), 255))]
    taking = assembler()
    taking.take(events)
    again = assembler(taking.resume)
    again.take(events)
    assert again.unverified is None
    assert again.resume == taking.resume
    assert drained(again) == []


def test_transactions_that_were_executed_before_are_passed_over(made: Events) -> None:
    events = [*made.transaction(), *made.transaction(), *made.transaction()]
    kept = assembled(events, resume=Resume("server", FILE, 157, f"{UUID}:2"))
    assert [event.gtid for event in kept] == [f"{UUID}:1", f"{UUID}:3"]


# Ends


def test_an_end_that_is_asked_for_waits_for_the_open_transaction(made: Events) -> None:
    events = made.transaction()
    taking = assembler()
    taking.take(events[:2])
    taking.end("max_seconds")
    assert taking.ended == ""
    taking.take([*events[2:], *made.transaction()])
    assert (taking.ended, taking.transactions) == ("max_seconds", 1)
    idle = assembler()
    idle.end("max_seconds")
    assert idle.ended == "max_seconds"


def test_an_end_that_is_asked_for_waits_until_the_last_transaction_was_met_again(made: Events) -> None:
    events = [made.server(), *made.transaction()]
    taking = assembler()
    taking.take(events)
    again = assembler(taking.resume)
    again.end("stopped")
    again.take(events[:1])
    assert again.ended == ""
    again.take([*events[1:], *made.transaction()])
    assert (again.ended, again.unverified, again.transactions) == ("stopped", None, 0)


def test_reading_ends_at_the_head_although_the_log_goes_on(made: Events) -> None:
    events = made.transaction()
    limits = NEVER._replace(file=FILE, position=made.position)
    assert len(assembled([*events, *made.transaction()], limits=limits)) == 1
