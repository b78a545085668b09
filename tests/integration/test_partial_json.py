"""Partial JSON updates of a real MySQL: what is made of the diffs is what the server itself SELECTs afterwards."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.value_log import Log, Row
from tests.stack.mysql import MySQL

UPDATES = 300
KEYS = [
    "a",
    "b",
    "aa",
    "B",
    "",
    "é😀",
    'q"uote',
    "back\\slash",
    "a.b",
    "a[0]",
    "new\nline",
    "\x01",
    "*",
    "last",
]


@pytest.fixture
def log(mysql: MySQL, database: str) -> Iterator[Log]:
    log = Log(mysql, database)
    with log.connection:
        log.run("SET SESSION binlog_row_value_options = PARTIAL_JSON")
        yield log


def document(dice: random.Random, depth: int) -> Any:
    choice = dice.randrange(10 if depth else 6)
    if choice == 0:
        return dice.choice([None, True, False])
    if choice == 1:
        return dice.getrandbits(dice.choice([8, 15, 16, 31, 32, 63])) * dice.choice([1, -1])
    if choice == 2:
        return dice.uniform(-1e9, 1e9)
    if choice < 6:
        return dice.choice('xé😀"\\') * dice.choice([0, 1, 20, 130])
    inner = [document(dice, depth - 1) for _ in range(dice.randrange(8))]
    return inner if choice < 8 else {dice.choice(KEYS): value for value in inner}


def place(dice: random.Random, found: Any) -> str:
    """A path to somewhere in it, or to where something may be added."""
    path = "$"
    while isinstance(found, list | dict) and (path == "$" or dice.random() < 0.8):
        if isinstance(found, list):
            at = dice.randrange(len(found) + 2)
            path += f"[{at}]" if dice.random() < 0.7 else f"[last-{at}]" if at else "[last]"
            found = found[at] if at < len(found) else None
        else:
            key = dice.choice([*found, dice.choice(KEYS)])
            path += "." + (key if key in ("a", "b", "aa") else json.dumps(key, ensure_ascii=False))
            found = found.get(key)
    if path == "$" or dice.random() < 0.05:
        path += "[0]"
    return path


def change(dice: random.Random, column: str, found: Any) -> tuple[str, list[str]]:
    """An expression that changes the column in a few places."""
    expression, arguments = column, []
    for _ in range(dice.choice([1, 1, 2, 3])):
        path = place(dice, found)
        verb = dice.choice(["SET", "SET", "REPLACE", "REPLACE", "REMOVE", "REMOVE", "INSERT", "ARRAY_INSERT"])
        if verb == "REMOVE":
            expression = f"JSON_REMOVE({expression}, %s)"
            arguments.append(path)
        else:
            if verb == "ARRAY_INSERT" and not path.endswith("]"):
                verb = "SET"
            expression = f"JSON_{verb}({expression}, %s, CAST(%s AS JSON))"
            arguments += [path, json.dumps(document(dice, 2))]
    return expression, arguments


def test_any_update_gives_what_the_server_selects(log: Log) -> None:
    dice = random.Random(4)
    log.run("CREATE TABLE t (id INT PRIMARY KEY, x JSON, n INT, y JSON, p VARCHAR(9))")
    for number in range(8):
        values = [json.dumps([document(dice, 4) for _ in range(6)]) for _ in range(2)]
        log.run("INSERT INTO t VALUES (%s, %s, 0, %s, 'p')", arguments=[number, *values])
    start = log.position()
    expected: list[Row] = []
    for _ in range(UPDATES):
        number = dice.randrange(8)
        query = f"SELECT id, CAST(x AS CHAR), n, CAST(y AS CHAR), p FROM t WHERE id = {number}"
        ((_, x, _, y, _),) = log.select(query)
        column, found = dice.choice([("x", x), ("y", y)])
        expression, arguments = change(dice, column, json.loads(found))
        log.run(f"UPDATE t SET {column} = {expression}, n = n + 1 WHERE id = {number}", arguments=arguments)
        expected += log.select(query)
    assert log.changes_since(start).inserted == expected
    assert log.partial_events == UPDATES


def test_documents_that_grow_and_shrink_past_64_kb(log: Log) -> None:
    log.run("CREATE TABLE t (id INT PRIMARY KEY, j JSON)")
    small = '{"a": [1, 70000, -70000, 3000000000, true, "s"], "b": {"c": 1}, "z": "' + "x" * 60000 + '"}'
    log.run("INSERT INTO t VALUES (1, %s), (2, %s)", arguments=[small, small])
    start = log.position()
    expected: list[Row] = []
    for expression in (
        "JSON_SET(j, '$.b.c', REPEAT('y', 6000))",
        "JSON_SET(j, '$.a[1]', 80000, '$.b.d', 70000)",
        "JSON_REMOVE(j, '$.b.c')",
        "JSON_SET(j, '$.k', -80000)",
    ):
        log.run(f"UPDATE t SET j = {expression} WHERE id = 1")
        expected += log.select("SELECT id, CAST(j AS CHAR) FROM t WHERE id = 1")
    assert log.changes_since(start).inserted == expected
    assert log.partial_events == 4


def test_several_rows_columns_that_stay_and_null(log: Log) -> None:
    columns = ", ".join(f"j{number} JSON" for number in range(9))
    log.run(f"CREATE TABLE t (id INT PRIMARY KEY, {columns}, v INT)")
    big = json.dumps({"a": "x" * 200, "b": [1, 2, 3]})
    for number in range(3):
        values = ", ".join("%s" if at != number else "NULL" for at in range(9))
        log.run(f"INSERT INTO t VALUES ({number}, {values}, 0)", arguments=[big] * 8)
    start = log.position()
    log.run(
        "UPDATE t SET v = 1, j0 = JSON_SET(j0, '$.b[1]', 5), j8 = JSON_REMOVE(j8, '$.b[0]'), j4 = NULL,"
        " j5 = JSON_ARRAY(1), j7 = JSON_SET(j7, '$.b[last]', CAST(1.50 AS DECIMAL(5, 2)), '$.c', NOW(6))"
    )
    shown = ", ".join(f"CAST(j{number} AS CHAR)" for number in range(9))
    assert log.changes_since(start).inserted == log.select(f"SELECT id, {shown}, v FROM t")
    assert log.partial_events == 1
