"""The replication engine. Nothing below here imports Airflow."""

from __future__ import annotations
