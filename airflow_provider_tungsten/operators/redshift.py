"""The loading step: files on S3 into Redshift's tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from airflow.providers.common.compat.sdk import AirflowSkipException
from airflow.sdk import BaseOperator, Context

from airflow_provider_tungsten.hooks.redshift import RedshiftTargetHook
from airflow_provider_tungsten.operators.common import (
    Progress,
    ServiceLike,
    engine_errors,
    open_branch,
    read_service,
    seqno,
)
from airflow_provider_tungsten.replicator.batch.hint import read_hint
from airflow_provider_tungsten.replicator.redshift.load import load
from airflow_provider_tungsten.replicator.redshift.settings import RedshiftApplier


class S3ToRedshiftMergeOperator(BaseOperator):
    """Loads micro-batches in order, each over all its tables in one Redshift transaction, with the position in the same.

    Begins behind the position that it reads in Redshift under a lock, so that it can run again at any time: what is
    applied is not applied twice. A second load of the same applier waits for the first.

    Returns ``first`` and ``last`` seqno applied (None: all was applied before), ``batches``, ``rows``, ``seconds`` and
    the ``position`` reached.

    :param service: a Service, a mapping of its fields, or the path of a service file (templated).
    :param applier: name of the applier in the service; not needed when there is only one.
    :param to_seqno: apply up to the micro-batch that holds it (templated); left out: up to the last one planned, and
        the task is skipped, without contacting Redshift, when all of it was applied before.
    """

    template_fields: Sequence[str] = ("service", "applier", "to_seqno")
    template_fields_renderers = {"service": "json"}
    ui_color = "#d8c8f0"

    def __init__(
        self,
        *,
        service: ServiceLike,
        applier: str | None = None,
        to_seqno: int | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.service = service
        self.applier = applier
        self.to_seqno = to_seqno

    def execute(self, context: Context) -> dict[str, Any]:
        progress = Progress(self.log, "loading", "rows")
        with engine_errors():
            branch = open_branch(read_service(self.service), self.applier)
            through = seqno(self.to_seqno, "to_seqno")
            if through is None:
                through, hint = branch.chain.end(), read_hint(branch.folder)
                if through <= (hint.seqno if hint else -1):
                    raise AirflowSkipException(f"all {through + 1} planned seqnos are applied")
            assert isinstance(branch.applier, RedshiftApplier)
            hook = RedshiftTargetHook(branch.applier.connection, aws_conn_id=branch.applier.files.connection)
            result = load(
                hook.connect,
                branch.log,
                branch.chain,
                branch.folder,
                branch.service,
                branch.name,
                through=through,
                progress=progress,
            )
        figures = asdict(result) | progress.rate(result.rows)
        self.log.info("loaded", service=branch.service.service, applier=branch.name, **figures)
        return figures
