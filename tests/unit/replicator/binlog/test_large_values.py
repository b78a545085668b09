"""Values that are too large to be in memory more often than they must: handed over in pieces as CSV, cut for a person's eyes."""

from __future__ import annotations

import json
import os

import pytest

from airflow_provider_tungsten.replicator.batch.presets import PRESETS, Csv
from airflow_provider_tungsten.replicator.binlog.constants import ColumnType
from airflow_provider_tungsten.replicator.binlog.definition import Column
from airflow_provider_tungsten.replicator.binlog.rows import CsvEncoder, RowReader, ValueRefused
from airflow_provider_tungsten.replicator.errors import StorageError
from airflow_provider_tungsten.replicator.thl.columns import to_table
from airflow_provider_tungsten.replicator.thl.event import Kind
from airflow_provider_tungsten.replicator.thl.pieces import Joined
from airflow_provider_tungsten.replicator.thl.runs import RowRun, to_runs
from tests.unit.replicator.batch.logs import events
from tests.unit.replicator.binlog.test_rows import INT, JSON, SPOT, image, long, number, table

MIB = 1 << 20
MUCH = 4 * MIB
TEXT = Column("t", "longtext", ColumnType.BLOB, 4, charset="utf8mb4")
LATIN = Column("l", "longtext", ColumnType.BLOB, 4, charset="latin1")
BLOB = Column("b", "longblob", ColumnType.BLOB, 4)
TABLE = table(INT, TEXT, BLOB, LATIN, JSON)


def document(size: int) -> bytes:
    """A JSON text of one value with quotes, as the server stores it."""
    text = b'"' * size
    length = b""
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return b"\x0c" + length + bytes([size]) + text


def row(key: int, size: int) -> bytes:
    text = ('say "é",\n\\N中😀' * (size // 18 + 1)).encode()
    half = os.urandom(size // 2).replace(b"\0", b"1").replace(b"\x1f", b"2")
    return image(
        number(key), long(text), long(os.urandom(size)), long(half[: size // 3]), long(document(size // 2))
    )


SMALL = row(1, 10)
PAYLOADS = [
    (Kind.INSERT, SMALL * 2, 2),
    (Kind.INSERT, row(2, MUCH), 1),
    (Kind.UPDATE, row(3, MUCH - 1) + row(3, 2 * MUCH + 11), 1),
    (Kind.UPDATE, SMALL * 4, 2),
    (Kind.DELETE, row(4, MUCH + 1), 1),
    (Kind.DELETE, SMALL, 1),
]


def run_of() -> RowRun:
    log = [
        event
        for seqno, (kind, payload, rows) in enumerate(PAYLOADS)
        for event in events(
            seqno,
            [
                {
                    "kind": kind,
                    "schema_name": "shop",
                    "table_name": "things",
                    "definition": TABLE.json,
                    "rows": rows,
                    "payload": payload,
                }
            ],
            0,
        )
    ]
    ((run,),) = to_runs(map(Joined, to_table(log).to_batches()))
    assert isinstance(run, RowRun)
    return run


def encoder(preset: str = "default", **options: object) -> CsvEncoder:
    limits: dict[str, object] = {"max_text_bytes": None, "max_binary_bytes": None}
    dialect = Csv(preset=preset).dialect  # type: ignore[arg-type]
    return CsvEncoder(
        TABLE,
        ["opcode", "seqno", "row_id", "primary_key"],
        dialect=dialect,
        refuse_nul=False,
        **(limits | options),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("preset", [*PRESETS])
@pytest.mark.parametrize("update_opcode", [False, True])
def test_what_is_handed_over_and_what_is_left_are_the_whole(preset: str, update_opcode: bool) -> None:
    run = run_of()
    whole, events_in_all = encoder(preset, update_opcode=update_opcode).encode_run(
        run, 0, row_id=1, limit=1 << 40
    )
    assert events_in_all == len(PAYLOADS)
    taken: list[bytes] = []
    rest, count = encoder(preset, update_opcode=update_opcode).encode_run(
        run, 0, row_id=1, limit=1 << 40, sink=lambda csv: taken.append(bytes(csv))
    )
    assert count == events_in_all
    assert b"".join((*taken, rest.csv)) == bytes(whole.csv)
    assert (rest.next_row_id, rest.opcodes, rest.conversions) == (
        whole.next_row_id,
        whole.opcodes,
        whole.conversions,
    )
    assert len(taken) > 8
    assert max(map(len, taken)) <= 4 * MUCH


def test_what_was_handed_over_counts_for_the_limit() -> None:
    run, csv = run_of(), encoder()
    taken: list[bytes] = []
    counts, start, row_id = [], 0, 1
    while start < len(PAYLOADS):
        before = len(b"".join(taken))
        encoded, count = csv.encode_run(run, start, row_id=row_id, limit=MIB, sink=taken.append)  # type: ignore[arg-type]
        taken.append(bytes(encoded.csv))
        assert count == 1 or len(b"".join(taken)) - before >= MIB
        counts.append(count)
        start, row_id = start + count, encoded.next_row_id
    assert counts == [2, 1, 2, 1]


def test_who_takes_text_may_fail() -> None:
    run, csv = run_of(), encoder()

    def full(text: object) -> None:
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        csv.encode_run(run, 0, row_id=1, limit=1 << 40, sink=full)
    assert csv.encode_run(run, 0, row_id=1, limit=1)[0].next_row_id == 3


def test_where_a_long_text_cannot_wait_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/nowhere")
    texts = table(INT, LATIN)
    csv = CsvEncoder(texts, [], max_text_bytes=None)
    with pytest.raises(StorageError, match="No such file or directory; free space"):
        csv.encode(image(number(1), long(b"\xe9" * 20 * MIB)), "insert", seqno=1, row_id=1, commit_ts=0)
    encoded = csv.encode(image(number(1), long(b"\xe9")), "insert", seqno=1, row_id=1, commit_ts=0)
    assert bytes(encoded.csv) == "1,é\n".encode()


def test_a_long_value_has_its_limit_all_the_same() -> None:
    run = run_of()
    for options, column in (({"max_binary_bytes": MUCH + 1}, "b"), ({"max_text_bytes": 2 * MUCH}, "t")):
        with pytest.raises(ValueRefused, match=r"more than \d+ bytes") as refused:
            encoder("default", **options).encode_run(run, 1, row_id=1, limit=1 << 40, sink=lambda csv: None)
        assert refused.value.column == column


def test_texts_are_cut_behind_what_is_wanted() -> None:
    columns = table(INT, TEXT, BLOB, LATIN, JSON, SPOT)
    spot = long(b"\0\0\0\0" + b"\x01\x04\0\0\0\x32\0\0\0" + (b"\x01\x01\0\0\0" + bytes(16)) * 50)
    payloads = [
        image(*values, spot)
        for values in (
            (
                number(1),
                long("é😀x".encode() * 999),
                long(b"\xab" * 999),
                long(b"\xe9" * 999),
                long(document(999)),
            ),
            (number(-7), long(b""), long(b"\1"), long(b"short"), long(document(2))),
        )
    ]
    reader = RowReader(columns)
    whole = list(reader.images(b"".join(payloads)))
    assert json.loads(whole[0][4] or "") == '"' * 999
    for most in (0, 1, 7, 100, 998, 5000):
        found = reader.images(b"".join(payloads), most)
        for cut, full in zip(
            (text for row in found for text in row), (text for row in whole for text in row), strict=True
        ):
            assert cut is not None
            assert full is not None
            assert cut == full or (full.startswith(cut) and len(cut) > most)
            assert len(cut) <= 4 * (most + 1)
    assert list(reader.images(b"".join(payloads))) == whole
