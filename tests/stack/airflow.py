"""Airflow as `airflow standalone` runs it: every component, on PostgreSQL, on free ports; and its REST API for tests."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from tests.stack.postgresql import PostgreSQL
from tests.stack.process import Process, Server, free_port, new_password

FINISHED = ("success", "failed")


class AirflowError(RuntimeError):
    """The API refused, or a run did not finish; the message says what was asked and what came back."""


class Airflow(Server):
    """Airflow with the DAG files of `dags_folder`, on a free port of 127.0.0.1, with one user, `admin`.

    `connections` maps a connection's id to its fields as Airflow's JSON has them (`conn_type`, `host`, `extra`, …);
    `env` reaches every component and task.
    """

    host = "127.0.0.1"
    user = "admin"

    def __init__(
        self,
        folder: Path,
        *,
        dags_folder: Path,
        connections: Mapping[str, Mapping[str, Any]] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.dags_folder = Path(dags_folder)
        self.port = free_port()
        self.url = f"http://{self.host}:{self.port}"
        self.password = new_password()
        self._log_ports = (free_port(), free_port())
        self._connections = dict(connections or {})
        self._env = dict(env or {})
        self._database = PostgreSQL("airflow", log=self.folder / "postgresql.log")
        self._process: Process | None = None
        self._client: httpx.Client | None = None

    def launch(self) -> None:
        """Start without waiting; `wait` ends the wait."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._database.start()
        passwords = self.folder / "simple_auth_manager_passwords.json.generated"
        passwords.touch(mode=0o600)
        passwords.write_text(json.dumps({self.user: self.password}))
        self._process = Process(
            (_programs() / "airflow", "standalone"), log=self.folder / "airflow.log", env=self.env
        )

    def wait(self) -> None:
        """Return when every component is healthy."""
        assert self._process is not None
        self._process.wait_until(self._healthy, seconds=300, every=0.5)

    def stop(self) -> None:
        """End it with every task at once, as a crash would; nothing here is worth its slow farewell."""
        if self._client is not None:
            self._client.close()
            self._client = None
        if self._process is not None:
            self._process.kill()
            self._process = None
        self._database.stop()

    @property
    def env(self) -> dict[str, str]:
        """The environment it runs in; with it the `airflow` command works beside it, too."""
        settings = {
            "API__BASE_URL": self.url,
            "API__HOST": self.host,
            "API__PORT": str(self.port),
            "CORE__DAGS_FOLDER": str(self.dags_folder),
            "CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "CORE__LOAD_EXAMPLES": "False",
            "CORE__PARALLELISM": "4",
            "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{self.user}:admin",
            "DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "1",
            "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "5",
            "DAG_PROCESSOR__PARSING_PROCESSES": "1",
            "DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            "DATABASE__SQL_ALCHEMY_CONN": self._database_url,
            "LOGGING__TRIGGER_LOG_SERVER_PORT": str(self._log_ports[0]),
            "LOGGING__WORKER_LOG_SERVER_PORT": str(self._log_ports[1]),
            "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
        }
        connections = {f"AIRFLOW_CONN_{name.upper()}": json.dumps(c) for name, c in self._connections.items()}
        return {
            "AIRFLOW_HOME": str(self.folder),
            # Of several checkouts the one that runs the tests.
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "PATH": f"{_programs()}{os.pathsep}{os.environ['PATH']}",
            **{f"AIRFLOW__{name}": value for name, value in settings.items()},
            **connections,
            **self._env,
        }

    def api(self, method: str, path: str, json: Any = None, **params: Any) -> Any:
        """Call `/api/v2{path}`; the answer's JSON. AirflowError when it is refused."""
        if self._client is None:
            self._client = self._log_in()
        answer = self._client.request(method, f"/api/v2{path}", json=json, params=params)
        if answer.is_error:
            raise AirflowError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json() if answer.content else None

    def wait_for_dag(self, dag: str, *, seconds: float = 180) -> None:
        """Return when the DAG is parsed; AirflowError with the import errors when it does not come."""
        deadline = time.monotonic() + seconds
        while dag not in {known["dag_id"] for known in self.api("GET", "/dags", limit=1000)["dags"]}:
            if time.monotonic() > deadline:
                errors = self.api("GET", "/importErrors")["import_errors"]
                raise AirflowError(f"there is no DAG {dag} after {seconds:.0f} s: {errors}")
            time.sleep(0.5)

    def unpause(self, dag: str) -> None:
        self.api("PATCH", f"/dags/{dag}", {"is_paused": False})

    def trigger(self, dag: str, **conf: Any) -> str:
        """Start a run with these params, un-pausing the DAG; the run's id."""
        self.wait_for_dag(dag)
        self.unpause(dag)
        run = self.api("POST", f"/dags/{dag}/dagRuns", {"logical_date": None, "conf": conf})
        return str(run["dag_run_id"])

    def wait_for_run(self, dag: str, run: str, *, seconds: float = 600) -> str:
        """The state that the run ends in; AirflowError when it has not ended in time."""
        deadline = time.monotonic() + seconds
        while (state := self.api("GET", f"/dags/{dag}/dagRuns/{run}")["state"]) not in FINISHED:
            if time.monotonic() > deadline:
                raise AirflowError(
                    f"run {run} of {dag} is {state} after {seconds:.0f} s: {self.tasks(dag, run)}\n"
                    f"Airflow's health: {self._health()}"
                )
            time.sleep(0.3)
        return str(state)

    def tasks(self, dag: str, run: str) -> dict[str, str | None]:
        """Task (`batch[3]` when mapped) to state."""
        found = self.api("GET", f"/dags/{dag}/dagRuns/{run}/taskInstances", limit=1000)["task_instances"]
        return {_label(task): task["state"] for task in found}

    def logs(self, dag: str, run: str, task: str, *, attempt: int = 1, map_index: int = -1) -> str:
        """The log of one attempt, one line an event."""
        path = f"/dags/{dag}/dagRuns/{run}/taskInstances/{task}/logs/{attempt}"
        content = self.api("GET", path, map_index=map_index, full_content=True)["content"]
        return "\n".join(line if isinstance(line, str) else json.dumps(line) for line in content)

    def task_pid(self, dag: str, run: str, task: str, *, map_index: int = -1) -> int:
        """The process, as seen from here, that runs the task now: to kill it."""
        index = "" if map_index < 0 else f"/{map_index}"
        found = self.api("GET", f"/dags/{dag}/dagRuns/{run}/taskInstances/{task}{index}")
        assert self._process is not None
        return self._process.pid_of(int(found["pid"]))

    @property
    def _database_url(self) -> str:
        database = self._database
        socket = f"host={database.folder}&port={database.port}"
        return f"postgresql+psycopg2://{database.user}@/{database.database}?{socket}"

    def _healthy(self) -> bool:
        health = self._health()
        components = ("metadatabase", "scheduler", "triggerer", "dag_processor")
        return all(health.get(name, {}).get("status") == "healthy" for name in components)

    def _health(self) -> dict[str, dict[str, Any]]:
        """What each component says of itself; nothing where nobody answers."""
        try:
            answer = httpx.get(f"{self.url}/api/v2/monitor/health", timeout=5)
        except httpx.HTTPError:
            return {}
        return dict(answer.json()) if answer.is_success else {}

    def _log_in(self) -> httpx.Client:
        credentials = {"username": self.user, "password": self.password}
        answer = httpx.post(f"{self.url}/auth/token", json=credentials, timeout=30)
        answer.raise_for_status()
        token = answer.json()["access_token"]
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {token}"}, timeout=60)


def _label(task: Mapping[str, Any]) -> str:
    return str(task["task_id"]) if task["map_index"] < 0 else f"{task['task_id']}[{task['map_index']}]"


def _programs() -> Path:
    return Path(sys.executable).parent
