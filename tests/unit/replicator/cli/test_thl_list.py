"""`tungsten thl list`: what it shows of which events, in which form, and how it ends."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import resource
import termios
import time
from array import array
from pathlib import Path

import pytest

from airflow_provider_tungsten.replicator.binlog.definition import Column, TableDefinition
from airflow_provider_tungsten.replicator.cli.output import NEEDS_A_PERSON, NOBODY_READS, WRONG_ARGUMENTS
from airflow_provider_tungsten.replicator.thl.event import Kind
from airflow_provider_tungsten.replicator.thl.segment import SegmentReader, key_of
from tests.unit.replicator.batch.logs import LOOSE, ORDERS, Logbook, gap, position, rows, statement
from tests.unit.replicator.cli.commands import Shop, objects, run

MANY = rows(ORDERS, *((number, "x" * 100) for number in range(5000)))
LISTING = """\
SEQ# = 1 / FRAG# = 0
- TIME = 1970-01-01 00:00:01.000000
- EPOCH# = 0
- EVENTID = bin.000001:0000000000000101;-1
- SOURCEID = db1
- METADATA = [dbms_type=mysql;service=shop;shard=]
- TYPE = insert
- SQL(0) =
 - ACTION = INSERT
 - SCHEMA = shop
 - TABLE = orders
 - ROW# = 0
  - COL(1: id) = 1
  - COL(2: note) = a
 - ROW# = 1
  - COL(1: id) = 2
  - COL(2: note) = NULL
SEQ# = 1 / FRAG# = 1 (last frag)
- TIME = 1970-01-01 00:00:01.000000
- EPOCH# = 0
- EVENTID = bin.000001:0000000000000101;-1
- SOURCEID = db1
- METADATA = [dbms_type=mysql;service=shop;shard=]
- TYPE = update
- SQL(0) =
 - ACTION = UPDATE
 - SCHEMA = shop
 - TABLE = orders
 - ROW# = 0
  - COL(1: id) = 1
  - COL(2: note) = b
  - KEY(1: id) = 1
  - KEY(2: note) = a
SEQ# = 2 / FRAG# = 0 (last frag)
- TIME = 1970-01-01 00:00:02.000000
- EPOCH# = 0
- EVENTID = bin.000001:0000000000000102;-1
- SOURCEID = db1
- METADATA = [dbms_type=mysql;service=shop;shard=]
- TYPE = delete
- SQL(0) =
 - ACTION = DELETE
 - SCHEMA = shop
 - TABLE = orders
 - ROW# = 0
  - KEY(1: id) = 2
  - KEY(2: note) = NULL
SEQ# = 3 / FRAG# = 0 (last frag)
- TIME = 1970-01-01 00:00:03.000000
- EPOCH# = 0
- EVENTID = bin.000001:0000000000000103;-1
- SOURCEID = db1
- METADATA = [dbms_type=mysql;service=shop;shard=]
- TYPE = ddl
- OPTIONS = [effect = alter, tables = [["shop", "orders"]], schema = shop]
- SCHEMA = shop
- SQL(0) = a statement
SEQ# = 4 / FRAG# = 0 (last frag)
- TIME = 1970-01-01 00:00:04.000000
- EPOCH# = 4
- EVENTID = bin.000001:0000000000000104;-1
- SOURCEID = db1
- METADATA = [dbms_type=mysql;service=shop;shard=]
- TYPE = gap
- OPTIONS = [from = bin.000001:4, to = bin.000007:4]
"""


@pytest.fixture
def changes(book: Logbook) -> Logbook:
    update = rows(ORDERS, (1, "a"), (1, "b"), kind=Kind.UPDATE)
    delete = rows(ORDERS, (2, None), kind=Kind.DELETE)
    book.add([rows(ORDERS, (1, "a"), (2, None)), update], delete, statement("alter"), gap(), segment_events=2)
    return book


def listed(shop: Shop, *arguments: object) -> list[int]:
    return [event["seqno"] for event in objects(shop("list", "-headers", "-json", *arguments))]


def test_events_have_the_shape_that_tungsten_gives_them(changes: Logbook, shop: Shop) -> None:
    assert shop("list", "-low", 1).stdout == LISTING


def test_options_choose_the_seqnos(changes: Logbook, shop: Shop) -> None:
    assert listed(shop) == [0, 1, 1, 2, 3, 4]
    assert listed(shop, "-low", 3) == listed(shop, "--low=3") == listed(shop, "-low=3") == [3, 4]
    assert listed(shop, "-high", 1) == [0, 1, 1]
    assert listed(shop, "-low", 2, "-high", 99) == [2, 3, 4]
    assert listed(shop, "-seqno", 1) == [1, 1]
    assert listed(shop, "-first", 2) == [0, 1, 1]
    assert listed(shop, "-last", 2) == [3, 4]
    assert listed(shop, "-low", 2, "-first", 2) == [2, 3]
    assert listed(shop, "-high", 2, "-last", 1) == [2]
    assert listed(shop, "-last", 99) == [0, 1, 1, 2, 3, 4]
    assert listed(shop, "-file", key_of(2)) == [2, 3]


def test_headers_are_a_line_an_event(changes: Logbook, shop: Shop) -> None:
    lines = shop("list", "-headers", "-seqno", 1).stdout.splitlines()
    first = ["1", "0", "0", "false", "1970-01-01 00:00:01.000000", "bin.000001:0000000000000101;-1", "db1"]
    assert lines[0].split("\t") == [*first, "insert", "shop.orders"]
    assert len(lines) == 2


def test_json_is_an_object_a_line_with_the_rows_values(changes: Logbook, shop: Shop) -> None:
    insert, update, delete, ddl, _ = objects(shop("list", "-json", "-low", 1, "-high", 4))
    assert insert["rows"] == [{"row": {"id": 1, "note": "a"}}, {"row": {"id": 2, "note": None}}]
    assert (insert["eventId"], insert["lastFrag"]) == ("bin.000001:0000000000000101;-1", False)
    assert update["rows"] == [{"key": {"id": 1, "note": "a"}, "row": {"id": 1, "note": "b"}}]
    assert delete["rows"] == [{"key": {"id": 2, "note": None}}]
    assert (ddl["sql"], ddl["options"]["effect"]) == ("a statement", "alter")


def test_sql_can_be_read_by_mysql(book: Logbook, shop: Shop) -> None:
    quoted = rows(ORDERS, (1, "it's\n\\"), (2, None))
    update = rows(ORDERS, (1, "a"), (1, "b"), (2, None), (2, None), kind=Kind.UPDATE)
    without_key = rows(LOOSE, (1, None), kind=Kind.DELETE)
    book.add([quoted, update, without_key], statement("alter"))
    assert shop("list", "-sql", "-low", 1).stdout.splitlines() == [
        "/* SEQ# = 1, insert */",
        r"INSERT INTO `shop`.`orders` (`id`, `note`) VALUES (1, 'it''s\n\\');",
        "INSERT INTO `shop`.`orders` (`id`, `note`) VALUES (2, NULL);",
        "/* SEQ# = 1, update */",
        "UPDATE `shop`.`orders` SET `note` = 'b' WHERE `id` = 1;",
        "/* nothing of `shop`.`orders` */",
        "/* SEQ# = 1, delete */",
        "DELETE FROM `shop`.`loose` WHERE `id` = 1 AND `note` IS NULL LIMIT 1;",
        "/* SEQ# = 2, ddl */",
        "USE `shop`;",
        "a statement;",
    ]


def test_specs_name_the_types(changes: Logbook, shop: Shop) -> None:
    text = shop("list", "-specs", "-seqno", 2).stdout
    assert (
        "  - KEY(index=1 name=id type=3 [INT] length=0 unsigned=false blob=false desc=int) = 2\n"
        "  - KEY(index=2 name=note type=15 [VARCHAR] length=200 unsigned=false blob=false desc=varchar(200)) = NULL\n"
    ) in text
    [event] = objects(shop("list", "-specs", "-json", "-seqno", 2))
    assert event["columns"][1] == {
        "index": 2,
        "name": "note",
        "type": "varchar(200)",
        "charset": "utf8mb4",
    }


def test_values_cannot_disturb_the_terminal_and_json_has_them_whole(book: Logbook, shop: Shop) -> None:
    note = "\x1b[31m\nred\x9b" + "é" * 150
    table = TableDefinition(
        "shop", "notes", (*ORDERS.columns[:1], Column("note", "text", 252, 2, charset="utf8mb4"))
    )
    book.add(rows(table, (1, note), (2, "x" * 1001)))
    text = shop("list", "-seqno", 1).stdout
    assert r"= \x1b[31m\nred\x9b" + "é" * 150 + "\n" in text
    assert f"= {'x' * 1000}<...>\n" in text
    [event] = objects(shop("list", "-json", "-seqno", 1))
    assert [row["row"]["note"] for row in event["rows"]] == [note, "x" * 1001]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-seqno", 5), "seqno 5 is not in the log .*/thl/shop: it holds 0 to 4"),
        (("-low", 9), "seqno 9 is not in the log .*: it holds 0 to 4"),
        (("-low", 9, "-high", 12), "seqnos 9 to 12 are not in the log .*: it holds 0 to 4"),
        (("-low", 3, "-high", 1), "-low 3 is behind -high 1: that is no range"),
        (("-low", 1, "-seqno", 2), "give one of -seqno, -file, or -low and -high"),
        (("-first", 1, "-last", 2), "one of -first and -last"),
        (("-file", "thl-7.parquet"), "no segment thl-7.parquet; tungsten thl index lists"),
        (("-service", "Shop"), "String should match pattern"),
        (("-service", "other"), "/thl/other holds no log yet: extract first, or see whether"),
        (("-thl", "ftp://x"), "give s3://bucket/prefix or an absolute folder"),
        (("-service", ""), "--thl and --service belong together"),
        (("-conf", "/no/such.yaml"), "either --thl URL and --service NAME, or --config"),
        (("-conf", "/no/such.yaml", "-thl", "", "-service", ""), "cannot read service file /no/such.yaml"),
    ],
)
def test_what_is_not_there_is_said(
    changes: Logbook, shop: Shop, arguments: tuple[object, ...], said: str
) -> None:
    result = run("thl", "list", *shop.place, *arguments)
    assert result.exit_code == WRONG_ARGUMENTS
    assert re.search(said, result.stderr), result.stderr
    assert result.stdout == ""


def test_which_log_can_come_from_the_environment_and_must_come_from_somewhere(
    changes: Logbook, shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert "say which log" in run("thl", "list").stderr
    file = tmp_path / "shop.yaml"
    applier = {"files": {"url": "s3://bucket/files"}}
    thl = {"url": str(shop.place[1])}
    source = {"connection": "mysql", "server_id": 7}
    file.write_text(
        json.dumps({"service": "shop", "source": source, "thl": thl, "appliers": {"redshift": applier}})
    )
    monkeypatch.setenv("TUNGSTEN_CONFIG", str(file))
    assert run("thl", "list", "-last", "1").stdout.startswith("SEQ# = 4 ")
    other = run("thl", "list", "-last", "1", "-service", "other", "-thl", tmp_path)
    assert f"{tmp_path}/other holds no log yet" in other.stderr
    assert "belong together" in run("thl", "list", "-service", "shop").stderr
    monkeypatch.setenv("TUNGSTEN_THL", str(tmp_path / "nowhere"))
    monkeypatch.setenv("TUNGSTEN_SERVICE", "nobody")
    assert "say which log" in run("thl", "list").stderr
    assert f"{tmp_path}/nowhere/shop holds no log yet" in run("thl", "list", "-service", "shop").stderr
    assert run("thl", "list", "-last", "1", "-conf", file).stdout.startswith("SEQ# = 4 ")
    assert run("thl", "purge", "--keep", "7d", "--dry-run", *shop.place).exit_code == 0


def test_an_output_that_is_full_is_said(changes: Logbook, shop: Shop) -> None:
    for form in ("-headers", "-json"):
        with open("/dev/full", "wb") as full, shop.start("list", form, stdout=full) as process:
            assert process.stderr is not None
            said = process.stderr.read().decode()
        assert process.returncode == NEEDS_A_PERSON
        assert said == "tungsten: standard output cannot be written: No space left on device\n"


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_an_output_that_has_room_for_a_part_is_said(
    book: Logbook, shop: Shop, tmp_path: Path, unbuffered: str
) -> None:
    book.add(MANY)
    with (
        (tmp_path / "listing").open("wb") as file,
        shop.start(
            "list",
            stdout=file,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
        ) as process,
    ):
        assert process.stderr is not None
        said = process.stderr.read().decode()
    assert process.returncode == NEEDS_A_PERSON
    assert said == "tungsten: standard output cannot be written: File too large\n"


def test_a_damaged_segment_is_named(changes: Logbook, shop: Shop) -> None:
    path = Path(str(shop.place[1])) / "shop" / key_of(2)
    whole = path.read_bytes()
    path.write_bytes(whole[:100] + bytes(50) + whole[150:])
    result = shop("list", "-seqno", 2)
    assert (result.exit_code, result.stdout) == (NEEDS_A_PERSON, "")
    assert f"{key_of(2)} is not a whole segment of the log" in result.stderr
    assert "Traceback" not in result.stderr
    said = json.loads(shop("list", "-json", "-seqno", 2).stdout)
    assert said["error"] == "CorruptLogError"


def test_one_seqno_is_found_by_the_index_and_not_by_a_scan(
    book: Logbook, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    book.add(*[position() for _ in range(40)], segment_events=5)
    read = []
    opened = []
    for name, kept in (("_read", read), ("__init__", opened)):
        before = getattr(SegmentReader, name)
        monkeypatch.setattr(
            SegmentReader,
            name,
            lambda self, *rest, before=before, kept=kept: kept.append(rest) or before(self, *rest),
        )
    assert listed(shop, "-seqno", 17) == [17]
    assert len(read) == 1
    assert len(opened) <= 4


def test_colours_are_for_a_terminal(changes: Logbook, shop: Shop) -> None:
    def on_a_terminal(**environment: str) -> bytes:
        leader, follower = pty.openpty()
        with shop.start(
            "list", "-seqno", 2, stdout=follower, env=os.environ | {"TERM": "xterm"} | environment
        ) as process:
            os.close(follower)
            text = b""
            try:
                while more := os.read(leader, 65536):
                    text += more
            except OSError:
                pass  # how Linux says that the other end is closed
            os.close(leader)
        assert process.returncode == 0
        return text

    assert b"\x1b[36m\x1b[1mSEQ# = 2" in on_a_terminal()
    assert b"\x1b" not in on_a_terminal(NO_COLOR="1")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_goes_away_is_no_error(book: Logbook, shop: Shop, unbuffered: str) -> None:
    book.add(MANY)
    with shop.start("list", env=os.environ | {"PYTHONUNBUFFERED": unbuffered}) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        waiting = array("i", [0])
        while waiting[0] < 32_768:  # more than half of what a pipe holds: the rest of the write waits
            time.sleep(0.01)
            fcntl.ioctl(process.stdout, termios.FIONREAD, waiting)
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == NOBODY_READS


def test_a_heartbeat_has_its_name_and_no_statement(book: Logbook, shop: Shop) -> None:
    book.add({"kind": Kind.HEARTBEAT, "payload": b"", "options": {"heartbeat": "NOON"}})
    text = shop("list", "-seqno", 1).stdout
    assert "- METADATA = [dbms_type=mysql;service=shop;shard=;heartbeat=NOON]\n- TYPE = heartbeat\n" in text
    assert "SQL(0)" not in text
    [event] = objects(shop("list", "-seqno", 1, "-json"))
    assert event["metadata"]["heartbeat"] == "NOON"
    assert "sql" not in event


def test_bytes_that_are_no_text_are_named(book: Logbook, shop: Shop) -> None:
    bad = b"\x00" + (1).to_bytes(4, "little") + (1).to_bytes(2, "little") + b"\xff"
    book.add(rows(), rows(ORDERS) | {"payload": bad})
    result = shop("list", "-low", 1)
    assert result.exit_code == NEEDS_A_PERSON
    assert result.stdout.startswith("SEQ# = 1 / ")
    assert "seqno 2, shop.orders: column note holds" in result.stderr
    assert listed(shop, "-seqno", 2) == [2]
