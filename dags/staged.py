"""A DAG of one's own out of the four operators: CSV files go to a local folder first and from there to S3.

TUNGSTEN_STAGING_FOLDER must be the same for `csv` and `upload`: workers on one host, or a shared volume.
"""

from __future__ import annotations

import os

import pendulum
from airflow.sdk import DAG
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_tungsten.operators.batch import CsvToS3Operator, ThlToCsvOperator
from airflow_provider_tungsten.operators.binlog import BinlogToThlOperator
from airflow_provider_tungsten.operators.redshift import S3ToRedshiftMergeOperator

service = {
    "service": "staged",
    "source": {"connection": "mysql_shop", "server_id": 6502, "start": "earliest", "include": ["shop.*"]},
    "thl": {"url": "s3://shop-replication/thl"},
    "appliers": {
        "redshift": {
            "connection": "redshift_default",
            "files": {"url": "s3://shop-replication/batches"},
            "staging_folder": os.environ.get("TUNGSTEN_STAGING_FOLDER", "/var/tmp/tungsten"),
            "target_schema": "staged_{schema}",
        }
    },
}

with DAG(
    "staged",
    schedule=CronDataIntervalTimetable("*/5 * * * *", timezone="UTC"),
    start_date=pendulum.datetime(2020, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args={"service": service, "retries": 3, "retry_delay": pendulum.duration(seconds=10)},
    tags=["tungsten"],
):
    extract = BinlogToThlOperator(task_id="extract")
    csv = ThlToCsvOperator(task_id="csv")
    upload = CsvToS3Operator(
        task_id="upload",
        from_seqno="{{ ti.xcom_pull('csv').from_seqno }}",
        to_seqno="{{ ti.xcom_pull('csv').to_seqno }}",
    )
    load = S3ToRedshiftMergeOperator(task_id="load", to_seqno="{{ ti.xcom_pull('csv').to_seqno }}")
    extract >> csv >> upload >> load
