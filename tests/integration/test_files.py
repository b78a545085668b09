"""The README's way from binlog files to a THL, against a real server's log, and on to the server itself."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import structlog
from typer.testing import CliRunner

from airflow_provider_tungsten.replicator.cli.main import app
from airflow_provider_tungsten.replicator.cli.output import NEEDS_A_PERSON
from airflow_provider_tungsten.replicator.errors import DivergedError
from airflow_provider_tungsten.replicator.storage import open_storage
from airflow_provider_tungsten.replicator.thl.event import ThlEvent
from airflow_provider_tungsten.replicator.thl.log import Log
from tests.integration.extraction import NAME, Extraction
from tests.stack.mysql import MySQL
from tests.stack.provision import mysql_root, mysqld_on_path

README = Path(__file__).parents[2] / "README.md"
SECTION = README.read_text().partition("## Logs without a server\n")[2].partition("\n## ")[0]
RAW, EXTRACT = (re.findall(rf"\$ ({word} .*)", SECTION)[0] for word in ("mysqlbinlog", "tungsten"))


@pytest.fixture(scope="module")
def mysql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MySQL]:
    with MySQL(tmp_path_factory.mktemp("mysql")) as server:
        yield server


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def _raw(mysql: MySQL, folder: Path) -> None:
    """`mysqlbinlog --raw` with the README's options; where it runs in a chroot, by a folder in there."""
    root = Path("/") if mysqld_on_path() else mysql_root()
    options = [word for word in shlex.split(RAW) if re.fullmatch("--(read|raw|to)[a-z-]*", word)]
    with TemporaryDirectory(dir=root / "tmp") as target:
        inside = "/" / Path(target).relative_to(root)
        mysql.client("mysqlbinlog", *options, f"--result-file={inside}/", "mysql-bin.000001")
        shutil.copytree(target, folder)


def _extract(files: Path, thl: Path, *more: str) -> int:
    words = shlex.split(EXTRACT.replace("/backup/binlogs", str(files)).replace("/var/lib/thl", str(thl)))
    return CliRunner().invoke(app, [*words[1:], *more]).exit_code


def _rows(events: list[ThlEvent]) -> list[tuple[object, ...]]:
    return [
        (event.kind, event.event_id, event.gtid, event.commit_ts, event.definition, event.payload)
        for event in events
        if event.kind not in ("start", "position")
    ]


def _events(thl: Path) -> list[ThlEvent]:
    log = Log(open_storage(str(thl)), "shop")
    head = log.head()
    assert head is not None
    return [*log.read(0, head.last)]


def test_files_give_what_their_server_gives(mysql: MySQL, tmp_path: Path) -> None:
    live = Extraction(mysql, tmp_path / "live", start="earliest", include=["shop.*"])
    mysql.execute(
        "CREATE DATABASE shop",
        "CREATE TABLE shop.t (id INT PRIMARY KEY, v VARCHAR(99))",
        "INSERT INTO shop.t VALUES (1, 'a'), (2, 'b')",
        "FLUSH BINARY LOGS",
        "UPDATE shop.t SET v = 'c' WHERE id = 1",
        "SET SESSION binlog_transaction_compression = ON",
        "INSERT INTO shop.t VALUES (9, 'z')",
    )
    live.run()
    assert NAME == "shop"
    _copy(mysql, tmp_path / "files")
    assert _extract(tmp_path / "files", tmp_path / "thl") == 0
    assert _rows(_events(tmp_path / "thl")) == _rows(live.events())
    assert len(_rows(live.events())) == 4

    # Files were added, and the last one has grown.
    mysql.execute(
        "DELETE FROM shop.t WHERE id = 2", "FLUSH BINARY LOGS", "INSERT INTO shop.t VALUES (3, 'd')"
    )
    live.run()
    _copy(mysql, tmp_path / "files")
    assert _extract(tmp_path / "files", tmp_path / "thl") == 0
    assert _rows(_events(tmp_path / "thl")) == _rows(live.events())

    # The server itself takes over, as its GTIDs say that it is the one.
    mysql.execute("INSERT INTO shop.t VALUES (4, 'e')")
    Extraction(mysql, tmp_path / "thl", start="earliest", include=["shop.*"]).run()
    live.run()
    assert _rows(_events(tmp_path / "thl")) == _rows(live.events())

    # And files go on where the server was left.
    mysql.execute("INSERT INTO shop.t VALUES (5, 'f')")
    live.run()
    _copy(mysql, tmp_path / "files")
    assert _extract(tmp_path / "files", tmp_path / "thl") == 0
    assert _rows(_events(tmp_path / "thl")) == _rows(live.events())


def _copy(mysql: MySQL, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for file in mysql.data.glob("mysql-bin.0*"):
        shutil.copy(file, folder)


def test_copies_by_mysqlbinlog_are_read_alike(mysql: MySQL, tmp_path: Path) -> None:
    _raw(mysql, tmp_path / "raw")
    _copy(mysql, tmp_path / "files")
    assert sorted(file.name for file in (tmp_path / "raw").iterdir()) == sorted(
        file.name for file in (tmp_path / "files").iterdir()
    )
    for files in ("raw", "files"):
        assert _extract(tmp_path / files, tmp_path / f"thl-{files}") == 0
    assert _rows(_events(tmp_path / "thl-raw")) == _rows(_events(tmp_path / "thl-files"))


def test_a_server_without_gtids_cannot_take_over(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    options = {"gtid-mode": "OFF", "enforce-gtid-consistency": "OFF"}
    with MySQL(tmp_path_factory.mktemp("mysql"), options=options) as server:
        server.execute(
            "CREATE DATABASE shop",
            "CREATE TABLE shop.t (id INT PRIMARY KEY)",
            "INSERT INTO shop.t VALUES (1)",
        )
        _copy(server, tmp_path / "files")
        assert _extract(tmp_path / "files", tmp_path / "thl") == 0
        with pytest.raises(DivergedError, match="Without GTIDs"):
            Extraction(server, tmp_path / "thl", start="earliest", include=["shop.*"]).run()


def test_files_of_another_server_are_refused(
    mysql: MySQL, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    _copy(mysql, tmp_path / "files")
    assert _extract(tmp_path / "files", tmp_path / "thl") == 0
    with MySQL(tmp_path_factory.mktemp("mysql")) as other:
        for number in range(4):
            other.execute("FLUSH BINARY LOGS", f"CREATE DATABASE other{number}")
        _copy(other, tmp_path / "others")
    assert _extract(tmp_path / "others", tmp_path / "thl") == NEEDS_A_PERSON
