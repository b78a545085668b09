"""Servers with and without GTIDs, whose logs a test may rotate, purge, reset and break."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.following import prepare, reset
from tests.stack.mysql import MySQL


@pytest.fixture(scope="session")
def gtid_server(server_folder: Path) -> Iterator[MySQL]:
    with MySQL(server_folder / "gtids") as server:
        prepare(server)
        yield server


@pytest.fixture(scope="session")
def plain_server(server_folder: Path) -> Iterator[MySQL]:
    options = {"gtid-mode": "OFF", "enforce-gtid-consistency": "OFF"}
    with MySQL(server_folder / "plain", options=options) as server:
        prepare(server)
        yield server


@pytest.fixture(params=["gtid_server", "plain_server"])
def server(request: pytest.FixtureRequest) -> MySQL:
    """A server with GTIDs and one without."""
    found: MySQL = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def reset_server(server: MySQL) -> MySQL:
    """Its log begins with the test."""
    reset(server)
    return server
