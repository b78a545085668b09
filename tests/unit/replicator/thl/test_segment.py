from __future__ import annotations

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_tungsten.replicator.errors import CorruptLogError
from airflow_provider_tungsten.replicator.storage import LocalStorage
from airflow_provider_tungsten.replicator.thl import columns
from airflow_provider_tungsten.replicator.thl.event import Kind, ThlEvent
from airflow_provider_tungsten.replicator.thl.log import Log
from airflow_provider_tungsten.replicator.thl.segment import SegmentInfo, first_of, key_of
from tests.unit.replicator.thl.support import SERVER, new_log, resume, transaction, write

SECOND_SEGMENT = "shop/thl-0000000000000000001.parquet"


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return new_log(LocalStorage(tmp_path))


def test_events_come_back_as_they_went_in(log: Log) -> None:
    first, second, third = (transaction(seqno, fragments=3, payload=bytes(range(256))) for seqno in (1, 2, 3))
    emoji = '{"columns":["größe 🙂"]}'
    second[0] = second[0]._replace(
        kind=Kind.DDL,
        schema_name="größe",
        definition=emoji,
        payload=None,
        payload_bytes=0,
        rows=0,
        options={"effect": "none", "": "ü\n", "schema": ""},
    )
    second[1] = second[1]._replace(
        definition=None, payload=b"", payload_bytes=0, options={}, gtid="", commit_ts=-1, extracted_ts=0
    )
    third[0] = third[0]._replace(seqno=3, rows=2**31 - 1, kind=Kind.UPDATE, epoch_number=2**62)
    write(log, [first, second, third])
    read = list(log.read(1, 3))
    assert read == first + second + third
    assert [type(value) for value in read[0]] == [type(value) for value in first[0]][:10] + [
        *(str, str, str, str, int, str, bytes, type(None), int)
    ]
    assert list(log.scan(1, 3)) == [event._replace(payload=None) for event in read]


def test_a_segment_is_plain_parquet_with_the_documented_columns(log: Log, tmp_path: Path) -> None:
    write(log, [transaction(1)])
    label, time = pa.dictionary(pa.int32(), pa.string()), pa.timestamp("us", tz="UTC")
    schema = pq.read_schema(tmp_path / SECOND_SEGMENT)
    assert list(zip(schema.names, schema.types, strict=True)) == [
        ("seqno", pa.int64()),
        ("fragno", pa.int32()),
        ("last_frag", pa.bool_()),
        ("epoch_number", pa.int64()),
        ("source_id", pa.string()),
        ("event_id", pa.string()),
        ("gtid", pa.string()),
        ("commit_ts", time),
        ("watermark", time),
        ("extracted_ts", time),
        ("kind", label),
        ("schema_name", label),
        ("table_name", label),
        ("shard_id", label),
        ("rows", pa.int32()),
        ("definition", label),
        ("payload", pa.binary()),
        ("options", pa.map_(pa.string(), pa.string())),
        ("payload_bytes", pa.int64()),
    ]
    row = pq.read_table(tmp_path / SECOND_SEGMENT).to_pylist()[0]
    assert (row["seqno"], row["payload"], row["watermark"].isoformat()) == (
        1,
        b"row0",
        "2023-11-14T22:13:21+00:00",
    )


def test_the_footer_says_what_the_segment_holds_and_continues(log: Log, tmp_path: Path) -> None:
    write(log, [transaction(1), transaction(2, fragments=2, table="items"), transaction(3, table="items")])
    metadata = pq.read_metadata(tmp_path / SECOND_SEGMENT).metadata
    footer = {key.decode(): value.decode() for key, value in metadata.items() if key.startswith(b"tungsten.")}
    assert json.loads(footer.pop("tungsten.resume")) == resume(3).to_dict()
    assert json.loads(footer.pop("tungsten.tables")) == [["shop", "items", 3, 6], ["shop", "orders", 1, 2]]
    head = log.head()
    assert head is not None
    assert footer == {
        "tungsten.format": "1",
        "tungsten.uuid": head.uuid,
        "tungsten.service": "shop",
        "tungsten.first": "1",
        "tungsten.last": "3",
        "tungsten.first_event_id": "mysql-bin.000002:0000000000000104;27",
        "tungsten.event_id": "mysql-bin.000002:0000000000000304;27",
        "tungsten.epoch_number": "0",
        "tungsten.first_watermark": "1700000001000000",
        "tungsten.watermark": "1700000003000000",
        "tungsten.previous_first": "0",
        "tungsten.previous_last": "0",
        "tungsten.previous_event_id": "mysql-bin.000002:0000000000000004;-1",
        "tungsten.writer": "tester",
    }


def test_row_groups_outside_the_range_are_not_read(log: Log, tmp_path: Path) -> None:
    megabyte = os.urandom(1024 * 1024)
    write(log, [transaction(seqno, payload=megabyte) for seqno in range(1, 41)], per_segment=100)
    path = tmp_path / SECOND_SEGMENT
    metadata = pq.read_metadata(path)
    assert metadata.num_row_groups == 5
    payload = columns.SCHEMA.get_field_index("payload")
    damaged = bytearray(path.read_bytes())
    for group in (0, 1, 3, 4):
        damaged[metadata.row_group(group).column(payload).data_page_offset + 50_000] ^= 0xFF
    path.write_bytes(damaged)
    assert [event.seqno for event in log.read(20, 21)] == [20, 21]
    assert len(list(log.scan(1, 40))) == 40
    with pytest.raises(CorruptLogError, match=r"thl-0000000000000000001.parquet is not a whole segment"):
        list(log.read(1, 40))


@pytest.mark.parametrize("keep", [0, 3, 1000, -9, -1])
def test_a_cut_off_segment_is_corrupt(log: Log, tmp_path: Path, keep: int) -> None:
    write(log, [transaction(1)])
    path = tmp_path / SECOND_SEGMENT
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CorruptLogError, match=r"thl-0000000000000000001.parquet is not a whole segment"):
        Log(LocalStorage(tmp_path), "shop").head()


def test_a_segment_of_another_format_or_none_of_ours_is_refused(log: Log, tmp_path: Path) -> None:
    write(log, [transaction(1)])
    path = tmp_path / SECOND_SEGMENT
    table = pq.read_table(path)
    metadata = {**(table.schema.metadata or {}), b"tungsten.format": b"3"}
    pq.write_table(table.replace_schema_metadata(metadata), path)
    with pytest.raises(CorruptLogError, match="format 3"):
        Log(LocalStorage(tmp_path), "shop").head()
    pq.write_table(table.replace_schema_metadata({}), path)
    with pytest.raises(CorruptLogError, match="not a whole segment"):
        Log(LocalStorage(tmp_path), "shop").head()


def test_only_the_names_of_segments_are_taken_for_such() -> None:
    assert key_of(7) == "thl-0000000000000000007.parquet"
    assert first_of(key_of(2**63 - 1)) == 2**63 - 1
    for name in ("thl-7.parquet", "thl-000000000000000000x.parquet", "thl-0000000000000000007.parquet.bak"):
        with pytest.raises(CorruptLogError, match="is none"):
            first_of(name)


def test_info_survives_its_metadata() -> None:
    info = SegmentInfo(
        "u", "s", 1, 9, "a:4", "b:9", 3, -1, 5, 0, 0, "z:1", resume(9), "me", {("ü.x", "t"): (1, 2)}
    )
    metadata = {key.encode(): value.encode() for key, value in info.to_metadata().items()}
    assert SegmentInfo.from_metadata(metadata) == info
    assert SegmentInfo.from_metadata(metadata).tables == info.tables


def test_a_statement_counts_for_no_table_where_it_names_none() -> None:
    events = [event._replace(schema_name="", table_name="") for event in transaction(1)] + transaction(2)
    assert columns.count_by_table(columns.to_table(events)) == {("shop", "orders"): (1, 2)}


def test_the_order_of_events_is_checked_in_every_respect() -> None:
    def continuous(events: list[ThlEvent]) -> bool:
        return columns.is_continuous(columns.to_table(events))

    one, two = transaction(1, fragments=2), transaction(2, fragments=2)
    assert continuous(one + two)
    assert continuous(one[:1])
    assert not continuous(one + transaction(3))
    assert not continuous([*one[:1], *two])
    assert not continuous(one + two[1:])
    assert not continuous([one[0], one[0], one[1]])
    assert not continuous([*one, two[0]._replace(watermark=one[0].watermark - 1)])
    assert SERVER in one[0].gtid
