"""The README's service file and DAG, pasted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.stack.airflow import Airflow
from tests.stack.stack import Stack
from tests.system.bank import Bank

README = (Path(__file__).parents[2] / "README.md").read_text()


def block(language: str, holding: str) -> str:
    """The README's code block in that language with that text."""
    blocks = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    [found] = [text for text in blocks if holding in text]
    return str(found)


@pytest.mark.parametrize(("name", "code"), [("pasted", "tungsten_dag("), ("own", "shop_every_five_minutes")])
def test_a_pasted_dag_runs(stack: Stack, airflow: Airflow, name: str, code: str) -> None:
    stack.s3.create_bucket("my-bucket")
    service = block("yaml", "start: now").replace("my-bucket", f"my-bucket/{name}")
    path = stack.folder / f"{name}.yaml"
    path.write_text(re.sub(r"\bshop\b", name, service))
    dag = (
        block("python", code).replace("/path/to/shop.yaml", str(path)).replace("shop_every", f"{name}_every")
    )
    (stack.folder / "dags" / f"{name}.py").write_text(dag)
    dag_id = f"{name}_every_five_minutes" if "_every" in dag else f"tungsten_{name}"

    assert airflow.wait_for_run(dag_id, airflow.trigger(dag_id)) == "success"
    bank = Bank(stack.mysql, name)
    bank.work(30)
    assert airflow.wait_for_run(dag_id, airflow.trigger(dag_id)) == "success"
    assert bank.differences(stack.redshift) == []
