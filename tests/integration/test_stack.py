"""The stack's servers are what the tests take them for, and none outlives its parent."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import redshift_connector
from botocore.exceptions import ClientError

from tests.stack.airflow import Airflow
from tests.stack.mysql import MySQL
from tests.stack.process import answers
from tests.stack.redshift import Redshift
from tests.stack.s3 import S3


def test_mysql_logs_rows_with_full_metadata_and_gtids(mysql: MySQL) -> None:
    settings = "@@binlog_format, @@binlog_row_metadata, @@binlog_row_image, @@gtid_mode, @@sync_binlog"
    assert mysql.execute(f"SELECT {settings}") == (("ROW", "FULL", "FULL", "ON", 1),)


def test_mysql_replication_user_gets_in_over_checked_tls(mysql: MySQL) -> None:
    with mysql.connect(user=mysql.user, password=mysql.password) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW STATUS LIKE 'Ssl_cipher'")
        assert cursor.fetchone()[1]
        cursor.execute("SHOW BINARY LOG STATUS")
        assert cursor.fetchone()[0].startswith("mysql-bin.")


def test_a_database_is_dropped_with_its_test(mysql: MySQL, database: str) -> None:
    mysql.execute("CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)", database=database)
    assert mysql.execute("SELECT id FROM t", database=database) == ((1,),)


def test_s3_refuses_to_write_an_object_twice(s3: S3, bucket: str) -> None:
    put = partial(s3.client().put_object, Bucket=bucket, Key="once", Body=b"x", IfNoneMatch="*")
    put()
    with pytest.raises(ClientError, match="PreconditionFailed"):
        put()


def test_redshift_gets_in_over_checked_tls_and_is_down_without_its_gateway(s3: S3, tmp_path: Path) -> None:
    with Redshift(tmp_path, s3) as server:
        server.execute("CREATE TABLE t (id INT) DISTSTYLE ALL", "INSERT INTO t VALUES (1)")
        server.stop_gateway()
        with pytest.raises(redshift_connector.InterfaceError, match="refused"):
            server.connect()
        server.start_gateway()
        assert server.execute("SELECT id FROM t") == ((1,),)


def test_redshift_is_not_trusted_by_a_client_that_does_not_know_it(redshift: Redshift) -> None:
    address = {"host": redshift.host, "port": redshift.port, "database": redshift.database}
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SSL_CERT_FILE")
        with pytest.raises(redshift_connector.InterfaceError, match="CERTIFICATE_VERIFY_FAILED"):
            redshift_connector.connect(**address, user=redshift.user, password=redshift.password)


def test_mysql_keeps_its_data_over_a_restart_and_a_crash(tmp_path: Path) -> None:
    with MySQL(tmp_path, options={"server-id": "7"}) as server:
        uuid = server.execute("CREATE DATABASE kept", "SELECT @@server_uuid, @@server_id")
        server.restart()
        server.execute("CREATE TABLE kept.t (id INT PRIMARY KEY)")
        server.kill()
        server.start()
        assert server.execute("SELECT @@server_uuid, @@server_id") == uuid
        assert server.execute("SHOW TABLES FROM kept") == (("t",),)


def test_two_mysql_servers_differ_in_uuid(mysql: MySQL, tmp_path: Path) -> None:
    with MySQL(tmp_path) as other:
        assert other.execute("SELECT @@server_uuid") != mysql.execute("SELECT @@server_uuid")


PARENT = """
import sys, time
from pathlib import Path
from tests.stack.mysql import MySQL
from tests.stack.redshift import Redshift
from tests.stack.s3 import S3
from tests.stack.stack import exit_on_sigterm
exit_on_sigterm()
with MySQL(Path(sys.argv[1])) as mysql, S3() as s3:
    print(mysql.port, s3.port, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for all that a stack's process writes, since a killed one cannot tidy up; PostgreSQL's user gets in."""
    with tempfile.TemporaryDirectory(prefix="tungsten-") as folder:
        Path(folder).chmod(0o711)
        monkeypatch.setenv("TMPDIR", folder)
        yield Path(folder)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_server_outlives_its_parent(home: Path, end: signal.Signals) -> None:
    argv = [sys.executable, "-c", PARENT, str(home)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as parent:
        assert parent.stdout is not None
        ports = [int(port) for port in parent.stdout.readline().split()]
        assert len(ports) == 2
        assert all(map(answers, ports))
        assert len(_processes_naming(home)) > 1
        os.kill(parent.pid, end)
    deadline = time.monotonic() + 30
    while _processes_naming(home) or any(map(answers, ports)):
        assert time.monotonic() < deadline, _processes_naming(home)
        time.sleep(0.05)
    assert str(home) not in Path("/proc/self/mountinfo").read_text()


def _stack(home: Path, *command: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "tests.stack", *command, "--home", str(home)]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def test_the_stack_comes_up_and_goes_down_from_the_command_line(home: Path) -> None:
    assert _stack(home, "up", "--no-airflow").returncode == 0
    state = home / "state.json"
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    assert set(json.loads(state.read_text())["servers"]) == {"mysql", "s3", "redshift"}
    assert _stack(home, "up", "--no-airflow").returncode == 0, "up on what is up is fine"
    assert _stack(home, "down").returncode == 0
    _wait_for_the_end_of_all(home)
    assert _stack(home, "status").returncode == 1


def test_a_stack_whose_owner_was_killed_is_down_and_can_come_up_again(home: Path) -> None:
    assert _stack(home, "up", "--no-airflow").returncode == 0
    os.kill(int((home / "lock").read_text()), signal.SIGKILL)
    _wait_for_the_end_of_all(home)
    assert "down" in _stack(home, "status").stdout
    assert _stack(home, "up", "--no-airflow").returncode == 0
    assert _stack(home, "down").returncode == 0


DAG = """
from __future__ import annotations
import time
from airflow.sdk import Connection, dag, task

@dag(schedule=None)
def probe():
    @task
    def greet():
        print("the shop is at", Connection.get("mysql_shop").host)

    @task
    def sleep():
        time.sleep(600)

    greet() >> sleep()

probe()
"""


def test_airflow_runs_a_dag_with_its_connections_and_ends_with_its_tasks(tmp_path: Path) -> None:
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "probe.py").write_text(DAG)
    shop = {"mysql_shop": {"conn_type": "mysql", "host": "shop.example"}}
    with Airflow(tmp_path / "airflow", dags_folder=dags, connections=shop) as airflow:
        run = airflow.trigger("probe")
        deadline = time.monotonic() + 120
        while airflow.tasks("probe", run).get("sleep") != "running":
            assert time.monotonic() < deadline, airflow.tasks("probe", run)
            time.sleep(0.3)
        assert "the shop is at shop.example" in airflow.logs("probe", run, "greet")
        os.kill(airflow.task_pid("probe", run, "sleep"), signal.SIGKILL)
        assert airflow.wait_for_run("probe", run) == "failed"
    assert _processes_naming(tmp_path) == []


def _wait_for_the_end_of_all(home: Path) -> None:
    deadline = time.monotonic() + 30
    while left := _processes_naming(home):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def _processes_naming(folder: Path) -> list[str]:
    """Command lines of processes that have the folder open or among their arguments; a zombie has neither."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_text()
            files = [os.readlink(file) for file in (process / "fd").iterdir()]
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            continue
        if any(str(folder) in name for name in (command, *files)):
            found.append(command)
    return found
