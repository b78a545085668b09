"""The loading step for any target: written micro-batches, in order, into what the applier's settings name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowSkipException
from airflow.sdk import BaseOperator, Context

from airflow_provider_tungsten.operators.common import (
    Progress,
    ServiceLike,
    engine_errors,
    open_branch,
    read_service,
    seqno,
    writer_token,
)

if TYPE_CHECKING:
    from airflow_provider_tungsten.replicator.branch import Branch


class ApplyBatchesOperator(BaseOperator):
    """Brings micro-batches into an applier's target, in order: each whole, together with its position, or not at all.

    The target is the one that the applier's ``type`` names: ``s3``, where the files are the target and it is the position
    that moves; ``custom``, a class of one's own; ``redshift``. Begins behind the position that the target holds, so that it
    can run again at any time: what is applied is not applied twice.

    Returns ``first`` and ``last`` seqno applied (None: all was applied before), ``batches``, ``rows``, ``seconds`` and
    the ``position`` reached.

    :param service: a Service, a mapping of its fields, or the path of a service file (templated).
    :param applier: name of the applier in the service; not needed when there is only one.
    :param to_seqno: apply up to the micro-batch that holds it (templated); left out: up to the last one planned, and
        the task is skipped, without contacting the target, when all of it was applied before.
    :raises AirflowFailException: another attempt would fail the same way; the message says why, and the ways out.
    """

    template_fields: Sequence[str] = ("service", "applier", "to_seqno")
    template_fields_renderers = {"service": "json"}
    ui_color = "#e3d5f5"

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
        from airflow_provider_tungsten.replicator.targets import load

        progress = Progress(self.log, "loading", "rows")
        with engine_errors():
            branch = open_branch(read_service(self.service), self.applier)
            self._check(branch)
            through = self._through(branch)
            token = writer_token(context)
            result = load(branch, _redshift, through=through, token=token, progress=progress)
        for warning in result.warnings:
            self.log.warning(warning)
        figures = asdict(result) | progress.rate(result.rows)
        del figures["warnings"]
        event = "loaded" if result.batches else "all was applied before"
        self.log.info(event, service=branch.service.service, applier=branch.name, **figures)
        return figures

    def _check(self, branch: Branch) -> None:
        """:raises ConfigurationError: the applier is not for this operator."""

    def _through(self, branch: Branch) -> int:
        from airflow_provider_tungsten.replicator.targets import known_seqno

        through = seqno(self.to_seqno, "to_seqno")
        if through is None:
            through = branch.chain.end()
            if through == known_seqno(branch):
                raise AirflowSkipException(f"all {through + 1} planned seqnos are applied")
        return through


def _redshift(connection: str, aws_connection: str) -> Callable[[], Any]:
    from airflow_provider_tungsten.hooks.redshift import RedshiftTargetHook

    return RedshiftTargetHook(connection, aws_conn_id=aws_connection).connect
