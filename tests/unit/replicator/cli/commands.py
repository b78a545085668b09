"""Runs `tungsten` for the tests of its commands: in this process, or as a person does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from airflow_provider_tungsten.replicator.cli.main import app

COMMAND = [sys.executable, "-m", "airflow_provider_tungsten.replicator.cli"]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def objects(result: Result) -> list[dict[str, Any]]:
    """What a command with ``--json`` printed; it succeeded."""
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def start(*arguments: object, **options: Any) -> subprocess.Popen[bytes]:
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, **{"stdout": subprocess.PIPE, **options})


class Shop:
    """`tungsten thl …` on the log of service shop below a folder."""

    def __init__(self, folder: Path) -> None:
        self.place = ("--thl", folder, "--service", "shop")

    def __call__(self, command: str, *arguments: object) -> Result:
        return run("thl", command, *arguments, *self.place)

    def start(self, command: str, *arguments: object, **options: Any) -> subprocess.Popen[bytes]:
        return start("thl", command, *arguments, *self.place, **options)
