"""What is prepared is there when it is committed, whoever asks and whenever."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from airflow_provider_tungsten.replicator.errors import CorruptLogError, UnsupportedError
from airflow_provider_tungsten.replicator.spool import Fragment, Spool, TableKey
from airflow_provider_tungsten.replicator.storage import LocalStorage, new_token
from airflow_provider_tungsten.replicator.thl.event import Kind
from airflow_provider_tungsten.replicator.xa import BEFORE_THE_LOG, Prepared, XaStore

XID = "X'61',X'',1"
OTHER = "X'62',X'',1"
PLACE = "bin.000001:4, QUERY (2)"
TABLE = TableKey("a", "t", '{"columns":[]}')


def store(folder: Path, held: Mapping[str, str] | None = None, *, memory: int = 1 << 20) -> XaStore:
    return XaStore(LocalStorage(folder), held or {}, token=new_token(), memory=memory)


def prepared(*payloads: bytes, spool_bytes: int = 1 << 20) -> Prepared:
    spool = Spool(spool_bytes)
    for payload in payloads:
        spool.add(Fragment(Kind.INSERT, TABLE, 1, payload))
    spool.add(Fragment(Kind.DDL, TableKey("a", "u", None), 0, b"DROP", {"effect": "drop"}))
    return Prepared("f:5;1", "g:1", len(payloads), spool)


def objects(folder: Path) -> list[str]:
    return [item.key for item in LocalStorage(folder).list()]


def test_what_is_decided_before_the_log_moves_on_is_never_written(tmp_path: Path) -> None:
    xa = store(tmp_path)
    held = prepared(b"one")
    xa.hold(XID, 7, held)
    assert xa.take(XID, PLACE) is held
    xa.hold(XID, 7, held)
    xa.discard(XID)
    xa.store()
    assert objects(tmp_path) == []
    assert xa.names == {}


@pytest.mark.parametrize("spool_bytes", [0, 1 << 20], ids=["spooled", "in memory"])
def test_another_task_finds_what_this_one_kept(tmp_path: Path, spool_bytes: int) -> None:
    xa = store(tmp_path)
    xa.hold(XID, 7, prepared(b"one", b"two", spool_bytes=spool_bytes))
    xa.store()
    later = store(tmp_path, xa.names)
    found = later.take(XID, PLACE)
    assert (found.event_id, found.gtid, found.rows, len(found.fragments)) == ("f:5;1", "g:1", 2, 3)
    assert [*found.fragments] == [*prepared(b"one", b"two").fragments]
    assert later.names == {}


def test_a_transaction_without_rows_to_keep_is_known_all_the_same(tmp_path: Path) -> None:
    xa = store(tmp_path)
    xa.hold(XID, 7, Prepared("f:5;1", "", 0, Spool(0)))
    xa.store()
    found = store(tmp_path, xa.names).take(XID, PLACE)
    assert [*found.fragments] == []


def test_one_that_was_prepared_before_the_log_is_known_but_empty_handed(tmp_path: Path) -> None:
    xa = store(tmp_path, {XID: BEFORE_THE_LOG, OTHER: BEFORE_THE_LOG})
    with pytest.raises(UnsupportedError, match="before this log began, as its first record"):
        xa.take(XID, PLACE)
    xa.discard(OTHER)
    assert xa.names == {XID: BEFORE_THE_LOG}
    with pytest.raises(UnsupportedError, match="whose PREPARE was not read"):
        xa.take(OTHER, PLACE)


def test_the_same_xid_again_is_another_transaction(tmp_path: Path) -> None:
    xa = store(tmp_path)
    xa.hold(XID, 7, prepared(b"old"))
    xa.store()
    xa.discard(XID)
    xa.hold(XID, 7, prepared(b"new"))
    xa.store()
    found = store(tmp_path, xa.names).take(XID, PLACE)
    assert next(iter(found.fragments)).payload == b"new"


def test_memory_is_bounded_by_writing_early(tmp_path: Path) -> None:
    xa = store(tmp_path, memory=1000)
    xa.hold(XID, 7, prepared(b"x" * 300))
    assert objects(tmp_path) == []
    xa.hold(OTHER, 7, prepared(b"x" * 300))
    assert len(objects(tmp_path)) == 2
    assert xa.take(XID, PLACE).rows == 1


def test_objects_go_when_the_published_log_needs_them_no_more(tmp_path: Path) -> None:
    xa = store(tmp_path)
    for xid in (XID, OTHER):
        xa.hold(xid, 7, prepared(b"one"))
    xa.store()
    published = xa.names
    xa.take(XID, PLACE)
    xa.clean(6, published.values())
    assert len(objects(tmp_path)) == 2
    xa.clean(7, xa.names.values())
    assert objects(tmp_path) == [*xa.names.values()]


def test_what_a_dead_attempt_left_goes_when_the_log_is_past_it(tmp_path: Path) -> None:
    dead = store(tmp_path)
    dead.hold(XID, 7, prepared(b"one"))
    dead.store()
    again = store(tmp_path)
    again.hold(XID, 7, prepared(b"one"))
    again.store()
    again.clean(6, again.names.values())
    assert len(objects(tmp_path)) == 2
    again.clean(7, again.names.values())
    assert objects(tmp_path) == [*again.names.values()]


def test_an_object_that_is_missing_or_cut_short_stops(tmp_path: Path) -> None:
    xa = store(tmp_path)
    xa.hold(XID, 7, prepared(b"one", b"two"))
    xa.store()
    (name,) = objects(tmp_path)
    content = (tmp_path / name).read_bytes()
    for end in (0, 3, 50, len(content) - 1):
        (tmp_path / name).write_bytes(content[:end])
        with pytest.raises(CorruptLogError, match=r"cut short|damaged"):
            [*store(tmp_path, xa.names).take(XID, PLACE).fragments]
    (tmp_path / name).unlink()
    with pytest.raises(CorruptLogError, match="is missing"):
        store(tmp_path, xa.names).take(XID, PLACE)


def test_a_large_event_is_kept_in_its_pieces(tmp_path: Path) -> None:
    pieces = [Fragment(Kind.UPDATE, TABLE, 1, b"one", whole=7), Fragment(Kind.CONTINUED, TABLE, 0, b"more")]
    spool = Spool(0)
    for piece in pieces:
        spool.add(piece)
    xa = store(tmp_path)
    xa.hold(XID, 7, Prepared("f:5;1", "g:1", 1, spool))
    xa.store()
    assert [*store(tmp_path, xa.names).take(XID, PLACE).fragments] == pieces
