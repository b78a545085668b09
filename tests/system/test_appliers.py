"""Three targets beside each other on one service, in one DAG: Redshift, a feed on S3, and the class that the docs show."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml

from airflow_provider_tungsten.replicator.batch.manifest import BatchManifest
from tests.stack.airflow import Airflow
from tests.stack.stack import Stack
from tests.system.bank import Bank
from tests.system.conftest import BUCKET, a_service, names, position

NAME, DAG = "mixed", "tungsten_mixed"
DOCS = Path(__file__).parents[2] / "docs" / "hooks.md"
FEED = "feed/mixed/feed/"
# On the path of the DAG processor and of every task.
CODE = """
from pathlib import Path
from airflow_provider_tungsten.pipeline import tungsten_dag
dag = tungsten_dag(Path(__file__).with_suffix(".yaml"))
"""


class Mixed:
    """The service, its DAG and its three targets."""

    def __init__(self, stack: Stack, airflow: Airflow) -> None:
        self.stack, self.airflow = stack, airflow
        self.bank = Bank(stack.mysql, NAME)
        self.copies = stack.folder / "copies.db"
        dags = stack.folder / "dags"
        [example] = re.findall(r"```python\n(.*?class SqliteTarget.*?)```", DOCS.read_text(), re.DOTALL)
        (dags / "sqlite_target.py").write_text(example)
        service = a_service(NAME, 73, None)
        service["appliers"] |= {
            "feed": {"type": "s3", "files": {"url": f"s3://{BUCKET}/feed"}},
            "copies": {
                "type": "custom",
                "class": "sqlite_target.SqliteTarget",
                "options": {"path": str(self.copies)},
                "files": {"url": f"s3://{BUCKET}/batches"},
            },
        }
        service["appliers"]["redshift"]["batches"] = {}
        (dags / f"{NAME}.yaml").write_text(yaml.safe_dump(service))
        (dags / f"{NAME}.py").write_text(CODE)

    def run(self, run_id: str | None = None) -> str:
        """A new run, or a cleared one, to its good end; its id."""
        if run_id is None:
            run_id = self.airflow.trigger(DAG)
        else:
            self.airflow.api("POST", f"/dags/{DAG}/dagRuns/{run_id}/clear", {"dry_run": False})
        assert self.airflow.wait_for_run(DAG, run_id) == "success"
        return run_id

    def manifests(self) -> list[BatchManifest]:
        """Of the feed, in order."""
        keys = [key for key in names(self.stack, f"{FEED}_batches/") if re.search(r"\d{19}-\d{19}", key)]
        return [BatchManifest.from_json(self._read(key)) for key in sorted(keys)]

    def _read(self, key: str) -> bytes:
        body: bytes = self.stack.s3.client().get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return body

    def query(self, sql: str) -> list[Any]:
        with closing(sqlite3.connect(self.copies)) as database:
            return database.execute(sql).fetchall()

    def source(self, table: str) -> list[tuple[Any, ...]]:
        return list(self.bank.mysql.execute(f"SELECT * FROM {NAME}.{table}"))

    def check(self) -> set[str]:
        """Every target holds what the source does, and every file of the feed stands in one manifest; these files."""
        assert self.bank.differences(self.stack.redshift) == []
        manifests = self.manifests()
        ends = [manifest.plan.last for manifest in manifests]
        assert [manifest.plan.first for manifest in manifests] == [0, *(end + 1 for end in ends[:-1])]
        files = [part.key for manifest in manifests for share in manifest.tables for part in share.parts]
        found = {key for key in names(self.stack, FEED) if ".csv" in key}
        assert sorted(files) == sorted(key.removeprefix(FEED) for key in found)
        for table in ("accounts", "entries"):
            rows = self.source(table)
            net = [
                share.rows.get("I", 0) - share.rows.get("D", 0)
                for manifest in manifests
                for share in manifest.tables
                if share.table == table
            ]
            assert sum(net) == len(rows)
            as_text = [tuple(None if value is None else str(value) for value in row) for row in rows]
            assert sorted(map(repr, self.query(f'SELECT * FROM "{NAME}.{table}"'))) == sorted(
                map(repr, as_text)
            )
        feed = json.loads(self._read(f"{FEED}_metadata/applier/{NAME}/commitseqno.0"))
        assert int(feed["seqno"]) == ends[-1] == position(self.stack, NAME)
        assert self.query("SELECT json_extract(position, '$.seqno') FROM tungsten_position") == [(ends[-1],)]
        return found


def test_targets_of_three_types_are_each_filled_once_whatever_is_run_again(
    stack: Stack, airflow: Airflow
) -> None:
    mixed = Mixed(stack, airflow)
    mixed.bank.work(20)
    run_id = mixed.run()
    assert mixed.check()
    mixed.bank.work(10)
    mixed.run(run_id)
    files = mixed.check()
    mixed.run()
    assert mixed.check() == files
