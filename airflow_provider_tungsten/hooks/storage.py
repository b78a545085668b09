"""Folders and buckets of a service, buckets by an Airflow connection of type ``aws``."""

from __future__ import annotations

from airflow.providers.amazon.aws.hooks.s3 import S3Hook

from airflow_provider_tungsten.replicator.settings import Store
from airflow_provider_tungsten.replicator.storage import Storage, open_storage
from airflow_provider_tungsten.replicator.storage.s3 import CLIENT


def open_store(store: Store) -> Storage:
    """The place that `store` names; nothing is contacted yet, but for credentials that the connection asks for."""
    if not store.url.startswith("s3://"):
        return open_storage(store.url)
    hook = S3Hook(aws_conn_id=store.connection)
    client = hook.get_client_type(region_name=hook.region_name, config=CLIENT.merge(hook.config))
    return open_storage(store.url, s3_client=client, encryption=store.encryption)
