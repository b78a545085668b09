"""Loads that are killed, or lose their connection, at any point: a batch is there once and whole, or not at all."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
import redshift_connector

from airflow_provider_tungsten.replicator.errors import (
    TargetUnavailableError,
)
from tests.integration.batches import Row
from tests.integration.redshift_applier.shop import ITEMS, ORDERS, Shop, Spied, items
from tests.stack.redshift import Redshift

FIRST_LOAD = (
    "CREATE SCHEMA",
    "CREATE TABLE IF",
    "INSERT INTO",
    "commit",
    "CREATE TABLE",
    "COMMENT",
    "COPY",
    "UPDATE",
)
# The ninth COMMIT is the batch's.
LATER = (
    ("LOCK", 0), ("LOCK", 3), ("SET", 1), ("DELETE FROM", 0), ("COPY", 0), ("SELECT pg_last_copy_count", 0),
    ("DELETE FROM", 1), ("INSERT INTO", 0), ("COPY", 1), ("INSERT INTO", 1), ("UPDATE", 0), ("commit", 8),
)  # fmt: skip


def _die_at(point: str, skip: int) -> Callable[[str], None]:
    left = itertools.count(skip, -1)

    def before(statement: str) -> None:
        if statement.startswith(point) and next(left) == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return before


def _load_and_die(shop: Shop, point: str, skip: int) -> None:
    connect = Spied(shop.redshift.connect, _die_at(point, skip))
    process = multiprocessing.get_context("fork").Process(target=shop.load, args=(connect,))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL, (point, skip)


def test_a_first_load_killed_at_any_point_is_done_by_the_next(shop: Shop) -> None:
    shop.batch({ITEMS: [("I", "1", "a")], ORDERS: [("I", "1", "a")]})
    for point in FIRST_LOAD:
        _load_and_die(shop, point, 0)
    assert shop.load().batches == 1
    assert (shop.rows("items"), shop.rows("orders")) == ([(1, "a")], [(1, "a")])


def test_a_load_killed_at_any_point_is_done_by_the_next(shop: Shop) -> None:
    shop.batch({ITEMS: [("I", "0", "a")], ORDERS: [("I", "0", "a")]})
    shop.load()
    for done, (point, skip) in enumerate(LATER, 1):
        change: list[Row] = [("D", str(done - 1), "a"), ("I", str(done), "a")]
        shop.batch({ITEMS: change, ORDERS: change})
        _load_and_die(shop, point, skip)
        seen = shop.rows("items")
        assert shop.rows("orders") == seen
        assert seen in ([(done - 1, "a")], [(done, "a")])
        shop.load()
        assert (shop.rows("items"), shop.rows("orders")) == ([(done, "a")], [(done, "a")])


class LosesCommit:
    """The connection breaks once, at the COMMIT that follows the position's update: before it or behind it."""

    def __init__(self, redshift: Redshift, *, carried_out: bool) -> None:
        self._redshift = redshift
        self._carried_out = carried_out
        self._armed = False
        self.connections = 0

    def __call__(self) -> Any:
        self.connections += 1
        connection = self._redshift.connect()
        execute = connection.execute

        def breaks(cursor: Any, operation: str, arguments: Any) -> Any:
            if operation == "commit" and self._armed:
                self._armed = False
                if self._carried_out:
                    execute(cursor, operation, arguments)
                connection._usock.close()
                connection._sock.close()
                raise redshift_connector.InterfaceError("BrokenPipe: server socket closed.")
            if operation.startswith("UPDATE") and self.connections == 1:
                self._armed = True
            return execute(cursor, operation, arguments)

        connection.execute = breaks
        return connection


def test_a_commit_whose_answer_was_lost_is_known_to_have_happened(shop: Shop) -> None:
    shop.batch(items(("I", "1", "one")))
    shop.batch(items(("I", "2", "two")))
    connect = LosesCommit(shop.redshift, carried_out=True)
    result = shop.load(connect)
    assert (result.batches, connect.connections) == (2, 2)
    assert shop.rows() == [(1, "one"), (2, "two")]


def test_a_commit_that_never_arrived_is_known_not_to_have_happened(shop: Shop) -> None:
    shop.batch(items(("I", "1", "one")))
    with pytest.raises(TargetUnavailableError):
        shop.load(LosesCommit(shop.redshift, carried_out=False))
    assert (shop.seqno(), shop.rows()) == (-1, [])
    assert shop.load().batches == 1


def test_a_redshift_that_goes_away_in_the_middle_is_transient(shop: Shop) -> None:
    shop.batch(items(("I", "1", "one")))

    def stop(statement: str) -> None:
        if statement.startswith("INSERT INTO") and "ROW_NUMBER" in statement:
            shop.redshift.execute(
                "SELECT pg_terminate_backend(pid) FROM svv_transactions WHERE granted AND pid <> pg_backend_pid()"
            )

    with pytest.raises(TargetUnavailableError):
        shop.load(Spied(shop.redshift.connect, stop))
    assert shop.seqno() == -1
    assert shop.load().batches == 1
