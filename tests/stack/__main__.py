"""`python -m tests.stack up|down|status`: the stack as a background process, one for each folder."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from tests.stack.process import ServerError, answers
from tests.stack.provision import cache
from tests.stack.stack import DAGS, Stack, exit_on_sigterm

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)

Home = Annotated[
    Path | None, typer.Option(help="Where it keeps state and data; default: in the user's cache")
]
WithAirflow = Annotated[bool, typer.Option(help="Start Airflow, too")]
Dags = Annotated[Path, typer.Option(help="Folder of DAG files, with the service files in services/")]

START_SECONDS = 300
STOP_SECONDS = 60


@app.command()
def up(home: Home = None, airflow: WithAirflow = True, dags: Dags = DAGS) -> None:
    """Start the stack and leave it running; fine when it runs already."""
    home = _home(home)
    if not _is_up(home):
        _state_file(home).unlink(missing_ok=True)
        command = [sys.executable, "-m", "tests.stack", "serve", f"--home={home}", f"--dags={dags.resolve()}"]
        command += ["--airflow" if airflow else "--no-airflow"]
        log = home / "stack.log"
        with log.open("wb") as output:
            serving = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        deadline = time.monotonic() + START_SECONDS
        while not _state_file(home).exists():
            if serving.poll() is not None or time.monotonic() > deadline:
                serving.terminate()
                raise ServerError(f"the stack did not start:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)
    status(home)


@app.command()
def down(home: Home = None) -> None:
    """End the stack and everything it holds; fine when it does not run."""
    home = _home(home)
    if _is_up(home):
        os.kill(int(_lock_file(home).read_text()), signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while _is_up(home):
        if time.monotonic() > deadline:
            raise ServerError(
                f"the stack still runs after {STOP_SECONDS} s: process {_lock_file(home).read_text()}"
            )
        time.sleep(0.1)


@app.command()
def status(home: Home = None) -> None:
    """Show where the servers answer; exit 1 when one does not or the stack is down."""
    home = _home(home)
    if not _is_up(home) or not _state_file(home).exists():
        typer.echo("The stack is down.")
        raise typer.Exit(1)
    state = _state(home)
    for name, server in state["servers"].items():
        typer.echo(f"{name:9} {'up  ' if answers(server['port']) else 'DOWN'} {server['address']}")
    if "airflow" in state["servers"]:
        airflow = state["servers"]["airflow"]
        typer.echo(f"Log in to Airflow as {airflow['user']} with {airflow['password']}")
    typer.echo(f"All ports and passwords: {_state_file(home)}")
    raise typer.Exit(0 if all(answers(server["port"]) for server in state["servers"].values()) else 1)


@app.command(hidden=True)
def serve(home: Home = None, airflow: WithAirflow = True, dags: Dags = DAGS) -> None:
    """Be the stack: own the servers until told to end."""
    home = _home(home)
    exit_on_sigterm()
    with _lock(home), Stack(home / "servers", airflow=airflow, dags_folder=dags) as stack:
        _write_state(home, {"servers": _details(stack)})
        try:
            signal.pause()
        finally:
            _state_file(home).unlink()


def _details(stack: Stack) -> dict[str, dict[str, Any]]:
    mysql, s3, redshift, airflow = stack.mysql, stack.s3, stack.redshift, stack.airflow
    details: dict[str, dict[str, Any]] = {
        "mysql": {
            "port": mysql.port,
            "address": f"{mysql.host}:{mysql.port}",
            "root_password": mysql.root_password,
            "user": mysql.user,
            "password": mysql.password,
            "ca_file": str(mysql.ca_file),
        },
        "s3": {
            "port": s3.port,
            "address": s3.endpoint_url,
            "access_key": s3.access_key,
            "secret_key": s3.secret_key,
        },
        "redshift": {
            "port": redshift.port,
            "address": f"{redshift.host}:{redshift.port}/{redshift.database}",
            "user": redshift.user,
            "password": redshift.password,
            "ca_file": str(redshift.ca_file),
        },
    }
    if airflow:
        details["airflow"] = {
            "port": airflow.port,
            "address": airflow.url,
            "user": airflow.user,
            "password": airflow.password,
        }
    return details


def _home(home: Path | None) -> Path:
    home = (home or cache() / "stack").resolve()
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    return home


def _state_file(home: Path) -> Path:
    return home / "state.json"


def _lock_file(home: Path) -> Path:
    return home / "lock"


def _state(home: Path) -> dict[str, Any]:
    state: dict[str, Any] = json.loads(_state_file(home).read_text())
    return state


def _write_state(home: Path, state: dict[str, Any]) -> None:
    writing = home / "state.json.writing"
    writing.touch(mode=0o600)
    writing.write_text(json.dumps(state, indent=2))
    writing.rename(_state_file(home))


@contextmanager
def _lock(home: Path) -> Iterator[None]:
    """Held by the process that is the stack, so that its end, however it comes, is seen."""
    with _lock_file(home).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _is_up(home: Path) -> bool:
    try:
        with _lock(home):
            return False
    except BlockingIOError:
        return True


if __name__ == "__main__":
    app()
