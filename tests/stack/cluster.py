"""`make cluster`: the shop replicated once into a Redshift cluster of yours, and compared value by value.

Takes from the environment: TUNGSTEN_CLUSTER, JSON of redshift_connector's arguments (host, database, user, password, …);
TUNGSTEN_CLUSTER_FILES, s3://bucket/prefix that the cluster's role reads; TUNGSTEN_CLUSTER_ROLE, the role's ARN or
`default`; and what boto3 needs to write there. MySQL runs here. Leaves the schemas `shop` and `tungsten_shop` behind.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import redshift_connector

from airflow_provider_tungsten.replicator.batch.apply import apply_batches
from airflow_provider_tungsten.replicator.batch.chain import Chain
from airflow_provider_tungsten.replicator.batch.writer import write_batch
from airflow_provider_tungsten.replicator.extractor import extract
from airflow_provider_tungsten.replicator.redshift.load import Target
from airflow_provider_tungsten.replicator.service import parse_service
from airflow_provider_tungsten.replicator.source.connection import MySQLEndpoint
from airflow_provider_tungsten.replicator.storage import new_token, open_storage
from airflow_provider_tungsten.replicator.thl.log import Log
from tests.stack import shop
from tests.stack.compare import TableResult, compare
from tests.stack.demo import report
from tests.stack.mysql import MySQL

APPLIER = "redshift"
STEPS = 400


def replicate(
    mysql: MySQL, connect: Callable[[], Any], s3_client: Any, files: str, role: str, folder: Path
) -> list[TableResult]:
    """Makes and changes the shop on `mysql`, replicates it in three rounds and compares."""
    service = parse_service(
        {
            "service": "shop",
            "source": {
                "connection": "none",
                "server_id": 6503,
                "start": "earliest",
                "include": [f"{shop.SCHEMA}.*"],
            },
            "thl": {"url": str(folder)},
            "appliers": {APPLIER: {"files": {"url": files}, "iam_role": role}},
        }
    )
    endpoint = MySQLEndpoint(host=mysql.host, port=mysql.port, user=mysql.user, password=mysql.password)
    thl = open_storage(str(folder))
    store = open_storage(files, s3_client=s3_client).sub(service.service).sub(APPLIER)
    shop.create(mysql.connect())
    writer = shop.Writer(mysql.connect)
    writer.fill()
    for _ in range(3):
        for _ in range(STEPS):
            writer.step()
        extract(service, endpoint, thl, token=new_token())
        log = Log(thl, service.service)
        chain = Chain(store, log, service, APPLIER)
        for plan in chain.extend(token=new_token(), limit=10_000, waiting=False):
            write_batch(log, plan, service, APPLIER, store, token=new_token())
        target = Target(connect, service.service, APPLIER, service.applier(APPLIER), store)
        apply_batches(target, log, chain, store, through=chain.end())
    writer.stop()
    return compare(mysql.connect(), connect(), shop.SCHEMA, list(shop.TABLES))


def main() -> None:
    arguments = json.loads(os.environ["TUNGSTEN_CLUSTER"])
    files, role = os.environ["TUNGSTEN_CLUSTER_FILES"], os.environ.get("TUNGSTEN_CLUSTER_ROLE", "default")
    with (
        tempfile.TemporaryDirectory(prefix="tungsten-cluster-") as name,
        MySQL(Path(name) / "mysql") as mysql,
    ):
        results = replicate(
            mysql,
            lambda: redshift_connector.connect(**arguments),
            boto3.client("s3"),
            f"{files.rstrip('/')}/{Path(name).name}",
            role,
            Path(name) / "thl",
        )
    raise SystemExit(0 if report(results) else 1)


if __name__ == "__main__":
    main()
