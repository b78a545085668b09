"""The DAG through Airflow's own scheduler: whatever is done to its runs and tasks, the target equals the source."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from tests.stack.airflow import Airflow
from tests.stack.stack import Stack
from tests.system.bank import Bank
from tests.system.conftest import BUCKET, names, position

DAG = "tungsten_bank"
TWIN = "twin"
SKIPPED = {"plan": "skipped", "batch": "skipped", "load": "skipped"}


def run(airflow: Airflow, dag: str = DAG, **params: int | str) -> tuple[str, str]:
    """A run by hand, to its end: its id and state."""
    started = airflow.trigger(dag, **params)
    return started, airflow.wait_for_run(dag, started)


def clear(airflow: Airflow, run_id: str, *tasks: str) -> str:
    """Clear some tasks of a run, or all; the state it ends in."""
    body = {"dry_run": False, "only_failed": False, "dag_run_id": run_id, "reset_dag_runs": True}
    airflow.api("POST", f"/dags/{DAG}/clearTaskInstances", body | ({"task_ids": tasks} if tasks else {}))
    return airflow.wait_for_run(DAG, run_id)


def catch_up(stack: Stack, airflow: Airflow, bank: Bank, dag: str = DAG) -> None:
    """Run until the target equals the source: a tail that is not full waits for the run after."""
    for _ in range(5):
        assert run(airflow, dag)[1] == "success"
        if not bank.differences(stack.redshift):
            return
    assert bank.differences(stack.redshift) == []


def until(condition: Callable[[], Any], seconds: float = 600, pause: float = 0.02) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s"
        time.sleep(pause)
    return found


def test_a_run_by_hand_brings_all_there_is(stack: Stack, airflow: Airflow, bank: Bank) -> None:
    [first] = airflow.api("GET", f"/dags/{DAG}/dagRuns", limit=1, order_by="run_after")["dag_runs"]
    tasks = f"/dags/{DAG}/dagRuns/{first['dag_run_id']}/taskInstances"
    assert first["state"] == "success"
    assert bank.differences(stack.redshift) == []
    mapped = airflow.api("GET", f"{tasks}/batch/listMapped")["task_instances"]
    assert len(mapped) == 3
    assert mapped[0]["rendered_map_index"].startswith("0–")
    result = airflow.api("GET", f"{tasks}/load/xcomEntries/return_value")["value"]
    assert result["position"]["seqno"] == position(stack, "bank")


def test_an_idle_run_ends_green_with_later_tasks_skipped_and_without_redshift(
    stack: Stack, airflow: Airflow, bank: Bank
) -> None:
    stack.redshift.stop_gateway()
    try:
        run_id, state = run(airflow)
    finally:
        stack.redshift.start_gateway()
    assert state == "success"
    assert airflow.tasks(DAG, run_id) == {"extract": "success", **SKIPPED}


@pytest.mark.parametrize("params", [{"from_seqno": 9, "to_seqno": 3}, {"to_seqno": 10**6}])
def test_a_range_that_does_not_exist_fails_at_once_with_the_one_that_does(
    airflow: Airflow, bank: Bank, params: dict[str, int]
) -> None:
    run_id, state = run(airflow, **params)
    assert state == "failed"
    assert airflow.tasks(DAG, run_id)["extract"] == "skipped"
    assert airflow.tasks(DAG, run_id)["plan"] == "failed"
    assert "the THL holds seqnos 0 to " in airflow.logs(DAG, run_id, "plan")


def test_a_range_leaves_the_source_alone_and_moves_no_row_back(
    stack: Stack, airflow: Airflow, bank: Bank
) -> None:
    before, segments = position(stack, "bank"), names(stack, "thl/bank/")
    rows = stack.redshift.execute("SELECT * FROM bank.accounts ORDER BY id")
    bank.work(5)
    for _ in range(2):
        run_id, state = run(airflow, from_seqno=3, to_seqno=20)
        assert state == "success"
        assert airflow.tasks(DAG, run_id)["load"] == "success"
    assert position(stack, "bank") == before
    assert names(stack, "thl/bank/") == segments
    assert stack.redshift.execute("SELECT * FROM bank.accounts ORDER BY id") == rows
    catch_up(stack, airflow, bank)


def test_any_task_or_run_can_be_cleared(stack: Stack, airflow: Airflow, bank: Bank) -> None:
    bank.work(5)
    run_id, state = run(airflow)
    assert state == "success"
    for tasks in (("batch", "load"), ("plan",), ()):
        bank.work(5)
        assert clear(airflow, run_id, *tasks) == "success"
    catch_up(stack, airflow, bank)


def test_a_task_killed_in_the_midst_of_its_work_is_made_good_by_its_retry(
    stack: Stack, airflow: Airflow, bank: Bank
) -> None:
    bank.work(400)
    applied = told_position(stack)
    segments, files = names(stack, "thl/bank/"), names(stack, "batches/bank/redshift/_batches/")
    at_work = {
        ("extract", -1): lambda: names(stack, "thl/bank/") > segments,
        ("batch", 0): lambda: any(
            key not in files and "plan" not in key for key in names(stack, "batches/bank/redshift/_batches/")
        ),
        ("load", -1): lambda: told_position(stack) > applied,
    }
    run_id = airflow.trigger(TWIN)
    for (task, index), condition in at_work.items():
        pid = until(partial(running_pid, airflow, run_id, task, index), pause=0.1)
        kill_when(pid, condition)
    assert airflow.wait_for_run(TWIN, run_id) == "success"
    tries = airflow.api("GET", f"/dags/{TWIN}/dagRuns/{run_id}/taskInstances", limit=100)["task_instances"]
    assert {task["task_id"] for task in tries if task["try_number"] > 1} == {"extract", "batch", "load"}
    catch_up(stack, airflow, bank)


def told_position(stack: Stack) -> int:
    """The position as the load told it behind its COMMIT: to be read without the lock that a stopped load may hold."""
    answer = stack.s3.client().get_object(Bucket=BUCKET, Key="batches/bank/redshift/_position.json")
    return int(json.load(answer["Body"])["seqno"])


def kill_when(pid: int, condition: Callable[[], bool], seconds: float = 300) -> None:
    """SIGKILL once the condition holds; it runs only for moments between two looks, so that it does not end unseen."""
    deadline = time.monotonic() + seconds
    os.kill(pid, signal.SIGSTOP)
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s"
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.02)
        os.kill(pid, signal.SIGSTOP)
    os.kill(pid, signal.SIGKILL)


def running_pid(airflow: Airflow, run_id: str, task: str, index: int) -> int | None:
    label = task if index < 0 else f"{task}[{index}]"
    if airflow.tasks(TWIN, run_id).get(label) != "running":
        return None
    return airflow.task_pid(TWIN, run_id, task, map_index=index)


def test_lost_log_is_a_gap_at_which_loading_stops_until_it_is_acknowledged(
    stack: Stack, airflow: Airflow, bank: Bank
) -> None:
    catch_up(stack, airflow, bank)
    bank.mysql.execute(
        "INSERT INTO bank.accounts VALUES (-1, '', 0)", "DELETE FROM bank.accounts WHERE id = -1"
    )

    repositioned, state = run(airflow, reposition="now")
    assert state == "failed"
    assert airflow.tasks(DAG, repositioned)["extract"] == "success"
    result = f"/dags/{DAG}/dagRuns/{repositioned}/taskInstances/extract/xcomEntries/return_value"
    gap = airflow.api("GET", result)["value"]["gap_seqno"]
    assert f"`acknowledge_gap` set to {gap}" in airflow.logs(DAG, repositioned, "plan")

    bank.work(5)
    assert clear(airflow, repositioned) == "failed"
    assert airflow.api("GET", result)["value"]["gap_seqno"] == gap
    assert position(stack, "bank") < gap
    assert run(airflow, acknowledge_gap=gap)[1] == "success"
    catch_up(stack, airflow, bank)
    assert position(stack, "bank") > gap


def test_two_runs_at_once_on_one_service_and_a_source_that_goes_on(
    stack: Stack, airflow: Airflow, bank: Bank
) -> None:
    with bank.busy():
        started = [(dag, airflow.trigger(dag)) for dag in (DAG, TWIN)]
        for dag, run_id in started:
            airflow.wait_for_run(dag, run_id)
    catch_up(stack, airflow, bank)


def test_scheduled_runs_beside_runs_by_hand_and_a_backfill(
    stack: Stack, airflow: Airflow, clock: Bank
) -> None:
    dag = "tungsten_clock"
    began = datetime.now(UTC)
    airflow.wait_for_dag(dag)
    airflow.unpause(dag)
    with clock.busy():
        by_hand = [airflow.trigger(dag) for _ in range(2)]
        assert [airflow.wait_for_run(dag, run_id) for run_id in by_hand] == ["success", "success"]
        until(lambda: datetime.now(UTC) > began + timedelta(seconds=40), pause=0.5)
        span = {"from_date": time_text(began), "to_date": time_text(began + timedelta(seconds=30))}
        backfill(airflow, dag, span)
        until(lambda: finished(airflow, dag, "backfill"), pause=0.5)
    catch_up(stack, airflow, clock, dag)
    runs = airflow.api("GET", f"/dags/{dag}/dagRuns", limit=100)["dag_runs"]
    backfilled = [run["dag_run_id"] for run in runs if run["run_type"] == "backfill"]
    assert backfilled
    assert all(airflow.tasks(dag, run_id)["extract"] == "skipped" for run_id in backfilled)
    assert "load" in {
        task
        for run_id in backfilled
        for task, state in airflow.tasks(dag, run_id).items()
        if state == "success"
    }


def time_text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def backfill(airflow: Airflow, dag: str, span: dict[str, str]) -> None:
    completed = {"dag_id": dag, "reprocess_behavior": "completed", "max_active_runs": 3}
    airflow.api("POST", "/backfills", completed | span)


def finished(airflow: Airflow, dag: str, kind: str) -> bool:
    runs = airflow.api("GET", f"/dags/{dag}/dagRuns", limit=100)["dag_runs"]
    states = {run["state"] for run in runs if run["run_type"] == kind}
    return bool(states) and states <= {"success", "failed"}


def test_a_dag_of_ones_own_goes_by_a_local_folder(stack: Stack, airflow: Airflow) -> None:
    shop = Bank(stack.mysql, "shop")
    shop.work(20)
    for _ in range(2):
        assert run(airflow, "staged")[1] == "success"
    source = shop.mysql.execute("SELECT id, owner, balance FROM shop.accounts ORDER BY id")
    assert stack.redshift.execute("SELECT id, owner, balance FROM staged_shop.accounts ORDER BY id") == source
