from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_tungsten.replicator.binlog.definition import TableDefinition
from airflow_provider_tungsten.replicator.binlog.rows import CsvEncoder
from airflow_provider_tungsten.replicator.errors import CorruptLogError
from airflow_provider_tungsten.replicator.thl.columns import to_table
from airflow_provider_tungsten.replicator.thl.event import ROW_KINDS, Kind, ThlEvent
from airflow_provider_tungsten.replicator.thl.pieces import Joined
from airflow_provider_tungsten.replicator.thl.runs import RowRun, to_runs
from tests.unit.replicator.batch.logs import ITEMS, ORDERS, WIDER, Logbook, events, rows, statement

HEADER = ("gtid", "opcode", "seqno", "row_id", "commit_timestamp", "service", "event_id")
KINDS = (Kind.INSERT, Kind.UPDATE, Kind.DELETE)


def mixed(chance: random.Random, seqno: int) -> ThlEvent:
    definition = chance.choice((ORDERS, ITEMS))
    kind = chance.choice(KINDS)
    values = [
        (chance.randrange(99), chance.choice(("a,b", None, ""))) for _ in range(2 * chance.randrange(4))
    ]
    fragment = rows(definition, *values or [(1, "x"), (2, "y")], kind=kind)
    (event,) = events(seqno, [fragment if chance.random() < 0.9 else statement("none")], 0)
    return event._replace(gtid=chance.choice(("", f'"{seqno}"')))


def encoder(definition: TableDefinition) -> CsvEncoder:
    return CsvEncoder(definition, HEADER, service="shop")


def one_by_one(definition: TableDefinition, log: list[ThlEvent]) -> bytes:
    csv, row_id, lines = encoder(definition), 1, b""
    for event in log:
        if event.kind in ROW_KINDS and event.table_name == definition.table:
            encoded = csv.encode(
                event.payload or b"",
                event.kind,
                seqno=event.seqno,
                row_id=row_id,
                commit_ts=event.commit_ts,
                event_id=event.event_id,
                gtid=event.gtid,
            )
            row_id, lines = encoded.next_row_id, lines + encoded.csv
    return lines


def flat(found: Iterable[ThlEvent | list[RowRun]]) -> list[ThlEvent | RowRun]:
    return [each for item in found for each in (item if isinstance(item, list) else [item])]


def by_runs(runs: list[RowRun], limit: int) -> bytes:
    lines, row_id = b"", 1
    csv = encoder(TableDefinition.from_json(runs[0].definition))
    for run in runs:
        start = 0
        while start < len(run.places):
            encoded, taken = csv.encode_run(run, start, row_id=row_id, limit=limit)
            assert taken >= 1
            row_id, start, lines = encoded.next_row_id, start + taken, lines + encoded.csv
    return lines


@pytest.mark.parametrize("limit", [1, 300, 2**30])
def test_the_runs_of_interleaved_tables_hold_what_their_events_hold_one_by_one(limit: int) -> None:
    chance = random.Random(limit)
    log = [mixed(chance, seqno) for seqno in range(300)]
    # Columns that begin behind the beginning of their buffers, as those of a range do.
    found = flat(to_runs(map(Joined, to_table(log).slice(7).to_batches())))
    runs = [run for run in found if isinstance(run, RowRun)]
    others = [event for event in found if isinstance(event, ThlEvent)]
    assert others == [event for event in log[7:] if event.kind not in ROW_KINDS]
    assert [run.table_name for run in runs] == list(
        dict.fromkeys(event.table_name for event in log[7:] if event.kind in ROW_KINDS)
    )
    for definition in (ORDERS, ITEMS):
        mine = [run for run in runs if run.table_name == definition.table]
        assert by_runs(mine, limit) == one_by_one(definition, log[7:])
        assert sum(run.rows for run in mine) == sum(
            event.rows
            for event in log[7:]
            if event.kind in ROW_KINDS and event.table_name == definition.table
        )


@pytest.mark.parametrize("run_bytes", [0, 2**20])
def test_runs_reach_over_row_groups_where_these_hold_too_little_of_a_table(
    run_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{to_runs.__module__}.RUN_BYTES", run_bytes)
    monkeypatch.setattr(f"{to_runs.__module__}.WINDOW_BYTES", 50_000)
    chance = random.Random(run_bytes)
    log = [mixed(chance, seqno) for seqno in range(300)]
    groups = [to_table(log[at : at + 20]).slice(at == 40).to_batches()[0] for at in range(0, 300, 20)]
    held = [event for event in log if event.seqno != 40]
    found = flat(to_runs(map(Joined, groups)))
    assert [event for event in found if isinstance(event, ThlEvent)] == [
        event for event in held if event.kind not in ROW_KINDS
    ]
    for definition in (ORDERS, ITEMS):
        mine = [run for run in found if isinstance(run, RowRun) and run.table_name == definition.table]
        assert by_runs(mine, 2**30) == one_by_one(definition, held)
        assert [run.is_last for run in mine] == [False] * (len(mine) - 1) + [True]
        assert len(mine) == len(groups) if not run_bytes else 1 < len(mine) < len(groups) / 2


def test_seqnos_that_are_left_out_are_in_no_run(tmp_path: Path) -> None:
    book = Logbook(tmp_path)
    book.add(rows(ORDERS), rows(ORDERS), rows(ORDERS), rows(ORDERS))
    for without in ([], [1], [2, 3], [4], [1, 2, 3, 4]):
        runs = [run for run in flat(book.log.read_runs(1, 4, without)) if isinstance(run, RowRun)]
        seqnos = [run.seqnos[place] for run in runs for place in run.places]
        assert seqnos == [seqno for seqno in range(1, 5) if seqno not in without]
        assert [run.is_last for run in runs] == [True] * bool(seqnos)


def test_ids_are_read_for_whom_wants_them(tmp_path: Path) -> None:
    book = Logbook(tmp_path)
    book.add(rows(ORDERS), [rows(ITEMS), rows(ORDERS)])
    with_ids = [run for run in flat(book.log.read_runs(1, 2)) if isinstance(run, RowRun)]
    without = [run for run in flat(book.log.read_runs(1, 2, ids=False)) if isinstance(run, RowRun)]
    first, second = (event.event_id for event in book.log.scan(1, 2) if event.fragno == 0)
    assert [run.event_ids for run in with_ids] == [[first, second, second]] * 2
    for one, other in zip(with_ids, without, strict=True):
        assert other.batch.schema.names == [
            name for name in one.batch.schema.names if name not in ("event_id", "gtid")
        ]
        assert (one.table_name, list(one.places), bytes(one.payload)) == (
            other.table_name,
            list(other.places),
            bytes(other.payload),
        )


def test_a_change_of_the_definition_begins_a_run(tmp_path: Path) -> None:
    book = Logbook(tmp_path)
    book.add(rows(ORDERS), rows(WIDER, count=1), rows(ORDERS))
    runs = [run for run in flat(book.log.read_runs(1, 3)) if isinstance(run, RowRun)]
    assert [(run.definition, list(run.places)) for run in runs] == [(ORDERS.json, [0, 2]), (WIDER.json, [1])]


def whole() -> RowRun:
    log = [event for seqno in range(3) for event in events(seqno, [rows(ORDERS)], 0)]
    return next(
        run for run in flat(to_runs(map(Joined, to_table(log).to_batches()))) if isinstance(run, RowRun)
    )


@pytest.mark.parametrize(
    ("column", "code", "values"),
    [
        ("offsets", "i", [0, 8, 16, 2**31 - 1]),
        ("offsets", "i", [0, 8, 4, 24]),
        ("offsets", "i", [-8, 8, 16, 24]),
        ("places", "Q", [0, 1, 3]),
        ("kinds", "B", [0, 0, 3]),
        ("counts", "i", [1, 1, 2]),
    ],
)
def test_columns_that_do_not_fit_each_other_are_refused(column: str, code: Any, values: list[int]) -> None:
    wrong = memoryview(
        b"".join(
            value.to_bytes({"i": 4, "Q": 8, "B": 1}[code], "little", signed=code == "i") for value in values
        )
    )
    run = replace(whole(), **{column: wrong.cast(code)})
    with pytest.raises(CorruptLogError):
        CsvEncoder(ORDERS, ("opcode", "row_id")).encode_run(run, 0, row_id=1, limit=2**30)


def test_columns_of_different_lengths_are_refused() -> None:
    run = whole()
    fields = {
        name: getattr(run, name)
        for name in ("seqnos", "commits", "kinds", "counts", "offsets", "payload", "places", "spooled")
    }
    for name in ("commits", "kinds", "counts", "offsets"):
        short = SimpleNamespace(**fields | {name: fields[name][:-1]})
        with pytest.raises(ValueError, match="different lengths"):
            encoder(ORDERS).encode_run(short, 0, row_id=1, limit=1)
    with pytest.raises(ValueError, match="nothing left"):
        encoder(ORDERS).encode_run(run, 3, row_id=1, limit=1)
