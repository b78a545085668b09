"""Values against mysql-replication's: the same on random data where it is right; where it is not, the server tells so."""

from __future__ import annotations

import itertools
import json
import re
import struct
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymysqlreplication import BinLogStreamReader
from pymysqlreplication.row_event import DeleteRowsEvent, UpdateRowsEvent, WriteRowsEvent

from tests.integration.value_log import NULL, Log, Position
from tests.integration.value_types import KINDS, Kind
from tests.stack.mysql import MySQL


@pytest.fixture
def log(mysql: MySQL, database: str) -> Iterator[Log]:
    log = Log(mysql, database)
    with log.connection:
        yield log


class Peer(NamedTuple):
    """How mysql-replication gives a type.

    :param ours: makes our text comparable with what ``theirs`` makes of its value.
    :param wrong: our texts, from their beginning, of which it gives another value; see ``WRONG``.
    """

    ours: Callable[[str], Any] = str
    theirs: Callable[[Any], Any] = str
    wrong: str = "(?!)"


def _single(value: Any) -> bytes:
    return struct.pack("<f", float(value))


def _span(text: str) -> timedelta:
    hours, minutes, seconds = text.removeprefix("-").split(":")
    whole, _, fraction = seconds.partition(".")
    span = timedelta(0, int(whole), int(fraction.ljust(6, "0")), 0, int(minutes), int(hours))
    return -span if text.startswith("-") else span


def _moment(value: datetime) -> str:
    return value.isoformat(" ", "microseconds")


def _micros(text: str) -> str:
    return f"{text:0<26}" if "." in text else f"{text}.000000"


def _hex(data: Any) -> str:
    """Of no bytes it makes a text."""
    return (data or b"").hex()


def _pairs(text: str) -> Any:
    """A document with its members in their order."""
    return json.loads(text, object_pairs_hook=lambda pairs: ("object", pairs))


def _decoded(value: Any) -> Any:
    """The same of one whose strings are bytes."""
    if isinstance(value, dict):
        return "object", [(name.decode(), _decoded(item)) for name, item in value.items()]
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    return value.decode() if isinstance(value, bytes) else value


def _all(peer: Peer, *types: str) -> dict[str, Peer]:
    return dict.fromkeys(types, peer)


def _sized(name: str, peer: Peer, after: str = "") -> dict[str, Peer]:
    return {f"{name}({digits}){after}": peer for digits in range(7)}


INTEGERS = ("TINYINT", "SMALLINT", "MEDIUMINT", "INT", "BIGINT")
_INCOMPLETE = "0000|.{5}00|.{8}00"  # a year, a month or a day that is zero
PEERS: dict[str, Peer] = {
    **_all(Peer(), *INTEGERS, *(f"{name} UNSIGNED" for name in INTEGERS), "BOOL"),
    **_all(Peer(theirs="{:f}".format), "DECIMAL(65,30)", "DECIMAL(10,0)", "DECIMAL(30,30)", "DECIMAL(18,9)"),
    **_all(Peer(theirs="{:f}".format), "DECIMAL(38,3)", "DECIMAL(5,2)", "DECIMAL(7,5) UNSIGNED"),
    **_all(Peer(float, float), "DOUBLE", "DOUBLE(10,2)"),
    **_all(Peer(_single, _single), "FLOAT", "FLOAT UNSIGNED", "FLOAT(7,2)", "FLOAT(20,10)"),
    **{f"BIT({bits})": Peer(theirs=lambda bits: str(int(bits, 2))) for bits in (1, 2, 7, 8, 9, 17, 48, 64)},
    "YEAR": Peer(wrong="0000"),
    "DATE": Peer(wrong=_INCOMPLETE),
    **_sized("TIME", Peer(_span, lambda span: span, r"-.*\.0*[1-9]")),
    **_sized("DATETIME", Peer(_micros, _moment, _INCOMPLETE)),
    **_sized("TIMESTAMP", Peer(_micros, _moment, "0000"), " NULL"),
    **_all(Peer(), "VARCHAR(20)", "VARCHAR(64)", "CHAR(63)", "CHAR(64)", "CHAR(255)", "TEXT"),
    **_all(Peer(theirs=_hex), "VARBINARY(300)", "VARBINARY(255)", "TINYBLOB", "BLOB", "LONGBLOB"),
    "BINARY(4)": Peer(theirs=_hex, wrong=".*00$"),
    "ENUM('', 'a', 'x,y', 'q''t', 'café')": Peer(),
    "ENUM('é', 'b') CHARACTER SET latin1": Peer(wrong="é"),
    "JSON": Peer(_pairs, _decoded, "null$|.*base64:"),
}
PEERS |= {
    kind.sql: Peer(lambda text: set(text.split(",")), lambda labels: labels, "$|.*é")
    for kind in KINDS
    if kind.sql.startswith("SET(")
}


class Wrong(NamedTuple):
    """A value that mysql-replication 1.0.17 does not give as it is.

    :param value: written as SQL.
    :param text: ours and the server's own.
    :param given: what it gives.
    :param shown: where a plain SELECT of column v would not show text.
    """

    kind: str
    value: str
    text: str
    given: object
    reason: str
    shown: str = "v"


WRONG = [
    Wrong("FLOAT", "1.1", "1.1", 1.100000023841858, "as a double, with digits that the column does not hold"),
    Wrong("YEAR", "0", "0000", 1900, "the year 0 is told by no year, not by 1900"),
    Wrong("DATE", "'0000-00-00'", "0000-00-00", None, "Python has no such date: not told from NULL"),
    Wrong("DATE", "'2020-00-15'", "2020-00-15", None, "Python has no such date: not told from NULL"),
    Wrong(
        "TIME(2)",
        "'-00:00:01.10'",
        "-00:00:01.10",
        -timedelta(seconds=1.9),
        "below zero the fraction counts from the next second, not from the last",
    ),
    Wrong(
        "DATETIME(0)", "'0000-00-00'", "0000-00-00 00:00:00", None, "Python has no such date: not told from NULL"
    ),
    Wrong(
        "DATETIME(3)",
        "'2020-01-00 01:02:03.5'",
        "2020-01-00 01:02:03.500",
        None,
        "Python has no such date: not told from NULL",
    ),
    Wrong(
        "TIMESTAMP(0) NULL",
        "'0000-00-00'",
        "0000-00-00 00:00:00",
        datetime(1970, 1, 1),
        "the zero timestamp is none of 1970",
    ),
    Wrong("BINARY(4)", "X'ABCD'", "abcd0000", b"\xab\xcd", "the zeros that the log leaves out belong to it", "LOWER(HEX(v))"),
    Wrong("ENUM('é', 'b') CHARACTER SET latin1", "1", "é", "", "labels are taken for UTF-8"),
    Wrong("SET('a', 'b', 'é') CHARACTER SET latin1", "4", "é", {""}, "labels are taken for UTF-8"),
    Wrong("SET('a', 'b', 'é') CHARACTER SET latin1", "''", "", None, "an empty set is not told from NULL"),
    Wrong("SET('a', 'b', 'é') CHARACTER SET latin1", "'b,a'", "a,b", {"a", "b"}, "the order is lost"),
    Wrong("JSON", "'null'", "null", None, "not told from NULL", "CAST(v AS CHAR)"),
    Wrong(
        "JSON",
        "CAST(X'00FF' AS JSON)",
        '"base64:type15:AP8="',
        "\0",
        "bytes inside a document are taken for UTF-8, and lost where they are not",
        "CAST(v AS CHAR)",
    ),
]  # fmt: skip


def test_mysql_replication_reads_the_same(log: Log, mysql: MySQL) -> None:
    kinds = [kind for kind in KINDS if kind.sql in PEERS and "mysql" in kind.servers]
    assert [kind.sql for kind in kinds] == sorted(PEERS, key=[kind.sql for kind in kinds].index)
    columns = ", ".join(f"c{number} {kind.sql}" for number, kind in enumerate(kinds))
    log.run(f"CREATE TABLE t (id INT PRIMARY KEY, {columns})")
    start = log.position()
    numbers = itertools.count()

    def insert(values: tuple[str, ...]) -> None:
        log.run(f"INSERT INTO t VALUES ({next(numbers)}, {', '.join(values)})")

    for edge in range(max(len(kind.values) for kind in kinds)):
        insert(tuple(kind.values[edge % len(kind.values)] for kind in kinds))

    @settings(max_examples=20, database=None, suppress_health_check=list(HealthCheck))
    @given(st.tuples(*map(_values, kinds)))
    def write_any(values: tuple[str, ...]) -> None:
        insert(values)

    write_any()
    log.run("UPDATE t SET id = id + 1000", "DELETE FROM t")
    ours = log.changes_since(start)
    inserted, deleted = _peers_rows(mysql, start)
    assert len(ours.inserted) == len(ours.deleted) == 2 * next(numbers)
    compared = dict.fromkeys(PEERS, 0)
    for row, peers in zip(ours.inserted + ours.deleted, inserted + deleted, strict=True):
        for kind, text, value in zip(kinds, row[1:], peers[1:], strict=True):
            compared[kind.sql] += _compared(PEERS[kind.sql], text, value)
    assert min(compared.values()) > 0, compared


def _values(kind: Kind) -> st.SearchStrategy[str]:
    edges = st.sampled_from(["NULL", *kind.values])
    return edges if kind.drawn is None else edges | kind.drawn


def _compared(peer: Peer, text: str, value: Any) -> bool:
    """Whether there was a value that it should give as we do."""
    if text == NULL:
        assert value is None
        return False
    if re.match(peer.wrong, text, re.DOTALL):
        return False
    assert peer.ours(text) == peer.theirs(value)
    return True


@pytest.mark.parametrize("case", WRONG, ids=lambda case: f"{case.kind[:12]}-{case.reason}")
def test_where_it_differs_the_server_is_on_our_side(log: Log, mysql: MySQL, case: Wrong) -> None:
    log.run(f"CREATE TABLE t (id INT PRIMARY KEY, v {case.kind})")
    start = log.position()
    log.run(f"INSERT INTO t VALUES (1, {case.value})")
    assert (
        log.changes_since(start).inserted
        == log.select(f"SELECT id, {case.shown} FROM t")
        == [("1", case.text)]
    )
    (((_, value),), _) = _peers_rows(mysql, start)
    assert (type(value), value) == (type(case.given), case.given)


def test_every_exception_is_shown() -> None:
    excepted = {sql for sql, peer in PEERS.items() if peer.wrong != Peer().wrong}
    for sql in excepted:
        alike = [case for case in WRONG if case.kind.split("(")[0] == sql.split("(")[0]]
        assert any(re.match(PEERS[sql].wrong, case.text) for case in alike), sql


def _peers_rows(mysql: MySQL, start: Position) -> tuple[list[list[Any]], list[list[Any]]]:
    """Images of inserted and of deleted rows."""
    inserted: list[list[Any]] = []
    deleted: list[list[Any]] = []
    stream = BinLogStreamReader(
        connection_settings={
            "host": mysql.host,
            "port": mysql.port,
            "user": mysql.user,
            "passwd": mysql.password,
        },
        server_id=4712,
        resume_stream=True,
        log_file=start[0],
        log_pos=start[1],
        only_events=[WriteRowsEvent, UpdateRowsEvent, DeleteRowsEvent],
    )
    for event in stream:
        for row in event.rows:
            if isinstance(event, UpdateRowsEvent):
                deleted.append(list(row["before_values"].values()))
                inserted.append(list(row["after_values"].values()))
            else:
                images = inserted if isinstance(event, WriteRowsEvent) else deleted
                images.append(list(row["values"].values()))
    stream.close()
    return inserted, deleted
