"""The extracting step: MySQL's binary log into the THL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from airflow.sdk import BaseOperator, Context

from airflow_provider_tungsten.operators.common import (
    Progress,
    ServiceLike,
    engine_errors,
    read_service,
    writer_token,
)
from airflow_provider_tungsten.replicator.service import Start


class BinlogToThlOperator(BaseOperator):
    """Takes committed transactions out of MySQL's binary log into the THL, up to the head it has when the task begins.

    Goes on where the THL ends; the very first time where the service's ``start`` says. Ends earlier at the service's
    limits; the next run takes the rest.

    Returns ``first`` and ``last`` seqno (None when there was nothing new), ``transactions``, ``rows``, ``bytes`` of
    binlog, ``segments``, ``event_id`` and ``watermark`` reached, ``seconds``, ``transactions_per_second``,
    ``lag_seconds`` (0 where the source's head was reached), ``connections`` that it took and the ``reason`` why it ended.

    :param service: a Service, a mapping of its fields, or the path of a service file (templated).
    :param reposition: go on at ``now``, ``earliest``, ``file:position`` or a GTID set instead of where the THL ends
        (templated). That writes a ``gap`` record, at which every applier stops until it is acknowledged, and ends the
        task, which then returns ``gap_seqno``. Once a run: a retried or cleared task finds its record. None or empty: no.
    :raises AirflowFailException: another attempt would fail the same way; the message says why, and the ways out.
    """

    template_fields: Sequence[str] = ("service", "reposition")
    template_fields_renderers = {"service": "json"}
    ui_color = "#cfe3f5"

    def __init__(self, *, service: ServiceLike, reposition: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.service = service
        self.reposition = reposition

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_tungsten.hooks.binlog import BinlogSourceHook
        from airflow_provider_tungsten.hooks.storage import open_store
        from airflow_provider_tungsten.replicator.extractor import extract, reposition

        progress = Progress(self.log, "extracting", "transactions")
        token = writer_token(context)
        with engine_errors():
            service = read_service(self.service)
            endpoint = BinlogSourceHook(service.source.connection).endpoint
            store = open_store(service.thl)
            if self.reposition:
                ti = context["ti"]
                reason = f"{ti.dag_id}/{ti.run_id}/{ti.task_id}"
                start = Start.parse(self.reposition)
                gap = reposition(service, endpoint, store, start, token=token, reason=reason)
                self.log.warning(
                    "repositioned", service=service.service, gap_seqno=gap.seqno, event_id=gap.event_id
                )
                return {"gap_seqno": gap.seqno, "event_id": gap.event_id}
            result = extract(
                service, endpoint, store, token=token, progress=lambda so_far: progress(**asdict(so_far))
            )
        for warning in result.warnings:
            self.log.warning(warning)
        figures = asdict(result) | progress.rate(result.transactions)
        del figures["warnings"]
        self.log.info("extracted", service=service.service, **figures)
        return figures
