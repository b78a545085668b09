"""An installation that finds neither compiler nor wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUILD = ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE")


def test_an_installation_without_a_compiler_fails_and_says_what_to_install(tmp_path: Path) -> None:
    source, programs = tmp_path / "source", tmp_path / "programs"
    programs.mkdir()
    compiled = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(ROOT / "airflow_provider_tungsten", source / "airflow_provider_tungsten", ignore=compiled)
    for name in BUILD:
        shutil.copy(ROOT / name, source)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        tmp_path,
        source,
    ]
    environment = {name: value for name, value in os.environ.items() if name not in ("CC", "CXX")}
    done = subprocess.run(
        pip, env=environment | {"PATH": str(programs)}, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    said = done.stdout + done.stderr
    last = said[: said.index("[end of output]")].strip().splitlines()[-1]
    assert "could not be compiled: install a C++17 compiler and Python's headers" in last
    assert "or install the package's manylinux wheel" in last
    assert not list(tmp_path.glob("*.whl"))
