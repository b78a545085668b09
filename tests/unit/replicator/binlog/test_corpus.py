"""Files of many servers: what is in them, or why they are refused."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter

import pytest

from airflow_provider_tungsten.replicator.binlog.constants import GTID_EVENTS, ROWS_EVENTS, EventType
from airflow_provider_tungsten.replicator.binlog.events import (
    parse_gtid,
    parse_previous_gtids,
    parse_query,
    parse_rows,
    parse_xa_prepare,
)
from airflow_provider_tungsten.replicator.binlog.rows import CsvEncoder, RowLayout, unsupported_columns
from airflow_provider_tungsten.replicator.binlog.table_map import TableMaps, table_name
from airflow_provider_tungsten.replicator.errors import CorruptLogError, UnsupportedError
from tests.unit.replicator.binlog.corpus import FOLDER, flattened, needs_corpus, read

pytestmark = needs_corpus
SOURCE = "43b90d6a-e531-11f1-9726-02fc00000001"
# Partial images among their events; no key to match rows by; a key that SELECT * does not show.
NOT_COMPARED = {"img", "nopk", "gipk"}

READABLE = {
    "mysql-9.7.4/cdc-bin.000001": {EventType.WRITE_ROWS: 6},
    "mysql-9.7.4/cdc-bin.000002": {EventType.WRITE_ROWS: 3, EventType.PARTIAL_UPDATE_ROWS: 2},
    "mysql-9.7.4/cdc-bin.000003": {
        EventType.WRITE_ROWS: 10,
        EventType.UPDATE_ROWS: 10,
        EventType.DELETE_ROWS: 3,
    },
    "mysql-9.7.4/cdc-bin.000004": {EventType.XA_PREPARE: 3, EventType.ROWS_QUERY: 1, EventType.USER_VAR: 1},
    "mysql-9.7.4/cdc-bin.000005": {
        EventType.WRITE_ROWS: 3,
        EventType.UPDATE_ROWS: 1,
        EventType.GTID_TAGGED: 1,
    },
    "mysql-9.7.4/cdc-bin.000006": {EventType.WRITE_ROWS: 1},
    "osheroff/mysql-bin.aurora-padding": {100: 1},
    "osheroff/mysql-bin.checksum-crc32": {
        EventType.WRITE_ROWS: 34,
        EventType.UPDATE_ROWS: 20,
        EventType.DELETE_ROWS: 6,
    },
    "osheroff/mysql-bin.checksum-none": {EventType.WRITE_ROWS: 34, EventType.UPDATE_ROWS: 2},
    "osheroff/mysql-bin.compressed": {EventType.UPDATE_ROWS: 1},
    "osheroff/mysql-bin.sakila": {EventType.WRITE_ROWS_V1: 1374, EventType.TABLE_MAP: 18},
    "rust_mysql_common/binlog-invisible-columns.000001": {EventType.WRITE_ROWS: 2, EventType.UPDATE_ROWS: 1},
    "rust_mysql_common/binlog_transaction_with_GTID_TAG.000001": {EventType.GTID_TAGGED: 1},
    "rust_mysql_common/bug40482-bin.000001": {EventType.INCIDENT: 1},
    "rust_mysql_common/json-opaque.binlog": {EventType.WRITE_ROWS: 8},
    "rust_mysql_common/mariadb-bin.000001": {162: 2, EventType.WRITE_ROWS_V1: 2},
    "rust_mysql_common/transaction_compression.000001": {EventType.WRITE_ROWS: 1},
    "rust_mysql_common/vector.binlog": {EventType.WRITE_ROWS: 5, EventType.DELETE_ROWS: 1},
}
REFUSED = {
    "rust_mysql_common/binlog_truncated_event.000001": (CorruptLogError, "shorter than an event's header"),
    "rust_mysql_common/binlog_truncated_prev_gtid_event.000001": (
        CorruptLogError,
        "shorter than an event's header",
    ),
    "rust_mysql_common/bug33029-slave-relay-bin.000001": (CorruptLogError, "relay log"),
    "rust_mysql_common/corrupt-relay-bin.000624": (CorruptLogError, "relay log"),
    "rust_mysql_common/rpl_unfiltered_hidden_gcol.000001": (CorruptLogError, "relay log"),
    "rust_mysql_common/ver_5_1-wl2325_r.001": (UnsupportedError, "start at a file of a newer server"),
    "rust_mysql_common/ver_5_1-wl2325_s.001": (UnsupportedError, "start at a file of a newer server"),
}


@pytest.mark.parametrize("name", READABLE)
def test_files_are_read_to_their_end(name: str) -> None:
    events = read(name)
    assert max(event.end for event in events) == (FOLDER / name).stat().st_size
    counts = Counter(event.type for event in flattened(events))
    assert {kind: counts[kind] for kind in READABLE[name]} == READABLE[name]


@pytest.mark.parametrize("name", REFUSED)
def test_files_that_are_refused(name: str) -> None:
    error, reason = REFUSED[name]
    with pytest.raises(error, match=reason):
        read(name)


def _truth() -> dict[str, dict[str, list[str]]]:
    """Table → first column → row, out of the tables that the `mysql` client drew. Wide rows are cut off: there the last
    cell is a beginning and ends in ``…``."""
    tables: dict[str, dict[str, list[str]]] = {}
    for section in (FOLDER / "mysql-9.7.4/select_truth.txt").read_text().split("## ")[1:]:
        table, _, drawing = section.partition("\n")
        rows = tables[table] = {}
        for line in re.findall(r"^\|.*(?:\n[^|+\n].*)*", drawing, re.MULTILINE):
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            if not line.endswith("|"):
                cells[-1] += "…"
            rows[cells[0]] = cells
    return tables


def _final_rows() -> dict[str, tuple[list[str], dict[str, list[str]]]]:
    """Table → its columns, and first column → row, after all of the changes in the first three files."""
    tables: dict[str, tuple[list[str], dict[str, list[str]]]] = {}
    maps = TableMaps()
    for number in (1, 2, 3):
        for event in flattened(read(f"mysql-9.7.4/cdc-bin.00000{number}")):
            if event.type == EventType.TABLE_MAP:
                maps.add(event.body)
            elif event.type in ROWS_EVENTS:
                frame = parse_rows(event)
                definition = maps.get(frame.table_id)
                if definition.table in NOT_COMPARED:
                    continue
                images = 2 if frame.kind == "update" else 1
                payload = event.body[frame.payload_offset :]
                layout = RowLayout(definition)
                hidden = {
                    text.rpartition(" (")[0].rpartition(".")[2] for text in unsupported_columns(definition)
                }
                keep = [column.name not in hidden for column in definition.columns]
                payload = layout.drop(payload, layout.count(payload, images) * images, keep)
                left = definition.without(hidden)
                encoder = CsvEncoder(left, ["opcode"], max_text_bytes=None, refuse_zero_dates=False)
                text = encoder.encode(payload, frame.kind, seqno=1, row_id=1, commit_ts=0).csv.decode()
                rows = tables.setdefault(definition.table, ([column.name for column in left.columns], {}))[1]
                for opcode, *row in csv.reader(io.StringIO(text, newline="")):
                    if opcode == "D":
                        del rows[row[0]]
                    else:
                        rows[row[0]] = row
    return tables


def test_rows_equal_what_the_server_selects() -> None:
    truth = _truth()
    compared = 0
    for table, (names, rows) in _final_rows().items():
        shown = truth[table]["id"]
        for key, row in rows.items():
            if table == "js" and key in ("11", "13"):
                continue  # changed by partial updates
            expected = dict(zip(shown, truth[table][key], strict=False))
            for name, value in zip(names, row, strict=True):
                if name in expected:
                    assert _alike(_comparable(name, value), _shown(table, name, expected[name])), (
                        table,
                        key,
                        name,
                    )
                    compared += 1
    assert compared > 200


def _alike(value: str, shown: str) -> bool:
    return value == shown or (shown.endswith("…") and value.startswith(shown[:-1].rstrip(" ")))


def _comparable(name: str, value: str) -> str:
    if name == "f":
        return f"{float(value):.6g}"
    return value.rstrip(" ")


def _shown(table: str, name: str, text: str) -> str:
    """What the client drew, as the canonical text has it."""
    if text == "NULL":
        return "\\N"
    if table == "bits" and name != "id":
        return str(int(text, 16))
    if table == "geo" and name == "p":
        return (
            "01" + text[12:18].lower() + "20" + text[2:10].lower() + text[20:].lower()
        )  # the SRID behind the type
    if table == "geo" and name == "g":
        return text[10:].lower()
    if table == "vec" and name == "v":
        return "[1,2.5,-3,10000000000]"
    if text.startswith("0x"):
        return text[2:].lower()
    if name == "f":
        return f"{float(text):.6g}"
    if name == "f2":
        return text.removesuffix(".00")
    return str(int(text)) if name == "zf" else text


def test_gtids_tags_included() -> None:
    found = [
        str(parse_gtid(event.type, event.body))
        for number in (5, 6)
        for event in flattened(read(f"mysql-9.7.4/cdc-bin.00000{number}"))
        if event.type in GTID_EVENTS
    ]
    assert found == [f"{SOURCE}:73", f"{SOURCE}:74", f"{SOURCE}:mytag:1", f"{SOURCE}:75"]
    previous = [
        event for event in read("mysql-9.7.4/cdc-bin.000006") if event.type == EventType.PREVIOUS_GTIDS
    ]
    assert str(parse_previous_gtids(previous[0].body)) == f"{SOURCE}:1-74:mytag:1"


def test_statements_and_xa() -> None:
    events = read("mysql-9.7.4/cdc-bin.000004")
    statements = [parse_query(event.body).sql for event in events if event.type == EventType.QUERY]
    assert "COMMIT" in statements
    assert any(statement.startswith("INSERT INTO inn VALUES(60)") for statement in statements)
    prepared = [parse_xa_prepare(event.body) for event in events if event.type == EventType.XA_PREPARE]
    assert [(item.one_phase, item.xid) for item in prepared] == [
        (False, "X'7831',X'',1"),
        (False, "X'7832',X'',1"),
        (True, "X'7833',X'',1"),
    ]


def test_partial_images_are_noticed() -> None:
    frames = [parse_rows(event) for event in read("mysql-9.7.4/cdc-bin.000003") if event.type in ROWS_EVENTS]
    assert sum(not frame.full_image for frame in frames) == 5


@pytest.mark.parametrize(
    "name", ["osheroff/mysql-bin.sakila", "rust_mysql_common/minimal_row_metadata.000001"]
)
def test_logs_that_do_not_name_their_columns_are_refused_but_name_their_tables(name: str) -> None:
    body = next(event.body for event in read(name) if event.type == EventType.TABLE_MAP)
    schema, table = table_name(body)
    with pytest.raises(UnsupportedError, match=rf"{schema}\.{table}: .*SET GLOBAL binlog_row_metadata=FULL"):
        TableMaps().add(body)
