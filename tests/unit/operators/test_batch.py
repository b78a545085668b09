from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException

from airflow_provider_tungsten.operators.batch import CsvToS3Operator, PlanBatchesOperator, ThlToCsvOperator
from airflow_provider_tungsten.operators.redshift import S3ToRedshiftMergeOperator
from airflow_provider_tungsten.replicator.batch.hint import Hint, write_hint
from airflow_provider_tungsten.replicator.storage import open_storage
from tests.stack.s3 import S3
from tests.unit.replicator.batch.logs import Logbook, rows

CONTEXT: dict[str, Any] = {
    "ti": SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1, try_number=1)
}
BATCHES = {"max_transactions": 2, "per_run": 3, "per_task": 2}


class Case:
    """A log of seven transactions, seqnos 1 to 7, in a bucket, and the service that reads it."""

    def __init__(self, s3: S3, bucket: str, staging: Path) -> None:
        self.bucket, self.client = bucket, s3.client()
        self.book = Logbook(open_storage(f"s3://{bucket}", s3_client=self.client), batches=BATCHES)
        self.book.add(*[rows()] * 7)
        applier = {"files": {"url": f"s3://{bucket}/files"}, "batches": BATCHES}
        self.service: dict[str, Any] = {
            "service": "shop",
            "source": {"connection": "mysql", "server_id": 7},
            "thl": {"url": f"s3://{bucket}/thl"},
            "appliers": {"redshift": applier},
        }
        self.staged = self.service | {"appliers": {"redshift": applier | {"staging_folder": str(staging)}}}

    def run(self, operator: type[Any], **arguments: Any) -> Any:
        return operator(task_id="t", **{"service": self.service} | arguments).execute(CONTEXT)

    def applied(self, seqno: int) -> None:
        write_hint(self.book.store, Hint(seqno, 0, "", ""))

    def objects(self) -> set[str]:
        listed = self.client.list_objects_v2(Bucket=self.bucket, Prefix="files/")
        return {item["Key"].removeprefix("files/shop/redshift/") for item in listed.get("Contents", [])}


@pytest.fixture
def case(monkeypatch: pytest.MonkeyPatch, s3: S3, bucket: str, tmp_path: Path) -> Iterator[Case]:
    extra = {"endpoint_url": s3.endpoint_url, "region_name": s3.region}
    connection = {"conn_type": "aws", "login": s3.access_key, "password": s3.secret_key, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(connection))
    return Case(s3, bucket, tmp_path)


def test_planning_deals_out_what_is_due_in_portions_until_nothing_is(case: Case) -> None:
    seen = []
    for _ in range(2):
        spans = case.run(PlanBatchesOperator)
        seen += spans
        case.applied(spans[-1]["to_seqno"])
    assert [span["from_seqno"] for span in seen] == [0] + [span["to_seqno"] + 1 for span in seen[:-1]]
    assert seen[-1]["to_seqno"] == 7
    with pytest.raises(AirflowSkipException):
        case.run(PlanBatchesOperator)


def test_a_range_by_hand_wins_over_the_interval(case: Case) -> None:
    interval = {"interval_start": "1970-01-01T00:00:00+00:00", "interval_end": "1970-01-01T00:00:03+00:00"}
    assert case.run(PlanBatchesOperator, to_seqno="6", **interval)[-1]["to_seqno"] >= 6
    assert case.run(PlanBatchesOperator, **interval)[-1]["to_seqno"] <= 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"from_seqno": 6, "to_seqno": 2}, "RangeError: .*0 to 7"),
        ({"to_seqno": 8}, "RangeError: .*0 to 7"),
        ({"from_seqno": "x"}, "ConfigurationError: from_seqno: 'x' is not a seqno"),
        ({"interval_start": "1970-01-01T00:00:00+00:00"}, "ConfigurationError: interval_end"),
        (
            {"interval_start": "2026-01-01T00:00:00", "interval_end": "soon"},
            "ConfigurationError: interval_end: 'soon'",
        ),
        ({"applier": "west"}, "ConfigurationError: service shop has no applier 'west'"),
    ],
)
def test_a_request_that_cannot_be_met_fails_without_a_retry(
    case: Case, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(AirflowFailException, match=message):
        case.run(PlanBatchesOperator, **arguments)
    assert case.objects() == set()


def test_csv_is_written_for_planned_batches_and_again_is_the_same(case: Case) -> None:
    [span, *_] = case.run(PlanBatchesOperator)
    first = case.run(ThlToCsvOperator, **span)
    objects = case.objects()
    again = case.run(ThlToCsvOperator, **span)
    assert case.objects() == objects
    measured = {"seconds", "rows_per_second"}
    assert {k: v for k, v in again.items() if k not in measured} == {
        k: v for k, v in first.items() if k not in measured
    }
    assert (first["from_seqno"], first["to_seqno"]) == (span["from_seqno"], span["to_seqno"])
    assert (first["batches"], first["files"]) == (2, 2)
    assert set(first["objects"]) <= objects
    assert json.loads(json.dumps(first)) == first


def test_without_a_range_csv_plans_itself_and_is_skipped_when_nothing_is_due(case: Case) -> None:
    written = case.run(ThlToCsvOperator)
    assert (written["from_seqno"], written["batches"]) == (0, 3)
    case.applied(6)
    assert case.run(ThlToCsvOperator)["to_seqno"] == 7
    case.applied(7)
    with pytest.raises(AirflowSkipException):
        case.run(ThlToCsvOperator)


def test_csv_of_what_is_not_planned_is_refused(case: Case) -> None:
    with pytest.raises(AirflowFailException, match="not planned as micro-batches.*PlanBatchesOperator"):
        case.run(ThlToCsvOperator, from_seqno=0, to_seqno=3)
    assert case.run(PlanBatchesOperator)[-1]["to_seqno"] < 7
    with pytest.raises(AirflowFailException, match="0 to 7 are not planned"):
        case.run(ThlToCsvOperator, from_seqno=0, to_seqno=7)
    with pytest.raises(AirflowFailException, match="both from_seqno and to_seqno"):
        case.run(ThlToCsvOperator, to_seqno=3)


def test_staged_batches_reach_the_bucket_with_their_upload(case: Case) -> None:
    span = case.run(PlanBatchesOperator, service=case.staged)[0]
    written = case.run(ThlToCsvOperator, service=case.staged, **span)
    assert not case.objects() & set(written["objects"])
    uploaded = case.run(CsvToS3Operator, service=case.staged, **span)
    assert case.objects() >= set(uploaded["objects"]) == set(written["objects"])
    assert uploaded["bytes"] == written["bytes"]


def test_an_upload_without_a_staging_folder_is_refused(case: Case) -> None:
    with pytest.raises(AirflowFailException, match="applier redshift of service shop has no staging_folder"):
        case.run(CsvToS3Operator)


def test_a_load_of_all_that_is_planned_leaves_redshift_alone_when_it_is_applied(case: Case) -> None:
    case.run(ThlToCsvOperator)
    case.applied(case.book.chain().end())
    with pytest.raises(AirflowSkipException):
        case.run(S3ToRedshiftMergeOperator)
