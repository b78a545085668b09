"""MariaDB's own events, from bytes that a 10.11 server wrote."""

from __future__ import annotations

import zlib

import pytest

from airflow_provider_tungsten.replicator.binlog.constants import EventType
from airflow_provider_tungsten.replicator.binlog.events import Event, parse_query, parse_rows
from airflow_provider_tungsten.replicator.binlog.mariadb import (
    COMPRESSED_EVENTS,
    MariadbPosition,
    decompressed,
    parse_mariadb_gtid,
)
from airflow_provider_tungsten.replicator.errors import CorruptLogError, TungstenError, UnsupportedError


def event(kind: int, body: bytes | str, *, server_id: int = 7) -> Event:
    content = bytes.fromhex(body) if isinstance(body, str) else body
    return Event(kind, 0, 1_700_000_000, server_id, "mariadb-bin.000001", 330, 400, content)


def gtid(body: str) -> Event:
    return event(EventType.MARIADB_GTID, body)


def test_a_gtid_that_opens_a_transaction_and_one_that_opens_a_statement() -> None:
    rows = parse_mariadb_gtid(gtid("0400000000000000050000000c000000000000"))
    assert (str(rows), rows.standalone, rows.void, rows.xid) == ("5-7-4", False, False, "")
    statement = parse_mariadb_gtid(gtid("01000000000000000000000029000000000000"))
    assert (str(statement), statement.standalone, statement.void) == ("0-7-1", True, False)


def test_a_group_commit_id_stands_in_front_of_the_rest() -> None:
    found = parse_mariadb_gtid(gtid("0e0000000000000000000000 8f 2900000000000000 07000000 02 01 783262"))
    assert (found.seq_no, found.completed, found.xid) == (14, True, "X'7832',X'62',7")


def test_the_xid_of_a_prepared_transaction_and_of_its_end() -> None:
    prepared = parse_mariadb_gtid(gtid("0b00000000000000000000004c010000000200783101ff"))
    assert (prepared.prepared, prepared.completed, prepared.standalone) == (True, False, False)
    assert prepared.xid == "X'7831',X'',1"
    done = parse_mariadb_gtid(gtid("0c00000000000000000000008d0100000002007831"))
    assert (done.prepared, done.completed, done.standalone, done.xid) == (False, True, True, prepared.xid)


def test_of_an_alter_table_in_two_phases_only_the_second_changes_something() -> None:
    assert parse_mariadb_gtid(gtid("10000000000000000000000029020000000000")).void
    assert not parse_mariadb_gtid(gtid("11000000000000000000000029041000000000000000")).void
    assert parse_mariadb_gtid(gtid("11000000000000000000000029081000000000000000")).void


@pytest.mark.parametrize(
    "body",
    ["", "0b00000000000000000000", "0b00000000000000000000004c01000000020078", "00" * 12 + "4c01000000ff00"],
)
def test_a_gtid_that_is_cut_short(body: str) -> None:
    with pytest.raises(CorruptLogError, match="cut short"):
        parse_mariadb_gtid(gtid(body))


# Positions


def test_a_position_is_the_last_gtid_of_every_domain() -> None:
    position = MariadbPosition.parse(" 1-2-7, 0-1-55 ")
    assert str(position) == "0-1-55,1-2-7"
    position.add(0, 3, 56)
    assert str(position) == "0-3-56,1-2-7"
    assert not MariadbPosition.parse("")


def test_which_position_is_behind_which() -> None:
    here = MariadbPosition.parse("0-1-55,1-2-7")
    for behind in ("", "0-1-55", "0-9-54,1-2-7"):
        assert here.contains(MariadbPosition.parse(behind))
    for ahead in ("0-1-56", "2-1-1"):
        assert not here.contains(MariadbPosition.parse(ahead))


@pytest.mark.parametrize("text", ["0-1", "uuid:1-5", "0-1-5,0-2-6", "0-1-x"])
def test_what_is_no_position(text: str) -> None:
    with pytest.raises(ValueError, match="not a MariaDB GTID position"):
        MariadbPosition.parse(text)


def test_a_gtid_list_gives_the_newest_of_every_domain() -> None:
    assert not MariadbPosition.decode(bytes.fromhex("000000000000"))
    items = ((0, 1, 32), (0, 4, 33), (5, 1, 2))
    body = b"\x03\0\0\0" + b"".join(
        domain.to_bytes(4, "little") + server.to_bytes(4, "little") + seq.to_bytes(8, "little")
        for domain, server, seq in items
    )
    assert str(MariadbPosition.decode(body)) == "0-4-33,5-1-2"
    for wrong in (b"", body[:-1], body + b"\0"):
        with pytest.raises(CorruptLogError):
            MariadbPosition.decode(wrong)


# Compressed events

INSERT = "1800000000000100 03 07 811e789cfb21c7c0c020528105b0022500aa8c0a90"
UPDATE = "1800000000000100 03 07 07 813c789cfb21c7c0c020528105b002257e80652bb100902c00931a1533"
CREATE = (
    "0600000000000000010000230000000000010100002054000000000603737464042d002d002d00814100000000000000640081"
    "83789c4b2e4a4d2c495528494cca4955c8c9cf4b8761058d44d28042665e89424151666e6251a542766aa58e421221a050925a51a20900a79830d8"
)


def test_compressed_rows_become_plain_ones() -> None:
    plain = decompressed(event(EventType.WRITE_ROWS_COMPRESSED_V1, INSERT))
    assert (plain.type, plain.place) == (
        EventType.WRITE_ROWS_V1,
        "mariadb-bin.000001:330, WRITE_ROWS_V1 (23)",
    )
    rows = parse_rows(plain)
    assert plain.body[rows.payload_offset :] == b"\xf8\x1e\0\0\0\x14" + b"x" * 20 + b"\x05\0\0\0"
    plain = decompressed(event(EventType.UPDATE_ROWS_COMPRESSED_V1, UPDATE))
    rows = parse_rows(plain)
    assert plain.type == EventType.UPDATE_ROWS_V1
    assert len(plain.body) - rows.payload_offset == 60


def test_compressed_rows_of_version_2_keep_what_stands_in_front() -> None:
    packed = b"\x82\x01\x00" + zlib.compress(b"\xfe\x2a\0\0\0" * 51 + b"\xfe")
    head = bytes.fromhex("1800000000000100 0500 aabbcc 01 01")
    with pytest.raises(CorruptLogError, match="in the unknown way|does not hold"):
        decompressed(event(EventType.WRITE_ROWS_COMPRESSED, head + packed[:1] + b"\x01\x01" + packed[3:]))
    plain = decompressed(event(EventType.WRITE_ROWS_COMPRESSED, head + packed))
    assert (plain.type, plain.body) == (EventType.WRITE_ROWS, head + b"\xfe\x2a\0\0\0" * 51 + b"\xfe")


def test_a_compressed_statement_becomes_a_plain_one() -> None:
    plain = decompressed(event(EventType.QUERY_COMPRESSED, CREATE))
    assert plain.type == EventType.QUERY
    assert (parse_query(plain.body).schema, parse_query(plain.body).sql[:30]) == (
        "d",
        "create table longlonglong (aaa",
    )


def test_what_is_not_as_long_as_it_says_is_not_believed() -> None:
    body = bytes.fromhex(INSERT)
    for size in (0x1D, 0x1F):
        with pytest.raises(CorruptLogError, match="does not hold"):
            decompressed(event(EventType.WRITE_ROWS_COMPRESSED_V1, body[:11] + bytes([size]) + body[12:]))
    with pytest.raises(CorruptLogError, match="says that it holds"):
        decompressed(
            event(EventType.WRITE_ROWS_COMPRESSED_V1, body[:10] + b"\x84\xff\xff\xff\xff" + body[12:])
        )
    with pytest.raises(UnsupportedError, match="log_bin_compress=OFF"):
        decompressed(event(EventType.WRITE_ROWS_COMPRESSED_V1, body[:10] + b"\x91" + body[11:]))


@pytest.mark.parametrize("kind", sorted(COMPRESSED_EVENTS))
def test_no_compressed_event_that_is_cut_short_does_harm(kind: int) -> None:
    body = bytes.fromhex(CREATE if kind == EventType.QUERY_COMPRESSED else UPDATE)
    for end in range(len(body)):
        with pytest.raises(TungstenError):
            decompressed(event(kind, body[:end]))
