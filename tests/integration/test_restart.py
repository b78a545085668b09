"""Extraction that ends anywhere and goes on, on a source that rotates, restarts, purges its log and changes its ways."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_tungsten.replicator.errors import (
    ConfigurationError,
    CorruptLogError,
    DivergedError,
    LogPurgedError,
    WriteConflictError,
)
from airflow_provider_tungsten.replicator.extractor import extract, reposition
from airflow_provider_tungsten.replicator.runner import Connections
from airflow_provider_tungsten.replicator.service import Start
from airflow_provider_tungsten.replicator.source.stream import Replica, open_dump
from airflow_provider_tungsten.replicator.status import read_status
from airflow_provider_tungsten.replicator.storage import Storage, new_token, open_storage
from airflow_provider_tungsten.replicator.thl.event import ThlEvent
from tests.integration.extraction import SERVER_ID, Extraction, endpoint
from tests.integration.following import TABLE, check_gapless, following, insert, prepare, purge, reset
from tests.stack.mysql import MySQL


def test_tasks_of_any_length_add_up_to_the_log(server: MySQL, tmp_path: Path) -> None:
    extraction = following(server, tmp_path)
    insert(server, 12)
    for transactions in (1, 4, 2, 3, 5):
        extraction.run(limits={"max_transactions": transactions})
    check_gapless(extraction, 12)


def test_rotation_between_tasks_and_inside_one(server: MySQL, tmp_path: Path) -> None:
    extraction = following(server, tmp_path)
    for _ in range(3):
        insert(server)
        server.execute("FLUSH BINARY LOGS")
    extraction.run()
    insert(server)
    extraction.run()
    server.execute("FLUSH BINARY LOGS")
    extraction.run()
    insert(server)
    extraction.run()
    check_gapless(extraction, 5)
    assert extraction.kinds().count("position") == 1


def test_a_log_that_was_read_may_be_purged(server: MySQL, tmp_path: Path) -> None:
    extraction = following(server, tmp_path)
    insert(server)
    server.execute("FLUSH BINARY LOGS")
    extraction.run()
    server.execute(f"PURGE BINARY LOGS TO '{server.execute('SHOW BINARY LOGS')[-1][0]}'")
    insert(server)
    extraction.run()
    check_gapless(extraction, 2)


def test_restart_and_crash_of_the_server(server: MySQL, tmp_path: Path) -> None:
    extraction = following(server, tmp_path)
    insert(server)
    server.restart()
    insert(server)
    extraction.run()
    insert(server)
    server.kill()
    server.start()
    insert(server)
    extraction.run()
    check_gapless(extraction, 4)


def source_error(extraction: Extraction) -> str | None:
    """What status says of the next extraction."""
    connections = Connections(
        mysql=lambda connection: endpoint(extraction.mysql),
        store=lambda store: open_storage(store.url),
        redshift=lambda *names: None,  # type: ignore[arg-type, return-value]
    )
    return read_status(extraction.service(), [], connections).error


def test_a_purged_position_has_its_own_error_and_reposition_records_the_gap(
    server: MySQL, tmp_path: Path
) -> None:
    extraction = following(server, tmp_path)
    insert(server)
    extraction.run()
    left = extraction.events()[-1].event_id
    insert(server)
    server.execute("FLUSH BINARY LOGS")
    assert source_error(extraction) is None
    purge(server)
    insert(server)
    with pytest.raises(LogPurgedError, match="parameter `reposition`") as caught:
        extraction.run()
    assert source_error(extraction) == str(caught.value)
    assert extraction.kinds() == ["insert t 1"]

    def repositioned() -> ThlEvent:
        service, start = extraction.service(), Start(at="earliest")
        return reposition(
            service, endpoint(server), extraction.storage, start, token=new_token(), reason="purged"
        )

    record = repositioned()
    extraction.run()
    assert source_error(extraction) is None
    assert repositioned().seqno == record.seqno
    assert extraction.kinds() == ["insert t 1", "gap", "insert t 1"]
    gap, after = extraction.events(2)
    assert (gap.seqno, gap.epoch_number, after.epoch_number) == (2, 2, 2)
    assert gap == record._replace(payload_bytes=0)
    assert (gap.options or {})["from_event_id"].split(";")[0] == left.split(";")[0]
    assert (gap.options or {})["reason"] == "purged"


def test_files_that_are_purged_when_they_were_read_lose_nothing(gtid_server: MySQL, tmp_path: Path) -> None:
    extraction = following(gtid_server, tmp_path)
    insert(gtid_server)
    extraction.run()
    for _ in range(2):
        purge(gtid_server)
    assert source_error(extraction) is None
    extraction.run()
    insert(gtid_server)
    extraction.run()
    assert extraction.kinds() == ["insert t 1", "position", "insert t 1"]
    check_gapless(extraction, 2)
    insert(gtid_server)
    lost = re.split(r"[:-]", gtid_server.execute("SELECT @@gtid_executed")[0][0])[-1]
    purge(gtid_server)
    with pytest.raises(LogPurgedError, match=rf"Lost to this service: [0-9a-f-]+:{lost}\. Start") as caught:
        extraction.run()
    assert source_error(extraction) == str(caught.value)


def test_a_source_that_was_reset_to_a_later_file_and_grew_past_the_old_gtids_is_noticed(
    gtid_server: MySQL, tmp_path: Path
) -> None:
    reset(gtid_server)
    extraction = following(gtid_server, tmp_path)
    insert(gtid_server)
    extraction.run()
    gtid_server.execute("RESET BINARY LOGS AND GTIDS TO 1000")
    insert(gtid_server, 3)
    with pytest.raises(LogPurgedError, match="Lost to this service: whatever it held"):
        extraction.run()


def test_without_gtids_nobody_can_tell_what_purged_files_held(plain_server: MySQL, tmp_path: Path) -> None:
    extraction = following(plain_server, tmp_path)
    insert(plain_server)
    extraction.run()
    purge(plain_server)
    with pytest.raises(LogPurgedError, match="Lost to this service: whatever it held"):
        extraction.run()


def test_a_start_behind_which_log_was_purged_is_refused(gtid_server: MySQL, tmp_path: Path) -> None:
    insert(gtid_server)
    purge(gtid_server)
    server_uuid = gtid_server.execute("SELECT @@server_uuid")[0][0]
    extraction = Extraction(gtid_server, tmp_path / "thl", start={"gtid_set": f"{server_uuid}:1"})
    with pytest.raises(LogPurgedError, match="has purged transactions"):
        extraction.run()
    assert extraction.log.head() is None


def test_gtids_with_tags_are_read_and_remembered(gtid_server: MySQL, tmp_path: Path) -> None:
    extraction = following(gtid_server, tmp_path)
    for number in range(3):
        with gtid_server.connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"SET gtid_next = 'AUTOMATIC{':night' if number != 1 else ''}'")
            cursor.execute(f"INSERT INTO {TABLE} (v) VALUES (1)")
        extraction.run()
    check_gapless(extraction, 3)
    assert [":night:" in event.gtid for event in extraction.events(1)] == [True, False, True]
    head = extraction.log.head()
    assert head is not None
    executed = gtid_server.execute("SELECT @@gtid_executed")[0][0].replace("\n", "")
    assert head.resume.gtid_executed == executed


def test_a_wrong_checksum_stops_unless_checksums_are_not_verified(
    reset_server: MySQL, tmp_path: Path
) -> None:
    insert(reset_server)
    file, *_, end, _ = next(
        row for row in reset_server.execute("SHOW BINLOG EVENTS") if row[2] == "Write_rows"
    )
    with (reset_server.data / file).open("r+b") as log:
        log.seek(end - 5)  # the row's last byte, in front of the checksum
        log.write(b"\x7f")
    extraction = Extraction(reset_server, tmp_path / "thl", start="earliest")
    with pytest.raises(
        CorruptLogError, match=rf"{file}:\d+: the checksum of WRITE_ROWS \(30\) is wrong.*`reposition`"
    ):
        extraction.run()
    assert extraction.run(verify_checksum=False).transactions == 1


@pytest.mark.parametrize(
    ("file", "position", "error"),
    [
        ("mysql-bin.000001", 5, DivergedError),
        ("mysql-bin.000001", 1_000_000_000, DivergedError),
        ("mysql-bin.000001", 5_000_000_000, DivergedError),
        ("mysql-bin.000099", 4, LogPurgedError),
    ],
)
def test_what_the_server_says_to_a_place_that_is_not_there(
    file: str, position: int, error: type[Exception], reset_server: MySQL
) -> None:
    insert(reset_server)
    replica = Replica(endpoint(reset_server), SERVER_ID, "test")
    with open_dump(replica, file, position) as dump, pytest.raises(error, match=f"{file}:{position}: "):
        list(dump.events())


def test_a_start_that_is_not_there(reset_server: MySQL, tmp_path: Path) -> None:
    reset_server.execute("FLUSH BINARY LOGS", "PURGE BINARY LOGS TO 'mysql-bin.000002'")
    for event_id, error in {
        "mysql-bin.000001:4": LogPurgedError,
        "mysql-bin.000003:4": ConfigurationError,
    }.items():
        with pytest.raises(error, match=event_id):
            Extraction(reset_server, tmp_path / "thl", start={"event_id": event_id}).run()


def test_checksums_may_come_and_go(server: MySQL, tmp_path: Path) -> None:
    extraction = following(server, tmp_path)
    try:
        for algorithm in ("NONE", "CRC32", "NONE"):
            insert(server)
            server.execute(f"SET GLOBAL binlog_checksum = {algorithm}")
            insert(server)
            extraction.run(limits={"max_transactions": 1})
    finally:
        server.execute("SET GLOBAL binlog_checksum = CRC32")
    extraction.run()
    check_gapless(extraction, 6)


def test_gtids_may_be_switched_off_and_on_but_not_before_what_was_logged_was_read(tmp_path: Path) -> None:
    def switch(server: MySQL, *modes: str) -> None:
        server.execute(*(f"SET GLOBAL gtid_mode = {mode}" for mode in modes))

    with MySQL(tmp_path / "mysql") as server:
        prepare(server)
        extraction = following(server, tmp_path)
        for first, permissive, mode in (
            ("ON_PERMISSIVE", "OFF_PERMISSIVE", "OFF"),
            ("OFF_PERMISSIVE", "ON_PERMISSIVE", "ON"),
        ):
            insert(server)
            switch(server, first, permissive, mode)
            with pytest.raises(ConfigurationError, match="to OFF_PERMISSIVE or ON_PERMISSIVE, until"):
                extraction.run()
            switch(server, permissive)
            extraction.run()
            insert(server)
            switch(server, mode)
            insert(server)
            extraction.run()
    check_gapless(extraction, 6)


def test_an_idle_source_has_no_lag_and_makes_no_seqno(server: MySQL, tmp_path: Path) -> None:
    extraction = following(server, tmp_path)
    insert(server)
    extraction.run()
    result = extraction.run()
    assert (result.lag_seconds, result.first, result.reason) == (0.0, None, "head")
    check_gapless(extraction, 1)


def test_files_are_in_order_beyond_a_million(tmp_path: Path) -> None:
    with MySQL(tmp_path / "mysql") as server:
        prepare(server)
        server.stop()
        index = server.data / "mysql-bin.index"
        newest = index.read_text().split()[-1]
        (server.data / newest).rename(server.data / "mysql-bin.999999")
        index.write_text("./mysql-bin.999999\n")
        server.start()
        insert(server)
        gtids = server.execute("SELECT @@gtid_executed")[0][0]
        for start in ({"at": "earliest"}, {"gtid_set": gtids}):
            extraction = Extraction(server, tmp_path / next(iter(start)), start=start)
            extraction.run()
            insert(server)
            extraction.run()
            event_id = extraction.events()[-1].event_id
            assert event_id.startswith("mysql-bin.1000000:")
        server.execute("PURGE BINARY LOGS TO 'mysql-bin.1000000'")
        extraction.run()
        insert(server)
        purge(server)
        with pytest.raises(LogPurgedError, match=r"no longer has mysql-bin\.1000000"):
            extraction.run()


# Ends that nobody planned


EXTRACT_FOREVER = """
import json, sys
from airflow_provider_tungsten.replicator.extractor import extract
from airflow_provider_tungsten.replicator.service import parse_service
from airflow_provider_tungsten.replicator.source.connection import MySQLEndpoint
from airflow_provider_tungsten.replicator.storage import new_token, open_storage

arguments = json.load(sys.stdin)
service = parse_service(arguments["service"])
while True:
    extract(service, MySQLEndpoint(**arguments["endpoint"]), open_storage(service.thl.url), token=new_token("child"))
"""


def killed_extraction(extraction: Extraction, seconds: float) -> None:
    settings = extraction.service(segment_events=20, limits={"max_transactions": 50}).model_dump(mode="json")
    settings["source"]["start"] = {
        name: value for name, value in settings["source"]["start"].items() if value is not None
    }
    arguments = json.dumps({"service": settings, "endpoint": asdict(endpoint(extraction.mysql))})
    child = subprocess.Popen(
        [sys.executable, "-c", EXTRACT_FOREVER], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    assert child.stdin is not None
    child.stdin.write(arguments)
    child.stdin.close()
    before = len(list(extraction.folder.rglob("*.parquet")))
    while len(list(extraction.folder.rglob("*.parquet"))) == before and child.poll() is None:
        time.sleep(0.01)
    time.sleep(seconds)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL


def test_kill_9_at_any_point_loses_and_doubles_nothing(server: MySQL, tmp_path: Path) -> None:
    extraction = following(server, tmp_path)
    insert(server, 1500)
    for seconds in (0.0, 0.03, 0.2):
        killed_extraction(extraction, seconds)
    extraction.run()
    check_gapless(extraction, 1500)


class Racing:
    """A store in which another extractor publishes just before our next segment."""

    def __init__(self, inner: Storage, other: Extraction) -> None:
        self._inner = inner
        self._other = other

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def sub(self, prefix: str) -> Racing:
        return Racing(self._inner.sub(prefix), self._other)

    def create(self, key: str, source: bytes | Path, *, token: str) -> None:
        extract(
            self._other.service(),
            endpoint(self._other.mysql),
            self._other.storage,
            token=new_token("the winner"),
        )
        self._inner.create(key, source, token=token)


def test_of_two_extractors_on_one_log_one_wins_and_the_other_says_who(server: MySQL, tmp_path: Path) -> None:
    extraction = following(server, tmp_path)
    insert(server, 3)
    racing: Any = Racing(extraction.storage, extraction)
    with pytest.raises(WriteConflictError, match="the winner"):
        extract(extraction.service(), endpoint(server), racing, token=new_token("the loser"))
    check_gapless(extraction, 3)
    insert(server)
    extraction.run()
    check_gapless(extraction, 4)


def test_two_first_starts_at_once(server: MySQL, tmp_path: Path) -> None:
    extraction = Extraction(server, tmp_path / "thl")
    racing: Any = Racing(extraction.storage, extraction)
    with pytest.raises(WriteConflictError, match="the winner"):
        extract(extraction.service(), endpoint(server), racing, token=new_token("the loser"))
    insert(server)
    extraction.run()
    check_gapless(extraction, 1)
