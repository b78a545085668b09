from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_tungsten.replicator.errors import ConfigurationError
from airflow_provider_tungsten.replicator.source.endpoint import tls_settings

CA = {"ssl_ca": "/ca.pem"}


@pytest.mark.parametrize(
    ("extra", "settings"),
    [
        ({}, {}),
        ({"ssl": {"ca": "/ca.pem"}}, CA),
        ({"ssl": '{"ca": "/ca.pem"}'}, CA),
        ({"ssl_ca": "/ca.pem", "ssl_mode": None, "ssl_key": ""}, CA),
        (
            {"ssl": {"ca": "/ca.pem", "cert": "/c.pem", "key": "/k.pem"}, "ssl_mode": "VERIFY_IDENTITY"},
            CA | {"ssl_cert": "/c.pem", "ssl_key": "/k.pem", "ssl_mode": "verify_identity"},
        ),
        ({"ssl_ca": "/ca.pem", "ssl_verify_cert": True}, CA | {"ssl_mode": "verify_ca"}),
        ({"ssl_disabled": "True", "ssl_verify_cert": False}, {"ssl_mode": "disabled"}),
    ],
)
def test_tls_settings_are_taken_in_every_form_that_is_usual(
    extra: dict[str, Any], settings: dict[str, Any]
) -> None:
    assert tls_settings(extra, "connection shop") == settings


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        ({"ssl_mode": "VERIFY"}, "ssl_mode.*'VERIFY'.*verify_ca"),
        ({"ssl": {"capath": "/certs"}}, "ssl_capath"),
        ({"ssl_cipher": "AES"}, "ssl_cipher"),
        ({"ssl": True}, "ssl in extra"),
        ({"ssl": "{ca"}, "ssl in extra"),
        ({"ssl_verify_cert": "maybe"}, "ssl_verify_cert.*'maybe'"),
        ({"ssl_mode": "required", "ssl_disabled": True}, "contradict"),
    ],
)
def test_a_tls_setting_that_is_not_understood_is_refused(extra: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=f"connection shop.*{named}"):
        tls_settings(extra, "connection shop")
