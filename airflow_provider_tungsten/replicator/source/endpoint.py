"""A connection's fields as the endpoint of a MySQL server, wherever the fields come from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, get_args

from airflow_provider_tungsten.replicator.errors import ConfigurationError
from airflow_provider_tungsten.replicator.source.connection import MySQLEndpoint, SslMode

FILES = frozenset({"ssl_ca", "ssl_cert", "ssl_key"})
# MySQL Connector/Python's switches.
MODES = {"ssl_disabled": "disabled", "ssl_verify_cert": "verify_ca", "ssl_verify_identity": "verify_identity"}


def mysql_endpoint(
    where: str,
    *,
    host: str | None,
    port: int | None,
    login: str | None,
    password: str | None,
    extra: Mapping[str, Any],
) -> MySQLEndpoint:
    """The endpoint that a connection's fields describe.

    :param where: what error messages call the connection.
    :raises ConfigurationError: a setting that is missing or not understood.
    """
    if not host or not login:
        raise ConfigurationError(f"{where}: give host and login")
    if extra.get("iam"):
        raise ConfigurationError(
            f"{where}: IAM tokens are not supported for the source; give a user with a password"
        )
    return MySQLEndpoint(
        host=host, port=port or 3306, user=login, password=password or "", **tls_settings(extra, where)
    )


def tls_settings(extra: Mapping[str, Any], where: str) -> dict[str, Any]:
    """``ssl_mode``, ``ssl_ca``, ``ssl_cert``, ``ssl_key`` out of a connection's extra; those not given are left out.

    :raises ConfigurationError: a TLS setting that is not understood: none is passed over.
    """
    given = {key: value for key, value in extra.items() if key.startswith("ssl_") and value not in (None, "")}
    given |= {f"ssl_{key}": value for key, value in _ssl_mapping(extra.get("ssl"), where).items()}
    modes = {mode for key in (*MODES, "ssl_mode") if (mode := _mode(given.pop(key, None), key, where))}
    if unknown := set(given) - FILES:
        raise ConfigurationError(
            f"{where}: TLS settings in extra that are not understood: {', '.join(sorted(unknown))}; "
            f"these are: ssl_mode, {', '.join(sorted(FILES | set(MODES)))}"
        )
    if len(modes) > 1:
        raise ConfigurationError(
            f"{where}: TLS settings in extra that contradict each other: {sorted(modes)}"
        )
    return given | ({"ssl_mode": modes.pop()} if modes else {})


def _ssl_mapping(value: Any, where: str) -> dict[str, Any]:
    try:
        mapping = json.loads(value) if isinstance(value, str) and value else value
    except ValueError:
        mapping = value
    if not isinstance(mapping or {}, dict):
        raise ConfigurationError(f"{where}: ssl in extra: give a mapping with ca, cert, key")
    return dict(mapping or {})


def _mode(value: Any, key: str, where: str) -> str | None:
    """The mode that one setting asks for."""
    if value is None:
        return None
    if key == "ssl_mode":
        if str(value).lower() not in get_args(SslMode):
            allowed = ", ".join(get_args(SslMode))
            raise ConfigurationError(f"{where}: ssl_mode in extra: {value!r} is none of {allowed}")
        return str(value).lower()
    if str(value).lower() not in ("true", "false"):
        raise ConfigurationError(f"{where}: {key} in extra: {value!r} is neither true nor false")
    return MODES[key] if str(value).lower() == "true" else None
