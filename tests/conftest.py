"""The real servers as fixtures: one of each a session, started when a test first asks for it."""

from __future__ import annotations

import itertools
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.stack.mariadb import MariaDB
from tests.stack.mysql import MySQL
from tests.stack.redshift import Redshift
from tests.stack.s3 import S3

SYSTEM = "tests/system/"
_numbers = itertools.count(1)

# Hypothesis on a machine that may be busy with other things.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The system tests take longest: where processes share the tests, one begins with them."""
    items.sort(key=lambda item: not item.nodeid.startswith(SYSTEM))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """A file's tests stay together in one process, since they share servers; so do all system tests."""
    from xdist.scheduler import LoadScopeScheduling

    class ByServers(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return SYSTEM if nodeid.startswith(SYSTEM) else nodeid.partition("::")[0]

    return ByServers(config, log)


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """Where the session's servers keep their data."""
    with tempfile.TemporaryDirectory(prefix="tungsten-tests-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def mysql(server_folder: Path) -> Iterator[MySQL]:
    """MySQL that the session's tests share; one that changes or restarts it starts its own `MySQL(tmp_path)`."""
    with MySQL(server_folder / "mysql") as server:
        yield server


@pytest.fixture(scope="session")
def mariadb(server_folder: Path) -> Iterator[MariaDB]:
    """MariaDB that the session's tests share; one that changes or restarts it starts its own `MariaDB(tmp_path)`."""
    with MariaDB(server_folder / "mariadb") as server:
        yield server


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    """S3 that the session's tests share."""
    with S3() as server:
        yield server


@pytest.fixture(scope="session")
def redshift(server_folder: Path, s3: S3) -> Iterator[Redshift]:
    """Redshift that the session's tests share; this process trusts its certificate from then on."""
    with Redshift(server_folder / "redshift", s3) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.env.items():
            patch.setenv(name, value)
        yield server


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGINT ends the processes that a test starts, also where this one ignores it, as a shell's background jobs do."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def bucket(s3: S3) -> str:
    """The name of a new, empty bucket."""
    return s3.create_bucket(f"bucket-{next(_numbers)}")


@pytest.fixture
def database(mysql: MySQL) -> Iterator[str]:
    """The name of a new, empty MySQL database, dropped afterwards."""
    name = f"db_{next(_numbers)}"
    mysql.execute(f"CREATE DATABASE {name}")
    yield name
    mysql.execute(f"DROP DATABASE {name}")
