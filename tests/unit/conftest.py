"""Airflow in unit tests: no examples, no metadata database, a home of its own, connections out of the environment."""

from __future__ import annotations

import os
import tempfile

_home = tempfile.TemporaryDirectory(prefix="tungsten-airflow-")
os.environ["AIRFLOW_HOME"] = _home.name
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
