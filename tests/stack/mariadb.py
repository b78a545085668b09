"""A MariaDB 10.11 server with its binary log as replication wants it, out of the cache, in a chroot."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.stack.mysql import MySQL, in_root
from tests.stack.process import Process, ServerError
from tests.stack.provision import Missing, cache, locked, mariadb_root

OPTIONS = {
    "bind-address": "127.0.0.1",
    "binlog-format": "ROW",
    "binlog-row-image": "FULL",
    "binlog-row-metadata": "FULL",
    "character-set-server": "utf8mb4",
    "innodb-buffer-pool-size": "64M",
    "innodb-log-file-size": "64M",
    "local-infile": "ON",
    "log-bin": "mariadb-bin",
    "secure-file-priv": "",
    "server-id": "1",
    "skip-name-resolve": "ON",
    "ssl-ca": "ca.pem",
    "ssl-cert": "server-cert.pem",
    "ssl-key": "server-key.pem",
    "sync-binlog": "1",
}
# Without `force` it would look up the host's name, which no account of ours is bound to.
_INSTALL = ("mariadb-install-db", "--auth-root-authentication-method=normal", "--skip-test-db", "--force")
_DATA = "/var/lib/mysql"


class MariaDB(MySQL):
    """As :class:`MySQL`, with mariadbd's options. Its GTIDs need no option; they are written always."""

    defaults = OPTIONS

    def client(self, program: str, *arguments: str, stdin: bytes = b"") -> bytes:
        """Run one of MariaDB's own programs (`mariadb`, `mariadb-dump`) as root against this server; what it prints.

        :raises ServerError: it failed; with what it said.
        """
        server = (f"--host={self.host}", f"--port={self.port}", f"--user={self.root}", "--ssl")
        done = subprocess.run(
            ["chroot", mariadb_root(), f"/usr/bin/{program}", "--no-defaults", *server, *arguments],
            env={**os.environ, "MYSQL_PWD": self.root_password},
            input=stdin,
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise ServerError(f"{program} ended with status {done.returncode}:\n{done.stderr.decode()}")
        return done.stdout

    def _server(self, data: Path, log: Path, options: Mapping[str, str]) -> Process:
        arguments = (f"--{name}={value}" for name, value in options.items())
        return _run(data, log, "/usr/sbin/mariadbd", "--no-defaults", "--tmpdir=/tmp", *arguments)

    def _template(self) -> Path:
        return _template()

    def _users(self) -> str:
        return (
            f"{super()._users()}"
            f"GRANT SLAVE MONITOR, REPLICATION MASTER ADMIN ON *.* TO {self.user}@'%';\n"
            "DROP USER root@'127.0.0.1';\n"
        )


def _run(data: Path, log: Path, program: str, *arguments: str) -> Process:
    """Start a program of the cached MariaDB on that data folder, which its paths are relative to."""
    if not mariadb_root().exists():
        raise Missing("there is no MariaDB server: run `make setup`")
    command = [program, *arguments, "--user=root", f"--datadir={_DATA}"]
    return Process(in_root(mariadb_root(), data, command), log=log)


def _template() -> Path:
    """An initialised data folder in the cache."""
    binary = (mariadb_root() / "usr/sbin/mariadbd").stat()
    template = cache() / f"mariadb-data-{binary.st_size}-{int(binary.st_mtime)}"
    with locked("mariadb-data"):
        if not template.exists():
            with tempfile.TemporaryDirectory(dir=cache(), prefix="mariadb-data.building-") as building:
                data = Path(building) / "data"
                data.mkdir()
                _run(data, Path(building) / "log", *_INSTALL).finish()
                data.rename(template)
    return template
