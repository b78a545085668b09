"""A MySQL server with its binary log as replication wants it: the one on the PATH, else the cached one in a chroot."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pymysql

from tests.stack.certificates import write_certificates
from tests.stack.process import Process, Server, ServerError, free_port, new_password
from tests.stack.provision import Missing, cache, locked, mysql_root, mysqld_on_path

OPTIONS = {
    "bind-address": "127.0.0.1",
    "binlog-format": "ROW",
    "binlog-row-image": "FULL",
    "binlog-row-metadata": "FULL",
    "character-set-server": "utf8mb4",
    "enforce-gtid-consistency": "ON",
    "gtid-mode": "ON",
    "innodb-buffer-pool-size": "128M",
    "innodb-redo-log-capacity": "256M",
    "local-infile": "ON",
    "log-bin": "mysql-bin",
    "log-error-verbosity": "2",
    "mysqlx": "OFF",
    "secure-file-priv": "",
    "server-id": "1",
    "skip-name-resolve": "ON",
}

# The mounts belong to the process's own namespace and go with it.
CHROOT = """
set -e
mount --rbind /dev "$1/dev"
mount -t proc proc "$1/proc"
mount -t tmpfs tmpfs "$1/tmp"
mount --bind "$2" "$1/var/lib/mysql"
root=$1
shift 2
exec chroot "$root" "$@"
"""


class MySQL(Server):
    """A server in `folder`, empty but for two users, on a free port of 127.0.0.1, with TLS.

    `options` are mysqld's own (`{"binlog-row-metadata": "MINIMAL"}`); they win over OPTIONS and can be changed
    between a `stop` and a `start`. Durability is MySQL's default: every commit is on disk.
    """

    host = "127.0.0.1"
    root = "root"
    user = "tungsten"
    defaults: ClassVar[Mapping[str, str]] = OPTIONS

    def __init__(self, folder: Path, *, options: Mapping[str, str] | None = None) -> None:
        self.folder = Path(folder)
        self.options = dict(options or {})
        self.port = free_port()
        self.password = new_password()
        self.root_password = new_password()
        self._data = self.folder / "data"
        self._process: Process | None = None

    def launch(self) -> None:
        """Start without waiting; `wait` ends the wait. On a folder that was used before, it starts as it was left."""
        self.folder.mkdir(parents=True, exist_ok=True)
        options = {**self.defaults, "port": str(self.port), "socket": "mysql.sock", **self.options}
        if not self._data.exists():
            self._copy_template()
            options["init-file"] = "users.sql"
        self._process = self._server(self._data, self.folder / "mysql.log", options)

    def wait(self) -> None:
        self._running.wait_until(self._answers)
        (self._data / "users.sql").unlink(missing_ok=True)

    def stop(self) -> None:
        """Shut down cleanly. The data stays in the folder."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def kill(self) -> None:
        """kill -9: what a crash leaves behind."""
        self._running.kill()
        self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    @property
    def ca_file(self) -> Path:
        """The authority of the server's certificate, which names localhost and 127.0.0.1."""
        return self._data / "ca.pem"

    @property
    def data(self) -> Path:
        """The data folder, binary logs included."""
        return self._data

    def connect(self, **kwargs: Any) -> pymysql.Connection[Any]:
        """A pymysql connection, as root over TLS and with autocommit unless `kwargs` say otherwise."""
        defaults = {
            "host": self.host,
            "port": self.port,
            "user": self.root,
            "password": self.root_password,
            "ssl_ca": str(self.ca_file),
            "charset": "utf8mb4",
            "autocommit": True,
        }
        return pymysql.connect(**{**defaults, **kwargs})

    def execute(self, *statements: str, database: str | None = None) -> tuple[tuple[Any, ...], ...]:
        """Run statements one by one as root; the last one's rows."""
        with self.connect(database=database) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return tuple(cursor.fetchall())

    def client(self, program: str, *arguments: str, stdin: bytes = b"") -> bytes:
        """Run one of MySQL's own programs (`mysql`, `mysqldump`) as root against this server; what it prints.

        :raises ServerError: it failed; with what it said.
        """
        path = [program] if mysqld_on_path() else ["chroot", mysql_root(), f"/usr/bin/{program}"]
        server = (f"--host={self.host}", f"--port={self.port}", f"--user={self.root}", "--ssl-mode=REQUIRED")
        done = subprocess.run(
            [*path, "--no-defaults", *server, *arguments],
            env={**os.environ, "MYSQL_PWD": self.root_password},
            input=stdin,
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise ServerError(f"{program} ended with status {done.returncode}:\n{done.stderr.decode()}")
        return done.stdout

    @property
    def _running(self) -> Process:
        if self._process is None:
            raise RuntimeError("MySQL is not running")
        return self._process

    def _answers(self) -> bool:
        try:
            self.connect(connect_timeout=2).close()
        except pymysql.err.OperationalError:
            return False
        return True

    def _copy_template(self) -> None:
        copying = self._data.with_name("data.copying")
        subprocess.run(["cp", "-a", "--reflink=auto", self._template(), copying], check=True)
        write_certificates(copying)
        users = copying / "users.sql"
        users.touch(mode=0o600)
        users.write_text(self._users())
        copying.rename(self._data)

    def _server(self, data: Path, log: Path, options: Mapping[str, str]) -> Process:
        return _mysqld(data, log, options)

    def _template(self) -> Path:
        return _template()

    def _users(self) -> str:
        # Not in the binary log, which is to begin with the test's own first statement.
        return "\n".join(
            (
                "SET sql_log_bin = 0;",
                f"CREATE USER root@'%' IDENTIFIED BY '{self.root_password}';",
                "GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;",
                f"CREATE USER {self.user}@'%' IDENTIFIED BY '{self.password}';",
                f"GRANT REPLICATION SLAVE, REPLICATION CLIENT, SELECT ON *.* TO {self.user}@'%';",
                "",
            )
        )


def _mysqld(data: Path, log: Path, options: Mapping[str, str]) -> Process:
    """Start mysqld on that data folder, which its paths are relative to."""
    arguments = [f"--{name}={value}" for name, value in options.items()]
    server = mysqld_on_path()
    if server:
        where = data
    elif mysql_root().exists():
        server, where = Path("/usr/sbin/mysqld"), Path("/var/lib/mysql")
    else:
        raise Missing("there is no MySQL server: run `make setup`, or put mysqld 8.0 or later on the PATH")
    command: list[str | Path] = [
        server,
        "--no-defaults",
        "--user=root",
        "--tmpdir=/tmp",
        f"--datadir={where}",
        *arguments,
    ]
    return Process(in_root(mysql_root(), data, command) if where != data else command, log=log)


def in_root(root: Path, data: Path, command: Sequence[str | Path]) -> list[str | Path]:
    """The command, to be run inside a root folder where `data` is /var/lib/mysql."""
    return ["sh", "-c", CHROOT, "mysqld", root, data, *command]


def _template() -> Path:
    """An initialised data folder in the cache, without server_uuid and certificates: each copy gets its own."""
    server = mysqld_on_path() or mysql_root() / "usr/sbin/mysqld"
    binary = server.resolve().stat()
    template = cache() / f"mysql-data-{binary.st_size}-{int(binary.st_mtime)}"
    with locked("mysql-data"):
        if not template.exists():
            with tempfile.TemporaryDirectory(dir=cache(), prefix="mysql-data.building-") as building:
                data = Path(building) / "data"
                data.mkdir()
                _mysqld(data, Path(building) / "log", {"initialize-insecure": "ON"}).finish()
                for made in ("auto.cnf", "ca.pem", "ca-key.pem", "server-cert.pem", "server-key.pem"):
                    (data / made).unlink()
                data.rename(template)
    return template
