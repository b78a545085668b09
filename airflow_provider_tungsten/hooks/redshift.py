"""The Redshift target, by an Airflow connection of type ``redshift``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.providers.amazon.aws.hooks.redshift_sql import RedshiftSQLHook

from airflow_provider_tungsten.replicator.redshift.session import KEEPALIVE

if TYPE_CHECKING:
    from redshift_connector import Connection


class RedshiftTargetHook(RedshiftSQLHook):
    """Opens sessions for the applier, by password or IAM, as the amazon provider resolves them.

    The applier sends its SQL itself and not through `run`, so that none of it is logged.

    :param redshift_conn_id: Airflow connection of type ``redshift``.
    :param aws_conn_id: Airflow connection of type ``aws`` that gets the temporary credentials when the connection's
        extra says ``iam``.
    """

    def connect(self) -> Connection:
        """A new session."""
        return self.get_conn()

    def _get_conn_params(self) -> dict[str, str | int]:
        return {**KEEPALIVE, **super()._get_conn_params()}
