"""`tungsten thl` on the log of a real server, in a folder and on S3: what it shows is what the server holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_provider_tungsten.replicator.storage import open_storage
from tests.integration.extraction import NAME, Extraction, service
from tests.integration.value_types import KINDS, Kind
from tests.stack.mysql import MySQL
from tests.stack.s3 import S3
from tests.unit.replicator.cli.commands import objects, run
from tests.unit.replicator.thl.support import new_log

SESSION = ("SET sql_mode = '', time_zone = '+00:00'",)


def changes(table: str, kind: Kind) -> list[str]:
    """Every edge of the type as an insert, an update to and from it, a delete."""
    # What is no member of an ENUM reads as '', which is one there.
    edges = [value for value in kind.values if value != "'nope'"]
    values = ", ".join(f"({number}, {value})" for number, value in enumerate(edges))
    return [
        f"CREATE TABLE {table} (id INT PRIMARY KEY, v {kind.sql})",
        f"INSERT INTO {table} VALUES {values}, (100, NULL), (101, {edges[0]})",
        f"UPDATE {table} SET v = NULL WHERE id = 101",
        f"UPDATE {table} SET v = {edges[-1]} WHERE id = 100",
        f"DELETE FROM {table} WHERE id = 0",
        "COMMIT",
    ]


def test_the_sql_of_a_log_makes_the_same_rows_again(mysql: MySQL, database: str, tmp_path: Path) -> None:
    again = f"{database}_again"
    source = Extraction(mysql, tmp_path, include=[f"{database}.*"])
    source.run()
    kinds = [kind for kind in KINDS if "mysql" in kind.servers]
    tables = [f"t{number}" for number in range(len(kinds))]
    with mysql.connect(database=database) as connection, connection.cursor() as cursor:
        for statement in (
            *SESSION,
            *(text for pair in zip(tables, kinds, strict=True) for text in changes(*pair)),
        ):
            cursor.execute(statement)
    source.run()
    shown = run("thl", "list", "-sql", "--thl", tmp_path, "--service", NAME)
    assert shown.exit_code == 0, shown.stderr
    statements = [
        line for line in shown.stdout.replace(f"`{database}`", again).splitlines() if line[:2] != "/*"
    ]
    try:
        mysql.execute(*SESSION, f"CREATE DATABASE {again}", *statements)
        sums = [
            [row[1] for row in mysql.execute(f"CHECKSUM TABLE {', '.join(tables)}", database=name)]
            for name in (database, again)
        ]
    finally:
        mysql.execute(f"DROP DATABASE {again}")
    wrong = [kind.sql for kind, one, other in zip(kinds, *sums, strict=True) if one != other]
    assert wrong == []


def test_a_log_on_s3_is_shown_like_one_in_a_folder(
    mysql: MySQL, database: str, s3: S3, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Extraction(mysql, tmp_path / "thl", include=[f"{database}.*"])
    source.run()
    mysql.execute(
        "CREATE TABLE t (id INT PRIMARY KEY, d DATE)",
        "INSERT INTO t VALUES (1, '2020-02-29')",
        database=database,
    )
    source.run()
    for path in source.folder.rglob("*.parquet"):
        s3.client().upload_file(str(path), bucket, f"thl/{path.relative_to(source.folder)}")
    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)
    places = [("--thl", where, "--service", NAME) for where in (source.folder, f"s3://{bucket}/thl")]
    for command in (
        ("list",),
        ("list", "-json"),
        ("index",),
        ("export", "--table", f"{database}.t"),
        ("dsctl", "-seqno", 1),
    ):
        local, remote = (run("thl", *command, *place) for place in places)
        assert (local.exit_code, remote.exit_code) == (0, 0), remote.stderr
        assert local.stdout == remote.stdout
    [found] = objects(run("thl", "info", "-json", *places[1]))
    assert found["logDirectory"] == f"s3://{bucket}/thl/{NAME}"


def test_a_services_file_names_the_connection_to_its_log(
    s3: S3, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_log(open_storage(f"s3://{bucket}/thl", s3_client=s3.client()))
    for name in s3.env:
        monkeypatch.delenv(name, raising=False)
    extra = {"endpoint_url": s3.endpoint_url, "region_name": s3.region}
    connection = {"conn_type": "aws", "login": s3.access_key, "password": s3.secret_key, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(connection))
    file = tmp_path / "shop.yaml"
    file.write_text(json.dumps(service(f"s3://{bucket}/thl").model_dump(mode="json", exclude_unset=True)))
    assert run("thl", "list", "--config", file).stdout.startswith("SEQ# = 0 / FRAG# = 0 (last frag)\n")
