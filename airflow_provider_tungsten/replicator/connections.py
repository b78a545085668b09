"""Connections without Airflow, by the same names and in the same form: ``AIRFLOW_CONN_<ID>`` in the environment.

What Airflow's own stores hold (its database, a secrets backend) is not looked up here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_type_hints
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from pydantic import TypeAdapter, ValidationError

from airflow_provider_tungsten.replicator.errors import ConfigurationError
from airflow_provider_tungsten.replicator.settings import Store
from airflow_provider_tungsten.replicator.source.connection import MySQLEndpoint
from airflow_provider_tungsten.replicator.source.endpoint import mysql_endpoint as endpoint_of
from airflow_provider_tungsten.replicator.storage import Storage, open_storage

if TYPE_CHECKING:
    from airflow_provider_tungsten.replicator.aws import Aws

PREFIX = "AIRFLOW_CONN_"
_EXTRA = "__extra__"
_FIELDS = frozenset({"conn_type", "description", "host", "login", "password", "schema", "port", "extra"})
_EXAMPLES = {
    "mysql": "mysql://user:password@db.example.com:3306/?ssl_mode=verify_ca&ssl_ca=/etc/ssl/mysql-ca.pem",
    "redshift": "redshift://user:password@cluster.abc123.eu-west-1.redshift.amazonaws.com:5439/dev",
}
# What the amazon provider reads of a redshift connection's extra, besides the arguments of redshift_connector.connect.
_IAM = ("iam", "cluster_identifier", "is_serverless", "serverless_work_group")
_TOKEN_SECONDS = "serverless_token_duration_seconds"


@dataclass(frozen=True)
class Connection:
    """What is needed of a connection's fields, by Airflow's names."""

    id: str
    host: str | None = None
    schema: str | None = None
    login: str | None = None
    password: str | None = field(default=None, repr=False)
    port: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        return f"connection {self.id}"


def variable(connection_id: str) -> str:
    """The environment variable that holds a connection."""
    return PREFIX + connection_id.upper()


def find_connection(connection_id: str) -> Connection | None:
    """The connection of that name; None where its variable is not set.

    :raises ConfigurationError: the variable's value is not a connection. The message shows nothing of it.
    """
    value = os.environ.get(variable(connection_id), "").strip()
    if not value:
        return None
    try:
        return _from_json(connection_id, value) if value.startswith("{") else _from_uri(connection_id, value)
    except _InvalidError as error:
        raise ConfigurationError(f"{variable(connection_id)}: {error}") from None


def connection(connection_id: str, kind: str) -> Connection:
    """
    :param kind: ``mysql`` or ``redshift``.
    :raises ConfigurationError: the variable is not set, or not a connection.
    """
    found = find_connection(connection_id)
    if found is None:
        name = variable(connection_id)
        raise ConfigurationError(
            f"connection {connection_id} is not known: set the environment variable {name} to its URI or JSON as Airflow "
            f"takes it, for example {name}='{_EXAMPLES[kind]}'"
        )
    return found


def mysql_endpoint(connection_id: str) -> MySQLEndpoint:
    """:raises ConfigurationError: no such connection, or a setting that is missing or not understood."""
    found = connection(connection_id, "mysql")
    return endpoint_of(
        str(found),
        host=found.host,
        port=found.port,
        login=found.login,
        password=found.password,
        extra=found.extra,
    )


def open_store(store: Store) -> Storage:
    """The place that `store` names; nothing is contacted yet.

    :raises ConfigurationError: the connection has a setting that is not understood.
    """
    if not store.url.startswith("s3://"):
        return open_storage(store.url)
    return open_storage(store.url, s3_client=aws(store.connection).client("s3"), encryption=store.encryption)


def aws(connection_id: str) -> Aws:
    """Clients by a connection of type ``aws``; by boto3's own search for credentials where there is none of that name.

    :raises ConfigurationError: the connection has a setting that is not understood.
    """
    from airflow_provider_tungsten.replicator.aws import (
        Aws,  # boto3 takes half a second, and a folder needs none
    )

    found = find_connection(connection_id) or Connection(connection_id)
    return Aws.of(str(found), login=found.login, password=found.password, extra=found.extra)


def redshift_connect(connection_id: str, aws_connection: str) -> Callable[[], Any]:
    """What opens a session of ``redshift_connector``, by password, or by IAM where the extra says ``iam``.

    :param aws_connection: gets the temporary password for IAM.
    :raises ConfigurationError: no such connection, or a setting that is missing or not understood.
    """
    import redshift_connector  # takes its time, too

    from airflow_provider_tungsten.replicator.redshift.session import KEEPALIVE

    found = connection(connection_id, "redshift")
    if not found.host or not found.schema:
        raise ConfigurationError(f"{found}: give host and schema (the database)")
    extra = {name: _typed(found, name, value) for name, value in found.extra.items()}
    by_iam = extra.get("iam")
    if not by_iam and not (found.login and found.password):
        raise ConfigurationError(f"{found}: give login and password, or iam in extra")
    arguments = {
        **KEEPALIVE,
        "host": found.host,
        "port": found.port or 5439,
        "database": found.schema,
        "user": found.login,
        "password": found.password,
        **{name: value for name, value in extra.items() if name not in (*_IAM, _TOKEN_SECONDS)},
    }
    if not by_iam:
        return lambda: redshift_connector.connect(**arguments)
    cloud = aws(aws_connection)
    return lambda: redshift_connector.connect(**arguments | _token(found, extra, cloud))


def _typed(connection: Connection, name: str, value: Any) -> Any:
    """A value as redshift_connector takes it: in a URI all values are text."""
    from redshift_connector import connect

    kinds = {**get_type_hints(connect), _TOKEN_SECONDS: int}
    if name not in kinds:
        raise ConfigurationError(
            f"{connection}: {name} in extra is not understood; it takes the arguments of redshift_connector.connect, "
            f"iam and {_TOKEN_SECONDS}"
        )
    try:
        return TypeAdapter(kinds[name]).validate_python(value)
    except ValidationError as error:
        raise ConfigurationError(f"{connection}: {name} in extra: {error.errors()[0]['msg']}") from None


def _token(connection: Connection, extra: Mapping[str, Any], cloud: Aws) -> dict[str, str]:
    """User and password for a while, asked for as the amazon provider does."""
    if extra.get("is_serverless"):
        answer = cloud.ask(
            "redshift-serverless",
            "get_credentials",
            dbName=connection.schema,
            workgroupName=extra.get("serverless_work_group") or "",
            durationSeconds=extra.get(_TOKEN_SECONDS, 3600),
        )
        return {"user": answer["dbUser"], "password": answer["dbPassword"]}
    answer = cloud.ask(
        "redshift",
        "get_cluster_credentials",
        DbUser=connection.login or "",
        DbName=connection.schema,
        ClusterIdentifier=extra.get("cluster_identifier") or str(connection.host).split(".", 1)[0],
        AutoCreate=False,
    )
    return {"user": answer["DbUser"], "password": answer["DbPassword"]}


class _InvalidError(Exception):
    """What is wrong with a variable's value, without the value."""


def _from_json(connection_id: str, text: str) -> Connection:
    try:
        fields = json.loads(text)
    except ValueError as error:
        raise _InvalidError(f"not JSON ({_place(error)})") from None
    if unknown := set(fields) - _FIELDS:
        raise _InvalidError(
            f"not understood: {', '.join(sorted(unknown))}; it takes {', '.join(sorted(_FIELDS))}"
        )
    for name in _FIELDS - {"port", "extra"}:
        if not isinstance(fields.get(name), str | None):
            raise _InvalidError(f"{name} is not text")
    extra = fields.get("extra") or {}
    try:
        port = int(fields["port"]) if fields.get("port") else None
    except (TypeError, ValueError):
        raise _InvalidError("port is not a number") from None
    return Connection(
        id=connection_id,
        host=fields.get("host"),
        schema=fields.get("schema"),
        login=fields.get("login"),
        password=fields.get("password"),
        port=port,
        extra=_extra(extra) if isinstance(extra, str) else _mapping(extra),
    )


def _from_uri(connection_id: str, uri: str) -> Connection:
    """``type://login:password@host:port/schema?extra``; also ``type://protocol://host``, of which the protocol stays
    with the host. The rules are those of `from_uri` of Airflow's Connection."""
    protocol, rest = "", uri
    if uri.count("://") > 2:
        raise _InvalidError("not a connection URI: it has :// more than twice")
    try:
        parts = urlsplit(uri)
        if uri.count("://") == 2:
            rest = uri.replace(f"{parts.scheme}://", "")
            protocol = rest.split("://", 1)[0]
            if "@" in protocol or ":" in protocol:
                raise _InvalidError("not a connection URI: percent-encode :// where it belongs to a value")
        place = urlsplit(rest)
        host, port = _host(place), place.port
    except ValueError:
        raise _InvalidError(
            "not a connection URI: write type://login:password@host:port/schema, with / : @ ? # and % inside values "
            "percent-encoded"
        ) from None
    query = dict(parse_qsl(place.query, keep_blank_values=True))
    return Connection(
        id=connection_id,
        host=f"{place.scheme}://{host}" if protocol and host else host,
        schema=unquote(place.path[1:]),
        login=place.username and unquote(place.username),
        password=place.password and unquote(place.password),
        port=port,
        extra=_extra(query[_EXTRA]) if _EXTRA in query else query,
    )


def _host(place: SplitResult) -> str:
    """Decoded; where that has a slash in it (a socket), in the case it was written in."""
    host = unquote(place.hostname or "")
    if "/" not in host:
        return host
    return unquote(place.netloc.rpartition("@")[2].split(":", 1)[0])


def _extra(text: str) -> Mapping[str, Any]:
    if not text:
        return {}
    try:
        return _mapping(json.loads(text))
    except ValueError as error:
        raise _InvalidError(f"extra is not JSON ({_place(error)})") from None


def _mapping(extra: Any) -> Mapping[str, Any]:
    if not isinstance(extra, dict):
        raise _InvalidError("extra is not a JSON object")
    return extra


def _place(error: ValueError) -> str:
    return f"{error.msg} at character {error.pos}" if isinstance(error, json.JSONDecodeError) else "too deep"
