"""PostgreSQL behind a Unix socket: what the Redshift gateway and Airflow keep their tables in."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from tests.stack.process import Process, Server, free_port
from tests.stack.provision import postgresql_programs

SETTINGS = {
    "listen_addresses": "",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "timezone": "UTC",
    # A test's database ends with the test: what a power cut would lose is nobody's.
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
}


class PostgreSQL(Server):
    """One empty `database` of the superuser `user`, whom it lets in without a password through the socket in `folder`.

    `folder` is there from `launch` on, readable by PostgreSQL's own user and root only, and ends with the server.
    """

    user = "postgres"

    def __init__(self, database: str, *, log: Path) -> None:
        self.database = database
        self.log = Path(log)
        self.port = free_port()
        self._programs = postgresql_programs()
        self._folder: Path | None = None
        self._process: Process | None = None

    @property
    def folder(self) -> Path:
        assert self._folder is not None
        return self._folder

    def launch(self) -> None:
        # PostgreSQL refuses to run as root, and the path of a socket must be short: hence a folder of its own.
        self._folder = Path(tempfile.mkdtemp(prefix="tungsten-postgresql-"))
        shutil.chown(self._folder, self.user, self.user)
        data = self._folder / "data"
        self._initialise(data)
        settings = {**SETTINGS, "port": str(self.port), "unix_socket_directories": str(self._folder)}
        arguments = [f"--{name}={value}" for name, value in settings.items()]
        self._process = Process(
            (self._programs / "postgres", "-D", data, *arguments), log=self.log, user=self.user
        )

    def wait(self) -> None:
        assert self._process is not None
        ask = (self._programs / "pg_isready", f"--host={self.folder}", f"--port={self.port}", "--quiet")
        self._process.wait_until(lambda: subprocess.run(ask, check=False).returncode == 0)

    def stop(self) -> None:
        """End it, and with it all its data."""
        if self._process is not None:
            # An immediate shutdown, which leaves no shared memory behind as a kill would.
            self._process.stop(with_signal=signal.SIGQUIT)
            self._process = None
        if self._folder is not None:
            shutil.rmtree(self._folder)
            self._folder = None

    def _initialise(self, data: Path) -> None:
        access = (f"--username={self.user}", "--auth=trust")
        form = ("--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
        initdb = (self._programs / "initdb", f"--pgdata={data}", *access, *form)
        Process(initdb, log=self.log, user=self.user).finish()
        create = f'echo \'CREATE DATABASE {self.database}\' | "$1" --single -F -D "$2" postgres'
        shell = ("sh", "-c", create, "sh", self._programs / "postgres", data)
        Process(shell, log=self.log, user=self.user).finish()
