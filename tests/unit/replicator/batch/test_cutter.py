"""Where micro-batches are cut."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from airflow_provider_tungsten.replicator.batch.cutter import Piece
from airflow_provider_tungsten.replicator.batch.tables import AppliedTables
from airflow_provider_tungsten.replicator.binlog.definition import Column, TableDefinition
from airflow_provider_tungsten.replicator.errors import GapError, UnsupportedError
from tests.unit.replicator.batch.logs import (
    ID,
    ITEMS,
    LOOSE,
    NOTE,
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

Fragments = Sequence[dict[str, Any]] | dict[str, Any]


def cut(
    *log: Fragments, acknowledged: Iterable[int] = (), into: list[Piece] | None = None, **applier: Any
) -> list[Piece]:
    """The pieces of a log that begins at seqno 0; a gap begins an epoch."""
    settings = make_service(**applier).appliers["redshift"]
    stream, epoch = [], 0
    for seqno, transaction in enumerate(log):
        fragments = [transaction] if isinstance(transaction, dict) else transaction
        epoch = seqno if fragments[0]["kind"] == "gap" else epoch
        stream += events(seqno, fragments, epoch)
    found = [] if into is None else into
    for piece in pieces_of(stream, settings, acknowledged=set(acknowledged)):
        found.append(piece)
    return found


def spans(found: Iterable[Piece]) -> list[tuple[int, int, str]]:
    return [(piece.first, piece.last, piece.effect) for piece in found]


def test_what_the_log_leaves_open_is_marked_as_tail() -> None:
    (piece,) = cut(position(), rows(), rows(ITEMS))
    assert (piece.first, piece.last, piece.tail, piece.transactions, piece.rows) == (0, 2, True, 2, 2)


def test_a_batch_is_full_at_its_number_of_transactions() -> None:
    found = cut(*[rows()] * 5, batches={"max_transactions": 2})
    assert [(piece.first, piece.last, piece.tail) for piece in found] == [
        (0, 1, False),
        (2, 3, False),
        (4, 4, True),
    ]


def test_rows_and_bytes_of_a_batch_stay_within_the_limit_unless_one_transaction_is_larger() -> None:
    three = rows(ORDERS, *[(i, "x") for i in range(3)])
    log = [rows(), three, rows(), rows(ORDERS, *[(i, "x") for i in range(9)]), rows()]
    assert [piece.rows for piece in cut(*log, batches={"max_rows": 4})] == [4, 1, 9, 1]
    size = len(three["payload"])
    assert [piece.rows for piece in cut(*log, batches={"max_bytes": size})] == [1, 3, 1, 9, 1]


def test_a_transaction_is_never_cut() -> None:
    (piece, _) = cut([rows(), rows(ITEMS), rows(), rows()], rows(), batches={"max_rows": 2})
    assert (piece.last, piece.rows) == (0, 4)


def test_truncate_and_ddl_of_an_included_table_stand_alone() -> None:
    log = [rows(), statement("truncate"), rows(), statement("create"), statement("schema"), rows()]
    assert spans(cut(*log)) == [
        (0, 0, "rows"),
        (1, 1, "truncate"),
        (2, 2, "rows"),
        (3, 3, "ddl"),
        (4, 4, "ddl"),
        (5, 5, "rows"),
    ]


def test_a_table_made_from_a_select_brings_its_rows_in_a_batch_of_its_own() -> None:
    assert spans(cut(rows(), [statement("create"), rows()], rows())) == [
        (0, 0, "rows"),
        (1, 1, "rows"),
        (2, 2, "rows"),
    ]


@pytest.mark.parametrize("effect", ["truncate", "schema", "moves_rows", "rewrites", "unknown"])
def test_statements_on_an_excluded_table_are_nothing(effect: str) -> None:
    log = [rows(ITEMS), statement(effect), rows(ITEMS)]
    assert spans(cut(*log, exclude=["shop.orders"])) == [(0, 2, "rows")]


@pytest.mark.parametrize("effect", ["moves_rows", "rewrites", "unknown", "dml", "of a later version"])
def test_a_statement_that_is_not_carried_out_stops_behind_what_lies_before_it(effect: str) -> None:
    found: list[Piece] = []
    with pytest.raises(UnsupportedError, match=r"seqno 2 .*shop\.orders.*exclude shop\.orders"):
        cut(position(), rows(), statement(effect), rows(), into=found)
    assert [(piece.first, piece.last, piece.tail) for piece in found] == [(0, 1, False)]


def test_dropping_a_schema_concerns_whoever_takes_a_table_of_it() -> None:
    with pytest.raises(UnsupportedError, match=r"exclude shop\.\*"):
        cut(statement("moves_rows", table=""), include=["shop.orders"])
    assert spans(cut(statement("moves_rows", table=""), include=["crm.*"])) == [(0, 0, "records")]
    assert spans(cut(statement("moves_rows", table=""), exclude=["shop.*"])) == [(0, 0, "records")]


def test_a_table_changes_its_definition_only_between_batches() -> None:
    log = [rows(), rows(ITEMS), rows(WIDER), rows(ITEMS)]
    assert spans(cut(*log)) == [(0, 1, "rows"), (2, 3, "rows")]
    assert spans(cut(*log, exclude=["shop.orders"])) == [(0, 3, "rows")]


def test_a_definition_that_changes_inside_a_transaction_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="in the middle of a transaction"):
        cut([rows(), rows(WIDER)])
    with pytest.raises(UnsupportedError, match="in the middle of a transaction"):
        cut([rows(), statement("truncate")])


def test_an_unacknowledged_gap_stops_and_says_what_is_missing() -> None:
    found: list[Piece] = []
    with pytest.raises(
        GapError, match=r"seqno 1 is a gap .*from=bin\.000001:4, to=bin\.000007:4.*acknowledge"
    ):
        cut(rows(), gap(), rows(), into=found)
    assert spans(found) == [(0, 0, "rows")]


def test_an_acknowledged_gap_begins_a_batch() -> None:
    assert spans(cut(rows(), gap(), rows(), acknowledged=[1])) == [(0, 0, "rows"), (1, 2, "rows")]


def test_a_change_of_epoch_is_a_boundary() -> None:
    settings = make_service().appliers["redshift"]
    stream = [*events(0, [rows()], 0), *events(1, [rows()], 1), *events(2, [rows()], 1)]
    found = pieces_of(stream, settings)
    assert [(piece.first, piece.last, piece.epoch_number) for piece in found] == [(0, 0, 0), (1, 2, 1)]


def test_excluded_rows_do_not_count_but_move_the_batch_on() -> None:
    (piece,) = cut(
        rows(ITEMS), rows(ITEMS), [rows(), rows(ITEMS)], exclude=["shop.items"], batches={"max_rows": 2}
    )
    assert (piece.last, piece.transactions, piece.rows) == (2, 1, 1)
    (piece,) = cut(rows(ITEMS), position(), exclude=["shop.items"])
    assert (piece.effect, piece.transactions, piece.tail) == ("records", 0, True)


def test_a_table_without_primary_key_is_refused_until_it_is_excluded() -> None:
    with pytest.raises(
        UnsupportedError, match=r"seqno 1: shop\.loose has no primary key.*exclude shop\.loose"
    ):
        cut(rows(), rows(LOOSE))
    assert spans(cut(rows(), rows(LOOSE), exclude=["shop.loose"])) == [(0, 1, "rows")]


def test_a_feed_takes_tables_without_a_key() -> None:
    feed = make_service(type="s3").appliers["redshift"]
    assert AppliedTables(feed).applied(LOOSE.json).key == ()


def test_a_key_column_cannot_be_excluded() -> None:
    with pytest.raises(UnsupportedError, match="takes away id of the primary key"):
        cut(rows(), exclude_columns=["shop.orders.id"])


def test_a_column_type_that_is_not_supported_is_refused_until_it_is_excluded() -> None:
    places = TableDefinition("shop", "places", (ID, NOTE, Column("spot", "uuid", 254, meta=0x10FE)), ("id",))
    with pytest.raises(UnsupportedError, match=r"seqno 0: .*shop\.places.*spot.*uuid"):
        cut(rows(places))
    assert spans(cut(rows(places), exclude_columns=["shop.places.spot"])) == [(0, 0, "rows")]


def test_heartbeats_are_nothing_to_load_and_do_not_pile_up_for_longer_than_an_hour() -> None:
    beats = [(number, events(number, [heartbeat()], 0, second=number * 600)) for number in range(1, 16)]
    settings = make_service().appliers["redshift"]
    stream = [event for _, each in beats for event in each]
    found = list(pieces_of(stream, settings))
    assert spans(found) == [(1, 7, "records"), (8, 14, "records"), (15, 15, "records")]
    assert [piece.tail for piece in found] == [False, False, True]


def test_rows_within_the_hour_take_the_heartbeats_along() -> None:
    stream = [
        *events(1, [heartbeat()], 0, second=600),
        *events(2, [heartbeat(), rows()], 0, second=1200),
        *events(3, [heartbeat()], 0, second=9000),
    ]
    settings = make_service().appliers["redshift"]
    (piece,) = pieces_of(stream, settings)
    assert (piece.first, piece.last, piece.transactions, piece.rows, piece.tail) == (1, 3, 1, 1, True)
