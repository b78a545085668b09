"""Clients of AWS by a connection's fields, in the forms of the amazon provider that need no more than boto3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.credentials import DeferredRefreshableCredentials
from botocore.exceptions import BotoCoreError, ClientError

from airflow_provider_tungsten.replicator.errors import ConfigurationError, TargetUnavailableError

_SESSION = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token", "region_name", "profile_name")
_ROLE = ("role_arn", "assume_role_method", "assume_role_kwargs")
_CLIENT = ("endpoint_url", "verify", "config_kwargs", "service_config")
_ROLE_METHOD = "assume_role"


@dataclass(frozen=True)
class Aws:
    """Makes clients.

    :param where: what error messages call the connection.
    :param session: arguments of boto3's Session; none: boto3 searches for credentials itself.
    :param extra: of the connection, for what is not the session's.
    """

    where: str
    session: Mapping[str, Any] = field(repr=False)
    extra: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, where: str, *, login: str | None, password: str | None, extra: Mapping[str, Any]) -> Aws:
        """
        :param login, password: an access key; it wins over one in the extra.
        :raises ConfigurationError: a setting that is not understood.
        """
        known = (*_SESSION, *_ROLE, *_CLIENT)
        if unknown := set(extra) - set(known):
            raise ConfigurationError(
                f"{where}: in extra, not supported outside Airflow: {', '.join(sorted(unknown))}; these are: {', '.join(known)}"
            )
        if bool(login) != bool(password):
            raise ConfigurationError(f"{where}: give both login and password (an access key), or neither")
        if extra.get("role_arn") and extra.get("assume_role_method", _ROLE_METHOD) != _ROLE_METHOD:
            raise ConfigurationError(
                f"{where}: assume_role_method may be {_ROLE_METHOD} only outside Airflow"
            )
        session = {name: value for name in _SESSION if (value := extra.get(name))}
        if login and password:
            session |= {"aws_access_key_id": login, "aws_secret_access_key": password}
        return cls(where, session, extra)

    def client(self, service: str) -> Any:
        """A client of a service, e.g. ``s3``; nothing is contacted yet."""
        try:
            return self._session().client(service, endpoint_url=self._endpoint(service), **self._settings())
        except (BotoCoreError, TypeError, ValueError) as error:
            raise ConfigurationError(f"{self.where}: no client for {service}: {error}") from error

    def ask(self, service: str, method: str, **arguments: Any) -> Any:
        """One call of a service's method.

        :raises ConfigurationError: refused; the service's message says why.
        :raises TargetUnavailableError: no answer.
        """
        client = self.client(service)
        try:
            return getattr(client, method)(**arguments)
        except ClientError as error:
            raise ConfigurationError(f"{self.where}: {error}") from error
        except BotoCoreError as error:
            raise TargetUnavailableError(f"{self.where}: {service} did not answer: {error}") from error

    def _session(self) -> Any:
        role = self.extra.get("role_arn")
        base = boto3.Session(**self.session)
        if not role:
            return base
        inner: Any = botocore.session.get_session()
        # botocore has no public way to give a session credentials that renew themselves.
        inner._credentials = DeferredRefreshableCredentials(lambda: self._assume(base), "sts-assume-role")
        return boto3.Session(botocore_session=inner, region_name=base.region_name)

    def _assume(self, base: boto3.Session) -> dict[str, Any]:
        client = base.client("sts", endpoint_url=self._service("sts").get("endpoint_url"), **self._settings())
        arguments = {
            "RoleSessionName": "tungsten",
            **(self.extra.get("assume_role_kwargs") or {}),
            "RoleArn": self.extra["role_arn"],
        }
        credentials = client.assume_role(**arguments)["Credentials"]
        return {
            "access_key": credentials["AccessKeyId"],
            "secret_key": credentials["SecretAccessKey"],
            "token": credentials["SessionToken"],
            "expiry_time": credentials["Expiration"].isoformat(),
        }

    def _settings(self) -> dict[str, Any]:
        config = self.extra.get("config_kwargs")
        return {"config": Config(**config) if config else None, "verify": self.extra.get("verify")}

    def _endpoint(self, service: str) -> Any:
        return self._service(service).get("endpoint_url", self.extra.get("endpoint_url"))

    def _service(self, service: str) -> Mapping[str, Any]:
        return (self.extra.get("service_config") or {}).get(service) or {}
