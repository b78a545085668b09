"""Files of a MySQL 9.7.4 with the server's own words about them: what `mysqlbinlog -vv` lists, and what SELECT answered."""

from __future__ import annotations

from collections import defaultdict
from functools import cache

import pytest

from airflow_provider_tungsten.replicator.binlog.definition import Column, TableDefinition
from airflow_provider_tungsten.replicator.errors import UnsupportedError
from airflow_provider_tungsten.replicator.thl.event import ROW_KINDS
from tests.corpus import listing, truth
from tests.corpus.reading import FOLDER, Case, Row, needs_corpus, refused, unnamed

pytestmark = needs_corpus
HERE = "mysql-9.7.4"
STATEMENT = "in statement format: a session has binlog_format other than ROW"
SOURCE = "43b90d6a-e531-11f1-9726-02fc00000001"


def _name(number: int) -> str:
    return f"{HERE}/cdc-bin.{number:06d}"


CASES = [
    Case(
        _name(1),
        {
            "cdc.bits": "ddl 1, insert 3",
            "cdc.decs": "ddl 1, insert 3",
            "cdc.enums": "ddl 1, insert 6",
            "cdc.ints": "ddl 1, insert 3",
            "cdc.strs": "ddl 1, insert 2",
            "cdc.temporals": "ddl 1, insert 4",
        },
    ),
    Case(_name(2), {"cdc.js": "ddl 1, insert 22, update 2"}),
    refused(
        _name(3),
        UnsupportedError,
        r":1008, .*: rows of cdc\.img lack columns: a session has binlog_row_image other than FULL",
        counts={"cdc.img": "ddl 1, insert 2"},
    ),
    Case(
        _name(3),
        {
            "cdc.gc": "ddl 1, insert 1, update 1",
            "cdc.geo": "ddl 1, insert 2",
            "cdc.gipk": "ddl 1, insert 2",
            "cdc.nopk": "ddl 1, delete 1, insert 3, update 1",
            "cdc.pks": "ddl 1, insert 3, update 7",
            "cdc.uq": "ddl 1, delete 1, insert 3, update 2",
            "cdc.vec": "ddl 1, insert 2",
        },
        exclude=("cdc.img",),
    ),
    refused(
        _name(4),
        UnsupportedError,
        rf":6434, .*: INSERT on cdc\.inn {STATEMENT}",
        counts={
            "cdc.chi": "ddl 1, delete 2, insert 3",
            "cdc.chn": "ddl 1, insert 2, update 1",
            "cdc.inn": "ddl 1, insert 4",
            "cdc.my": "ddl 1, insert 1",
            "cdc.par": "ddl 1, delete 1, insert 2",
            "cdc.tg": "ddl 1, insert 2",
            "cdc.tgl": "ddl 1, insert 2",
        },
    ),
    # Three statements that are not rows, one behind the other, each of which stops reading.
    refused(
        _name(4), UnsupportedError, rf":6839, .*: INSERT on cdc\.tgl {STATEMENT}", start="cdc-bin.000004:6568"
    ),
    refused(
        _name(4), UnsupportedError, rf":7152, .*: INSERT on cdc\.inn {STATEMENT}", start="cdc-bin.000004:6993"
    ),
    Case(_name(4), {"cdc.inn": "insert 1"}, start="cdc-bin.000004:7286"),
    Case(_name(5), {"cdc.inn": "insert 5, update 1"}),
    Case(_name(6), {"cdc.inn": "insert 1"}),
    # The child rows that InnoDB deleted by itself are not there: nobody can read what is not logged.
    Case(f"{HERE}/native_fk_cascade_not_logged.000014", {"cdc.par": "delete 1"}, rows=(("D", "2"),)),
]
# Not in the log, or not as rows: what the refusals above say, and what a session with sql_log_bin=0 did.
NOT_LOGGED = {"inn": {"60", "61", "70"}, "tgl": {"3"}}
NOT_LISTED = ("cdc.geo",)  # on GEOMETRY mysqlbinlog gives up
# GTID of an XA COMMIT, under which its rows are in our log → that of the PREPARE, under which the server's has them.
XA_COMMITS = {f"{SOURCE}:65": f"{SOURCE}:64"}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_file_is_read_to_the_right_rows_or_refused(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    case.check(monkeypatch)


def test_something_is_expected_of_every_file() -> None:
    assert unnamed(HERE, CASES) == set()


@cache
def _rows(number: int) -> list[tuple[Row, TableDefinition]]:
    """All rows of a file, of its several readings, with their tables' definitions."""
    found = []
    for case in CASES:
        if case.name == _name(number) and "cdc.img" not in case.counts:
            reading = case.read()
            definitions = {
                event.definition: TableDefinition.from_json(event.definition)
                for event in reading.events
                if event.kind in ROW_KINDS and event.definition
            }
            by_name = {definition.name: definition for definition in definitions.values()}
            found += [(row, by_name[row.table]) for row in reading.rows()]
    return found


@pytest.mark.parametrize("number", range(1, 7))
def test_every_value_is_what_mysqlbinlog_lists(number: int) -> None:
    listed = defaultdict(list)
    for image in listing.images(FOLDER / f"{_name(number)}.txt"):
        listed[image.gtid, image.table].append(image)
    compared = 0
    places: dict[tuple[str, str], int] = defaultdict(int)
    for row, definition in _rows(number):
        key = (XA_COMMITS.get(row.gtid, row.gtid), row.table)
        if row.table in NOT_LISTED:
            continue
        image = listed[key][places[key]]
        places[key] += 1
        assert image.opcode == row.opcode
        if not image.partial:
            assert len(image.values) == len(row.values)
            pairs = zip(definition.columns, row.values, image.values.values(), strict=True)
            for column, ours, theirs in pairs:
                assert listing.same(column, ours, theirs), (row.place, row.table, column.name)
                compared += 1
    assert compared
    for key, count in places.items():
        assert count == len(listed[key]), key


def _replayed() -> tuple[truth.Tables, dict[str, tuple[Column, ...]]]:
    columns, keys = {}, {}
    rows = [pair for number in range(1, 7) for pair in _rows(number)]
    for _, definition in rows:
        columns[definition.table] = definition.columns
        keys[definition.name] = definition.primary_key
    tables = truth.Tables(keys)
    tables.apply(row for row, _ in rows)
    return tables, columns


def test_changes_replayed_give_what_the_server_selects() -> None:
    selected = truth.selected(FOLDER / HERE / "select_truth.txt")
    tables, columns = _replayed()
    compared = 0
    for name, all_rows in tables.rows.items():
        table = name.partition(".")[2]
        missing = NOT_LOGGED.get(table, set())
        rows = [row for row in all_rows if row.get("id") not in missing]
        wanted = [row for row in selected[table] if row.get("id") not in missing]
        assert len(rows) == len(wanted), table
        for ours, theirs in zip(_sorted(rows, table), _sorted(wanted, table), strict=True):
            for column in columns[table]:
                if column.name in theirs:  # SELECT * shows no invisible column
                    same = truth.same(column.type, ours[column.name], theirs[column.name])
                    assert same, (table, column.name, ours[column.name], theirs[column.name])
                    compared += 1
    assert compared > 300


def _sorted(rows: list[truth.Cells], table: str) -> list[truth.Cells]:
    first = "id" if "id" in rows[0] else "a"
    return sorted(rows, key=lambda row: (int(row[first] or 0), str(row.get("b"))))


def test_gtids_tags_included() -> None:
    gtids = {row.gtid for row, _ in _rows(5)} | {row.gtid for row, _ in _rows(6)}
    assert gtids == {f"{SOURCE}:73", f"{SOURCE}:74", f"{SOURCE}:mytag:1", f"{SOURCE}:75"}
