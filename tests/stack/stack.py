"""The servers together: a shop's MySQL, S3, Redshift and, when asked for, Airflow with connections to all of them."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any

import yaml

from tests.stack.airflow import Airflow
from tests.stack.mysql import MySQL
from tests.stack.process import Server
from tests.stack.redshift import Redshift
from tests.stack.s3 import S3

DAGS = Path(__file__).parents[2] / "dags"


class Stack(Server):
    """`mysql`, `s3`, `redshift`, `airflow` (None unless asked for), started side by side, fresh.

    `folder` is wiped first and removed in the end; None: a temporary one. Airflow runs the DAG files of `dags_folder`
    with `services` (name to the service file's content) in place of the service files that lie there; None: as it is.
    `env` reaches Airflow's components and tasks.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        airflow: bool = False,
        dags_folder: Path = DAGS,
        services: Mapping[str, Mapping[str, Any]] | None = None,
        env: Mapping[str, str] | None = None,
        mysql_options: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = Path(folder or tempfile.mkdtemp(prefix="tungsten-stack-"))
        self.mysql = MySQL(self.folder / "mysql", options=mysql_options)
        self.s3 = S3()
        self.redshift = Redshift(self.folder / "redshift", self.s3)
        self.airflow: Airflow | None = None
        self._dags_folder = dags_folder
        self._services = services
        self._running = ExitStack()
        if airflow:
            self.airflow = Airflow(
                self.folder / "airflow",
                dags_folder=dags_folder if services is None else self.folder / "dags",
                connections=self.connections,
                env={**self.redshift.env, **(env or {})},
            )

    @property
    def servers(self) -> dict[str, Server]:
        named: dict[str, Server | None] = {
            "mysql": self.mysql,
            "s3": self.s3,
            "redshift": self.redshift,
            "airflow": self.airflow,
        }
        return {name: server for name, server in named.items() if server}

    @property
    def connections(self) -> dict[str, dict[str, Any]]:
        """Airflow connections, by id, as Airflow's JSON has them."""
        return {
            "mysql_shop": {
                "conn_type": "mysql",
                "host": self.mysql.host,
                "port": self.mysql.port,
                "login": self.mysql.user,
                "password": self.mysql.password,
                "extra": {"ssl": {"ca": str(self.mysql.ca_file)}},
            },
            "aws_default": {
                "conn_type": "aws",
                "login": self.s3.access_key,
                "password": self.s3.secret_key,
                "extra": {"endpoint_url": self.s3.endpoint_url, "region_name": self.s3.region},
            },
            "redshift_default": {
                "conn_type": "redshift",
                "host": self.redshift.host,
                "port": self.redshift.port,
                "login": self.redshift.user,
                "password": self.redshift.password,
                "schema": self.redshift.database,
                "extra": {"sslmode": "verify-full"},
            },
        }

    def launch(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, mode=0o700)
        self._running.callback(shutil.rmtree, self.folder)
        if self._services is not None:
            shutil.copytree(
                self._dags_folder, self.folder / "dags", ignore=shutil.ignore_patterns("services")
            )
            (self.folder / "dags" / "services").mkdir()
            for name, service in self._services.items():
                (self.folder / "dags" / "services" / f"{name}.yaml").write_text(yaml.safe_dump(dict(service)))
        for server in self.servers.values():
            self._running.callback(server.stop)
            server.launch()

    def wait_for_data_servers(self) -> None:
        """Return when all but Airflow answer, which takes its time: there is something to do until then."""
        for server in (self.mysql, self.s3, self.redshift):
            server.wait()

    def wait(self) -> None:
        for server in self.servers.values():
            server.wait()

    def stop(self) -> None:
        self._running.close()


def exit_on_sigterm() -> None:
    """Make SIGTERM leave `with` blocks as Ctrl-C does, so that servers end and folders go."""

    def leave(number: int, _: FrameType | None) -> None:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)
