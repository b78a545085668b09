"""Folders of binlog files: their order, what must stand in front of each, what is missing, cut short or does not follow."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from airflow_provider_tungsten.replicator.binlog.constants import EventFlag, EventType
from airflow_provider_tungsten.replicator.binlog.gtid import GtidSet
from airflow_provider_tungsten.replicator.errors import (
    ConfigurationError,
    CorruptLogError,
    DivergedError,
    LogPurgedError,
    TungstenError,
    UnsupportedError,
)
from airflow_provider_tungsten.replicator.file_extractor import FilesSource, extract_files
from airflow_provider_tungsten.replicator.service import Start
from airflow_provider_tungsten.replicator.source.files import (
    FilesDump,
    checked_files,
    find_files,
    first_place,
    read_head,
)
from airflow_provider_tungsten.replicator.storage import new_token, open_storage
from tests.unit.replicator.binlog.wire import Writer
from tests.unit.replicator.events import UUID

MAGIC = b"\xfebin"


class BinlogFile:
    """A file as a server writes it: FORMAT_DESCRIPTION, PREVIOUS_GTIDS, transactions of one GTID each."""

    def __init__(self, name: str, previous: str = "", *, checksum: bool = True, in_use: bool = False) -> None:
        self.name = name
        self._writer = Writer(checksum=checksum)
        description = bytearray(self._writer.description()[1:])
        if in_use:
            description[17] |= EventFlag.IN_USE
        self.data = bytearray(MAGIC + description)
        self.add(EventType.PREVIOUS_GTIDS, GtidSet.parse(previous).encode())

    @property
    def end(self) -> int:
        return self._writer.position

    def add(self, kind: int, body: bytes = b"") -> BinlogFile:
        self.data += self._writer.event(kind, body)[1:]
        return self

    def transaction(self, number: int) -> BinlogFile:
        source = bytes.fromhex(UUID.replace("-", ""))
        self.add(EventType.GTID, b"\0" + source + number.to_bytes(8, "little") + bytes(17))
        self.add(EventType.QUERY, bytes(13) + b"\0BEGIN")
        return self.add(EventType.XID, bytes(8))

    def rotate(self, name: str) -> BinlogFile:
        return self.add(EventType.ROTATE, struct.pack("<Q", 4) + name.encode())

    def write(self, folder: Path) -> Path:
        path = folder / self.name
        path.write_bytes(self.data)
        return path


def binlog(number: int, *, next_number: int | None = None, previous: str = "", **options: bool) -> BinlogFile:
    """Transaction `number` in file `number`, and what leads to the next."""
    file = BinlogFile(f"b.{number:06d}", previous, **options).transaction(number)
    return file if next_number is None else file.rotate(f"b.{next_number:06d}")


def gtids_to(number: int) -> str:
    return f"{UUID}:1-{number}" if number > 1 else f"{UUID}:1" if number else ""


def read(folder: Path | str, position: int = 4, executed: Sequence[str] = ()) -> list[tuple[str, int, int]]:
    """File, type and end of the events that stand in files. `executed`: of the places where files follow each other."""
    answers = iter(executed)
    dump = FilesDump(
        find_files(folder), position, (lambda: GtidSet.parse(next(answers))) if executed else None
    )
    return [(event.file, event.type, event.end) for event in dump.events() if event.end > event.start]


def test_files_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("b.1000000", "b.999999", "b.000010", "b.index", "notes.txt"):
        (tmp_path / name).touch()
    assert [file.name for file in find_files(tmp_path)] == ["b.000010", "b.999999", "b.1000000"]


@pytest.mark.parametrize(
    ("where", "found"), [("a.*", ["a.000001"]), ("a.000001", ["a.000001"]), ("b.old", ["b.old"])]
)
def test_a_pattern_or_one_file(tmp_path: Path, where: str, found: list[str]) -> None:
    for name in ("a.000001", "b.000001", "b.old"):
        (tmp_path / name).touch()
    assert [file.name for file in find_files(tmp_path / where)] == found


def test_logs_of_two_names_are_told_apart_by_a_pattern(tmp_path: Path) -> None:
    for name in ("a.000001", "b.000001"):
        (tmp_path / name).touch()
    with pytest.raises(ConfigurationError, match=r"several names \(a, b\): .*'.*/a\.\*'"):
        find_files(tmp_path)
    with pytest.raises(ConfigurationError, match="no binlog files"):
        find_files(tmp_path / "c.*")


FRONTS: dict[str, tuple[bytes, type[TungstenError], str]] = {
    "encrypted": (
        b"\xfdbin" + bytes(512),
        UnsupportedError,
        "is encrypted .*--read-from-remote-server --raw",
    ),
    "text": (b"CREATE TABLE", CorruptLogError, "is no binlog file: it does not begin with fe 62 69 6e"),
    "empty": (b"", CorruptLogError, "is no binlog file"),
    "magic alone": (MAGIC, CorruptLogError, "b.000001:4: the file ends inside an event"),
    "no description": (
        MAGIC + Writer().event(EventType.XID, bytes(8))[1:],
        UnsupportedError,
        "does not begin with a FORMAT_DESCRIPTION",
    ),
    "before MySQL 5.0": (
        MAGIC + Writer(checksum=False).event(1, bytes(56))[1:],
        UnsupportedError,
        "does not begin with a FORMAT_DESCRIPTION",
    ),
    "a huge description": (
        MAGIC + struct.pack("<IBIIIH", 0, EventType.FORMAT_DESCRIPTION, 1, 2**31, 4, 0) + bytes(99),
        CorruptLogError,
        "says that it has 2147483648 bytes",
    ),
}


@pytest.mark.parametrize("name", FRONTS)
def test_what_is_no_binlog_of_a_server_is_refused_by_what_it_is(tmp_path: Path, name: str) -> None:
    data, error, words = FRONTS[name]
    (tmp_path / "b.000001").write_bytes(data)
    with pytest.raises(error, match=words):
        read(tmp_path)


def _flagged(data: bytes) -> bytes:
    return data[:21] + bytes([data[21] | 0x40]) + data[22:]


def _with_a_rotate_of_the_source(data: bytes) -> bytes:
    at = 4 + int.from_bytes(data[13:17], "little")
    return data[:at] + Writer().artificial_rotate("source-bin.000007", 4)[1:] + data[at:]


@pytest.mark.parametrize("made", [_flagged, _with_a_rotate_of_the_source])
def test_relay_logs_are_refused_as_such(tmp_path: Path, made: Callable[[bytes], bytes]) -> None:
    file = binlog(1)
    (tmp_path / file.name).write_bytes(made(bytes(file.data)))
    with pytest.raises(UnsupportedError, match=r"b\.000001 is a relay log"):
        read(tmp_path)


def test_files_are_one_stream(tmp_path: Path) -> None:
    files = [binlog(1, next_number=2), binlog(2, next_number=3, previous=gtids_to(1), checksum=False)]
    files.append(binlog(3, previous=gtids_to(2)))
    for file in files:
        file.write(tmp_path)
    events = read(tmp_path, executed=("", gtids_to(1), gtids_to(2)))
    assert [name for name, kind, _ in events if kind == EventType.XID] == [file.name for file in files]
    assert events[-1] == ("b.000003", EventType.XID, files[-1].end)


def test_reading_begins_in_the_middle_of_a_file(tmp_path: Path) -> None:
    file = binlog(1)
    middle = file.end
    file.transaction(2).write(tmp_path)
    kinds = [kind for _, kind, _ in read(tmp_path, middle)]
    assert kinds == [EventType.GTID, EventType.QUERY, EventType.XID]


def test_a_missing_file_is_named_by_its_neighbours(tmp_path: Path) -> None:
    for number in (1, 2, 4):
        binlog(number).write(tmp_path)
    with pytest.raises(
        LogPurgedError, match=r"what comes behind b\.000002: b\.000002 is followed by b\.000004"
    ):
        checked_files(find_files(tmp_path), "b.000001")
    assert [file.name for file in checked_files(find_files(tmp_path), "b.000004")] == ["b.000004"]
    with pytest.raises(LogPurgedError, match=r"has no b\.000003, .*it has b\.000001 to b\.000004"):
        checked_files(find_files(tmp_path), "b.000003")


def test_rotate_names_the_file_that_must_follow(tmp_path: Path) -> None:
    binlog(1, next_number=7).write(tmp_path)
    binlog(2).write(tmp_path)
    with pytest.raises(LogPurgedError, match=r"lacks b\.000007: b\.000001 is followed by b\.000002"):
        read(tmp_path)


def test_a_file_before_which_more_was_executed_does_not_follow(tmp_path: Path) -> None:
    binlog(1).add(EventType.STOP).write(tmp_path)
    binlog(2, previous=gtids_to(5)).write(tmp_path)
    with pytest.raises(DivergedError, match=r"b\.000002 does not follow what"):
        read(tmp_path, executed=("", gtids_to(1)))


@pytest.mark.parametrize("cut", [1, 4, 20, 29])
def test_an_event_that_is_cut_short_is_an_error(tmp_path: Path, cut: int) -> None:
    file = binlog(1)
    (tmp_path / file.name).write_bytes(file.data[:-cut])
    with pytest.raises(CorruptLogError, match=r"b\.000001:\d+: the file ends inside an event"):
        read(tmp_path)


@pytest.mark.parametrize("cut", [1, 4, 20, 29])
def test_in_the_last_file_that_is_still_written_reading_ends_before_it(tmp_path: Path, cut: int) -> None:
    file = binlog(1, in_use=True)
    (tmp_path / file.name).write_bytes(file.data[:-cut])
    assert [kind for _, kind, _ in read(tmp_path)][-1] == EventType.QUERY


def test_a_file_that_was_copied_while_it_was_written_cannot_have_a_successor(tmp_path: Path) -> None:
    binlog(1, in_use=True).write(tmp_path)
    binlog(2).write(tmp_path)
    with pytest.raises(CorruptLogError, match=r"b\.000001:\d+: .*still wrote it.*copy it again"):
        read(tmp_path)


@pytest.mark.parametrize(("stop", "warnings"), [(True, 0), (False, 1)])
def test_a_file_that_just_ends_is_suspicious(tmp_path: Path, stop: bool, warnings: int) -> None:
    file = binlog(1)
    if stop:
        file.add(EventType.STOP)
    file.write(tmp_path)
    binlog(2).write(tmp_path)
    dump = FilesDump(find_files(tmp_path), 4)
    assert [*dump.events()]
    assert len(dump.warnings) == warnings


@pytest.mark.parametrize("zeros", [1, 18, 19, 4096])
def test_trailing_zeros_are_an_error_unless_the_file_is_still_written(tmp_path: Path, zeros: int) -> None:
    closed, open_file = binlog(1), binlog(1, in_use=True)
    (tmp_path / "b.000001").write_bytes(closed.data + bytes(zeros))
    with pytest.raises(CorruptLogError, match=rf"b\.000001:{closed.end}: "):
        read(tmp_path)
    (tmp_path / "b.000001").write_bytes(open_file.data + bytes(zeros))
    assert read(tmp_path)[-1] == ("b.000001", EventType.XID, open_file.end)


def test_a_wrong_checksum_is_an_error_with_its_place(tmp_path: Path) -> None:
    file = binlog(1)
    file.data[-6] ^= 1
    file.write(tmp_path)
    with pytest.raises(CorruptLogError, match=r"b\.000001:\d+: the checksum of XID \(16\) is wrong"):
        read(tmp_path)


def test_damage_ends_an_extraction_with_the_way_out(tmp_path: Path) -> None:
    file = binlog(1)
    file.data[-6] ^= 1
    file.write(tmp_path)
    thl = open_storage(str(tmp_path / "thl"))
    with pytest.raises(CorruptLogError, match="is wrong.*copy it again.*begin another log behind the place"):
        extract_files("shop", FilesSource(tmp_path), thl, token=new_token())


def test_where_a_new_log_begins(tmp_path: Path) -> None:
    for number in (1, 2):
        binlog(number, next_number=number + 1, previous=gtids_to(number - 1)).write(tmp_path)
    files = find_files(tmp_path)
    place = first_place(files, Start.parse("earliest"))
    assert (place.server_uuid, place.file, place.position, place.gtid_executed) == ("", "b.000001", 4, "")
    behind = binlog(2, previous=gtids_to(1)).end
    place = first_place(files, Start.parse(f"b.000002:{behind}"))
    assert (place.file, place.position, place.gtid_executed) == ("b.000002", behind, gtids_to(2))
    place = first_place(files, Start.parse(gtids_to(1)))
    assert (place.file, place.position, place.gtid_executed) == ("b.000002", 4, gtids_to(1))


def test_no_transaction_begins_there(tmp_path: Path) -> None:
    binlog(1).write(tmp_path)
    files = find_files(tmp_path)
    for start in ("b.000001:5", "b.000001:999999"):
        with pytest.raises(ConfigurationError, match="no transaction begins there"):
            first_place(files, Start.parse(start))
    with pytest.raises(ConfigurationError, match="files have no `now`"):
        first_place(files, Start.parse("now"))


def test_files_that_begin_behind_the_gtid_set(tmp_path: Path) -> None:
    binlog(9, previous=gtids_to(8)).write(tmp_path)
    with pytest.raises(LogPurgedError, match=r"b\.000009 begins behind"):
        first_place(find_files(tmp_path), Start.parse(gtids_to(3)))


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no binlog files"):
        find_files(tmp_path / "nowhere")


def test_the_head_of_a_file_tells_what_went_before(tmp_path: Path) -> None:
    file = binlog(3, previous=gtids_to(2), in_use=True)
    file.write(tmp_path)
    head = read_head(find_files(tmp_path)[0])
    assert (head.in_use, str(head.previous_gtids), head.description.checksum) == (True, gtids_to(2), 1)
