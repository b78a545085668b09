"""The extracting step: MySQL's binary log into the THL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from airflow.sdk import BaseOperator, Context

from airflow_provider_tungsten.hooks.binlog import BinlogSourceHook
from airflow_provider_tungsten.hooks.storage import open_store
from airflow_provider_tungsten.operators.common import (
    Progress,
    ServiceLike,
    engine_errors,
    read_service,
    writer_token,
)
from airflow_provider_tungsten.replicator.extractor import extract


class BinlogToThlOperator(BaseOperator):
    """Takes committed transactions out of MySQL's binary log into the THL, up to the head it has when the task begins.

    Goes on where the THL ends; the very first time where the service's ``start`` says. Ends earlier at the service's
    limits; the next run takes the rest.

    Returns ``first`` and ``last`` seqno (None when there was nothing new), ``transactions``, ``rows``, ``bytes`` of
    binlog, ``segments``, ``event_id`` and ``watermark`` reached, ``seconds``, ``transactions_per_second`` and the
    ``reason`` why it ended.

    :param service: a Service, a mapping of its fields, or the path of a service file (templated).
    """

    template_fields: Sequence[str] = ("service",)
    template_fields_renderers = {"service": "json"}
    ui_color = "#cfe3f5"

    def __init__(self, *, service: ServiceLike, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.service = service

    def execute(self, context: Context) -> dict[str, Any]:
        progress = Progress(self.log, "extracting", "transactions")
        with engine_errors():
            service = read_service(self.service)
            endpoint = BinlogSourceHook(service.source.connection).endpoint
            result = extract(
                service,
                endpoint,
                open_store(service.thl),
                token=writer_token(context),
                progress=lambda so_far: progress(**asdict(so_far)),
            )
        for warning in result.warnings:
            self.log.warning(warning)
        figures = asdict(result) | progress.rate(result.transactions)
        del figures["warnings"]
        self.log.info("extracted", service=service.service, **figures)
        return figures
