from __future__ import annotations

import json
from typing import Any, get_args

import pytest

from airflow_provider_tungsten.get_provider_info import SSL_MODES
from airflow_provider_tungsten.hooks.binlog import BinlogSourceHook
from airflow_provider_tungsten.replicator.errors import ConfigurationError
from airflow_provider_tungsten.replicator.source.connection import SslMode


def a_connection(monkeypatch: pytest.MonkeyPatch, **fields: Any) -> BinlogSourceHook:
    connection = {"conn_type": "mysql", "host": "db", "login": "tungsten", "password": "s3cret"} | fields
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", json.dumps(connection))
    return BinlogSourceHook("shop")


def test_an_ordinary_mysql_connection_becomes_an_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = a_connection(
        monkeypatch, port=3307, extra={"charset": "utf8", "ssl": {"ca": "/ca.pem"}}
    ).endpoint
    assert (endpoint.host, endpoint.port, endpoint.user) == ("db", 3307, "tungsten")
    assert (endpoint.password, endpoint.ssl_ca) == ("s3cret", "/ca.pem")
    assert "s3cret" not in repr(endpoint)


def test_the_port_is_mysqls_where_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    assert a_connection(monkeypatch).endpoint.port == 3306


@pytest.mark.parametrize("fields", [{"host": None}, {"login": None}, {"extra": {"iam": True}}])
def test_a_connection_that_cannot_serve_is_refused(
    monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any]
) -> None:
    with pytest.raises(ConfigurationError, match="connection shop"):
        _ = a_connection(monkeypatch, **fields).endpoint


def test_the_connection_form_offers_the_modes_that_there_are() -> None:
    assert get_args(SslMode) == SSL_MODES


def test_testing_a_connection_tells_why_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    works, message = a_connection(monkeypatch, host="127.0.0.1", port=1).test_connection()
    assert not works
    assert "127.0.0.1:1" in message
