"""A Redshift to test on: PostgreSQL behind the gateway of docker/redshift, which the real driver takes for Redshift."""

from __future__ import annotations

import os
import ssl
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import redshift_connector

from tests.stack.postgresql import PostgreSQL
from tests.stack.process import Process, Server, answers, free_port, new_password
from tests.stack.s3 import S3


class Redshift(Server):
    """A warehouse with one empty database, on a free port of 127.0.0.1, that copies from `s3`, with TLS.

    `stop_gateway` and `start_gateway` take it off the network and back, its data kept.
    """

    host = "127.0.0.1"
    database = "dev"
    user = "awsuser"

    def __init__(self, folder: Path, s3: S3) -> None:
        self.folder = Path(folder)
        self.s3 = s3
        self.port = free_port()
        self.password = new_password()
        self._backend = PostgreSQL(self.database, log=self.folder / "postgresql.log")
        self._gateway: Process | None = None

    def launch(self) -> None:
        """Start without waiting for the network; `wait` does."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._backend.start()
        self.launch_gateway()

    def launch_gateway(self) -> None:
        command = {
            "listen": f"{self.host}:{self.port}",
            "backend-host": str(self._backend.folder),
            "backend-port": str(self._backend.port),
            "backend-user": self._backend.user,
            "database": self.database,
            "user": self.user,
            "password": self.password,
            "tls-dir": str(self.folder / "tls"),
            "s3-endpoint": self.s3.endpoint_url,
        }
        options = [f"--{name}={value}" for name, value in command.items()]
        argv = (sys.executable, "-m", "redshift_gateway", *options)
        self._gateway = Process(argv, log=self.folder / "gateway.log", env=self.s3.env)

    def wait(self) -> None:
        assert self._gateway is not None
        self._gateway.wait_until(lambda: answers(self.port))
        system = ssl.get_default_verify_paths().cafile
        known = Path(system).read_bytes() if system else b""
        self.ca_file.write_bytes(known + (self.folder / "tls" / "gateway.crt").read_bytes())

    def start_gateway(self) -> None:
        self.launch_gateway()
        self.wait()

    def stop_gateway(self) -> None:
        """Every connection breaks, and none can be made."""
        if self._gateway is not None:
            self._gateway.kill()
            self._gateway = None

    def stop(self) -> None:
        """End it, and with it all its data."""
        self.stop_gateway()
        self._backend.stop()

    @property
    def ca_file(self) -> Path:
        """What a client must trust: the machine's authorities and the gateway's own."""
        return self.folder / "trusted.pem"

    @property
    def env(self) -> dict[str, str]:
        """What a process needs so that the driver, with its own checks untouched, trusts the gateway."""
        return {"SSL_CERT_FILE": str(self.ca_file)}

    def connect(self, **kwargs: Any) -> redshift_connector.Connection:
        """A connection of the real driver, TLS and host name checked."""
        defaults = {
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "password": self.password,
            "database": self.database,
            "sslmode": "verify-full",
        }
        with mock.patch.dict(os.environ, self.env):
            return redshift_connector.connect(**{**defaults, **kwargs})

    def execute(self, *statements: str) -> tuple[tuple[Any, ...], ...]:
        """Run statements one by one and commit; the last one's rows."""
        with self.connect() as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            rows = tuple(map(tuple, cursor.fetchall())) if cursor.description else ()
            connection.commit()
            return rows
