from __future__ import annotations

import struct

import pytest

from airflow_provider_tungsten.replicator.binlog.constants import (
    EventFlag,
    EventType,
    event_name,
    is_skippable,
)
from airflow_provider_tungsten.replicator.binlog.events import (
    Event,
    Gtid,
    is_begin,
    is_commit,
    parse_format_description,
    parse_gtid,
    parse_query,
    parse_rows,
    parse_xa_prepare,
    server_version,
)
from airflow_provider_tungsten.replicator.errors import CorruptLogError, UnsupportedError
from airflow_provider_tungsten.replicator.thl.event import Kind

SOURCE = "43b90d6a-e531-11f1-9726-02fc00000001"
RAW = bytes.fromhex(SOURCE.replace("-", ""))


def _gtid_body(times: bytes, length: bytes = b"\xfc\x1b\x01") -> bytes:
    return b"\x00" + RAW + struct.pack("<qBqq", 75, 2, 0, 1) + times + length


def test_a_gtid_whose_times_are_one() -> None:
    body = _gtid_body((1795213629337033).to_bytes(7, "little"))
    gtid = parse_gtid(EventType.GTID, body)
    assert gtid == Gtid(SOURCE, 75, "", 1795213629337033, 1795213629337033, 283)
    assert str(gtid) == f"{SOURCE}:75"


def test_a_gtid_that_was_committed_elsewhere_first() -> None:
    times = (2000 | 1 << 55).to_bytes(7, "little") + (1000).to_bytes(7, "little")
    gtid = parse_gtid(EventType.GTID, _gtid_body(times))
    assert (gtid.commit_ts, gtid.immediate_commit_ts, gtid.length) == (1000, 2000, 283)


def test_an_anonymous_gtid_has_no_name() -> None:
    gtid = parse_gtid(EventType.ANONYMOUS_GTID, _gtid_body((5).to_bytes(7, "little")))
    assert (str(gtid), gtid.commit_ts) == ("", 5)


def test_a_gtid_of_mysql_5_6_has_no_times() -> None:
    assert parse_gtid(EventType.GTID, _gtid_body(b"", b"")[:25]) == Gtid(SOURCE, 75, "", 0, 0, 0)


def test_a_tagged_gtid() -> None:
    # From a MySQL 9.6.0.
    body = bytes.fromhex(
        "0278000000" "02aaee250208046502" "22c503c502e1029cc103110355" "02dead030" "4" "0c060a6d79746167"
        "08000a040c7f1cf3b814244a0610a10412430f0b"
    )  # fmt: skip
    gtid = parse_gtid(EventType.GTID_TAGGED, body)
    assert str(gtid) == "55778904-0299-11f1-b1b8-4ef0c4956feb:mytag:3"
    assert gtid.commit_ts == gtid.immediate_commit_ts == 0x064A2414B8F31C
    for end in range(len(body)):
        with pytest.raises(CorruptLogError):
            parse_gtid(EventType.GTID_TAGGED, body[:end])


def _query_body(sql: bytes, schema: bytes = b"shop", variables: bytes = b"") -> bytes:
    return struct.pack("<IIBHH", 9, 0, len(schema), 0, len(variables)) + variables + schema + b"\0" + sql


def test_a_query() -> None:
    query = parse_query(_query_body("CREATE TABLE é (a int)".encode()))
    assert (query.thread_id, query.schema, query.sql) == (9, "shop", "CREATE TABLE é (a int)")


@pytest.mark.parametrize(
    ("collation", "raw", "text"),
    [
        (8, b"\xe9\x80\x81", "é€\x81"),
        (28, "中".encode("gbk"), "中"),
        (8, "CREATE TABLE `é` (a int)".encode("latin-1"), "CREATE TABLE `é` (a int)"),
        # What the server wrote itself, and a client that repeats it.
        (
            8,
            "CREATE TABLE `é` (a int) START TRANSACTION".encode(),
            "CREATE TABLE `é` (a int) START TRANSACTION",
        ),
        (8, b"CREATE TABLE `\xe9` (a int) START TRANSACTION", "CREATE TABLE `é` (a int) START TRANSACTION"),
    ],
)
def test_a_querys_text_is_in_the_clients_character_set(collation: int, raw: bytes, text: str) -> None:
    variables = (
        b"\x00\0\0\0\0"
        + b"\x01"
        + bytes(8)
        + b"\x06\x03std"
        + b"\x04"
        + struct.pack("<HHH", collation, 33, 33)
    )
    assert parse_query(_query_body(raw, variables=variables)).sql == text


def test_unknown_status_variables_do_not_stop_a_query() -> None:
    assert parse_query(_query_body(b"DROP TABLE t", variables=b"\xeejunk")).sql == "DROP TABLE t"


def test_text_that_is_wrong_in_its_character_set_does_not_stop_a_query() -> None:
    assert parse_query(_query_body(b"DROP TABLE t /* \xff */")).sql == "DROP TABLE t /* \\xff */"


def test_begin_and_commit_are_told_by_their_bytes() -> None:
    assert is_begin(_query_body(b"BEGIN"))
    assert is_commit(_query_body(b"COMMIT"))
    assert not is_begin(_query_body(b"XBEGIN"))
    assert not is_commit(_query_body(b"XA COMMIT"))


def test_xa_prepare() -> None:
    body = struct.pack("<?iii", True, 1, 2, 1) + b"x3" + b"b"
    assert parse_xa_prepare(body) == (True, "X'7833',X'62',1")


def test_versions() -> None:
    texts = "5.1.34sp1", "8.0.45-36", "9.7.4-2", "10.5.15-MariaDB-log", "26.7.0", "26.10", "nonsense"
    assert [server_version(text) for text in texts] == [
        (5, 1, 34), (8, 0, 45), (9, 7, 4), (10, 5, 15), (26, 7, 0), (26, 10, 0), (0, 0, 0)
    ]  # fmt: skip


def test_a_log_of_before_mysql_5_1_is_refused() -> None:
    body = struct.pack("<H50sIB", 3, b"4.1.0", 0, 19) + bytes(40)
    with pytest.raises(UnsupportedError, match="binlog version 3"):
        parse_format_description(body)


def _rows(kind: int, columns: bytes, *, flags: int = 1, extra: bytes = b"", width: int = 9) -> Event:
    body = (
        (131).to_bytes(6, "little")
        + struct.pack("<HH", flags, 2 + len(extra))
        + extra
        + bytes([width])
        + columns
        + b"rest"
    )
    return Event(kind, 0, 1, 7, "log.000001", 100, 200, body)


@pytest.mark.parametrize(
    ("kind", "columns", "meaning", "full"),
    [
        (EventType.WRITE_ROWS, b"\xff\x01", Kind.INSERT, True),
        (EventType.WRITE_ROWS, b"\xff\xff", Kind.INSERT, True),
        (EventType.WRITE_ROWS, b"\xff\x00", Kind.INSERT, False),
        (EventType.DELETE_ROWS, b"\x01\x00", Kind.DELETE, False),
        (EventType.UPDATE_ROWS, b"\xff\x01\xff\x01", Kind.UPDATE, True),
        (EventType.UPDATE_ROWS, b"\x01\x00\xff\x01", Kind.UPDATE, False),
        (EventType.UPDATE_ROWS, b"\xff\x01\xfe\x01", Kind.UPDATE, False),
    ],
)
def test_rows_tell_whether_their_images_are_full(
    kind: int, columns: bytes, meaning: Kind, full: bool
) -> None:
    event = _rows(kind, columns, extra=b"\x00\x01\x02")
    rows = parse_rows(event)
    assert (rows.table_id, rows.stmt_end, rows.kind, rows.columns, rows.full_image) == (
        131,
        True,
        meaning,
        9,
        full,
    )
    assert event.body[rows.payload_offset :] == b"rest"


def test_rows_of_version_1() -> None:
    body = (131).to_bytes(6, "little") + b"\0\0" + b"\x02" + b"\xff" + b"rest"
    rows = parse_rows(Event(EventType.WRITE_ROWS_V1, 0, 1, 7, "f", 1, 2, body))
    assert (rows.stmt_end, rows.columns, body[rows.payload_offset :]) == (False, 2, b"rest")


def test_partial_updates_are_no_rows_until_they_are_applied() -> None:
    with pytest.raises(UnsupportedError, match=r"log\.000001:100, PARTIAL_UPDATE_ROWS .*holds JSON diffs"):
        parse_rows(_rows(EventType.PARTIAL_UPDATE_ROWS, b"\xff\x01\xff\x01"))


@pytest.mark.parametrize("length", range(16))
def test_rows_that_are_cut_short_are_corrupt(length: int) -> None:
    event = _rows(EventType.UPDATE_ROWS, b"\xff\x01\xff\x01")
    with pytest.raises(CorruptLogError):
        parse_rows(event._replace(body=event.body[: min(length, 14)]))


def test_only_listed_or_unknown_ignorable_events_may_be_skipped() -> None:
    ignorable = int(EventFlag.IGNORABLE)
    assert is_skippable(EventType.ROWS_QUERY, 0)
    assert not is_skippable(100, 0)
    assert is_skippable(100, ignorable)
    for kind in (
        EventType.INCIDENT,
        EventType.TRANSACTION_PAYLOAD,
        EventType.WRITE_ROWS,
        EventType.XA_PREPARE,
    ):
        assert not is_skippable(kind, ignorable)


def test_names_of_events_for_messages() -> None:
    assert (event_name(30), event_name(99)) == ("WRITE_ROWS (30)", "unknown event type 99")
