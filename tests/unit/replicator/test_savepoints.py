"""Savepoints as they stand in the log of MySQL 9.7 and MariaDB 10.11, and as clients may have written them before."""

from __future__ import annotations

import pytest

from airflow_provider_tungsten.replicator.savepoints import Savepoints, parse_savepoint


@pytest.mark.parametrize(
    ("sql", "verb", "name"),
    [
        ("SAVEPOINT `S x`", "set", "S X"),
        ("savepoint  a ;", "set", "A"),
        ('SAVEPOINT "a""b"', "set", 'A"B'),
        ("SAVEPOINT `x``y`", "set", "X`Y"),
        ("ROLLBACK TO `é`", "back", "E"),
        ("ROLLBACK TO SAVEPOINT b", "back", "B"),
        ("rollback work to savepoint\n`B`", "back", "B"),
        ("RELEASE SAVEPOINT c", "release", "C"),
    ],
)
def test_statements_about_savepoints(sql: str, verb: str, name: str) -> None:
    assert parse_savepoint(sql) == (verb, name)


@pytest.mark.parametrize("sql", ["ROLLBACK", "SAVEPOINT", "SAVEPOINTS a", "CREATE TABLE savepoint (a INT)"])
def test_other_statements(sql: str) -> None:
    assert parse_savepoint(sql) is None


def test_going_back_forgets_what_was_set_later_but_not_the_savepoint_itself() -> None:
    points = Savepoints()
    for name, mark in (("A", 1), ("B", 2), ("C", 3)):
        points.set(name, mark)
    assert (points.back("B"), points.back("C"), points.back("B"), points.back("A")) == (2, None, 2, 1)
    assert points.back("B") is None


def test_a_name_that_is_set_again_moves_to_the_end() -> None:
    points = Savepoints()
    for name, mark in (("A", 1), ("B", 2), ("A", 3)):
        points.set(name, mark)
    assert (points.back("B"), points.back("A")) == (2, None)


def test_a_release_forgets_what_was_set_later_too() -> None:
    points = Savepoints()
    for name, mark in (("A", 1), ("B", 2), ("C", 3)):
        points.set(name, mark)
    points.release("B")
    points.release("unknown")
    assert [points.back(name) for name in "CBA"] == [None, None, 1]
