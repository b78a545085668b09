"""Cutting by columns: the same micro-batches as one transaction after the other gives."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any
from unittest import mock

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_tungsten.replicator.batch import cutter
from airflow_provider_tungsten.replicator.batch.cutter import MAX_QUIET, Piece
from airflow_provider_tungsten.replicator.batch.settings import ApplierSettings
from airflow_provider_tungsten.replicator.batch.spans import COLUMNS, included_statement, spans
from airflow_provider_tungsten.replicator.batch.tables import AppliedTables
from airflow_provider_tungsten.replicator.errors import CorruptLogError, GapError, UnsupportedError
from airflow_provider_tungsten.replicator.thl import columns as thl_columns
from airflow_provider_tungsten.replicator.thl.columns import to_table
from airflow_provider_tungsten.replicator.thl.event import ROW_KINDS, Kind, ThlEvent
from tests.unit.replicator.batch.logs import (
    ITEMS,
    LOOSE,
    ORDERS,
    WIDER,
    events,
    gap,
    heartbeat,
    make_service,
    pieces_of,
    position,
    rows,
    statement,
)

SPAN = 12
Fragments = list[dict[str, Any]]


def one_by_one(
    stream: Sequence[ThlEvent],
    applier: ApplierSettings,
    acknowledged: Collection[int],
    skipped: Collection[int],
) -> tuple[list[Piece], int | None]:
    """The rules as they are told, and the seqno at which there is no going on."""
    tables, limits = AppliedTables(applier), applier.batches
    done: list[Piece] = []
    piece: Piece | None = None
    held: dict[str, str | None] = {}
    for seqno, fragments in groupby(stream, lambda event: event.seqno):
        whole = list(fragments)
        end, changed, found = whole[-1], "", Piece(seqno, seqno, whole[0].epoch_number)
        layouts: dict[str, str | None] = {}
        is_gap = is_refused = False
        for event in () if seqno in skipped else whole:
            if event.kind == Kind.GAP:
                is_gap = True
            elif event.kind in ROW_KINDS and tables.includes(event.schema_name, event.table_name):
                other = layouts.setdefault(event.table_name, event.definition) != event.definition
                is_refused |= other or changed == "truncate" or event.definition == LOOSE.json
                found.transactions = 1
                found.rows += event.rows
                found.image_bytes += event.payload_bytes
            elif event.kind in (Kind.DDL, Kind.TRUNCATE):
                try:
                    effect = included_statement(event, tables)
                except UnsupportedError:
                    is_refused = True
                else:
                    is_refused |= effect is not None and bool(changed or found.transactions)
                    changed = effect or changed
        if is_refused or (is_gap and seqno not in acknowledged):
            return done + ([replace(piece, tail=piece.effect == "records")] if piece else []), seqno
        if piece and (
            is_gap
            or changed
            or found.epoch_number != piece.epoch_number
            or (found.transactions and piece.transactions and piece.rows + found.rows > limits.max_rows)
            or (piece.transactions and piece.image_bytes + found.image_bytes > limits.max_bytes)
            or any(held.get(table, layout) != layout for table, layout in layouts.items())
        ):
            done.append(piece)
            piece = None
        if piece is None:
            piece, held = Piece(seqno, seqno, found.epoch_number), {}
        effect = "rows" if found.transactions else changed or piece.effect
        piece = replace(
            piece,
            last=seqno,
            event_id=end.event_id,
            watermark=end.watermark,
            since=piece.since or end.watermark,
            effect=effect,
            transactions=piece.transactions + (1 if found.transactions or changed else 0),
            rows=piece.rows + found.rows,
            image_bytes=piece.image_bytes + found.image_bytes,
        )
        held |= layouts
        if (
            changed
            or piece.transactions >= limits.max_transactions
            or piece.rows >= limits.max_rows
            or piece.image_bytes >= limits.max_bytes
            or seqno - piece.first + 1 >= SPAN
            or (piece.effect == "records" and piece.watermark - piece.since >= MAX_QUIET)
        ):
            done.append(piece)
            piece = None
    return done + ([replace(piece, tail=True)] if piece else []), None


@st.composite
def logs(draw: st.DrawFn) -> list[ThlEvent]:
    """Transactions of every kind; what stops planning is rare, so that it gets somewhere."""

    def mostly(*usual: Any, seldom: Sequence[Any]) -> Any:
        return draw(st.sampled_from(usual if draw(st.integers(0, 11)) else seldom))

    def fragment() -> dict[str, Any]:
        if not draw(st.integers(0, 7)):
            effect = mostly("truncate", "create", "schema", "none", seldom=["moves_rows", "dml", "new"])
            return statement(effect, table=mostly("orders", "audit", "audit", seldom=["items", ""]))
        kind = mostly("rows", "rows", "rows", "heartbeat", seldom=["position", "gap"])
        if kind != "rows":
            return {"heartbeat": heartbeat, "position": position, "gap": gap}[kind]()
        table = mostly(ORDERS, ITEMS, replace(ITEMS, table="audit"), seldom=[WIDER, WIDER, LOOSE])
        made = rows(table, *[(number, "x" * number) for number in range(draw(st.integers(1, 4)))])
        return made | {"kind": draw(st.sampled_from(sorted(ROW_KINDS)))}

    stream: list[ThlEvent] = []
    second, epoch = draw(st.sampled_from([0.0, 1e6])), 0
    first = draw(st.integers(0, 2))
    for seqno in range(first, first + draw(st.integers(1, 40))):
        second += mostly(0, 1, seldom=[600, 3000, 3600, 9000]) if second or not draw(st.integers(0, 3)) else 0
        epoch = mostly(epoch, seldom=[seqno])
        many = mostly(1, 1, 1, seldom=[2, 3, 5])
        stream += events(seqno, [fragment() for _ in range(many)], epoch, second)
    return stream


@settings(max_examples=100)
@given(
    stream=logs(),
    limits=st.fixed_dictionaries(
        {
            "max_transactions": st.sampled_from([1, 3, 100]),
            "max_rows": st.sampled_from([1, 5, 100]),
            "max_bytes": st.sampled_from([30, 90, 10_000]),
        }
    ),
    exclude=st.sampled_from([[], ["shop.audit"], ["shop.audit", "shop.loose"], ["*.orders"]]),
    skipped=st.sets(st.integers(0, 40), max_size=6),
    acknowledged=st.sets(st.integers(0, 40), max_size=20),
    group=st.integers(1, 50),
    gathered=st.sampled_from([1, 1, 20, 1000]),
)
def test_columns_are_cut_where_transactions_one_by_one_are(
    stream: list[ThlEvent],
    limits: dict[str, int],
    exclude: list[str],
    skipped: set[int],
    acknowledged: set[int],
    group: int,
    gathered: int,
) -> None:
    applier = make_service(batches=limits, exclude=exclude).appliers["redshift"]
    expected, obstacle = one_by_one(stream, applier, acknowledged, skipped)
    found, stopped_at = [], None
    with (
        mock.patch.object(cutter, "MAX_SPAN", SPAN),
        mock.patch.object(thl_columns, "_GATHERED_EVENTS", gathered),
    ):
        try:
            for piece in pieces_of(
                stream, applier, acknowledged=acknowledged, skipped=sorted(skipped), group=group
            ):
                found.append(replace(piece, since=0))
        except (GapError, UnsupportedError) as error:
            stopped_at = int(str(error).split()[1].rstrip(":"))
    assert found == [replace(piece, since=0) for piece in expected]
    assert stopped_at == obstacle


@pytest.mark.parametrize("group", [1, 2, 3, 10])
def test_a_batch_that_began_with_a_tables_last_rows_ends_before_its_new_definition(
    group: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thl_columns, "_GATHERED_EVENTS", 1)
    definitions = [ORDERS, ITEMS, ORDERS, ITEMS, ORDERS, WIDER, ITEMS]
    stream = [event for seqno, each in enumerate(definitions) for event in events(seqno, [rows(each)], 0)]
    applier = make_service(batches={"max_transactions": 4}).appliers["redshift"]
    found = [(piece.first, piece.last) for piece in pieces_of(stream, applier, group=group)]
    assert found == [(0, 3), (4, 4), (5, 6)]


def test_what_stands_in_a_transaction_counts_where_the_next_row_group_ends_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(thl_columns, "_GATHERED_EVENTS", 1)
    applier = make_service().appliers["redshift"]
    before = events(0, [rows(ORDERS)], 0)
    wider = [*before, *events(1, [rows(WIDER), rows(ITEMS)], 0)]
    assert [(piece.first, piece.last) for piece in pieces_of(wider, applier, group=2)] == [(0, 0), (1, 1)]
    loose = [*before, *events(1, [rows(LOOSE), rows(ITEMS)], 0)]
    with pytest.raises(UnsupportedError, match="seqno 1: "):
        list(pieces_of(loose, applier, group=2))


def test_an_event_without_its_numbers_is_damage() -> None:
    columns = to_table(events(0, [rows()], 0)).select(COLUMNS)
    place = COLUMNS.index("rows")
    damaged = columns.set_column(place, columns.field(place), pa.nulls(1, pa.int32()))
    with pytest.raises(CorruptLogError, match="at or behind seqno 0 lacks one of .*rows"):
        list(spans(damaged.to_batches(), AppliedTables(make_service().appliers["redshift"])))
