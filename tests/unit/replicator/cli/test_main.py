"""`tungsten` itself: its help, wrong arguments, and what a command waits for before it begins."""

from __future__ import annotations

import ast
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import typer

from airflow_provider_tungsten import replicator
from airflow_provider_tungsten.replicator.cli import extract
from airflow_provider_tungsten.replicator.cli.lazy import LazyGroup
from airflow_provider_tungsten.replicator.cli.main import app
from airflow_provider_tungsten.replicator.cli.output import (
    WAYS_OUT,
    WRONG_ARGUMENTS,
    explained,
    interruptible,
)
from tests.unit.replicator.batch.logs import Logbook, rows
from tests.unit.replicator.cli.commands import COMMAND, Shop, run

ROOT: Any = typer.main.get_command(app)
GROUPS = [ROOT, ROOT.imported("thl")]


def imported_by(*arguments: object) -> set[str]:
    """Names of the packages, without what belongs to them."""
    command = [sys.executable, "-X", "importtime", *COMMAND[1:], *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {
        name.split(".")[0] for name in re.findall(r"^import time:.*\| +(\S+)$", done.stderr, re.MULTILINE)
    }


HEAVY = {"airflow", "boto3", "botocore", "numpy", "pymysql", "redshift_connector", "structlog", "yaml"}


def test_looking_into_a_log_in_a_folder_waits_for_nothing_that_it_does_not_need(
    book: Logbook, shop: Shop
) -> None:
    book.add(rows())
    imported = imported_by("thl", "list", "-seqno", 1, *shop.place)
    assert imported & {"pyarrow", "typer"} == {"pyarrow", "typer"}
    assert not imported & (HEAVY | {"rich"})


def test_help_waits_for_no_command() -> None:
    assert not imported_by("--help") & (HEAVY | {"pyarrow"})
    assert not imported_by("thl", "--help") & (HEAVY | {"pyarrow"})


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_the_summary_of_a_command_is_how_its_help_begins(group: LazyGroup) -> None:
    begins = {name: str(group.imported(name).help).strip().split("\n\n")[0] for name in group.places}
    assert {name: at.summary for name, at in group.places.items()} == begins


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("thl", "list", "--sequno", "5"), "--sequno"),
        (("thl", "list", "-seqno", "five"), "-seqno"),
        (("thl", "tail", "-n", "-1"), "greater than or equal to 0"),
        (("thl", "dsctl"), "--seqno"),
        (("thl", "lisst"), "lisst"),
        (("lisst",), "lisst"),
        (("applier", "remove", "--config", "shop.yaml"), "NAME"),
        (("position", "set", "--config", "shop.yaml", "--seqno", "5"), "--epoch"),
    ],
)
def test_wrong_arguments_are_told_as_json_where_json_is_asked_for(
    arguments: tuple[str, ...], told: str
) -> None:
    for option in ("--json", "-json"):
        result = run(*arguments, option)
        assert result.exit_code == WRONG_ARGUMENTS
        error = json.loads(result.stdout)
        assert error["error"] == "UsageError"
        assert told.lower() in error["message"].lower()
        assert not result.stderr
    plain = run(*arguments)
    assert plain.exit_code == WRONG_ARGUMENTS
    assert not plain.stdout
    assert told.lower() in plain.stderr.lower()


def test_an_error_within_a_command_and_success_are_as_ever_with_json(
    book: Logbook, shop: Shop, tmp_path: Path
) -> None:
    book.add(rows())
    assert json.loads(shop("list", "-seqno", 1, "--json").stdout)["seqno"] == 1
    result = shop("list", "-seqno", 7, "--json")
    assert result.exit_code == WRONG_ARGUMENTS
    assert json.loads(result.stdout)["error"] == "RangeError"
    assert run("thl", "list", "--help", "--json").exit_code == 0


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_ends_a_loop_also_where_a_library_loses_the_exception() -> None:
    with interruptible() as sleep:
        sleep(0)
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            sleep(60)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def engine_texts() -> Iterator[str]:
    """Everything that the engine may say; values in it are 4711."""
    for path in Path(str(replicator.__file__)).parent.rglob("*.py"):
        if path.parent.name == "cli":
            continue
        nodes = [*ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
        joined = [node for node in nodes if isinstance(node, ast.JoinedStr)]
        parts = {id(part) for text in joined for part in text.values}
        for text in joined:
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else "4711" for part in text.values
            )
        for node in nodes:
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
                yield node.value


def test_a_way_out_that_only_the_dag_has_is_told_as_the_command_that_does_the_same() -> None:
    texts = [text for text in engine_texts() if re.search(r"DAG's parameter|trigger the DAG", text)]
    assert len(texts) > 10
    for text in texts:
        assert not re.search(r"DAG's parameter|trigger the DAG", explained(text)), text
        if "`reposition`" in text:
            assert "`tungsten reposition`" in explained(text)
            assert "reposition" not in explained(text, extract.WAYS_OUT)
    assert {pattern for pattern, _ in WAYS_OUT if any(re.search(pattern, text) for text in texts)} == {
        pattern for pattern, _ in WAYS_OUT
    }
