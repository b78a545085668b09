"""A log as the commands find it, and logging left as it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.unit.replicator.batch.logs import Logbook
from tests.unit.replicator.cli.commands import Shop


@pytest.fixture(autouse=True)
def _log_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("TUNGSTEN_THL", "TUNGSTEN_SERVICE", "TUNGSTEN_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    yield
    structlog.reset_defaults()


@pytest.fixture
def book(tmp_path: Path) -> Logbook:
    return Logbook(tmp_path)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "thl")
