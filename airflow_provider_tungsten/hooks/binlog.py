"""The MySQL source, by an Airflow connection of type ``mysql`` (or ``tungsten_mysql``, the same with a form for TLS)."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from airflow.sdk import BaseHook

from airflow_provider_tungsten.replicator.errors import TungstenError
from airflow_provider_tungsten.replicator.source.connection import MySQLEndpoint, connect, rows
from airflow_provider_tungsten.replicator.source.endpoint import mysql_endpoint


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
        return mysql_endpoint(
            f"connection {self.mysql_conn_id}",
            host=connection.host,
            port=connection.port,
            login=connection.login,
            password=connection.password,
            extra=connection.extra_dejson,
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
