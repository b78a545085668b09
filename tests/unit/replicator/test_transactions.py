"""Transactions that are not just rows: prepared, cut back, of MariaDB, of servers that number nothing."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from airflow_provider_tungsten.replicator.assembler import Assembler
from airflow_provider_tungsten.replicator.binlog.constants import EventType
from airflow_provider_tungsten.replicator.binlog.framing import Event
from airflow_provider_tungsten.replicator.errors import CorruptLogError, UnsupportedError
from airflow_provider_tungsten.replicator.filters.tables import TableFilter
from airflow_provider_tungsten.replicator.storage import LocalStorage, new_token
from airflow_provider_tungsten.replicator.thl.event import Resume, ThlEvent
from airflow_provider_tungsten.replicator.xa import BEFORE_THE_LOG, XaStore
from tests.unit.replicator.events import FILE, ONE_ROW, TABLE_MAP, UUID, Events
from tests.unit.replicator.test_assembler import assembled, assembler, drained

XID = "X'61',X'',1"
PREPARE = b"\0\x01\0\0\0\x01\0\0\0\0\0\0\0a"
START = Resume("server", FILE, 157)


@pytest.fixture
def made() -> Events:
    return Events()


# XA


def prepare(made: Events) -> list[Event]:
    start = [made.gtid(), made.query(f"XA START {XID}")]
    end = [made.query(f"XA END {XID}"), made.event(EventType.XA_PREPARE, PREPARE)]
    return [*start, *made.one_row(), *end]


def decide(made: Events, verb: str) -> list[Event]:
    return [made.gtid(), made.query(f"XA {verb} {XID}", thread=77)]


def test_prepared_rows_enter_the_log_where_they_are_committed(made: Events) -> None:
    taking = assembler()
    taking.take([*prepare(made), *made.transaction()])
    assert [event.gtid for event in drained(taking)] == [f"{UUID}:2"]
    assert [*taking.resume.xa] == [XID]
    commit = decide(made, "COMMIT")
    taking.take(commit)
    (event,) = drained(taking)
    assert (event.seqno, event.gtid, event.rows, event.payload) == (2, f"{UUID}:3", 1, ONE_ROW)
    assert event.event_id == f"{FILE}:{commit[-1].end:016d};77"
    assert taking.resume.xa == {}
    assert (taking.transactions, taking.rows) == (2, 2)


def test_prepared_rows_that_are_rolled_back_leave_nothing(made: Events) -> None:
    taking = assembler()
    taking.take([*prepare(made), *decide(made, "ROLLBACK")])
    assert drained(taking) == []
    assert (taking.resume.xa, taking.resume.gtid_executed) == ({}, f"{UUID}:1-2")


def test_a_prepared_transaction_without_included_rows_is_known(made: Events) -> None:
    none = TableFilter(["b.*"])
    assert assembled([*prepare(made), *decide(made, "COMMIT")], table_filter=none) == []


def test_xa_in_one_phase_is_a_commit(made: Events) -> None:
    events = prepare(made)
    events[-1] = events[-1]._replace(body=b"\x01" + PREPARE[1:])
    (event,) = assembled(events)
    assert (event.rows, event.gtid) == (1, f"{UUID}:1")


def later(folder: Path, resume: Resume) -> tuple[XaStore, Assembler]:
    xa = XaStore(LocalStorage(folder), resume.xa, token=new_token(), memory=1 << 20)
    return xa, assembler(resume, xa=xa)


def test_another_task_commits_what_this_one_prepared(made: Events, tmp_path: Path) -> None:
    xa, taking = later(tmp_path, START)
    events = prepare(made)
    taking.take(events)
    xa.store()
    _, again = later(tmp_path, taking.resume)
    again.take([*events, *decide(made, "COMMIT")])
    (event,) = drained(again)
    assert (event.gtid, event.payload, again.resume.xa) == (f"{UUID}:2", ONE_ROW, {})


def test_the_last_transaction_read_again_may_be_an_end_of_xa(made: Events) -> None:
    for verb in ("COMMIT", "ROLLBACK"):
        taking = assembler()
        events = decide(made, verb)
        taking.take([*prepare(made), *events])
        again = assembler(taking.resume)
        again.take([*events, *prepare(made)])
        assert again.unverified is None
        assert [*again.resume.xa] == [XID]


def test_rows_prepared_before_the_log_began_are_missed_only_by_a_commit(made: Events) -> None:
    resume = Resume("server", FILE, 157, xa={XID: BEFORE_THE_LOG})
    taking = assembler(resume)
    with pytest.raises(UnsupportedError, match="prepared before this log began"):
        taking.take(decide(made, "COMMIT"))
    assert taking.resume == resume
    taking = assembler(resume)
    taking.take(decide(made, "ROLLBACK"))
    assert taking.resume.xa == {}


# Savepoints


def images(events: Iterable[ThlEvent]) -> list[int]:
    """The ids of all rows that were kept."""
    payloads = b"".join(event.payload or b"" for event in events)
    return [*payloads[1 :: len(ONE_ROW)]]


def row(made: Events, number: int) -> list[Event]:
    image = ONE_ROW[:1] + bytes([number]) + ONE_ROW[2:]
    return [made.event(EventType.TABLE_MAP, TABLE_MAP), made.rows(image)]


def cut_back(made: Events, *steps: int | str, version: str = "9.7.4", **changes: object) -> list[int]:
    events = [made.server(version), *made.begin()]
    for step in steps:
        events += row(made, step) if isinstance(step, int) else [made.query(step)]
    if steps[-1] != "ROLLBACK":
        events.append(made.event(EventType.XID, bytes(8)))
    return images(assembled(events, **changes))


def test_rows_behind_a_savepoint_are_taken_back(made: Events) -> None:
    assert cut_back(made, 1, "SAVEPOINT `a`", 2, "ROLLBACK TO `A`", 3) == [1, 3]


def test_nested_savepoints_and_names_that_come_again(made: Events) -> None:
    steps = (1, "SAVEPOINT a", 2, "SAVEPOINT b", 3, "ROLLBACK TO b", 4, "SAVEPOINT b", 5, "ROLLBACK TO b")
    assert cut_back(made, *steps) == [1, 2, 4]
    assert cut_back(made, *steps, "ROLLBACK TO a", 6) == [1, 6]


def test_nothing_behind_a_savepoint_is_nothing_to_take_back(made: Events) -> None:
    assert cut_back(made, 1, "SAVEPOINT a", "ROLLBACK TO a", version="5.1.43") == [1]


@pytest.mark.parametrize(
    "steps", [(1, "SAVEPOINT a", 2, "ROLLBACK TO a"), (1, "ROLLBACK")], ids=["savepoint", "all"]
)
def test_servers_whose_log_mixes_tables_without_transactions_in_are_refused(
    made: Events, steps: tuple[int | str, ...]
) -> None:
    with pytest.raises(UnsupportedError, match="which of them stay cannot be known"):
        cut_back(made, *steps, version="5.5.27")
    assert cut_back(made, *steps, table_filter=TableFilter(["b.*"]), version="5.5.27") == []


def test_a_savepoint_of_one_transaction_means_nothing_in_the_next(made: Events) -> None:
    first = [*made.begin(), *made.one_row(), made.query("SAVEPOINT s"), made.event(EventType.XID, bytes(8))]
    with pytest.raises(UnsupportedError, match="savepoint is not in the log"):
        assembled([made.server(), *first, *made.begin(), *made.one_row(), made.query("ROLLBACK TO s")])


def test_rows_on_disk_are_taken_back_too(made: Events) -> None:
    taking = assembler(spool_bytes=300)
    events = [made.server(), *made.begin(), *row(made, 1), made.query("SAVEPOINT a")]
    for number in range(2, 9):
        events += [*row(made, number), made.query(f"SAVEPOINT s{number}")]
    back = [made.query("ROLLBACK TO s3"), *row(made, 9), made.query("SAVEPOINT t"), *row(made, 10)]
    taking.take([*events, *back, made.event(EventType.XID, bytes(8))])
    assert images(drained(taking)) == [1, 2, 3, 9, 10]
    assert taking.rows == 5


@pytest.mark.parametrize("spool_bytes", [10, 300, 1 << 20])
def test_where_all_rows_are_taken_back_the_transaction_leaves_nothing(made: Events, spool_bytes: int) -> None:
    taking = assembler(spool_bytes=spool_bytes)
    events = [made.server(), *made.begin(), made.query("SAVEPOINT a")]
    for number in range(1, 6):
        events += [*row(made, number), made.query(f"SAVEPOINT s{number}")]
    taking.take([*events, made.query("ROLLBACK TO a"), made.event(EventType.XID, bytes(8))])
    taking.take(made.transaction())
    assert [(event.seqno, event.rows) for event in drained(taking)] == [(1, 1)]
    assert (taking.transactions, taking.rows) == (1, 1)


# MariaDB


def test_a_gtid_of_mariadb_begins_a_transaction_by_itself(made: Events) -> None:
    taking = assembler()
    events = [
        made.server("10.11.18-MariaDB"),
        made.mariadb_gtid(7),
        *made.one_row(),
        made.event(EventType.XID),
    ]
    taking.take(events)
    (event,) = drained(taking)
    assert (event.gtid, event.rows, event.event_id[-3:]) == ("0-1-7", 1, ";-1")
    assert taking.resume.gtid_executed == "0-1-7"
    again = assembler(taking.resume)
    again.take([*events[1:], made.mariadb_gtid(8, 0x29), made.query("DROP TABLE t")])
    assert again.unverified is None
    (event,) = drained(again)
    assert (event.kind, event.gtid, event.event_id[-3:]) == ("ddl", "0-1-8", ";12")


def test_the_first_phase_of_an_alter_table_changes_nothing(made: Events) -> None:
    alter = made.query("ALTER TABLE t ADD COLUMN c INT")
    start = made.mariadb_gtid(1, 0x29, b"\x02")
    end = made.mariadb_gtid(2, 0x29, b"\x04" + bytes(8))
    assert [event.gtid for event in assembled([start, alter, end, alter])] == ["0-1-2"]


def test_xa_of_mariadb_has_no_xa_start(made: Events) -> None:
    xid = b"\x01\0\0\0\x01\0a"
    prepared = [made.mariadb_gtid(1, 0x4C, xid), *made.one_row(), made.query(f"XA END {XID}")]
    events = [*prepared, made.event(EventType.XA_PREPARE, PREPARE), made.mariadb_gtid(2, 0x8D, xid)]
    (event,) = assembled([*events, made.query(f"XA COMMIT {XID}")])
    assert (event.gtid, event.rows) == ("0-1-2", 1)


def test_mysql_and_mariadb_do_not_follow_each_other(made: Events) -> None:
    with pytest.raises(CorruptLogError, match="does not belong"):
        assembled([*made.transaction(), made.mariadb_gtid(1)])
    with pytest.raises(CorruptLogError, match="does not belong"):
        assembled([made.mariadb_gtid(1), made.event(EventType.XID), made.gtid()])


# Servers without GTID events


def test_before_5_7_a_transaction_begins_with_begin_and_a_statement_by_itself(made: Events) -> None:
    rows = [made.query("BEGIN"), *made.one_row(), made.event(EventType.XID)]
    first, second = assembled([made.server("5.5.27"), made.query("CREATE TABLE x (id INT)"), *rows])
    assert (first.kind, first.gtid, second.kind, second.rows) == ("ddl", "", "insert", 1)
    taking = assembler()
    taking.take([made.server("5.5.27"), *rows])
    assert taking.resume.transaction_start == rows[0].start
    again = assembler(taking.resume)
    again.take([made.server("5.5.27"), *rows])
    assert again.unverified is None
    with pytest.raises(CorruptLogError, match="outside of any transaction"):
        assembled([made.server("5.7.6"), made.query("CREATE TABLE x (id INT)")])


# LOAD DATA


def test_load_data_is_a_statement_like_any_other(made: Events) -> None:
    query = made.query("LOAD DATA INFILE 'f' INTO TABLE t").body
    load = made.event(EventType.EXECUTE_LOAD_QUERY, query[:13] + bytes(13) + query[13:])
    with pytest.raises(UnsupportedError, match="LOAD.*in statement format"):
        assembled([*made.begin(), made.event(EventType.BEGIN_LOAD_QUERY, bytes(9)), load])


def test_gtids_may_be_switched_on_while_the_log_is_read(made: Events) -> None:
    body = b"\0" + bytes(24) + bytes(17)
    rows = [made.query("BEGIN"), *made.one_row(), made.event(EventType.XID, bytes(8))]
    events = [made.event(EventType.ANONYMOUS_GTID, body), *rows, *made.transaction()]
    taking = assembler()
    taking.take([*events, made.event(EventType.ANONYMOUS_GTID, body), *rows])
    assert [event.gtid for event in drained(taking)] == ["", f"{UUID}:1", ""]
    assert taking.resume.gtid_executed == f"{UUID}:1"


def test_a_transaction_of_a_gtid_alone_moves_the_place(made: Events) -> None:
    taking = assembler()
    taking.take([*made.begin(), made.query("COMMIT"), made.gtid(), made.query("FLUSH TABLES")])
    assert [*taking.drain()] == []
    assert (taking.resume.gtid_executed, taking.resume.position) == (f"{UUID}:1-2", made.position)


def test_a_table_made_of_a_query_comes_before_its_rows(made: Events) -> None:
    create = made.query("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20)) START TRANSACTION")
    first, second = assembled([*made.begin(), create, *made.one_row(), made.event(EventType.XID, bytes(8))])
    assert [(event.seqno, event.kind) for event in (first, second)] == [(1, "ddl"), (1, "insert")]
