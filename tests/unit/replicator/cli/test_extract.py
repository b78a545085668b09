"""The command: what it prints where, and with which status it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import Result

from airflow_provider_tungsten import __version__
from airflow_provider_tungsten.replicator.cli.output import NEEDS_A_PERSON, WRONG_ARGUMENTS
from airflow_provider_tungsten.replicator.storage import open_storage
from airflow_provider_tungsten.replicator.thl.log import Log
from tests.corpus.reading import FOLDER, needs_corpus
from tests.unit.replicator.cli.commands import run
from tests.unit.replicator.source.test_files import binlog, gtids_to


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    binlog(1, next_number=2).write(folder)
    binlog(2, next_number=3, previous=gtids_to(1)).write(folder)
    return folder


def extract(files: Path | str, thl: Path, *more: str) -> Result:
    return run("extract", "--files", files, "--thl", thl, "--service", "shop", *more)


def test_files_become_a_log_and_the_next_run_goes_on_behind_them(files: Path, tmp_path: Path) -> None:
    thl = tmp_path / "thl"
    first = json.loads(extract(files, thl, "--json").stdout)
    assert (first["reason"], first["event_id"]) == ("head", "b.000003:0000000000000004;-1")
    nothing = json.loads(extract(files, thl, "--json").stdout)
    assert (nothing["first"], nothing["event_id"]) == (None, first["event_id"])
    third = binlog(3, previous=gtids_to(2))
    third.write(files)
    (files / "b.000001").unlink()
    result = json.loads(extract(files, thl, "--json").stdout)
    assert result["event_id"] == f"b.000003:{third.end:016d};-1"
    head = Log(open_storage(str(thl)), "shop").head()
    assert head is not None
    assert head.resume.gtid_executed == gtids_to(3)
    assert head.resume.server_uuid == ""


@needs_corpus
def test_a_schema_dump_names_what_the_files_do_not(tmp_path: Path) -> None:
    file, dump = FOLDER / "rust_mysql_common" / "time_issue.000001", tmp_path / "dump.sql"
    dump.write_text("CREATE DATABASE noria; USE noria; CREATE TABLE t (a TIME);")
    refused = extract(file, tmp_path / "without")
    assert refused.exit_code == NEEDS_A_PERSON
    assert "a schema dump of its place" in " ".join(refused.stderr.split())
    assert json.loads(extract(file, tmp_path / "thl", "--schema", str(dump), "--json").stdout)["rows"] == 1
    log = Log(open_storage(str(tmp_path / "thl")), "shop")
    assert '"name":"a"' in (log.record(1).definition or "")


def test_a_person_sees_what_was_done(files: Path, tmp_path: Path) -> None:
    result = extract(files, tmp_path / "thl")
    assert result.exit_code == 0
    assert "read up to    b.000003:0000000000000004" in result.stdout


def test_an_error_is_one_message_and_a_status(files: Path, tmp_path: Path) -> None:
    (files / "b.000004").write_bytes(b"")
    result = extract(files, tmp_path / "thl")
    assert result.exit_code == NEEDS_A_PERSON
    assert result.stderr.splitlines()[-1].startswith(f"tungsten: {files} lacks what comes behind b.000002:")
    assert "Traceback" not in result.stderr
    said = json.loads(extract(files, tmp_path / "thl", "--json").stdout)
    assert said["error"] == "LogPurgedError"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--service", "Not A Name"),
        ("--start", "nowhere"),
        ("--include", "no_dot"),
        ("--thl", "ftp://bucket"),
        ("--files", "/does/not/exist"),
        ("--no-such-option",),
    ],
)
def test_wrong_arguments(files: Path, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    result = extract(files, tmp_path / "thl", *arguments)
    assert result.exit_code == WRONG_ARGUMENTS
    assert not (tmp_path / "thl").exists()


def test_help_and_version() -> None:
    assert "mysqldump --no-data" in run("extract", "--help").output
    assert "Exit status: 0 done; 1 not done, since the answer was no; 2 wrong arguments" in " ".join(
        run("--help").output.split()
    )
    assert run("--version").output.strip() == __version__


def test_log_lines_go_to_standard_error(files: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "airflow_provider_tungsten.replicator.cli", "extract", "--json"]
    command += ["--files", str(files), "--thl", str(tmp_path / "thl"), "--service", "shop"]
    done = subprocess.run(command, capture_output=True, check=True)
    assert json.loads(done.stdout)["reason"] == "head"
    assert b'event="segment written"' in done.stderr
