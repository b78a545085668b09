"""What planning and CSV take in memory, however large a value is, whatever its type and what is made of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from airflow_provider_tungsten.replicator.batch.chain import Chain
from airflow_provider_tungsten.replicator.batch.writer import write_batch
from airflow_provider_tungsten.replicator.binlog.constants import ColumnType
from airflow_provider_tungsten.replicator.binlog.definition import Column, TableDefinition
from airflow_provider_tungsten.replicator.service import Service, parse_service
from airflow_provider_tungsten.replicator.spool import Fragment, TableKey
from airflow_provider_tungsten.replicator.storage import Storage, open_storage
from airflow_provider_tungsten.replicator.thl.event import Kind
from airflow_provider_tungsten.replicator.thl.log import Log
from airflow_provider_tungsten.replicator.thl.pieces import in_pieces
from tests.unit.replicator.batch.logs import events
from tests.unit.replicator.test_memory import MIB, measured
from tests.unit.replicator.thl.support import EPOCH, SECOND, new_log, resume

LARGE = 96 * MIB
MOST = 150 * MIB  # two thirds of it are what any value takes: the log that is read, and the parts
ID = Column("id", "int", ColumnType.LONG)
BLOB = Column("v", "longblob", ColumnType.BLOB, 4)
TEXT = Column("v", "longtext", ColumnType.BLOB, 4, charset="utf8mb4")
LATIN = Column("v", "longtext", ColumnType.BLOB, 4, charset="latin1")
UTF16 = Column("v", "longtext", ColumnType.BLOB, 4, charset="utf16")
JSON = Column("v", "json", ColumnType.JSON, 4)
SPOT = Column("v", "geometry", ColumnType.GEOMETRY, 4)
WORDS = 'say "é",\n\\N中😀 and "plain words" besides; '
HIDDEN = {"filter": "mask", "columns": ["big.t.v"], "sha256": {"env": "SALT"}}
CUT = {"filter": "truncatetext", "columns": ["big.t.v"], "length": 100}
DROPPED = {
    "filter": "droponvalue",
    "definitions": [{"schema": "big", "table": "t", "column": "id", "values": ["7"]}],
}


class Case(NamedTuple):
    """What lies in the log, and how it becomes CSV. ``lines``: how many come out of it."""

    column: Column
    unit: bytes
    head: bytes = b""
    kind: Kind = Kind.INSERT
    rows: int = 1
    key: tuple[str, ...] = ("id",)
    csv: dict[str, Any] = {}
    exclude: bool = False
    filters: tuple[dict[str, Any], ...] = ()
    lines: int = 1


def counted(length: int) -> bytes:
    """A length as JSON has it: seven bits a byte."""
    found = b""
    while length > 127:
        found, length = found + bytes([length & 127 | 128]), length >> 7
    return found + bytes([length])


INTEGERS = LARGE // 5
CASES = {
    "bytes": Case(BLOB, os.urandom(MIB)),
    "text whose marks are doubled": Case(TEXT, WORDS.encode()),
    "text with escapes, of an update whose rows both are written": Case(
        TEXT, WORDS.encode(), kind=Kind.UPDATE, csv={"preset": "mysql"}, lines=2
    ),
    "text of another character set": Case(UTF16, WORDS.encode("utf-16-be")),
    "text of another character set, without some characters": Case(
        LATIN, bytes(range(1, 256)), csv={"suppressed_characters": ";\t"}
    ),
    "JSON of one string": Case(JSON, b'a "quoted" text\n', b"\x0c" + counted(LARGE // 16 * 16)),
    "JSON of many members": Case(
        JSON,
        b"\x05\x07\0\0\0",
        b"\x03" + INTEGERS.to_bytes(4, "little") + (8 + 5 * INTEGERS).to_bytes(4, "little"),
    ),
    "a geometry": Case(
        SPOT, b"\1\1\0\0\0" + bytes(16), b"\xe6\x10\0\0\1\4\0\0\0" + (LARGE // 21).to_bytes(4, "little")
    ),
    "a key that did not change": Case(
        TEXT, WORDS.encode(), kind=Kind.UPDATE, key=("id", "v"), csv={"update_opcode": True}
    ),
    "what is hidden, in the key, too": Case(BLOB, os.urandom(MIB), key=("id", "v"), filters=(HIDDEN,)),
    "what is cut": Case(LATIN, b"\xe9t\xe9 ", filters=(CUT,)),
    "what is left out": Case(TEXT, WORDS.encode(), exclude=True),
    "rows that are not written": Case(TEXT, WORDS.encode(), rows=70, filters=(DROPPED,), lines=0),
}


def logged(folder: Storage, case: Case) -> Service:
    """Writes it to the log, and says what is to be done with it."""
    definition = TableDefinition("big", "t", (ID, case.column), case.key)
    images = case.rows * (2 if case.kind == Kind.UPDATE else 1)
    value = case.head + case.unit * (LARGE // images // len(case.unit))
    payload = (b"\0\7\0\0\0" + len(value).to_bytes(4, "little") + value) * images
    whole = Fragment(case.kind, TableKey("big", "t", definition.json), case.rows, payload, None)
    records = list(in_pieces(whole))
    log = new_log(folder.sub("thl"))
    head = log.head()
    assert head is not None
    of_table = {"schema_name": "big", "table_name": "t", "definition": definition.json}
    made = events(
        1,
        [
            of_table | {"kind": record.kind, "rows": record.rows, "payload": record.payload}
            for record in records
        ],
        0,
        (EPOCH + SECOND) / SECOND,
    )
    with log.writer(head, token="t", segment_bytes=1 << 40, segment_events=1 << 30) as writer:
        writer.add(
            [
                event._replace(payload_bytes=record.whole or len(record.payload))
                for event, record in zip(made, records, strict=True)
            ]
        )
        writer.commit(resume(1))
    applier: dict[str, Any] = {"type": "s3", "files": {"url": "s3://lake/files"}, "csv": case.csv}
    if case.exclude:
        applier["exclude_columns"] = ["big.t.v"]
    return parse_service(
        {
            "service": "shop",
            "source": {"connection": "shop", "server_id": 1, "include": ["big.*"]},
            "thl": {"url": "/thl"},
            "filters": case.filters,
            "appliers": {"lake": applier},
        }
    )


@pytest.mark.parametrize("name", CASES)
def test_how_large_a_value_is_makes_no_difference(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SALT", "0123456789abcdef" * 2)
    folder = open_storage(str(tmp_path))
    service = logged(folder, CASES[name])

    def work() -> object:
        log, store = Log(folder.sub("thl"), "shop"), folder.sub("files").sub("shop").sub("lake")
        plans = Chain(store, log, service, "lake").extend(token="t", limit=9, waiting=False)
        return [write_batch(log, plan, service, "lake", store, token="t").total_rows for plan in plans]

    found, grown = measured(work)
    assert found == [CASES[name].lines]
    assert grown < MOST, grown
