"""The loading step for Redshift: files on S3 into its tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_tungsten.operators.load import ApplyBatchesOperator
from airflow_provider_tungsten.replicator.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow_provider_tungsten.replicator.branch import Branch


class S3ToRedshiftMergeOperator(ApplyBatchesOperator):
    """Loads micro-batches in order, each over all its tables in one Redshift transaction, with the position in the same.

    Begins behind the position that it reads in Redshift under a lock, so that it can run again at any time: what is
    applied is not applied twice. A second load of the same applier waits for the first.

    Returns ``first`` and ``last`` seqno applied (None: all was applied before), ``batches``, ``rows``, ``seconds`` and
    the ``position`` reached.

    :param service: a Service, a mapping of its fields, or the path of a service file (templated).
    :param applier: name of the applier in the service; not needed when there is only one.
    :param to_seqno: apply up to the micro-batch that holds it (templated); left out: up to the last one planned, and
        the task is skipped, without contacting Redshift, when all of it was applied before.
    :raises AirflowFailException: another attempt would fail the same way; the message says why, and the ways out.
    """

    ui_color = "#d8c8f0"

    def _check(self, branch: Branch) -> None:
        if branch.applier.type != "redshift":
            raise ConfigurationError(
                f"applier {branch.name} of service {branch.service.service} has type {branch.applier.type}: use "
                "ApplyBatchesOperator"
            )
