"""What a user sees of the installed package, asked of the real `airflow` command."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from airflow_provider_tungsten import __version__
from airflow_provider_tungsten.get_provider_info import get_provider_info

PACKAGE = "airflow-provider-tungsten"


def airflow(*arguments: str) -> list[dict[str, Any]]:
    program = Path(sys.executable).with_name("airflow")
    done = subprocess.run(
        [program, *arguments, "-o", "json"], capture_output=True, text=True, check=True, env=os.environ
    )
    found: list[dict[str, Any]] = json.loads(done.stdout[done.stdout.index("[") :])
    return found


def test_the_provider_is_listed_with_its_version() -> None:
    [ours] = [row for row in airflow("providers", "list") if row["package_name"] == PACKAGE]
    assert ours["version"] == __version__ == version(PACKAGE)


def test_get_shows_what_it_brings() -> None:
    [info] = airflow("providers", "get", PACKAGE, "--full")
    assert "airflow_provider_tungsten.operators.binlog" in str(info["operators"])


def test_hooks_shows_ours_and_leaves_the_mysql_type_to_its_provider() -> None:
    hooks = {row["connection_type"]: row for row in airflow("providers", "hooks")}
    ours = hooks["tungsten_mysql"]
    assert ours["package_name"] == PACKAGE
    assert ours["class"] == "airflow_provider_tungsten.hooks.binlog.BinlogSourceHook"
    assert ours["hook_name"] == "MySQL binary log"
    assert hooks["mysql"]["package_name"] == "apache-airflow-providers-mysql"
    assert hooks["redshift"]["package_name"] == "apache-airflow-providers-amazon"


def test_every_module_that_is_named_exists() -> None:
    info = get_provider_info()
    for room in ("operators", "hooks"):
        for entry in info[room]:
            for module in entry["python-modules"]:
                importlib.import_module(module)
