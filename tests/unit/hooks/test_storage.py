from __future__ import annotations

import json
from pathlib import Path
from unittest.mock import MagicMock

import pytest
from airflow.sdk import BaseHook

from airflow_provider_tungsten.hooks.storage import open_store
from airflow_provider_tungsten.replicator.settings import Store
from airflow_provider_tungsten.replicator.storage.s3 import S3Storage
from tests.stack.s3 import S3


def test_a_folder_needs_no_connection(tmp_path: Path) -> None:
    store = open_store(Store(url=str(tmp_path), connection="there_is_none"))
    store.create("a", b"1", token="t")
    assert (tmp_path / "a").read_bytes() == b"1"


@pytest.mark.parametrize(("config", "connections"), [({}, 16), ({"max_pool_connections": 3}, 3)])
def test_a_batchs_uploads_keep_their_connections_and_the_connections_settings_count(
    monkeypatch: pytest.MonkeyPatch, config: dict[str, int], connections: int
) -> None:
    extra = {"region_name": "eu-west-1", "config_kwargs": {"user_agent_extra": "ours", **config}}
    connection = {"conn_type": "aws", "login": "key", "password": "secret", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_LAKE", json.dumps(connection))
    asked = MagicMock(wraps=BaseHook.get_connection)
    monkeypatch.setattr(BaseHook, "get_connection", asked)
    store = open_store(Store(url="s3://lake/batches", connection="lake"))
    asked.assert_called_once_with("lake")
    assert isinstance(store, S3Storage)
    found = store._client.meta.config
    assert (found.max_pool_connections, found.user_agent_extra[-4:]) == (connections, "ours")


def test_a_bucket_is_reached_by_the_stores_connection(
    monkeypatch: pytest.MonkeyPatch, s3: S3, bucket: str
) -> None:
    extra = {"endpoint_url": s3.endpoint_url, "region_name": s3.region}
    connection = {"conn_type": "aws", "login": s3.access_key, "password": s3.secret_key, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_LAKE", json.dumps(connection))
    store = open_store(Store(url=f"s3://{bucket}/batches", connection="lake"))
    store.create("a", b"1", token="t")
    assert s3.client().get_object(Bucket=bucket, Key="batches/a")["Body"].read() == b"1"
