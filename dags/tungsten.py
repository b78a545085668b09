"""One Airflow DAG per service file in TUNGSTEN_SERVICE_DIR, or in the folder `services` beside this file."""

from __future__ import annotations

import os
from pathlib import Path

from airflow_provider_tungsten.pipeline import service_file_dag

folder = Path(os.environ.get("TUNGSTEN_SERVICE_DIR") or Path(__file__).with_name("services"))
for path in sorted((*folder.glob("*.yaml"), *folder.glob("*.yml"))):
    globals()[path.stem] = service_file_dag(path)
