"""Connections out of the environment: read as Airflow reads them, and nothing of them told to anybody."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import boto3
import pytest
import redshift_connector
from airflow.sdk import Connection as AirflowConnection
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_tungsten.replicator.connections import (
    Connection,
    find_connection,
    mysql_endpoint,
    open_store,
    redshift_connect,
    variable,
)
from airflow_provider_tungsten.replicator.errors import ConfigurationError
from airflow_provider_tungsten.replicator.settings import Store
from tests.stack.s3 import S3

REDSHIFT = {
    "host": "c1.x.eu-west-1.redshift.amazonaws.com",
    "schema": "dev",
    "login": "loader",
    "password": "s3cret",
}


def read(text: str) -> Connection | None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_SHOP", text)
        return find_connection("shop")


def by_airflow(text: str) -> AirflowConnection:
    read_text = AirflowConnection.from_json if text.startswith("{") else AirflowConnection.from_uri
    return read_text(text, conn_id="shop")


def set_fields(patch: pytest.MonkeyPatch, name: str, **fields: Any) -> None:
    patch.setenv(variable(name), json.dumps(fields))


def check_the_same(text: str) -> None:
    ours, airflows = read(text), by_airflow(text)
    assert ours is not None
    for name in ("host", "schema", "login", "password", "port"):
        assert getattr(ours, name) == getattr(airflows, name), name
    assert ours.extra == airflows.extra_dejson


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
# What of a value stands in a URI as it is, and what percent-encoded, is up to whoever wrote it.
encoded = words.map(lambda text: quote(text, safe="")) | st.text("abcXYZ019.-_~!$&'()*+,;=%/:", max_size=12)
plain_json = st.recursive(st.none() | st.booleans() | st.integers() | words, st.lists, max_leaves=3)


@settings(max_examples=150)
@given(
    kind=st.sampled_from(["mysql", "tungsten-mysql", "MySQL", "postgresql", "aws"]),
    login=encoded,
    password=encoded,
    host=encoded,
    port=st.just("") | st.integers(0, 65535).map(lambda number: f":{number}"),
    schema=encoded,
    query=st.dictionaries(words, words, max_size=3).map(urlencode)
    | st.dictionaries(words, plain_json, max_size=3).map(
        lambda extra: urlencode({"__extra__": json.dumps(extra)})
    ),
)
def test_a_uri_is_read_as_airflow_reads_it(
    kind: str, login: str, password: str, host: str, port: str, schema: str, query: str
) -> None:
    uri = f"{kind}://{login}:{password}@{host}{port}/{schema}?{query}"
    try:
        by_airflow(uri)
    except Exception:
        with pytest.raises(ConfigurationError):
            read(uri)
    else:
        check_the_same(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "mysql://db",
        "mysql://user@db:3307",
        "mysql://:only%20password@db",
        "aws://",
        "aws://?region_name=eu-west-1",
        "aws://AK:se%2Fcret@/?__extra__=%7B%22verify%22%3A+false%7D",
        "http://https://user:pw@host.com:443/x",
        "mysql://%2Fvar%2Frun%2FMysql.sock/db",
        "//user:pw@host",
        "  mysql://db  ",
    ],
)
def test_what_is_rare_in_a_uri_is_read_as_airflow_reads_it(uri: str) -> None:
    check_the_same(uri.strip())
    assert read(uri) == read(uri.strip())


@settings(max_examples=100)
@given(
    fields=st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys(
                ("conn_type", "description", "host", "login", "password", "schema"), st.none() | words
            ),
            "port": st.none() | st.integers(0, 65535) | st.integers(1, 65535).map(str) | st.just(""),
            "extra": st.none()
            | st.dictionaries(words, plain_json, max_size=3)
            | st.dictionaries(words, plain_json, max_size=3).map(json.dumps),
        },
    )
)
def test_json_is_read_as_airflow_reads_it(fields: dict[str, Any]) -> None:
    check_the_same(json.dumps(fields))


@pytest.mark.parametrize(
    "value",
    [
        '{"password": "hunter2"',
        '{"pasword": "hunter2"}',
        '{"password": "x", "port": "hunter2"}',
        '{"password": ["hunter2"]}',
        '{"extra": "hunter2"}',
        '{"extra": ["hunter2"]}',
        "mysql://user:hunter2/2@db:3306/",
        "mysql://user:a://hunter2://@db/",
        "mysql://user:hunter2://@db/",
        "mysql://db/?__extra__=hunter2",
        "mysql://[hunter2/",
    ],
)
def test_what_cannot_be_read_names_the_variable_and_nothing_that_is_in_it(value: str) -> None:
    with pytest.raises(ConfigurationError, match="^AIRFLOW_CONN_SHOP: ") as caught:
        read(value)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_connection_that_is_not_set_is_told_with_an_example(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_EMPTY", "")
    with pytest.raises(ConfigurationError, match="AIRFLOW_CONN_EMPTY='mysql://user:password@"):
        mysql_endpoint("empty")
    with pytest.raises(ConfigurationError, match="AIRFLOW_CONN_LAKE_DW='redshift://user:password@"):
        redshift_connect("Lake_dw", "aws_default")


def test_a_mysql_connection_becomes_an_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_MYSQL_SHOP", "mysql://tungsten:s3%40cret@db:3307/?ssl_mode=required")
    endpoint = mysql_endpoint("mysql_Shop")
    assert (endpoint.host, endpoint.port, endpoint.user) == ("db", 3307, "tungsten")
    assert (endpoint.password, endpoint.ssl_mode) == ("s3@cret", "required")
    monkeypatch.setenv("AIRFLOW_CONN_MYSQL_SHOP", "mysql://db")
    with pytest.raises(ConfigurationError, match="connection mysql_shop: give host and login"):
        mysql_endpoint("mysql_shop")


def test_a_connection_shows_no_secret() -> None:
    shown = repr(read("mysql://user:hunter2@db/?token=hunter2"))
    assert "hunter2" not in shown


# S3


def test_a_folder_needs_no_connection(tmp_path: Path) -> None:
    open_store(Store(url=str(tmp_path), connection="there_is_none")).create("a", b"1", token="t")
    assert (tmp_path / "a").read_bytes() == b"1"


def aws_fields(s3: S3, **more: Any) -> dict[str, Any]:
    extra = {"endpoint_url": s3.endpoint_url, "region_name": s3.region, **more}
    return {"conn_type": "aws", "login": s3.access_key, "password": s3.secret_key, "extra": extra}


def test_a_bucket_is_reached_by_the_stores_connection(
    monkeypatch: pytest.MonkeyPatch, s3: S3, bucket: str
) -> None:
    set_fields(monkeypatch, "lake", **aws_fields(s3))
    open_store(Store(url=f"s3://{bucket}/batches", connection="lake")).create("a", b"1", token="t")
    assert s3.client().get_object(Bucket=bucket, Key="batches/a")["Body"].read() == b"1"


def test_a_role_is_assumed_when_it_is_first_needed(
    monkeypatch: pytest.MonkeyPatch, s3: S3, bucket: str
) -> None:
    role = {"role_arn": "arn:aws:iam::123456789012:role/loader", "assume_role_kwargs": {"ExternalId": "shop"}}
    away = {
        "service_config": {"sts": {"endpoint_url": "http://127.0.0.1:1"}},
        "config_kwargs": {"retries": {"total_max_attempts": 1}},
    }
    here = {"service_config": {"sts": {"endpoint_url": s3.endpoint_url}}}
    place = Store(url=f"s3://{bucket}/batches", connection="lake")
    set_fields(monkeypatch, "lake", **aws_fields(s3, **role, **away))
    unused = open_store(place)
    set_fields(monkeypatch, "lake", **aws_fields(s3, **role, **here))
    open_store(place).create("a", b"1", token="t")
    assert s3.client().get_object(Bucket=bucket, Key="batches/a")["Body"].read() == b"1"
    with pytest.raises(Exception, match="127.0.0.1:1"):
        unused.read("a")


def test_without_a_connection_boto3_searches_itself(
    monkeypatch: pytest.MonkeyPatch, s3: S3, bucket: str
) -> None:
    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)
    open_store(Store(url=f"s3://{bucket}/batches", connection="nowhere")).create("a", b"1", token="t")
    assert s3.client().get_object(Bucket=bucket, Key="batches/a")["Body"].read() == b"1"


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"extra": {"s3_config_file": "/x", "session_kwargs": {}}}, "s3_config_file, session_kwargs"),
        (
            {"extra": {"role_arn": "arn:x", "assume_role_method": "assume_role_with_saml"}},
            "assume_role_method",
        ),
        ({"login": "AK"}, "both login and password"),
        ({"extra": {"config_kwargs": {"no_such": 1}}}, "no_such"),
        ({"extra": {"profile_name": "no_such"}}, "no_such"),
    ],
)
def test_a_setting_for_aws_that_is_not_understood_is_refused(
    monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], named: str
) -> None:
    set_fields(monkeypatch, "lake", **fields)
    with pytest.raises(ConfigurationError, match=f"connection lake: .*{named}"):
        open_store(Store(url="s3://some-bucket/x", connection="lake"))


# Redshift


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Arguments of the sessions that were asked for."""
    calls: list[dict[str, Any]] = []
    real = redshift_connector.connect

    def connect(**arguments: Any) -> None:
        calls.append(arguments)

    connect.__annotations__ = real.__annotations__
    monkeypatch.setattr(redshift_connector, "connect", connect)
    return calls


def test_a_session_by_password_notices_a_lost_network(
    monkeypatch: pytest.MonkeyPatch, opened: list[dict[str, Any]]
) -> None:
    host = REDSHIFT["host"]
    monkeypatch.setenv(
        "AIRFLOW_CONN_DW", f"redshift://loader:s3cret@{host}/dev?sslmode=verify-full&tcp_keepalive_idle=30"
    )
    redshift_connect("dw", "aws_default")()
    [arguments] = opened
    assert {
        name: arguments[name] for name in ("host", "port", "database", "user", "password", "sslmode")
    } == {
        "host": host,
        "port": 5439,
        "database": "dev",
        "user": "loader",
        "password": "s3cret",
        "sslmode": "verify-full",
    }
    assert (arguments["tcp_keepalive"], arguments["tcp_keepalive_idle"]) == (True, 30)


def test_a_session_by_iam_asks_for_its_password(
    monkeypatch: pytest.MonkeyPatch, s3: S3, opened: list[dict[str, Any]]
) -> None:
    set_fields(monkeypatch, "cloud", **aws_fields(s3))
    set_fields(monkeypatch, "dw", **REDSHIFT | {"password": None}, extra={"iam": True})
    boto3.client(
        "redshift",
        endpoint_url=s3.endpoint_url,
        region_name=s3.region,
        aws_access_key_id=s3.access_key,
        aws_secret_access_key=s3.secret_key,
    ).create_cluster(
        ClusterIdentifier="c1", NodeType="ra3.large", MasterUsername="loader", MasterUserPassword="Aa123456"
    )
    redshift_connect("dw", "cloud")()
    [arguments] = opened
    assert arguments["user"] == "IAM:loader"
    assert arguments["password"]
    assert "iam" not in arguments
    set_fields(
        monkeypatch, "dw", **REDSHIFT | {"password": None}, extra={"iam": True, "cluster_identifier": "c2"}
    )
    with pytest.raises(ConfigurationError, match="connection cloud: .*c2 not found"):
        redshift_connect("dw", "cloud")()


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"host": None}, "give host"),
        ({"password": None}, "give login and password"),
        ({"extra": {"colour": "s3cret"}}, "colour in extra is not understood"),
        ({"extra": {"timeout": "s3cret"}}, "timeout in extra"),
    ],
)
def test_a_redshift_connection_that_cannot_serve_is_refused(
    monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], named: str
) -> None:
    set_fields(monkeypatch, "dw", **REDSHIFT | fields)
    with pytest.raises(ConfigurationError, match=f"connection dw: .*{named}") as caught:
        redshift_connect("dw", "aws_default")
    assert "s3cret" not in str(caught.value)
