"""The peers: what others make of the same log. Each gives a rate in rows a second, or says why it cannot run here."""

from __future__ import annotations

import asyncio
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from pymysql.constants import COMMAND

from airflow_provider_tungsten.replicator.source.connection import MySQLEndpoint, connect
from tests.benchmarks.workload import SCHEMA, LogRange
from tests.stack.mysql import MySQL
from tests.stack.provision import cache, mysql_root, mysqld_on_path

SERVER_ID = 6599
NON_BLOCK = 1


class NotHere(RuntimeError):
    """The peer cannot be measured; the reason."""


def mysql_replication(mysql: MySQL, log: LogRange, limit: int) -> float:
    """Every row decoded, for the first `limit` rows."""
    from pymysqlreplication import BinLogStreamReader
    from pymysqlreplication.row_event import DeleteRowsEvent, UpdateRowsEvent, WriteRowsEvent

    stream = BinLogStreamReader(
        connection_settings={
            "host": mysql.host,
            "port": mysql.port,
            "user": mysql.user,
            "passwd": mysql.password,
        },
        server_id=SERVER_ID,
        blocking=False,
        resume_stream=True,
        log_file=log.file,
        log_pos=log.start,
        only_events=[WriteRowsEvent, UpdateRowsEvent, DeleteRowsEvent],
    )
    started, rows = time.perf_counter(), 0
    for event in stream:
        rows += len(event.rows)
        if rows >= limit:
            break
    seconds = time.perf_counter() - started
    stream.close()
    return rows / seconds


def mysql_event_stream(mysql: MySQL, log: LogRange, limit: int) -> float:
    """Every row as a dict, for the first `limit` rows, by its C++ core."""
    try:
        from mysql_event_stream import CdcStream
    except (ImportError, OSError) as error:
        raise NotHere(f"mysql-event-stream: {error}") from error

    async def read() -> float:
        stream = CdcStream(
            host=mysql.host,
            port=mysql.port,
            user=mysql.root,
            password=mysql.root_password,
            server_id=SERVER_ID,
            start_binlog_file=log.file,
            start_binlog_position=log.start,
        )
        started, rows = 0.0, -1
        async with stream:
            async for _ in stream:
                rows += 1
                if rows == 0:
                    started = time.perf_counter()
                if rows >= limit:
                    break
            return rows / (time.perf_counter() - started)

    return asyncio.run(read())


def raw_packets(mysql: MySQL, log: LogRange) -> float:
    """PyMySQL hands out every packet of the log and nobody looks at it."""
    connection = connect(MySQLEndpoint(mysql.host, mysql.port, mysql.user, mysql.password))
    with connection.cursor() as cursor:
        cursor.execute("SET @source_binlog_checksum = @@global.binlog_checksum")
    request = struct.pack("<IHI", log.start, NON_BLOCK, SERVER_ID) + log.file.encode()
    connection._execute_command(COMMAND.COM_BINLOG_DUMP, request)  # type: ignore[attr-defined]
    started = time.perf_counter()
    while not connection._read_packet().is_eof_packet():  # type: ignore[attr-defined]
        pass
    seconds = time.perf_counter() - started
    connection.close()
    return log.rows / seconds


def _mysqlbinlog() -> list[str]:
    return ["mysqlbinlog"] if mysqld_on_path() else ["chroot", str(mysql_root()), "/usr/bin/mysqlbinlog"]


def _seconds(command: Sequence[str], password: str = "", stdin: Path | None = None) -> float:
    started = time.perf_counter()
    with open(stdin or os.devnull, "rb") as file:
        done = subprocess.run(
            command,
            env={**os.environ, "MYSQL_PWD": password},
            stdin=file,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    if done.returncode:
        raise NotHere(f"{command[0]}: {done.stderr[-300:]}")
    return time.perf_counter() - started


def _remote(mysql: MySQL, log: LogRange, *arguments: str) -> float:
    server = (
        f"--host={mysql.host}",
        f"--port={mysql.port}",
        f"--user={mysql.root}",
        "--read-from-remote-server",
    )
    command = [*_mysqlbinlog(), *server, f"--start-position={log.start}", *arguments, log.file]
    return _seconds(command, mysql.root_password)


def mysqlbinlog_v(mysql: MySQL, log: LogRange) -> float:
    """`mysqlbinlog -v` over the network, as the extractor reads; what it prints is thrown away."""
    return log.rows / _remote(mysql, log, "-v")


def mysqlbinlog_raw(mysql: MySQL, log: LogRange) -> float:
    """`mysqlbinlog --raw` over the network: the log copied into a file as it is. Megabytes a second."""
    root = Path("/") if mysqld_on_path() else mysql_root()
    prefix = f"/tmp/tungsten-bench-{os.getpid()}-"
    seconds = _remote(mysql, log, "--raw", f"--result-file={prefix}")
    (root / f"{prefix}{log.file}".lstrip("/")).unlink()
    return log.megabytes / seconds


def mysqlbinlog_v_file(mysql: MySQL, log: LogRange) -> float:
    """`mysqlbinlog -v` of the log's file on disk."""
    return log.rows / _seconds([*_mysqlbinlog(), "-v", "-"], stdin=mysql.data / log.file)


def mariadb_binlog_v_file(root: Path, file: Path, rows: int) -> float:
    """MariaDB's `mariadb-binlog -v` of one of its own log files."""
    return rows / _seconds(["chroot", str(root), "/usr/bin/mariadb-binlog", "-v", "-"], stdin=file)


ZONGJI = """
const {default: ZongJi} = require('@vlasky/zongji');
const [host, port, user, password, filename, position, limit] = process.argv.slice(1);
const zongji = new ZongJi({host, port: +port, user, password, ssl: {rejectUnauthorized: false}});
let rows = 0, started;
zongji.on('error', error => { console.error(error.message); process.exit(1); });
zongji.on('binlog', event => {
  if (!event.rows) return;
  started ??= process.hrtime.bigint();
  rows += event.rows.length;
  if (rows >= +limit) {
    console.log(rows / (Number(process.hrtime.bigint() - started) / 1e9));
    process.exit(0);
  }
});
zongji.start({serverId: 6598, filename, position: +position,
  includeEvents: ['tablemap', 'writerows', 'updaterows', 'deleterows', 'rotate'], includeSchema: {SCHEMA: true}});
setTimeout(() => { console.error('no rows within 60 s'); process.exit(1); }, 60000);
""".replace("SCHEMA: true", f"{SCHEMA}: true")


def zongji(mysql: MySQL, log: LogRange, limit: int) -> float:
    """`@vlasky/zongji` for Node.js, installed into the cache: every row as an object, for the first `limit` rows."""
    if not shutil.which("node") or not shutil.which("npm"):
        raise NotHere("@vlasky/zongji: node and npm are not installed")
    folder = cache() / "zongji"
    if not (folder / "node_modules").exists():
        folder.mkdir(exist_ok=True)
        npm = [
            "npm",
            "install",
            "--silent",
            "--no-audit",
            "--no-fund",
            "--prefix",
            str(folder),
            "@vlasky/zongji",
        ]
        done = subprocess.run(npm, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NotHere(f"@vlasky/zongji: npm: {done.stderr[-300:]}")
    arguments = (mysql.host, mysql.port, mysql.root, mysql.root_password, log.file, log.start, limit)
    done = subprocess.run(
        ["node", "-e", ZONGJI, "--", *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        raise NotHere(f"@vlasky/zongji: {done.stderr.strip()[-300:]}")
    return float(done.stdout)
