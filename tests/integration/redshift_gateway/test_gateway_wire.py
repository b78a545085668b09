"""The protocol: log-in, TLS, cancelling, the simple protocol (psql), lost sessions, and the program itself."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import redshift_connector
from redshift_gateway import Gateway, wire

from .conftest import BUCKET, DATABASE, PASSWORD, USER, postgres_programs


@pytest.mark.parametrize(
    "arguments", [{}, {"sslmode": "verify-full"}, {"sslmode": "verify-ca"}, {"ssl": False}]
)
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_the_real_driver_connects_with_and_without_tls(
    connect: Any, host: str, arguments: dict[str, Any]
) -> None:
    cursor = connect(host=host, **arguments).cursor()
    cursor.execute("SELECT current_user, current_database()")
    assert [str(value) for value in cursor.fetchone()] == [USER, DATABASE]


@pytest.mark.parametrize("wrong", [{"password": "no"}, {"user": "nobody"}])
def test_a_wrong_login_is_refused(connect: Any, wrong: dict[str, str]) -> None:
    with pytest.raises(redshift_connector.InterfaceError) as error:
        connect(**wrong)
    assert error.value.args[0]["C"] == "28000"


def test_an_unknown_database_is_refused(connect: Any) -> None:
    with pytest.raises(redshift_connector.Error) as error:
        connect(database="postgres")
    assert error.value.args[0]["C"] == "3D000"


def test_an_untrusted_certificate_is_refused_by_the_driver(
    connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises((ssl.SSLError, redshift_connector.Error), match="(?i)certificate"):
        connect()


def psql(gateway: Gateway, sql: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run psql, which speaks the simple protocol."""
    given = {
        "PGHOST": "127.0.0.1",
        "PGUSER": USER,
        "PGPASSWORD": PASSWORD,
        "PGDATABASE": DATABASE,
        "PGSSLMODE": "require",
    }
    environment = os.environ | given | {"PGPORT": str(gateway.port)} | changes
    program = str(postgres_programs() / "psql")
    return subprocess.run(
        [program, "-XAtc", sql], env=environment, capture_output=True, text=True, timeout=30
    )


def test_the_simple_protocol_works_too(gateway: Gateway, s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="simple", Body=b"1,2\n")
    copy = "COPY simple FROM 's3://bucket/simple' IAM_ROLE default CSV"
    for sql, output in (
        ("DROP TABLE IF EXISTS simple", ""),
        ("CREATE TABLE simple (a INT DISTKEY, b VARBYTE(9), PRIMARY KEY (a)); SELECT 1; SELECT 2", "1\n2"),
        ("BEGIN; INSERT INTO simple VALUES (1, FROM_HEX('ff')); SELECT b FROM simple; TRUNCATE simple", "ff"),
        ("", ""),
    ):
        done = psql(gateway, sql)
        assert (done.returncode, done.stderr) == (0, "") or "NOTICE" in done.stderr
        assert output in done.stdout
    failed = psql(gateway, f"{copy}; SELECT 7")
    assert "Load into table 'simple' failed" in failed.stderr
    assert "7" not in failed.stdout
    assert psql(gateway, "SELECT count(*) FROM simple").stdout == "0\n"


def test_a_statement_is_cancelled(gateway: Gateway, connect: Any) -> None:
    connection = connect()
    process, key = struct.unpack("!ii", connection._backend_key_data)
    cancel = struct.pack("!iiii", 16, wire.CANCEL_REQUEST, process, key)

    def send() -> None:
        with socket.create_connection(("127.0.0.1", gateway.port)) as other:
            other.sendall(cancel)

    timer = threading.Timer(0.2, send)
    timer.start()
    with pytest.raises(redshift_connector.Error) as error:
        connection.cursor().execute("SELECT pg_sleep(20)")
    timer.join()
    assert error.value.args[0]["C"] == "57014"


def test_a_session_whose_client_vanished_is_rolled_back(connect: Any, run: Any) -> None:
    run("CREATE TABLE v (a INT)")
    lost = connect()
    lost.cursor().execute("LOCK t.v")
    lost.cursor().execute("INSERT INTO t.v VALUES (1)")
    lost._usock.shutdown(socket.SHUT_RDWR)
    run("SET statement_timeout TO 5000")
    assert run("SELECT count(*) FROM v") == [[0]]


def test_a_terminated_session_ends_for_its_client(connect: Any, run: Any) -> None:
    idle = connect()
    cursor = idle.cursor()
    cursor.execute("SELECT pg_backend_pid()")
    run(f"SELECT pg_terminate_backend({cursor.fetchone()[0]})")
    with pytest.raises(Exception) as error:
        cursor.execute("SELECT 1")
    assert not isinstance(error.value, AssertionError)


def wait_for_lock(connection: Any) -> None:
    """In vain, or until the holder's session ended a moment before this one."""
    with contextlib.suppress(redshift_connector.Error, OSError, struct.error):
        connection.cursor().execute("LOCK t.k")


def test_a_stopped_gateway_leaves_no_lock_behind(
    gateway: Gateway, postgres: tuple[str, int], connect: Any, run: Any
) -> None:
    run("CREATE TABLE k (a INT)")
    with Gateway(dataclasses.replace(gateway.settings, port=0)) as second:
        holder, waiter = connect(port=second.port), connect(port=second.port)
        holder.cursor().execute("LOCK t.k")
        thread = threading.Thread(target=wait_for_lock, args=(waiter,))
        thread.start()
        thread.join(0.3)
    thread.join(5)
    assert not thread.is_alive()
    run("SET statement_timeout TO 5000")
    assert run("SELECT count(*) FROM k") == [[0]]


def test_many_clients_are_served_at_once(connect: Any, run: Any) -> None:
    run("CREATE TABLE m (a INT)")
    failures: list[BaseException] = []

    def work(connection: Any) -> None:
        try:
            cursor = connection.cursor()
            for number in range(30):
                cursor.execute("INSERT INTO t.m VALUES (%s)", (number,))
            connection.commit()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(connect(),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []
    assert run("SELECT count(*) FROM m") == [[240]]


def test_many_rows_and_wide_values_come_through(run: Any) -> None:
    rows = run("SELECT n, repeat('x', 1000)::varchar(1000) FROM generate_series(1, 20000) AS n")
    assert len(rows) == 20000
    assert rows[-1] == [20000, "x" * 1000]


def test_an_idle_transaction_in_error_recovers_after_rollback(run: Any, connection: Any) -> None:
    connection.autocommit = False
    with pytest.raises(redshift_connector.Error):
        run("SELECT nothing FROM nowhere")
    connection.rollback()
    assert run("SELECT 1") == [[1]]


def test_the_program_says_when_it_is_ready_and_ends_on_sigterm(
    postgres: tuple[str, int], s3_endpoint: str, tmp_path: Path
) -> None:
    arguments = {
        "--listen": "127.0.0.1:0", "--backend-host": postgres[0], "--backend-port": str(postgres[1]),
        "--backend-user": "postgres", "--database": "other", "--user": USER, "--password": PASSWORD,
        "--tls-dir": str(tmp_path / "tls"), "--s3-endpoint": s3_endpoint,
    }  # fmt: skip
    words = [word for pair in arguments.items() for word in pair]
    program = subprocess.Popen(
        [sys.executable, "-m", "redshift_gateway", *words], stdout=subprocess.PIPE, text=True
    )
    try:
        assert program.stdout is not None
        line = program.stdout.readline()
        assert line.startswith("redshift gateway ready on 127.0.0.1:")
        port = int(line.rsplit(":", 1)[1])
        connection = redshift_connector.connect(
            host="127.0.0.1", port=port, database="other", user=USER, password=PASSWORD, ssl=False
        )
        connection.cursor().execute("CREATE TABLE kept (a INT)")
        program.send_signal(signal.SIGTERM)
        assert program.wait(10) == 0
        assert (tmp_path / "tls" / "gateway.key").stat().st_mode & 0o077 == 0
    finally:
        program.kill()
        program.wait()
