"""When a service that is followed has nothing to do for now."""

from __future__ import annotations

import pytest

from airflow_provider_tungsten.replicator.extraction import ExtractResult
from airflow_provider_tungsten.replicator.runner import Applied, Pass


@pytest.mark.parametrize(
    ("rows", "reason", "planned", "idle"),
    [
        (0, "head", 0, True),
        (1, "head", 0, False),
        (0, "max_transactions", 0, False),
        (0, "head", 1, False),
    ],
)
def test_a_heartbeat_alone_is_nothing_new(rows: int, reason: str, planned: int, idle: bool) -> None:
    extract = ExtractResult(7, 7, 1, rows, 99, 1, "bin.000001:4;-1", 0, 0.1, 0.0, reason)
    done = Pass(extract, (Applied("dw", planned, 0, 0, None),), stopped=False)
    assert done.idle is idle
