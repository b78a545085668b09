"""Rows of a real MySQL that are larger than a record of the log: in files they are what the server holds."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from airflow_provider_tungsten.replicator.batch.chain import Chain
from airflow_provider_tungsten.replicator.batch.writer import write_batch
from airflow_provider_tungsten.replicator.cli.listing import lines
from airflow_provider_tungsten.replicator.storage import open_storage
from airflow_provider_tungsten.replicator.thl.columns import GROUP_BYTES
from tests.integration.extraction import Extraction
from tests.stack.mysql import MySQL

STATE = "SELECT id, SHA2(b, 256), SHA2(t, 256), SHA2(CAST(j AS CHAR), 256) FROM large ORDER BY id"
INSERT = """INSERT INTO large SELECT n, REPEAT(RANDOM_BYTES(1021), 5000 + n),
    REPEAT(CONCAT('say "é", 😀\\n', UUID()), 90000), CAST(CONCAT('[', REPEAT('"x\\\\\\"", 1.5, ', 100000), n, ']') AS JSON)
    FROM (SELECT 1 AS n UNION ALL SELECT 2) AS numbers"""
UPDATE = "UPDATE large SET b = CONCAT(b, 'x'), t = REVERSE(t), j = JSON_SET(j, '$[1]', 'other')"


def hashed(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


@pytest.mark.parametrize("compressed", ["OFF", "ON"])
def test_large_rows_are_in_files_what_they_are_in_the_server(
    mysql: MySQL, database: str, tmp_path: Path, compressed: str
) -> None:
    mysql.execute(
        "CREATE TABLE large (id INT PRIMARY KEY, b LONGBLOB, t LONGTEXT, j JSON)", database=database
    )
    source = Extraction(mysql, tmp_path / "thl", include=[f"{database}.*"], applier="s3")
    source.run()
    states = []
    for statement in (INSERT, UPDATE, "DELETE FROM large"):
        settings = f"SET SESSION binlog_transaction_compression = {compressed}"
        mysql.execute(settings, statement, database=database)
        states.append(mysql.execute(STATE, database=database))
    inserted, updated, deleted = states
    assert deleted == ()
    wanted = [("I", *row) for row in inserted]
    for old, new in zip(inserted, updated, strict=True):
        wanted += [("D", *old), ("I", *new)]
    wanted += [("D", *row) for row in updated]
    source.run()

    events = source.events(1)
    assert min(event.payload_bytes for event in events) > GROUP_BYTES
    assert [info.format for info in source.log.segments(0)] == [1, 2]
    assert [(event.seqno, event.fragno, event.kind) for event in source.log.scan(1)] == [
        (event.seqno, event.fragno, event.kind) for event in events
    ]
    shown = "\n".join(line for event in events for line in lines(event, "shop", specs=False, large=False))
    assert shown.count("<...>") == 8 * 3
    assert len(shown) < 100_000

    store = open_storage(str(tmp_path / "files")).sub("shop").sub("s3")
    service = source.service()
    plans = Chain(store, source.log, service, "s3").extend(token="t", limit=9, waiting=False)
    found = []
    for plan in plans:
        for table in write_batch(source.log, plan, service, "s3", store, token="t").tables:
            found += [row for part in table.parts for row in read(store.read(part.key))]
    assert found == wanted


def read(part: bytes) -> Iterator[tuple[str, int, str, str, str]]:
    csv.field_size_limit(1 << 30)
    text = zstandard.ZstdDecompressor().stream_reader(part).read().decode()
    for opcode, _, _, _, key, blob, note, document in csv.reader(io.StringIO(text, newline="")):
        yield (
            opcode,
            int(key),
            hashed(bytes.fromhex(blob)),
            hashed(note.encode()),
            hashed(document.encode()),
        )
