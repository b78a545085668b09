"""What rows that are large by themselves take in memory: about as much as the largest event, however many there are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from airflow_provider_tungsten.replicator.batch.chain import Chain
from airflow_provider_tungsten.replicator.batch.writer import write_batch
from airflow_provider_tungsten.replicator.binlog.constants import EventType
from airflow_provider_tungsten.replicator.binlog.framing import Event, EventStream
from airflow_provider_tungsten.replicator.cli.listing import rows_of
from airflow_provider_tungsten.replicator.file_extractor import FilesSource, extract_files
from airflow_provider_tungsten.replicator.service import parse_service
from airflow_provider_tungsten.replicator.source.files import MAGIC
from airflow_provider_tungsten.replicator.storage import open_storage
from airflow_provider_tungsten.replicator.thl.log import Log
from airflow_provider_tungsten.replicator.thl.writer import LogWriter
from tests.unit.replicator.binlog.wire import packets
from tests.unit.replicator.events import FILE, Events
from tests.unit.replicator.streams import on_the_wire
from tests.unit.replicator.test_assembler import assembler
from tests.unit.replicator.test_memory import MIB, measured

# TABLE_MAP of CREATE TABLE a.t (id INT PRIMARY KEY, v LONGBLOB).
TABLE_MAP = bytes.fromhex(
    "7100000000000100 016100 017400 02 03fc 01 04 02 01 01 00 02 01 3f 04 05 02 6964 01 76 08 01 00 0c 01 c0"
)
# Table id, flags, length of extra data, two columns, all of them before and after.
UPDATE = bytes.fromhex("710000000000 0100 0200 02 ff ff")
ROW = 33 * MIB  # beyond what malloc keeps when it is freed
ROWS = 4
# An update's event once, and what a step takes for itself. Twice the event, or it and a row's hexadecimal text, is more.
MOST = 2 * ROW + 96 * MIB


def large_log() -> list[Event]:
    """One transaction of rows that cannot be compressed, each of more than a packet holds."""
    made = Events(4)
    image = b"\0\x01\0\0\0" + ROW.to_bytes(4, "little") + os.urandom(ROW)
    begin = [made.server(), made.gtid(), made.query("BEGIN"), made.event(EventType.TABLE_MAP, TABLE_MAP)]
    rows = [
        made.event(EventType.UPDATE_ROWS, UPDATE + image * 2) if number % 2 else made.rows(image)
        for number in range(ROWS)
    ]
    return [*begin, *rows, made.event(EventType.XID, bytes(8))]


@pytest.fixture
def binlog(tmp_path: Path) -> Path:
    file = tmp_path / FILE
    file.write_bytes(MAGIC + on_the_wire(large_log()))
    return file


def extracted(binlog: Path) -> int:
    thl = open_storage(str(binlog.parent / "thl"))
    return extract_files("shop", FilesSource(binlog), thl, token="t").rows


def test_how_many_large_rows_a_log_has_makes_no_difference_to_its_extraction(binlog: Path) -> None:
    found, grown = measured(lambda: extracted(binlog))
    assert found == ROWS
    assert grown < MOST, grown


def test_a_large_row_is_joined_out_of_packets_once(tmp_path: Path) -> None:
    wire = packets(b"\0" + on_the_wire([event]) for event in large_log())

    def work() -> object:
        taking, stream = assembler(), EventStream(FILE, 4)
        with LogWriter(open_storage(str(tmp_path)), "shop", "uuid", token="t") as writer:
            taking.next_seqno = 0
            for start in range(0, len(wire), MIB):
                for _ in taking.feed(stream, memoryview(wire)[start : start + MIB]):
                    writer.add_tables(taking.drain())
            writer.add_tables(taking.drain())
            writer.commit(taking.resume)
        return taking.rows

    found, grown = measured(work)
    assert found == ROWS
    assert grown < MOST, grown


def test_how_many_large_rows_a_batch_has_makes_no_difference_to_its_files(binlog: Path) -> None:
    extracted(binlog)
    folder = open_storage(str(binlog.parent))
    service = parse_service(
        {
            "service": "shop",
            "source": {"connection": "shop", "server_id": 1, "include": ["a.*"]},
            "thl": {"url": "/thl"},
            "appliers": {"lake": {"type": "s3", "files": {"url": "s3://lake/files"}}},
        }
    )

    def work() -> object:
        log, store = Log(folder.sub("thl"), "shop"), folder.sub("files").sub("shop").sub("lake")
        plans = Chain(store, log, service, "lake").extend(token="t", limit=9, waiting=False)
        return sum(write_batch(log, plan, service, "lake", store, token="t").total_rows for plan in plans)

    found, grown = measured(work)
    assert found == ROWS + ROWS // 2  # an update is two lines
    assert grown < MOST, grown


def test_large_rows_are_shown_one_by_one(binlog: Path) -> None:
    extracted(binlog)
    log = Log(open_storage(str(binlog.parent / "thl")), "shop")

    def work() -> object:
        found = 0
        for event in log.read(0, 1):
            found += sum(1 for _ in rows_of(event, large=True, most=1000))
            del event
        return found

    found, grown = measured(work)
    assert found == ROWS
    assert grown < MOST, grown
