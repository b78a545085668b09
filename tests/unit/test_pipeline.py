from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pendulum
import pytest
import yaml
from airflow.dag_processing.dagbag import DagBag
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException
from airflow.sdk import DAG
from airflow.serialization.serialized_objects import DagSerialization

from airflow_provider_tungsten.pipeline import tungsten_dag
from airflow_provider_tungsten.replicator.errors import ConfigurationError

DAGS = Path(__file__).parents[2] / "dags"
INTERVAL = {
    "data_interval_start": pendulum.datetime(2026, 1, 1),
    "data_interval_end": pendulum.datetime(2026, 1, 1, 0, 1),
}
REDSHIFT = {"files": {"url": "s3://lake/batches"}}


def a_service(**fields: Any) -> dict[str, Any]:
    return {
        "service": "shop",
        "source": {"connection": "mysql_shop", "server_id": 7},
        "thl": {"url": "s3://lake/thl"},
        "appliers": {"redshift": REDSHIFT},
    } | fields


def edges(dag: DAG) -> set[tuple[str, str]]:
    return {(task.task_id, below) for task in dag.tasks for below in task.downstream_task_ids}


def test_one_applier_gives_a_chain_of_four_tasks_with_batch_mapped() -> None:
    dag = tungsten_dag(a_service())
    assert dag.dag_id == "tungsten_shop"
    assert edges(dag) == {("extract", "plan"), ("plan", "batch"), ("batch", "load")}
    assert [task.task_id for task in dag.tasks if task.is_mapped] == ["batch"]


def test_a_staging_folder_puts_a_mapped_upload_between() -> None:
    staged = REDSHIFT | {"staging_folder": "/var/tmp/staging"}
    dag = tungsten_dag(a_service(appliers={"redshift": staged}))
    assert edges(dag) >= {("plan", "batch"), ("plan", "upload"), ("batch", "upload"), ("upload", "load")}
    assert dag.get_task("upload").is_mapped


def test_every_applier_gets_a_branch_of_its_own_behind_one_extract() -> None:
    dag = tungsten_dag(a_service(appliers={"east": REDSHIFT, "west": REDSHIFT}))
    assert {task.task_id for task in dag.tasks} == {
        "extract",
        *(f"{side}.{step}" for side in ("east", "west") for step in ("plan", "batch", "load")),
    }
    assert dag.get_task("extract").downstream_task_ids == {"east.plan", "west.plan"}


def test_appliers_of_every_type_stand_beside_each_other() -> None:
    folder = {"files": {"url": "s3://lake/batches"}}
    feed = {"type": "s3", "files": {"url": "s3://lake/feed"}}
    custom = folder | {"type": "custom", "class": "tests.unit.operators.test_load.Kept"}
    appliers = {"warehouse": REDSHIFT, "feed": feed, "mine": custom}
    dag = tungsten_dag(a_service(appliers=appliers))
    assert {name: dag.get_task(f"{name}.load").task_type for name in appliers} == {
        "warehouse": "S3ToRedshiftMergeOperator",
        "feed": "ApplyBatchesOperator",
        "mine": "ApplyBatchesOperator",
    }
    assert dag.description == "MySQL to Redshift and S3 and a target of one's own: service shop"
    assert dag.get_task("mine.load").service["appliers"]["mine"]["class"] == custom["class"]


def test_a_class_that_does_not_fit_is_refused_when_the_dag_is_parsed() -> None:
    custom = {"type": "custom", "class": "no_such.Class", "files": {"url": "s3://lake/batches"}}
    with pytest.raises(ConfigurationError, match="no_such cannot be imported"):
        tungsten_dag(a_service(appliers={"mine": custom}))


def test_parsing_a_dag_imports_nothing_that_only_its_tasks_need() -> None:
    heavy = "boto3 botocore pyarrow redshift_connector numpy pymysql sqlglot"
    engine = "airflow_provider_tungsten.replicator.extractor airflow_provider_tungsten.replicator.thl.log"
    code = f"import sys; import airflow_provider_tungsten.pipeline; print(*set('{heavy} {engine}'.split()) & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_no_two_extracts_and_no_two_loads_run_at_once() -> None:
    dag = tungsten_dag(a_service())
    assert dag.max_active_runs == 1
    assert [dag.get_task(name).max_active_tis_per_dag for name in ("extract", "load")] == [1, 1]


def test_runs_have_real_data_intervals_so_that_they_can_be_backfilled() -> None:
    dag = tungsten_dag(a_service(schedule="*/5 * * * *"))
    assert type(dag.timetable).__name__ == "CronDataIntervalTimetable"
    assert not dag.catchup


def test_parsing_twice_gives_the_same_dag() -> None:
    assert DagSerialization.to_dict(tungsten_dag(a_service())) == DagSerialization.to_dict(
        tungsten_dag(a_service())
    )


def test_the_range_may_be_left_empty_or_be_a_seqno() -> None:
    params = tungsten_dag(a_service()).params
    assert set(params.dump().values()) == {None}
    params["to_seqno"] = 7
    params["reposition"] = "now"
    params.validate()


def test_arguments_of_the_dag_may_be_given() -> None:
    dag = tungsten_dag(
        a_service(), dag_id="mine", schedule=None, default_args={"retries": 9, "owner": "data"}
    )
    assert dag.dag_id == "mine"
    load = dag.get_task("load")
    assert (load.retries, load.owner) == (9, "data")
    assert load.retry_delay.total_seconds() == 10


def test_a_schedule_that_is_no_cron_expression_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="schedule: 'often' is not a cron expression"):
        tungsten_dag(a_service(schedule="often"))


@pytest.fixture
def bag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DagBag:
    """The package's DAG folder with service files of every kind."""
    folder = tmp_path / "services"
    folder.mkdir()
    for name, text in {
        "good.yaml": yaml.safe_dump(a_service(service="good")),
        "wrong.yaml": yaml.safe_dump(a_service(service="wrong", schedule="often")),
        "torn.yml": "service: [",
        "named.yaml": yaml.safe_dump(a_service(service="good")),
    }.items():
        (folder / name).write_text(text)
    monkeypatch.setenv("TUNGSTEN_SERVICE_DIR", str(folder))
    return DagBag(dag_folder=shutil.copytree(DAGS, tmp_path / "dags"))


def test_every_service_file_gives_a_dag_and_a_broken_one_hides_no_other(bag: DagBag) -> None:
    assert not bag.import_errors
    assert set(bag.dags) == {"staged", "tungsten_good", "tungsten_wrong", "tungsten_torn", "tungsten_named"}
    assert [task.task_id for task in bag.dags["tungsten_good"].tasks] == ["extract", "plan", "batch", "load"]


@pytest.mark.parametrize(
    ("dag", "message"),
    [
        ("tungsten_wrong", r"wrong\.yaml: schedule: 'often'"),
        ("tungsten_torn", r"torn\.yml is not YAML"),
        ("tungsten_named", r"'good' is not the file's name; call the file good\.yaml"),
    ],
)
def test_a_broken_service_file_has_a_dag_that_fails_with_what_is_wrong(
    bag: DagBag, dag: str, message: str
) -> None:
    [task] = bag.dags[dag].tasks
    with pytest.raises(AirflowFailException, match=message):
        task.execute({})


def test_the_example_service_is_valid() -> None:
    assert tungsten_dag(DAGS / "services" / "shop.yaml").dag_id == "tungsten_shop"


def rendered_plan(**context: Any) -> dict[str, str]:
    """What the plan task is asked in a run with this context."""
    plan = tungsten_dag(a_service()).get_task("plan")
    params = {"from_seqno": None, "to_seqno": None, "reposition": None, "acknowledge_gap": None}
    plan.render_template_fields({"params": params} | context)
    return {
        name: getattr(plan, name) for name in ("from_seqno", "to_seqno", "interval_start", "interval_end")
    }


def test_a_run_by_hand_has_no_interval_and_needs_none() -> None:
    assert set(rendered_plan(dag_run=SimpleNamespace(run_type="manual")).values()) == {""}


def test_a_scheduled_run_takes_what_is_due_whatever_its_interval() -> None:
    assert set(rendered_plan(dag_run=SimpleNamespace(run_type="scheduled"), **INTERVAL).values()) == {""}


def test_a_backfill_takes_its_interval() -> None:
    rendered = rendered_plan(dag_run=SimpleNamespace(run_type="backfill"), **INTERVAL)
    assert rendered["interval_start"] == "2026-01-01T00:00:00+00:00"
    assert rendered["interval_end"] == "2026-01-01T00:01:00+00:00"


@pytest.mark.parametrize(
    ("run_type", "params"),
    [("backfill", {}), ("manual", {"from_seqno": 0, "to_seqno": None}), ("manual", {"to_seqno": 5})],
)
def test_the_source_is_left_alone_where_the_log_is_enough(run_type: str, params: dict[str, Any]) -> None:
    extract = tungsten_dag(a_service()).get_task("extract")
    with pytest.raises(AirflowSkipException):
        extract._pre_execute_hook({"dag_run": SimpleNamespace(run_type=run_type), "params": params})
