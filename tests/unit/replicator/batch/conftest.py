from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.replicator.batch.logs import Logbook


@pytest.fixture
def book(tmp_path: Path) -> Logbook:
    """An empty log and its applier's chain."""
    return Logbook(tmp_path)
