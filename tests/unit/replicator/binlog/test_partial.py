"""Partial JSON updates: diffs applied to binary documents, rows made whole, and what does not fit is refused."""

from __future__ import annotations

import csv
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_tungsten.replicator.binlog.constants import EventType
from airflow_provider_tungsten.replicator.binlog.events import parse_rows
from airflow_provider_tungsten.replicator.binlog.json_diff import DiffError, apply
from airflow_provider_tungsten.replicator.binlog.partial import PartialUpdates
from airflow_provider_tungsten.replicator.binlog.rows import CsvEncoder
from airflow_provider_tungsten.replicator.errors import CorruptLogError, UnsupportedError
from tests.unit.replicator.binlog.partial_rows import (
    CHANGE,
    INSERT,
    REMOVE,
    REPLACE,
    ROW,
    TABLE,
    TWO_ROWS,
    before,
    binary,
    diff,
    event,
)

DOCUMENT = {"a": [1, 70000, {"x": None}], "b": "text", "": {}, "é 😀": True, "c.d": [], 'q"': 1}


@pytest.mark.parametrize(
    ("diffs", "changed"),
    [
        ([], {}),
        ([(REPLACE, "$.b", 5)], {"b": 5}),
        ([(REPLACE, "$.a[1]", "y")], {"a": [1, "y", {"x": None}]}),
        ([(REPLACE, "$.a[last]", -70000)], {"a": [1, 70000, -70000]}),
        ([(REPLACE, "$ .a [ last - 1 ]", None)], {"a": [1, None, {"x": None}]}),
        ([(INSERT, "$.a[1]", 2)], {"a": [1, 2, 70000, {"x": None}]}),
        ([(INSERT, "$.a[99]", 2)], {"a": [1, 70000, {"x": None}, 2]}),
        ([(INSERT, "$.a[last-99]", 2)], {"a": [2, 1, 70000, {"x": None}]}),
        ([(INSERT, "$.aa", 2)], {"aa": 2}),
        ([(INSERT, '$."".z', [1])], {"": {"z": [1]}}),
        ([(REPLACE, '$."é 😀"', {"n": 1})], {"é 😀": {"n": 1}}),
        ([(INSERT, '$."c.d"[0]', "in")], {"c.d": ["in"]}),
        ([(REPLACE, '$."q\\""', 2)], {'q"': 2}),
        ([(REMOVE, "$.a[0]"), (REMOVE, "$.a[0]"), (REPLACE, "$.a[0].x", 1)], {"a": [{"x": 1}]}),
        ([(REMOVE, "$.a[0]"), (INSERT, "$.a[0]", "back")], {"a": ["back", 70000, {"x": None}]}),
    ],
)
def test_diffs_give_the_document_that_the_server_would_store(
    diffs: list[tuple[Any, ...]], changed: dict[str, Any]
) -> None:
    raw = b"".join(diff(*each) for each in diffs)
    assert apply(binary(DOCUMENT), raw) == binary({**DOCUMENT, **changed})


def test_a_removed_key_is_gone() -> None:
    left = {key: found for key, found in DOCUMENT.items() if key != "b"}
    assert apply(binary(DOCUMENT), diff(REMOVE, "$.b")) == binary(left)


@pytest.mark.parametrize(
    "raw",
    [
        diff(REPLACE, "$.nothing", 1),
        diff(REPLACE, "$.a[3]", 1),
        diff(REPLACE, "$.a[last-3]", 1),
        diff(REPLACE, "$.a.x", 1),
        diff(REPLACE, "$.b.x", 1),
        diff(REPLACE, "$[0]", 1),
        diff(INSERT, "$.b", 1),
        diff(INSERT, "$.b[0]", 1),
        diff(INSERT, "$.nothing.x", 1),
        diff(INSERT, "$.a.x", 1),
        diff(REMOVE, "$.nothing"),
        diff(REMOVE, "$.a[3]"),
        diff(REPLACE, "$", 1),
        diff(REPLACE, "", 1),
        diff(REPLACE, "a", 1),
        diff(REPLACE, "$.*", 1),
        diff(REPLACE, "$**.x", 1),
        diff(REPLACE, "$.a[0 to 1]", 1),
        diff(REPLACE, '$."\\x"', 1),
        diff(REPLACE, "$.a[0]" + "[0]" * 80, 1),
        b"\x03" + diff(REMOVE, "$.b")[1:],
        b"\x00\x03$.b\x00",
        b"\x00\x03$.b\x01\x63",
        b"\x00\x03$.b\xff",
        b"\x00\x03\xff\xff\xff\x02\x05\x01",
    ],
)
def test_diffs_that_do_not_fit_are_refused(raw: bytes) -> None:
    with pytest.raises(DiffError):
        apply(binary(DOCUMENT), raw)


def test_documents_that_are_cut_short_are_refused() -> None:
    document = binary(DOCUMENT)
    for end in range(len(document)):
        with pytest.raises(DiffError):
            apply(document[:end], diff(REPLACE, "$.a[2].x", 1))


@settings(max_examples=300)
@given(
    st.integers(0, len(binary(DOCUMENT)) - 1),
    st.integers(0, 255),
    st.sampled_from(["$.a[2].x", "$.b", '$."".x']),
)
def test_a_broken_document_is_changed_or_refused(at: int, byte: int, path: str) -> None:
    document = bytearray(binary(DOCUMENT))
    document[at] = byte
    for operation in (REPLACE, INSERT, REMOVE):
        try:
            apply(bytes(document), diff(operation, path, 1))
        except DiffError:
            pass


def test_rows_are_made_whole() -> None:
    rows = (
        TWO_ROWS
        + before(4, {"x": 1}, [1]) + b"\x01\x01" + b"\x04" + struct.pack("<i", 4) + CHANGE
    )  # fmt: skip
    whole = PartialUpdates(TABLE).whole_event(event(rows))
    assert (whole.type, whole.place) == (EventType.UPDATE_ROWS, "log.000001:100, UPDATE_ROWS (31)")
    parsed = parse_rows(whole)
    payload = whole.body[parsed.payload_offset :]
    encoded = CsvEncoder(TABLE, ["opcode"]).encode(payload, parsed.kind, seqno=1, row_id=1, commit_ts=0)
    assert list(csv.reader(encoded.csv.decode().splitlines())) == [
        ["D", "1", '{"x": 1}', "[1]"],
        ["I", "1", '{"x": 2}', "[1]"],
        ["D", "2", '{"x": 1}', "[1]"],
        ["I", "3", "[]", '""'],
        ["D", "4", '{"x": 1}', "[1]"],
        ["I", "4", '{"x": 2}', "\\N"],
    ]


def test_diffs_of_null_and_unknown_options_are_refused_by_name() -> None:
    null = b"\x06" + struct.pack("<i", 1) + b"\x01\x01" + b"\x04" + struct.pack("<i", 1) + CHANGE
    with pytest.raises(CorruptLogError, match=r"^shop\.things\.j: a JSON diff of NULL"):
        PartialUpdates(TABLE).whole_event(event(null))
    with pytest.raises(UnsupportedError, match=r"^shop\.things: .*unknown options 2"):
        PartialUpdates(TABLE).whole_event(event(before(1, [], []) + b"\x02" + before(1, [], [])))


def test_events_that_are_cut_short_are_corrupt() -> None:
    for end in range(1, len(ROW)):
        with pytest.raises(CorruptLogError, match=r"^shop\.things"):
            PartialUpdates(TABLE).whole_event(event(ROW[:end]))


@settings(max_examples=300)
@given(st.data())
def test_broken_events_are_rows_or_refused(data: st.DataObject) -> None:
    broken = bytearray(ROW)
    for _ in range(data.draw(st.integers(1, 4))):
        broken[data.draw(st.integers(0, len(ROW) - 1))] = data.draw(st.integers(0, 255))
    try:
        PartialUpdates(TABLE).whole_event(event(bytes(broken)))
    except (CorruptLogError, UnsupportedError):
        pass


def test_images_that_lack_columns_are_left_as_they_are() -> None:
    partial = event(b"junk", bitmap=b"\x01")
    assert PartialUpdates(TABLE).whole_event(partial).body == partial.body
