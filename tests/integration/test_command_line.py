"""The real command, as a process of its own, against real servers: a service without Airflow."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import structlog
import yaml
from typer.testing import CliRunner

from airflow_provider_tungsten.replicator.batch.tables import AppliedTables
from airflow_provider_tungsten.replicator.binlog.definition import Column, TableDefinition
from airflow_provider_tungsten.replicator.cli.main import app
from airflow_provider_tungsten.replicator.cli.services import _open
from airflow_provider_tungsten.replicator.redshift.ddl import Names
from airflow_provider_tungsten.replicator.redshift.preflight import findings
from airflow_provider_tungsten.replicator.redshift.session import Session
from airflow_provider_tungsten.replicator.redshift.settings import RedshiftApplier
from airflow_provider_tungsten.replicator.service import load_service
from tests.stack.mysql import MySQL
from tests.stack.redshift import Redshift
from tests.stack.s3 import S3

ROWS = 5


@dataclass
class Shop:
    """A service's file, and the environment that its connections are in."""

    mysql: MySQL
    redshift: Redshift
    database: str
    service: str
    config: Path
    env: dict[str, str]
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """The real command, as a process of its own."""
        process = subprocess.Popen(
            [sys.executable, "-m", "airflow_provider_tungsten.replicator.cli", *arguments],
            env=os.environ | self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def run(self, *arguments: str, status: int = 0, **env: str) -> str:
        """What the command prints, in this process, which is quicker; it must end with ``status`` and show no secret."""
        done = CliRunner().invoke(app, arguments, env=self.env | env)
        return self.checked(done.exit_code, done.stdout, done.stderr, status)

    def checked(self, code: int | None, out: str, err: str, status: int) -> str:
        assert code == status, f"{code}\n{out}\n{err}"
        assert "Traceback" not in err
        for secret in (self.mysql.password, self.redshift.password):
            assert secret not in out + err
        return out or err

    def json(self, *arguments: str, status: int = 0, **env: str) -> Any:
        return json.loads(self.run(*arguments, "--json", status=status, **env))

    def insert(self, rows: int = 1) -> None:
        for _ in range(rows):
            self.mysql.execute(f"INSERT INTO {self.database}.orders (note) VALUES ('x')")

    def loaded(self) -> int:
        return int(self.redshift.execute(f"SELECT COUNT(*) FROM {self.database}.orders")[0][0])


@pytest.fixture
def shop(
    mysql: MySQL, redshift: Redshift, s3: S3, bucket: str, database: str, tmp_path: Path
) -> Iterator[Shop]:
    mysql.execute(f"CREATE TABLE {database}.orders (id INT PRIMARY KEY AUTO_INCREMENT, note VARCHAR(20))")
    name = f"cli_{database}"
    fields = {
        "service": name,
        "source": {"connection": "mysql_cli", "server_id": 4711, "include": [f"{database}.*"]},
        "thl": {"url": str(tmp_path / "thl")},
        "appliers": {"dw": {"type": "redshift", "connection": "dw", "files": {"url": f"s3://{bucket}/f"}}},
    }
    config = tmp_path / "shop.yaml"
    config.write_text(yaml.safe_dump(fields))
    aws = {
        "conn_type": "aws",
        "login": s3.access_key,
        "password": s3.secret_key,
        "extra": {"endpoint_url": s3.endpoint_url, "region_name": s3.region},
    }
    password, ca = quote(mysql.password, safe=""), quote(str(mysql.ca_file), safe="")
    env = {
        "AIRFLOW_CONN_MYSQL_CLI": f"mysql://{mysql.user}:{password}@{mysql.host}:{mysql.port}/?ssl_ca={ca}",
        "AIRFLOW_CONN_DW": f"redshift://{redshift.user}:{quote(redshift.password, safe='')}@{redshift.host}:"
        f"{redshift.port}/{redshift.database}?sslmode=verify-full",
        "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(aws),
        "TUNGSTEN_CONFIG": str(config),
    }
    _open.cache_clear()
    made = Shop(mysql, redshift, database, name, config, env)
    yield made
    for process in made.processes:
        process.kill()
        process.wait()
    structlog.reset_defaults()
    redshift.execute(f"DROP SCHEMA IF EXISTS {database} CASCADE")
    redshift.execute(f"DROP SCHEMA IF EXISTS tungsten_{name} CASCADE")


def test_a_service_is_tried_watched_and_repaired_without_airflow(shop: Shop) -> None:
    assert "ready" in shop.run("preflight")
    before = shop.json("status")
    assert [before["state"], before["appliers"][0]["state"]] == ["OFFLINE:NORMAL", "OFFLINE:NORMAL"]
    assert "tungsten run" in before["missing"]["maximumStoredSeqNo"]
    assert "tungsten run" in shop.run("qs")
    shop.json("run", "--step", "extract")
    shop.insert(ROWS)

    done = shop.json("run")
    assert done["extract"]["rows"] == ROWS
    assert [(one["applier"], one["rows"]) for one in done["appliers"]] == [("dw", ROWS)]
    assert shop.loaded() == ROWS
    assert "nothing new" in shop.run("run")

    status = shop.json("status")
    [applier] = status["appliers"]
    assert (status["state"], applier["state"]) == ("ONLINE", "ONLINE")
    assert status["maximumStoredSeqNo"] == applier["appliedLastSeqno"] == done["extract"]["last"]
    assert (applier["transactionsBehind"], applier["estimatedTimeToCatchUp"]) == (0, 0.0)
    assert applier["relativeLatency"] >= applier["appliedLatency"] >= 0
    assert f"seqno {applier['appliedLastSeqno']}" in shop.run("qs", "-r", "0.1", "-c", "2")

    shop.insert()
    shop.json("run", "--step", "extract")
    [applier] = shop.json("qs")["appliers"]
    assert applier["transactionsBehind"] >= 1
    assert applier["estimatedTimeToCatchUp"] > 0

    skipped = applier["appliedLastSeqno"] + applier["transactionsBehind"]
    told = shop.run("skip", "--seqno", str(skipped), "--reason", "row by hand", "--by", "ann")
    assert f"{shop.database}.orders: 1 insert; by ann, " in told
    assert "by ann" in shop.run("skip", "--seqno", str(skipped), "--reason", "another", "--by", "bob")
    assert "write a seqno" in shop.run("skip", "--seqno", "9-7", "--reason", "x", status=2)
    shop.insert(3)
    shop.json("run", "--step", "extract")
    many = ("skip", "--reason", "x", "--seqno")
    assert "is not there" in shop.run(*many, f"{skipped + 1}-{skipped + 9}", status=2)
    lines = shop.run(*many, f"{skipped + 1}-{skipped + 2},{skipped}", "--json").splitlines()
    assert [json.loads(line)["seqno"] for line in lines] == [skipped, skipped + 1, skipped + 2]
    last = shop.json("run")["appliers"][0]["load"]["last"]
    skip, *others = shop.json("status")["appliers"][0]["skippedSeqnos"]
    assert (skip["seqno"], skip["who"], skip["why"]) == (skipped, "ann", "row by hand")
    assert len(others) == 2
    assert shop.loaded() == ROWS + 1
    assert "is applied" in shop.run("skip", "--seqno", "1", "--reason", "late", status=2)

    [known] = shop.json("applier", "list")
    assert (known["name"], known["seqno"]) == ("dw", last)
    assert shop.json("applier", "remove", "dw", "--yes", "--by", "ann")["seqno"] == last
    assert "was removed" in shop.run("run", status=2)
    assert "was removed" in shop.json("status", status=3)["appliers"][0]["pendingExceptionMessage"]


def test_a_position_is_got_set_and_forgotten(shop: Shop) -> None:
    shop.json("run", "--step", "extract")
    shop.insert(ROWS)
    assert shop.json("position", "get") == []
    shop.json("run", "--step", "extract", "--step", "plan")
    shop.json("run")
    [row] = shop.json("position", "get")
    assert (row["task_id"], row["applier"]) == (0, "dw")
    place = [
        *("--epoch", str(row["epoch_number"]), "--event-id", row["eventid"], "--source-id", row["source_id"])
    ]
    last = str(row["seqno"])

    assert "has a position" in shop.run("position", "set", "--seqno", last, *place, status=2)
    wrong = [*place[:3], "mysql-bin.000001:4;-1", *place[4:]]
    assert "event id" in shop.run("position", "set", "--seqno", last, *wrong, "--force", status=2)
    inside = str(row["seqno"] - 1)
    assert "belongs to another log" in shop.run("position", "set", "--seqno", inside, *place, status=2)
    assert "give --yes" in shop.run("position", "reset", status=2)
    assert shop.json("position", "get") == [row]

    assert shop.json("position", "reset", "--yes")["was"] == row["seqno"]
    assert shop.json("position", "get") == []
    assert shop.json("position", "set", "--seqno", last, *place)["seqno"] == row["seqno"]
    [again] = shop.json("position", "get")
    assert {name: again[name] for name in again if name not in ("applied_latency", "update_timestamp")} == {
        name: row[name] for name in row if name not in ("applied_latency", "update_timestamp")
    }
    assert "no gap record" in shop.run("position", "acknowledge-gap", "--seqno", last, status=2)


def test_reading_goes_on_elsewhere_behind_a_gap_that_every_load_stops_at(shop: Shop) -> None:
    shop.json("run", "--step", "extract")
    shop.insert(ROWS)
    last = shop.json("run")["extract"]["last"]
    shop.insert(2)  # lost to the log
    assert "give --yes" in shop.run("reposition", "--to", "now", status=2)
    assert "none of: now, earliest" in shop.run("reposition", "--to", "tomorrow", "--yes", status=2)
    assert shop.json("status")["maximumStoredSeqNo"] == last

    made = shop.json("reposition", "--to", "now", "--yes", "--by", "ann")
    gap = made["seqno"]
    assert gap == last + 1
    shop.insert()
    for _ in range(2):
        assert f"tungsten position acknowledge-gap --seqno {gap}" in shop.run("run", status=3)
    status = shop.json("status", status=3)
    [applier] = status["appliers"]
    [told] = applier["gaps"]
    assert (told["seqno"], told["event_id"], told["acknowledged"]) == (gap, made["event_id"], False)
    assert told["reason"].startswith("ann tungsten reposition ")
    assert (applier["appliedLastSeqno"], status["latestEpochNumber"]) == (last, gap)
    assert "no gap record" in shop.run("position", "acknowledge-gap", "--seqno", str(last), status=2)
    assert shop.loaded() == ROWS

    assert shop.json("position", "acknowledge-gap", "--seqno", str(gap)) == {"applier": "dw", "seqno": gap}
    shop.json("run")
    assert shop.loaded() == ROWS + 1
    [applier] = shop.json("status")["appliers"]
    assert [one["acknowledged"] for one in applier["gaps"]] == [True]


def test_a_service_whose_servers_do_not_answer_still_says_what_is_known(shop: Shop) -> None:
    shop.json("run", "--step", "extract")
    shop.insert()
    last = shop.json("run")["extract"]["last"]
    down = {
        "AIRFLOW_CONN_MYSQL_CLI": "mysql://u:hunter2@127.0.0.1:1/",
        "AIRFLOW_CONN_DW": "redshift://u:hunter2@127.0.0.1:1/dev",
    }
    said = shop.json("status", status=3, **down)
    [applier] = said["appliers"]
    assert (said["maximumStoredSeqNo"], applier["appliedLastSeqno"]) == (last, last)
    assert (said["state"], applier["state"]) == ("OFFLINE:ERROR", "OFFLINE:ERROR")
    assert said["currentEventId"] is None
    assert "127.0.0.1:1 cannot be reached" in said["missing"]["currentEventId"]
    assert applier["appliedLatency"] is None
    assert "appliedLatency" in applier["missing"]
    assert applier["relativeLatency"] > 0
    assert "by our clock" in applier["missing"]["relativeLatency"]
    text = shop.run("status", status=3, **down)
    assert re.search(rf"appliedLastSeqno +{last} ", text)
    assert "hunter2" not in text + json.dumps(said)

    found = shop.json("preflight", status=4, **down)
    assert [one["subject"] for one in found["unanswered"]] == ["source", "applier dw"]
    assert "cannot be reached" in shop.run("run", status=4, **down)
    lost = shop.run("run", status=2, AIRFLOW_CONN_MYSQL_CLI="")
    assert "AIRFLOW_CONN_MYSQL_CLI='mysql://" in lost


def test_preflight_tells_all_that_must_be_mended_at_once(shop: Shop) -> None:
    shop.mysql.execute(f"CREATE TABLE {shop.database}.bare (id INT)")
    shop.redshift.execute(
        f"CREATE SCHEMA {shop.database}",
        f"CREATE TABLE {shop.database}.orders (id SMALLINT, note VARCHAR(80))",
    )
    found = shop.json("preflight", status=3)
    texts = {f"{one['subject']}: {one['text']}" for one in found["findings"]}
    assert not found["ready"]
    assert any(text.startswith(f"source: no primary key: {shop.database}.bare") for text in texts)
    assert any(text.startswith(f"applier dw: {shop.database}.bare has no primary key") for text in texts)
    misfit = f"applier dw: {shop.database}.orders.id is SMALLINT, INTEGER is needed"
    assert any(text.startswith(misfit) for text in texts)
    assert "finding: " + misfit in shop.run("preflight", status=3)


def test_preflight_tells_which_privileges_the_target_lacks(shop: Shop) -> None:
    schema = f"tungsten_{shop.service}"
    shop.redshift.execute(f"CREATE SCHEMA {schema}", "CREATE USER nobody_cli PASSWORD 'Nobody123'")

    def as_nobody() -> Any:
        connection = shop.redshift.connect()
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION AUTHORIZATION nobody_cli")
        connection.commit()
        return connection

    service = load_service(shop.config)
    applier = service.applier("dw")
    assert isinstance(applier, RedshiftApplier)
    orders = TableDefinition(shop.database, "orders", (Column("id", "int", 3, nullable=False),), ("id",))
    session = Session(as_nobody, lock_timeout=10, statement_timeout=10)
    try:
        names = Names.of(service.service, applier)
        found = findings(session, names, AppliedTables(applier), [orders])
    finally:
        session.close()
        shop.redshift.execute("DROP USER nobody_cli")
    assert [text.rpartition(": ")[2].partition(",")[0] for text in found] == [
        f'GRANT CREATE ON DATABASE "{shop.redshift.database}" TO "nobody_cli"',
        "GRANT USAGE",
    ]
    assert f'lacks USAGE and CREATE on schema {schema}: GRANT USAGE, CREATE ON SCHEMA "{schema}"' in found[1]


def test_the_ddl_that_is_printed_is_what_a_load_needs(shop: Shop) -> None:
    shop.mysql.execute(
        f"CREATE TABLE {shop.database}.lines (a BIGINT UNSIGNED, b VARBINARY(9), c JSON, PRIMARY KEY (a))"
    )
    for statement in shop.run("ddl").split(";\n"):
        if lines := [line for line in statement.splitlines() if line and not line.startswith("--")]:
            shop.redshift.execute("\n".join(lines))
    assert "ready" in shop.run("preflight")
    shop.json("run", "--step", "extract")
    shop.insert(ROWS)
    shop.json("run")
    assert shop.loaded() == ROWS

    [one] = shop.json("ddl", "--tables", "*.lines")["tables"]
    assert (one["source"], len(one["statements"])) == (f"{shop.database}.lines", 3)
    assert "takes no such table" in shop.run("ddl", "--tables", "*.none", status=2)
    shop.mysql.execute(f"CREATE TABLE {shop.database}.bare (id INT)")
    assert f"-- {shop.database}.bare\n-- ERROR: {shop.database}.bare has no primary key" in shop.run(
        "ddl", status=3
    )


@pytest.mark.usefixtures("interruptible")
def test_following_ends_when_it_is_asked_to_and_loses_nothing(shop: Shop) -> None:
    shop.json("run", "--step", "extract")
    first = shop.start("run", "--follow", "--interval", "0.1", "--json")
    assert first.stdout is not None
    for _ in range(2):
        shop.insert()
        done = json.loads(first.stdout.readline())
        assert done["appliers"][0]["rows"] == 1
    first.send_signal(signal.SIGINT)
    out, err = first.communicate(timeout=60)
    shop.checked(first.returncode, out, err, 0)
    assert shop.loaded() == 2
    assert shop.json("status")["appliers"][0]["appliedLastSeqno"] == done["appliers"][0]["load"]["last"]
    shop.insert()
    second = shop.start("run")
    out, err = second.communicate(timeout=120)
    assert "loaded seqno" in shop.checked(second.returncode, out, err, 0)
    assert shop.loaded() == 3


def test_a_class_or_an_applier_that_is_not_there_stops_a_run_before_anything_is_written(
    shop: Shop, tmp_path: Path
) -> None:
    assert "no_such" in shop.run("run", "--applier", "no_such", status=2)
    fields = yaml.safe_load(shop.config.read_text())
    fields["appliers"] = {
        "own": {"type": "custom", "class": "no_such_module.Target", "files": {"url": str(tmp_path / "files")}}
    }
    shop.config.write_text(yaml.safe_dump(fields))
    assert "no_such_module cannot be imported" in shop.run("run", status=2)
    assert not [
        path for place in ("thl", "files") for path in (tmp_path / place).rglob("*") if path.is_file()
    ]


def test_a_feed_on_s3_is_run_watched_and_set_by_the_same_commands(shop: Shop) -> None:
    fields = yaml.safe_load(shop.config.read_text())
    fields["appliers"] = {"feed": {"type": "s3", "files": fields["appliers"]["dw"]["files"]}}
    shop.config.write_text(yaml.safe_dump(fields))
    assert "ready" in shop.run("preflight")
    shop.json("run", "--step", "extract")
    shop.insert(ROWS)
    last = shop.json("run")["appliers"][0]["load"]["last"]
    [applier] = shop.json("status")["appliers"]
    assert (applier["state"], applier["appliedLastSeqno"]) == ("ONLINE", last)
    [row] = shop.json("position", "get")
    assert (row["seqno"], row["fragno"]) == (str(last), "0")
    assert shop.json("position", "reset", "--yes")["was"] == last
    assert shop.json("position", "get") == []
    place = ("--epoch", row["epochNumber"], "--event-id", row["eventId"], "--source-id", row["sourceId"])
    assert shop.json("position", "set", "--seqno", str(last), *place)["seqno"] == last
    assert shop.json("position", "get")[0]["eventId"] == row["eventId"]
    assert "Athena" in shop.run("ddl", status=2)
