"""The MySQL source, by an Airflow connection of type ``mysql`` (or ``tungsten_mysql``, the same with a form for TLS)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any, get_args

from airflow.sdk import BaseHook

from airflow_provider_tungsten.replicator.errors import ConfigurationError, TungstenError
from airflow_provider_tungsten.replicator.source.connection import MySQLEndpoint, SslMode, connect, rows

FILES = frozenset({"ssl_ca", "ssl_cert", "ssl_key"})
# MySQL Connector/Python's switches.
MODES = {"ssl_disabled": "disabled", "ssl_verify_cert": "verify_ca", "ssl_verify_identity": "verify_identity"}


class BinlogSourceHook(BaseHook):
    """Turns a connection into the endpoint that the extractor reads from.

    TLS settings are taken from the connection's extra in the forms that MySQL's clients have made usual: ``ssl`` as a
    mapping (or JSON text) with ``ca``, ``cert``, ``key``; ``ssl_ca``, ``ssl_cert``, ``ssl_key``; ``ssl_mode`` as in
    the `mysql` program; ``ssl_disabled``, ``ssl_verify_cert``, ``ssl_verify_identity`` as in MySQL Connector/Python.

    :param mysql_conn_id: Airflow connection of type ``mysql`` or ``tungsten_mysql``.
    """

    conn_name_attr = "mysql_conn_id"
    default_conn_name = "mysql_default"
    conn_type = "tungsten_mysql"
    hook_name = "MySQL binary log"

    def __init__(self, mysql_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mysql_conn_id = mysql_conn_id

    @cached_property
    def endpoint(self) -> MySQLEndpoint:
        """:raises ConfigurationError: a setting that is missing or not understood."""
        connection = self.get_connection(self.mysql_conn_id)
        where = f"connection {self.mysql_conn_id}"
        if not connection.host or not connection.login:
            raise ConfigurationError(f"{where}: give host and login")
        extra = connection.extra_dejson
        if extra.get("iam"):
            raise ConfigurationError(
                f"{where}: IAM tokens are not supported for the source; give a user with a password"
            )
        return MySQLEndpoint(
            host=connection.host,
            port=connection.port or 3306,
            user=connection.login,
            password=connection.password or "",
            **tls_settings(extra, where),
        )

    def test_connection(self) -> tuple[bool, str]:
        """Whether the server lets this user in and has a binary log."""
        try:
            with connect(self.endpoint) as session:
                [facts] = rows(session, "SELECT @@version AS version, @@log_bin AS log_bin")
        except TungstenError as error:
            return False, str(error)
        return bool(
            facts["log_bin"]
        ), f"MySQL {facts['version']}, binary log {'on' if facts['log_bin'] else 'off'}"


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
