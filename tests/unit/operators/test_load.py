from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException

from airflow_provider_tungsten.operators.batch import PlanBatchesOperator, ThlToCsvOperator
from airflow_provider_tungsten.operators.load import ApplyBatchesOperator
from airflow_provider_tungsten.operators.redshift import S3ToRedshiftMergeOperator
from airflow_provider_tungsten.replicator.batch.manifest import BatchManifest, TableBatch
from airflow_provider_tungsten.replicator.batch.position import Position
from airflow_provider_tungsten.replicator.custom.target import ApplierContext
from airflow_provider_tungsten.replicator.thl import appliers
from tests.unit.replicator.batch.logs import Logbook, rows

CONTEXT: dict[str, Any] = {
    "ti": SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1, try_number=1)
}


class Kept:
    """A target that keeps rows and position in one JSON file, whole or not at all."""

    def __init__(self, context: ApplierContext) -> None:
        self._context = context
        self._file = Path(context.options["file"])

    def prepare(self) -> Position:
        self._state = json.loads(self._file.read_text()) if self._file.exists() else {"rows": []}
        return Position(**self._state.get("position", {}))

    def begin(self, batch: BatchManifest) -> None:
        self._header = batch.header

    def apply(self, table: TableBatch) -> None:
        self._state["rows"] += self._context.files.rows(table)

    def commit(self, position: Position) -> Position:
        self._file.write_text(json.dumps(self._state | {"position": vars(position)}))
        return position

    def release(self) -> None:
        pass


class Case:
    """A log of seven transactions in a local folder and a service with a custom applier that takes it."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "kept.json"
        self.book = Logbook(folder)
        self.book.add(*[rows()] * 7)
        self.service: dict[str, Any] = {
            "service": "shop",
            "source": {"connection": "mysql", "server_id": 7},
            "thl": {"url": f"{folder}/thl"},
            "appliers": {
                "kept": {
                    "type": "custom",
                    "class": f"{__name__}.Kept",
                    "options": {"file": str(self.file)},
                    "files": {"url": f"{folder}/files"},
                    "batches": {"max_transactions": 3},
                }
            },
        }

    def run(self, operator: type[Any], **arguments: Any) -> Any:
        return operator(task_id="t", **{"service": self.service} | arguments).execute(CONTEXT)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def test_a_class_of_ones_own_is_fed_every_batch_once(case: Case) -> None:
    written = case.run(ThlToCsvOperator)
    loaded = case.run(ApplyBatchesOperator)
    assert (loaded["first"], loaded["last"], loaded["rows"]) == (0, 7, 7) == (0, 7, written["rows"])
    assert json.loads(json.dumps(loaded)) == loaded
    kept = json.loads(case.file.read_text())
    assert [(row[0], row[1], row[4:]) for row in kept["rows"]] == [
        ("I", str(n), ["1", "a"]) for n in range(1, 8)
    ]
    with pytest.raises(AirflowSkipException):
        case.run(ApplyBatchesOperator)
    assert case.run(ApplyBatchesOperator, to_seqno=3)["batches"] == 0
    assert appliers.positions(case.book.log)["kept"].seqno == 7


def test_a_feed_on_s3_is_applied_when_its_position_moves(case: Case) -> None:
    feed = {"type": "s3", "files": {"url": f"{case.file.parent}/feed"}, "batches": {"max_transactions": 3}}
    case.service["appliers"]["feed"] = feed
    case.run(ThlToCsvOperator, applier="feed")
    loaded = case.run(ApplyBatchesOperator, applier="feed")
    assert (loaded["first"], loaded["last"], loaded["rows"]) == (0, 7, 7)
    [written] = (case.file.parent / "feed").rglob("commitseqno.0")
    assert json.loads(written.read_text())["seqno"] == "7"
    assert case.run(ApplyBatchesOperator, applier="feed", to_seqno=7)["batches"] == 0


def test_a_class_that_does_not_fit_fails_before_anything_is_written(case: Case) -> None:
    case.service["appliers"]["kept"]["class"] = f"{__name__}.Case"
    for operator in (PlanBatchesOperator, ThlToCsvOperator, ApplyBatchesOperator):
        with pytest.raises(AirflowFailException, match="it has no method commit"):
            case.run(operator)
    assert not (case.file.parent / "files").exists()


def test_the_operator_for_redshift_is_for_redshift(case: Case) -> None:
    with pytest.raises(AirflowFailException, match="type custom: use ApplyBatchesOperator"):
        case.run(S3ToRedshiftMergeOperator)


def test_retention_that_fails_does_not_fail_the_load_but_is_told(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    case.run(ThlToCsvOperator)
    case.service["thl"]["retention"] = {"max_age": "1s"}
    log = case.book.log
    log.storage.create("appliers/gone/registered.json", b"{}", token="t")
    log.storage.create("appliers/gone/position-0000000000000000001.json", b"not JSON", token="t")
    operator = ApplyBatchesOperator(task_id="t", service=case.service)
    told: list[str] = []
    monkeypatch.setattr(operator.log, "warning", lambda text, *_: told.append(text))
    assert operator.execute(CONTEXT)["last"] == 7
    assert "retention of the log" in told[-1]
    assert "not a record of an applier" in told[-1]


def test_an_applier_that_was_removed_loads_no_more(case: Case) -> None:
    case.run(ThlToCsvOperator)
    appliers.remove(case.book.log, "kept", "somebody")
    with pytest.raises(AirflowFailException, match="applier kept was removed from the log"):
        case.run(ApplyBatchesOperator, to_seqno=7)
    assert not case.file.exists()
