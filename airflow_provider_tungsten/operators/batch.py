"""The steps between the log and the target: planning micro-batches, their CSV files, the way of the files to S3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pendulum
from airflow.providers.common.compat.sdk import AirflowSkipException, conf
from airflow.sdk import BaseOperator, Context

from airflow_provider_tungsten.operators.common import (
    MAX_OBJECTS,
    Progress,
    ServiceLike,
    engine_errors,
    open_branch,
    planned,
    read_service,
    seqno,
    writer_token,
)
from airflow_provider_tungsten.replicator.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow_provider_tungsten.replicator.batch.manifest import BatchManifest, Plan
    from airflow_provider_tungsten.replicator.branch import Branch


class PlanBatchesOperator(BaseOperator):
    """Decides which micro-batches are due and deals them out to tasks; source and target are not contacted.

    Without a range these are the ones behind what is known to be applied, at most the applier's ``batches.per_run``.
    A range by hand or by interval takes the micro-batches that belong to it and those before it that are not applied.
    Boundaries, once decided, stay. The task is skipped when nothing is due.

    Returns a list of ``{"from_seqno": …, "to_seqno": …}``, adjacent and in order, to expand the next operators over.

    :param service: a Service, a mapping of its fields, or the path of a service file (templated).
    :param applier: name of the applier in the service; not needed when there is only one.
    :param from_seqno: first seqno of a range by hand (templated); None or empty: what is not applied yet.
    :param to_seqno: last seqno of a range by hand (templated); None or empty: the log's end.
    :param interval_start: take the micro-batches committed after this time (templated, ISO 8601) …
    :param interval_end: … up to and including this one; used when no range is given by hand.
    :param acknowledge_gap: seqno of the ``gap`` record that planning may pass, since the target is in the state from
        which the log goes on (templated); None or empty: none.
    :raises AirflowFailException: another attempt would fail the same way; the message says why, and the ways out.
    """

    template_fields: Sequence[str] = (
        "service",
        "applier",
        "from_seqno",
        "to_seqno",
        "interval_start",
        "interval_end",
        "acknowledge_gap",
    )
    template_fields_renderers = {"service": "json"}
    ui_color = "#f3ecc8"

    def __init__(
        self,
        *,
        service: ServiceLike,
        applier: str | None = None,
        from_seqno: int | str | None = None,
        to_seqno: int | str | None = None,
        interval_start: str | None = None,
        interval_end: str | None = None,
        acknowledge_gap: int | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.service = service
        self.applier = applier
        self.from_seqno = from_seqno
        self.to_seqno = to_seqno
        self.interval_start = interval_start
        self.interval_end = interval_end
        self.acknowledge_gap = acknowledge_gap

    def execute(self, context: Context) -> list[dict[str, int]]:
        from airflow_provider_tungsten.replicator.batch.planning import dealt

        with engine_errors():
            branch = open_branch(read_service(self.service), self.applier)
            token = writer_token(context)
            gap = seqno(self.acknowledge_gap, "acknowledge_gap")
            if gap is not None:
                branch.chain.acknowledge_gap(gap, token)
            plans = self._plans(branch, token)
        if not plans:
            raise AirflowSkipException("nothing to load")
        limits = branch.applier.batches
        tasks = min(limits.max_tasks, conf.getint("core", "max_map_length"))
        spans = dealt(plans, per_task=limits.per_task, max_tasks=tasks)
        self.log.info(
            "planned",
            service=branch.service.service,
            applier=branch.name,
            first=plans[0].first,
            last=plans[-1].last,
            batches=len(plans),
            tasks=len(spans),
        )
        return [{"from_seqno": first, "to_seqno": last} for first, last in spans]

    def _plans(self, branch: Branch, token: str) -> list[Plan]:
        from airflow_provider_tungsten.replicator.batch.planning import by_interval, by_range, due
        from airflow_provider_tungsten.replicator.targets import known_seqno

        first, last = seqno(self.from_seqno, "from_seqno"), seqno(self.to_seqno, "to_seqno")
        position = known_seqno(branch)
        if first is not None or last is not None:
            return by_range(branch.chain, position, first, last, token=token)
        if self.interval_start or self.interval_end:
            after, until = (
                _microseconds(self.interval_start, "interval_start"),
                _microseconds(self.interval_end, "interval_end"),
            )
            return by_interval(branch.chain, position, after, until, token=token)
        return due(branch.chain, position, per_run=branch.applier.batches.per_run, token=token)


def _microseconds(time: str | None, name: str) -> int:
    try:
        moment = pendulum.parse(time or "", exact=True)
    except ValueError:
        moment = None
    if not isinstance(moment, pendulum.DateTime):
        raise ConfigurationError(
            f"{name}: {time!r} is not a time; give both ends of the interval in ISO 8601"
        )
    return moment.int_timestamp * 1_000_000 + moment.microsecond


class _BatchOperator(BaseOperator):
    """The shell of an operator that works on planned micro-batches, one after the other."""

    template_fields: Sequence[str] = ("service", "applier", "from_seqno", "to_seqno")
    template_fields_renderers = {"service": "json"}

    def __init__(
        self,
        *,
        service: ServiceLike,
        applier: str | None = None,
        from_seqno: int | str | None = None,
        to_seqno: int | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.service = service
        self.applier = applier
        self.from_seqno = from_seqno
        self.to_seqno = to_seqno

    def _plans(self, branch: Branch, token: str) -> list[Plan]:
        from airflow_provider_tungsten.replicator.batch.planning import due
        from airflow_provider_tungsten.replicator.targets import known_seqno

        first, last = seqno(self.from_seqno, "from_seqno"), seqno(self.to_seqno, "to_seqno")
        if first is not None and last is not None:
            return planned(branch.chain, first, last)
        if first is not None or last is not None:
            raise ConfigurationError("give both from_seqno and to_seqno, or neither")
        plans = due(branch.chain, known_seqno(branch), per_run=branch.applier.batches.per_run, token=token)
        if not plans:
            raise AirflowSkipException("nothing to load")
        return plans


class ThlToCsvOperator(_BatchOperator):
    """Writes the CSV files and manifests of micro-batches out of the THL: to S3, or to the applier's staging folder.

    The same micro-batch always gives the same names and the same bytes; one that is there already is verified and
    adopted. Neither source nor target is contacted.

    Returns the range, ``batches``, ``rows``, ``files``, ``bytes``, ``seconds``, ``rows_per_second`` and the names of
    the (first fifty) batch manifests.

    :param service: a Service, a mapping of its fields, or the path of a service file (templated).
    :param applier: name of the applier in the service; not needed when there is only one.
    :param from_seqno: first seqno of planned micro-batches (templated), as PlanBatchesOperator returns it.
    :param to_seqno: last seqno of planned micro-batches (templated). With neither, the operator plans what is due
        itself, and is skipped when nothing is.
    :raises AirflowFailException: another attempt would fail the same way; the message says why, and the ways out.
    """

    ui_color = "#dcefcf"

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_tungsten.replicator.batch.writer import write_batch

        progress = Progress(self.log, "writing", "rows")
        token = writer_token(context)
        with engine_errors():
            branch = open_branch(read_service(self.service), self.applier)
            manifests = []
            for plan in self._plans(branch, token):
                manifests.append(
                    write_batch(
                        branch.log,
                        plan,
                        branch.service,
                        branch.name,
                        branch.writes_to,
                        token=token,
                        progress=progress.within,
                    )
                )
                progress.add(plan.rows, seqno=plan.last)
        figures = _figures(manifests, progress)
        self.log.info("written", service=branch.service.service, applier=branch.name, **figures)
        return figures | {"objects": _names(manifests)}


class CsvToS3Operator(_BatchOperator):
    """Brings micro-batches from the applier's local staging folder to S3 and verifies what is there already.

    Must run where the folder is: on the host that wrote it, or on a shared volume.

    Returns what ThlToCsvOperator returns.

    :param service: a Service, a mapping of its fields, or the path of a service file (templated).
    :param applier: name of the applier in the service; not needed when there is only one.
    :param from_seqno: first seqno of planned micro-batches (templated).
    :param to_seqno: last seqno of planned micro-batches (templated). With neither: what is due.
    :raises AirflowFailException: another attempt would fail the same way; the message says why, and the ways out.
    """

    ui_color = "#cfeee6"

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_tungsten.replicator.batch.upload import upload_batch

        progress = Progress(self.log, "uploading", "rows")
        token = writer_token(context)
        with engine_errors():
            branch = open_branch(read_service(self.service), self.applier)
            if branch.staging is None:
                raise ConfigurationError(
                    f"applier {branch.name} of service {branch.service.service} has no staging_folder: its batches are on "
                    "S3 already"
                )
            manifests = []
            for plan in self._plans(branch, token):
                is_feed = branch.applier.is_feed
                manifests.append(
                    upload_batch(branch.staging, branch.folder, plan, token=token, is_feed=is_feed)
                )
                progress.add(plan.rows, seqno=plan.last)
        figures = _figures(manifests, progress)
        self.log.info("uploaded", service=branch.service.service, applier=branch.name, **figures)
        return figures | {"objects": _names(manifests)}


def _figures(manifests: Sequence[BatchManifest], progress: Progress) -> dict[str, Any]:
    parts = [part for manifest in manifests for table in manifest.tables for part in table.parts]
    rows = sum(manifest.total_rows for manifest in manifests)
    return {
        "from_seqno": manifests[0].plan.first,
        "to_seqno": manifests[-1].plan.last,
        "batches": len(manifests),
        "rows": rows,
        "files": len(parts),
        "bytes": sum(part.size for part in parts),
        **progress.rate(rows),
    }


def _names(manifests: Sequence[BatchManifest]) -> list[str]:
    from airflow_provider_tungsten.replicator.batch.files import manifest_key

    plans = [manifest.plan for manifest in manifests[:MAX_OBJECTS]]
    return [manifest_key(plan.first, plan.last, plan.skipped) for plan in plans]
