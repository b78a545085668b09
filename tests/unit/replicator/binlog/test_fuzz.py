"""Broken bytes: only our own errors, never a crash, a hang, or a read behind the end."""

from __future__ import annotations

import random
from functools import cache

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_tungsten.replicator.binlog.constants import GTID_EVENTS, ROWS_EVENTS, EventType
from airflow_provider_tungsten.replicator.binlog.definition import TableDefinition
from airflow_provider_tungsten.replicator.binlog.events import (
    Event,
    parse_format_description,
    parse_gtid,
    parse_previous_gtids,
    parse_query,
    parse_rotate,
    parse_rows,
    parse_xa_prepare,
)
from airflow_provider_tungsten.replicator.binlog.framing import EventStream, payload_events
from airflow_provider_tungsten.replicator.binlog.rows import CsvEncoder, RowLayout, unsupported_columns
from airflow_provider_tungsten.replicator.binlog.table_map import TableMaps, table_name
from airflow_provider_tungsten.replicator.errors import TungstenError
from tests.unit.replicator.binlog.corpus import FOLDER, dump, flattened, needs_corpus, read

pytestmark = needs_corpus
FILES = [f"mysql-9.7.4/cdc-bin.00000{number}" for number in range(1, 7)]
LARGEST = 20_000


@cache
def _events() -> list[Event]:
    every = [event for name in FILES for event in (*read(name), *flattened(read(name)))]
    return [event for event in every if len(event.body) < LARGEST]


@cache
def _payloads() -> list[tuple[TableDefinition, str, bytes]]:
    found = []
    maps = TableMaps()
    for event in _events():
        if event.type == EventType.TABLE_MAP:
            maps.add(event.body)
        elif event.type in ROWS_EVENTS:
            frame = parse_rows(event)
            if frame.full_image:
                found.append((maps.get(frame.table_id), frame.kind, event.body[frame.payload_offset :]))
    return found


def _mutated(data: bytes, dice: random.Random) -> bytes:
    """Bits flipped, bytes set to the edges of lengths, pieces cut out, doubled or cut off."""
    changed = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 5))):
        at = dice.randrange(len(changed) + 1)
        choice = dice.randrange(6)
        if choice == 0:
            del changed[at:]
        elif choice == 1:
            del changed[at : at + dice.randrange(9)]
        elif choice == 2:
            changed[at:at] = changed[at : at + dice.randrange(1, 9)]
        elif at < len(changed):
            changed[at] = dice.choice(
                (changed[at] ^ 1 << dice.randrange(8), 0, 0x7F, 0xFF, dice.randrange(256))
            )
    return bytes(changed)


def _parse(event: Event) -> None:
    if event.type == EventType.TABLE_MAP:
        table_name(event.body)
        definition = TableMaps().definition(event.body)
        assert TableDefinition.from_json(definition.json) == definition
        RowLayout(definition)
    elif event.type in GTID_EVENTS:
        parse_gtid(event.type, event.body)
    elif event.type == EventType.QUERY:
        parse_query(event.body)
    elif event.type == EventType.ROTATE:
        parse_rotate(event.body)
    elif event.type == EventType.FORMAT_DESCRIPTION:
        parse_format_description(event.body)
    elif event.type == EventType.PREVIOUS_GTIDS:
        parse_previous_gtids(event.body)
    elif event.type == EventType.XA_PREPARE:
        parse_xa_prepare(event.body)
    elif event.type == EventType.TRANSACTION_PAYLOAD:
        for inner in payload_events(event):
            _parse(inner)
    elif event.type in ROWS_EVENTS:
        parse_rows(event)


_fuzz = settings(max_examples=3000, deadline=None, suppress_health_check=list(HealthCheck), database=None)


@_fuzz
@given(st.integers(0, 2**32))
def test_broken_bodies(seed: int) -> None:
    dice = random.Random(seed)
    event = dice.choice(_events())
    try:
        _parse(event._replace(body=_mutated(event.body, dice)))
    except TungstenError:
        pass


@_fuzz
@given(st.integers(0, 2**32))
def test_broken_row_images(seed: int) -> None:
    dice = random.Random(seed)
    definition, kind, payload = dice.choice(_payloads())
    hidden = {text.rpartition(" (")[0].rpartition(".")[2] for text in unsupported_columns(definition)}
    keep = [column.name not in hidden for column in definition.columns]
    layout = RowLayout(definition)
    broken = _mutated(payload, dice)
    images = 2 if kind == "update" else 1
    try:
        count = layout.count(broken, images)
        assert count * images <= len(broken)
        left = layout.drop(broken, count * images, keep)
        encoder = CsvEncoder(definition.without(hidden), ["opcode", "row_id"])
        encoder.encode(left, kind, seqno=1, row_id=1, commit_ts=0).csv.decode()
    except TungstenError:
        pass


@_fuzz
@given(st.integers(0, 2**32))
def test_broken_streams(seed: int) -> None:
    dice = random.Random(seed)
    stream = EventStream("log", 4, verify_checksum=dice.random() < 0.5)
    data = dump((FOLDER / dice.choice((FILES[2], FILES[4], FILES[5]))).read_bytes())
    broken = _mutated(data, dice)
    try:
        for at in range(0, len(broken), 1000):
            stream.feed(broken[at : at + 1000])
    except TungstenError:
        pass
