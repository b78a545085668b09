"""``python -m airflow_provider_tungsten.replicator.cli``: the same as `tungsten`."""

from __future__ import annotations

from airflow_provider_tungsten.replicator.cli.main import app

app()
