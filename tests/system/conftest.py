"""One whole stack for the system tests: the package's DAG folder in a real Airflow, real servers behind it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tests.stack.airflow import Airflow
from tests.stack.stack import DAGS, Stack
from tests.system.bank import Bank

BUCKET = "lake"
# A second DAG on the same service; it retries soon, since tasks are killed in it.
TWIN = """
from datetime import timedelta
from pathlib import Path
from airflow_provider_tungsten.pipeline import tungsten_dag
file = Path(__file__).parent / "services" / "bank.yaml"
dag = tungsten_dag(file, dag_id="twin", default_args={"retry_delay": timedelta(seconds=1)})
"""


def a_service(name: str, server_id: int, schedule: str | None) -> dict[str, Any]:
    return {
        "service": name,
        "schedule": schedule,
        "source": {
            "connection": "mysql_shop",
            "server_id": server_id,
            "start": "earliest",
            "include": [f"{name}.*"],
        },
        "thl": {"url": f"s3://{BUCKET}/thl", "segment_events": 200},
        "appliers": {
            "redshift": {
                "files": {"url": f"s3://{BUCKET}/batches"},
                "region": "us-east-1",
                "batches": {"max_transactions": 10, "per_run": 20, "per_task": 2, "max_tasks": 3},
            }
        },
    }


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """`bank` by hand and `clock` every ten seconds, both with the twin's service; `staged` as it is."""
    dags = shutil.copytree(DAGS, tmp_path_factory.mktemp("system") / "dags")
    (dags / "twin.py").write_text(TWIN)
    services = {"bank": a_service("bank", 71, None), "clock": a_service("clock", 72, "* * * * * */10")}
    staging = tmp_path_factory.mktemp("staging")
    with Stack(
        airflow=True, dags_folder=dags, services=services, env={"TUNGSTEN_STAGING_FOLDER": str(staging)}
    ) as stack:
        for bucket in (BUCKET, "shop-replication"):
            stack.s3.create_bucket(bucket)
        yield stack


@pytest.fixture(scope="session")
def airflow(stack: Stack) -> Airflow:
    assert stack.airflow is not None
    return stack.airflow


@pytest.fixture(scope="session")
def bank(stack: Stack, airflow: Airflow) -> Bank:
    """The source of the service `bank`; its DAG's first run has ended."""
    bank = Bank(stack.mysql, "bank")
    bank.work(60)
    airflow.wait_for_run("tungsten_bank", airflow.trigger("tungsten_bank"))
    return bank


@pytest.fixture(scope="session")
def clock(stack: Stack) -> Bank:
    """The source of the service `clock`."""
    return Bank(stack.mysql, "clock")


def names(stack: Stack, prefix: str) -> set[str]:
    """Objects of the services, by name."""
    pages = stack.s3.client().get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    return {item["Key"] for page in pages for item in page.get("Contents", [])}


def position(stack: Stack, service: str) -> int:
    """The last seqno applied."""
    [(seqno,)] = stack.redshift.execute(f"SELECT seqno FROM tungsten_{service}.trep_commit_seqno")
    return int(seqno)
