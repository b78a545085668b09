"""What cannot be appended to the log ends an extraction: nothing that was read behind it may be there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_provider_tungsten.replicator import assembler
from airflow_provider_tungsten.replicator.binlog.constants import EventType
from airflow_provider_tungsten.replicator.errors import CorruptLogError, StorageError, TungstenError
from airflow_provider_tungsten.replicator.file_extractor import FilesSource, extract_files
from airflow_provider_tungsten.replicator.source.files import MAGIC
from airflow_provider_tungsten.replicator.storage import LocalStorage, new_token
from airflow_provider_tungsten.replicator.thl.log import Log
from airflow_provider_tungsten.replicator.thl.writer import LogWriter
from airflow_provider_tungsten.replicator.xa import XaStore
from tests.unit.replicator.events import FILE, UUID, Events
from tests.unit.replicator.streams import on_the_wire
from tests.unit.replicator.test_transactions import PREPARE, XID


class Case:
    """A file that grows, and the log that is made of it."""

    def __init__(self, folder: Path) -> None:
        self.made = Events(4)
        self._file = folder / FILE
        self._storage = LocalStorage(folder / "thl")
        self._events = [self.made.server()]

    def add(self, kind: str) -> None:
        made = self.made
        if kind == "prepare":
            self._events += [made.gtid(), made.query(f"XA START {XID}"), *made.one_row()]
            self._events += [made.query(f"XA END {XID}"), made.event(EventType.XA_PREPARE, PREPARE)]
        elif kind == "commit":
            self._events += [made.gtid(), made.query(f"XA COMMIT {XID}")]
        else:
            self._events += made.transaction()

    def extract(self, segment_events: int = 500_000) -> None:
        self._file.write_bytes(MAGIC + on_the_wire(self._events))
        source = FilesSource(self._file, segment_events=segment_events)
        extract_files("shop", source, self._storage, token=new_token())

    @property
    def gtids(self) -> list[str]:
        """Of the transactions in the log, by their numbers."""
        log = Log(self._storage, "shop")
        head = log.head()
        assert head is not None
        return [
            event.gtid.removeprefix(f"{UUID}:") for event in log.scan(0, head.last) if event.kind == "insert"
        ]

    def xa_object(self) -> Path:
        (path,) = Path(self._storage.sub("shop").sub("xa").url).iterdir()
        return path


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def _once(error: TungstenError, method: Callable[..., object]) -> Callable[..., object]:
    errors = [error]

    def failing(*values: object) -> object:
        if errors:
            raise errors.pop()
        return method(*values)

    return failing


def test_behind_a_segment_that_could_not_be_written_nothing_follows(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assembler, "GROUP_EVENTS", 1)
    case.add("rows")
    case.extract()
    for _ in range(3):
        case.add("rows")
    monkeypatch.setattr(LogWriter, "_create", _once(CorruptLogError("damaged"), LogWriter._create))
    with pytest.raises(StorageError, match="^damaged$"):
        case.extract(segment_events=1)
    assert case.gtids == ["1"]
    case.extract(segment_events=1)
    assert case.gtids == ["1", "2", "3", "4"]


def test_prepared_rows_that_are_damaged_stop_where_they_are_committed(case: Case) -> None:
    case.add("prepare")
    case.extract()
    content = case.xa_object().read_bytes()
    case.xa_object().write_bytes(content[:-1])
    for kind in ("rows", "commit", "rows"):
        case.add(kind)
    for _ in range(2):
        with pytest.raises(CorruptLogError, match="is cut short: restore it from a copy"):
            case.extract()
        assert case.gtids == ["2"]
    case.xa_object().write_bytes(content)
    case.extract()
    assert case.gtids == ["2", "3", "4"]


def test_prepared_rows_that_cannot_be_read_twice_are_not_passed_over(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    case.add("prepare")
    case.extract()
    for kind in ("rows", "commit", "rows"):
        case.add(kind)
    read = XaStore._read

    def damaged_later(store: XaStore, xid: str, name: str) -> object:
        found = read(store, xid, name)
        found.fragments._file.truncate(300)  # type: ignore[attr-defined]
        return found

    monkeypatch.setattr(XaStore, "_read", damaged_later)
    with pytest.raises(StorageError, match="is cut short"):
        case.extract()
    monkeypatch.undo()
    case.extract()
    assert case.gtids == ["2", "3", "4"]
