"""Dialects read back by the programs that they are named for: LOAD DATA of MySQL and MariaDB, and DuckDB."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pymysql
import pytest

from airflow_provider_tungsten.replicator.batch.writer import write_batch
from airflow_provider_tungsten.replicator.custom.files import BatchFiles
from tests.stack.mariadb import MariaDB
from tests.stack.mysql import MySQL
from tests.unit.replicator.batch.logs import ORDERS, Logbook, rows

NASTY = [
    *(
        "",
        "null",
        "NULL",
        "\\N",
        "N",
        '"',
        '""',
        'a"b',
        '"a"',
        ",",
        "a,b",
        "\n",
        "\r\n",
        "a\rb",
        "\t",
        "\\",
        "a\\",
    ),
    *(
        '\\"',
        "\\n",
        "\x01",
        "\x1a",
        "é",
        "🙂",
        "  lead",
        "trail  ",
        "'",
        "#",
        "--",
        "\u2028",
        '"\n"',
        "\\\n",
        "0",
    ),
    None,
]


def written(folder: Path, **csv: Any) -> bytes:
    """The CSV of a table with a row for each of the values."""
    book = Logbook(folder, type="s3", csv={"compression": "none", "header": ["primary_key"], **csv})
    book.add(rows(ORDERS, *enumerate(NASTY)))
    (plan,) = book.chain().extend(token="t", limit=9, waiting=False)
    (table,) = write_batch(book.log, plan, book.service, "redshift", book.store, token="t").tables
    files = BatchFiles(book.store, book.service.applier("redshift").csv)
    return b"".join(files.open_csv(part).read() for part in table.parts)


def loaded(server: MySQL, database: str, file: Path) -> list[Any]:
    """As the manual of the server tells to read fields in quotes with a backslash as escape."""
    with (
        pymysql.connect(
            host=server.host,
            port=server.port,
            user=server.root,
            password=server.root_password,
            database=database,
            local_infile=True,
        ) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("CREATE TABLE loaded (pk INT, id INT, note LONGTEXT) CHARACTER SET utf8mb4")
        cursor.execute(
            f"LOAD DATA LOCAL INFILE '{file}' INTO TABLE loaded CHARACTER SET utf8mb4 "
            "FIELDS TERMINATED BY ',' ENCLOSED BY '\"' ESCAPED BY '\\\\' LINES TERMINATED BY '\\n'"
        )
        cursor.execute("SHOW WARNINGS")
        assert cursor.fetchall() == ()
        cursor.execute("SELECT note FROM loaded ORDER BY id")
        return [note for (note,) in cursor.fetchall()]


@pytest.mark.parametrize("preset", ["mysql", "oracle"])
def test_load_data_of_mysql_and_mariadb_reads_every_value(
    mysql: MySQL, mariadb: MariaDB, tmp_path: Path, preset: str
) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes(written(tmp_path, preset=preset))
    database = f"readers_{preset}"
    for server in (mysql, mariadb):
        server.execute(f"CREATE DATABASE {database}")
        assert loaded(server, database, file) == NASTY
        server.execute(f"DROP DATABASE {database}")


def test_duckdb_reads_every_value_of_the_default_dialect(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes(written(tmp_path))
    columns = json.dumps(dict.fromkeys(("pk", "id", "note"), "VARCHAR"))
    found = duckdb.sql(
        f"SELECT note FROM read_csv('{file}', auto_detect = false, header = false, delim = ',', quote = '\"', escape = '\"', "
        f"new_line = '\\n', nullstr = 'null', allow_quoted_nulls = false, columns = {columns}) ORDER BY id::INT"
    )
    assert [note for (note,) in found.fetchall()] == NASTY
