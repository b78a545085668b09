"""The target of one's own that the documentation shows, as it stands there."""

from __future__ import annotations

import re
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_tungsten.replicator import targets
from airflow_provider_tungsten.replicator.batch.apply import LoadResult
from airflow_provider_tungsten.replicator.batch.manifest import TableBatch
from airflow_provider_tungsten.replicator.batch.planning import due
from airflow_provider_tungsten.replicator.batch.writer import write_batch
from airflow_provider_tungsten.replicator.binlog.definition import TableDefinition
from airflow_provider_tungsten.replicator.branch import Branch, open_branch
from airflow_provider_tungsten.replicator.connections import open_store
from airflow_provider_tungsten.replicator.errors import TargetUnavailableError
from airflow_provider_tungsten.replicator.service import parse_service
from tests.unit.replicator.batch.logs import ITEMS, ORDERS, Kind, Logbook, rows, statement

DOCS = Path(__file__).parents[2] / "docs" / "hooks.md"


def block(language: str, holding: str) -> str:
    """The documentation's code block in that language with that text."""
    [found] = [
        text
        for text in re.findall(rf"```{language}\n(.*?)```", DOCS.read_text(), re.DOTALL)
        if holding in text
    ]
    return str(found)


class Copies:
    """A log, a service with the documented class as its target, and the SQLite file."""

    def __init__(self, folder: Path) -> None:
        self.book = Logbook(folder)
        self.path = folder / "copies.db"
        custom = {
            "type": "custom",
            "class": "sqlite_target.SqliteTarget",
            "options": {"path": str(self.path)},
            "files": {"url": f"{folder}/files"},
            "batches": {"max_transactions": 2},
        }
        self.service = parse_service(
            {
                "service": "shop",
                "source": {"connection": "mysql", "server_id": 7},
                "thl": {"url": f"{folder}/thl"},
                "appliers": {"copies": custom},
            }
        )

    def branch(self) -> Branch:
        return open_branch(self.service, None, open_store)

    def write(self) -> Branch:
        branch = self.branch()
        for plan in due(branch.chain, -1, per_run=1000, token="t"):
            write_batch(branch.log, plan, self.service, "copies", branch.folder, token="t")
        return branch

    def load(self) -> LoadResult:
        branch = self.branch()
        return targets.load(branch, _no_redshift, through=branch.chain.end(), token="t")

    def query(self, sql: str) -> list[Any]:
        with closing(sqlite3.connect(self.path)) as database:
            return database.execute(sql).fetchall()


def _no_redshift(*_: str) -> Any:
    raise AssertionError("Redshift has no part in it")


@pytest.fixture
def copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Copies:
    (tmp_path / "sqlite_target.py").write_text(block("python", "class SqliteTarget"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(import_module("sys").modules, "sqlite_target", raising=False)
    return Copies(tmp_path)


def fill(book: Logbook, definition: TableDefinition) -> None:
    book.add(
        rows(definition, (1, "one"), (2, 'two "quoted",\n')),
        rows(definition, (1, "one"), (10, None), kind=Kind.UPDATE),
        rows(definition, (2, 'two "quoted",\n'), kind=Kind.DELETE),
        rows(definition, (3, ""), (4, "\\N"), (5, "null")),
    )


def test_the_documented_target_holds_what_the_log_says(copies: Copies) -> None:
    fill(copies.book, ORDERS)
    fill(copies.book, ITEMS)
    copies.write()
    result = copies.load()
    expected = [("10", None), ("3", ""), ("4", "\\N"), ("5", "null")]
    assert copies.query('SELECT * FROM "shop.orders" ORDER BY id') == expected
    assert copies.query('SELECT * FROM "shop.items" ORDER BY id') == expected
    assert copies.query("SELECT json_extract(position, '$.seqno') FROM tungsten_position") == [(8,)]
    assert (result.last, copies.load().batches) == (8, 0)
    copies.book.add(statement("truncate"))
    copies.write()
    copies.load()
    assert copies.query("SELECT name FROM sqlite_master WHERE name LIKE 'shop.%'") == [("shop.items",)]


def test_a_load_that_dies_in_a_batch_leaves_rows_and_position_as_they_were(
    copies: Copies, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(copies.book, ORDERS)
    copies.write()
    target = import_module("sqlite_target").SqliteTarget
    apply, seen = target.apply, []

    def dies_behind_the_second(self: Any, table: TableBatch) -> None:
        apply(self, table)
        seen.append(table)
        if len(seen) == 2:
            raise OSError("no more")

    monkeypatch.setattr(target, "apply", dies_behind_the_second)
    with pytest.raises(
        TargetUnavailableError, match=r"apply failed \(batch .*, shop\.orders\): OSError: no more"
    ):
        copies.load()
    [(seqno,)] = copies.query("SELECT json_extract(position, '$.seqno') FROM tungsten_position")
    assert seqno == 2
    assert copies.query('SELECT * FROM "shop.orders" ORDER BY id') == [("10", None), ("2", 'two "quoted",\n')]
    copies.load()
    assert copies.query('SELECT id FROM "shop.orders" ORDER BY id') == [("10",), ("3",), ("4",), ("5",)]


def test_loads_at_once_apply_everything_once(copies: Copies) -> None:
    for _ in range(4):
        fill(copies.book, ORDERS)
    copies.write()
    with ThreadPoolExecutor(3) as pool:
        results = [future.result() for future in [pool.submit(copies.load) for _ in range(3)]]
    assert sum(result.batches for result in results) == 8
    assert {result.position.seqno for result in results} == {16}
    assert copies.query('SELECT id FROM "shop.orders" ORDER BY id') == [("10",), ("3",), ("4",), ("5",)]
