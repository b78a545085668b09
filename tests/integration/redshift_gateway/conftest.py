"""Real servers for the gateway's tests: PostgreSQL in a temporary folder, moto's S3, the gateway in process with TLS."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import redshift_connector
from moto.server import ThreadedMotoServer
from redshift_gateway import Gateway, Settings

USER, PASSWORD, DATABASE, BUCKET = "awsuser", "Passw0rd-for-tests", "dev", "bucket"


def postgres_programs() -> Path:
    """The newest PostgreSQL's programs (Debian's folder, else the PATH)."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
    on_path = shutil.which("postgres")
    if not found and on_path is None:
        pytest.skip("PostgreSQL is missing: apt-get install postgresql")
    return found[-1] if found else Path(str(on_path)).parent


@pytest.fixture(scope="session")
def postgres() -> Iterator[tuple[str, int]]:
    """A fresh PostgreSQL on a socket: (socket folder, port)."""
    programs = postgres_programs()
    folder = Path(tempfile.mkdtemp(prefix="rsgw-"))
    data = folder / "data"
    identity: dict[str, Any] = {}
    if os.geteuid() == 0:
        account = pwd.getpwnam("postgres")
        os.chown(folder, account.pw_uid, account.pw_gid)
        identity = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    initdb = [programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]
    subprocess.run(
        [str(part) for part in initdb], check=True, stdout=subprocess.DEVNULL, cwd=folder, **identity
    )
    options = ["-k", str(folder), "-c", "listen_addresses=", "-c", "fsync=off", "-p", "5432"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [str(programs / "postgres"), "-D", str(data), *options],
            stdout=log,
            stderr=log,
            cwd=folder,
            **identity,
        )
    try:
        wait_for_socket(folder / ".s.PGSQL.5432", server)
        yield str(folder), 5432
    finally:
        server.terminate()
        server.wait(30)
        shutil.rmtree(folder)


def wait_for_socket(path: Path, server: subprocess.Popen[bytes]) -> None:
    """Until PostgreSQL listens, at most 30 seconds."""
    for _ in range(300):
        if server.poll() is not None:
            break
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(str(path))
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"PostgreSQL did not start: {(path.parent / 'log').read_text()[-2000:]}")


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def s3(s3_endpoint: str) -> Any:
    client = boto3.client(
        "s3",
        endpoint_url=s3_endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    client.create_bucket(Bucket=BUCKET)
    return client


@pytest.fixture(scope="session")
def gateway(
    postgres: tuple[str, int], s3_endpoint: str, s3: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    settings = Settings(
        backend_host=postgres[0],
        backend_port=postgres[1],
        user=USER,
        password=PASSWORD,
        database=DATABASE,
        tls_dir=tmp_path_factory.mktemp("tls"),
        s3_endpoint=s3_endpoint,
    )
    with Gateway(settings) as gateway:
        yield gateway


@pytest.fixture
def connect(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Opens connections as production code does; closes them at the end. The test's process trusts the certificate."""
    monkeypatch.setenv("SSL_CERT_FILE", f"{gateway.settings.tls_dir}/gateway.crt")
    opened = []

    def open_one(**changes: Any) -> Any:
        arguments = {
            "host": "localhost",
            "port": gateway.port,
            "database": DATABASE,
            "user": USER,
            "password": PASSWORD,
        }
        opened.append(redshift_connector.connect(**(arguments | changes)))
        return opened[-1]

    yield open_one
    for connection in opened:
        try:
            connection.close()
        except redshift_connector.InterfaceError:
            pass


@pytest.fixture
def connection(connect: Any) -> Any:
    """A connection in autocommit mode with a schema of its own first in the search path."""
    connection = connect()
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("DROP SCHEMA IF EXISTS t CASCADE")
        cursor.execute("CREATE SCHEMA t")
        cursor.execute("SET search_path TO t")
    return connection


@pytest.fixture
def run(connection: Any) -> Any:
    """Runs one statement; its rows as lists, or None without a result."""

    def run_one(sql: str, *parameters: Any) -> Any:
        cursor = connection.cursor()
        cursor.execute(sql, parameters or None)
        return [list(row) for row in cursor.fetchall()] if cursor.description else None

    return run_one
