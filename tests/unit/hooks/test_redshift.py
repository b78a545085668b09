from __future__ import annotations

import json

import pytest
import redshift_connector

from airflow_provider_tungsten.hooks.redshift import RedshiftTargetHook


def test_the_applier_gets_sessions_that_notice_a_lost_network(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = {
        "conn_type": "redshift",
        "host": "cluster",
        "login": "loader",
        "password": "s3cret",
        "schema": "dev",
        "port": 5439,
        "extra": {"sslmode": "verify-full", "tcp_keepalive_idle": 30},
    }
    monkeypatch.setenv("AIRFLOW_CONN_TARGET", json.dumps(connection))
    monkeypatch.setattr(redshift_connector, "connect", lambda **given: given)
    given = RedshiftTargetHook("target").connect()
    assert given["tcp_keepalive"] is True
    assert given["tcp_keepalive_idle"] == 30
    assert {given[name] for name in ("host", "user", "database", "sslmode")} == {
        "cluster",
        "loader",
        "dev",
        "verify-full",
    }
