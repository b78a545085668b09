"""The templated DAG: a service's steps, put together out of the operators."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pendulum
from airflow.exceptions import AirflowTimetableInvalid
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException
from airflow.sdk import DAG, BaseOperator, Context, Param, TaskGroup, TriggerRule
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_tungsten.operators.batch import CsvToS3Operator, PlanBatchesOperator, ThlToCsvOperator
from airflow_provider_tungsten.operators.binlog import BinlogToThlOperator
from airflow_provider_tungsten.operators.common import ServiceLike, read_service
from airflow_provider_tungsten.operators.load import ApplyBatchesOperator
from airflow_provider_tungsten.operators.redshift import S3ToRedshiftMergeOperator
from airflow_provider_tungsten.replicator.batch.settings import ApplierSettings
from airflow_provider_tungsten.replicator.custom.settings import check_target
from airflow_provider_tungsten.replicator.errors import ConfigurationError
from airflow_provider_tungsten.replicator.service import Service, load_service

DAG_PREFIX = "tungsten_"
# Constant, so that parsing twice gives the same DAG; early, so that no backfill lies before it.
START = pendulum.datetime(2020, 1, 1, tz="UTC")
SPAN = "{{ task.from_seqno }}–{{ task.to_seqno }}"
# Manual runs have no data interval, and their context has no such name: it may be looked at in a backfill only.
IN_BACKFILL = "{{{{ {name}.isoformat() if dag_run.run_type == 'backfill' else '' }}}}"
PARAMS = {
    "from_seqno": ("First seqno", "Empty, like the last one: go on behind what is applied"),
    "to_seqno": ("Last seqno", "Itself included. Empty: up to the end of the log"),
}
RECOVERY = {
    "reposition": ("Reposition", "Go on at now, earliest, file:position or a GTID set; records a gap"),
    "acknowledge_gap": ("Acknowledge a gap", "Seqno of the gap record: the target is in the state behind it"),
}
TARGETS = {"redshift": "Redshift", "s3": "S3", "custom": "a target of one's own"}
DOC = """
**extract** takes what is new out of MySQL's binary log into the THL; then, for each applier, **plan** decides which
micro-batches are due, **batch** writes their CSV files, and **load** applies them in order: to Redshift's tables, to the
feed of files on S3, or to a target of one's own.

A run with `from_seqno` or `to_seqno`, and a run of a backfill, leaves MySQL alone and works on what is in the THL. Any
task or run can be cleared at any time: what is applied is not applied twice. Nothing new: `plan` and all behind it are
skipped.
"""


def tungsten_dag(service: ServiceLike, **dag_kwargs: Any) -> DAG:
    """The DAG of a service: `extract → plan → batch → load`, from `plan` on once an applier, whatever its target.

    Scheduled and plain manual runs take what is new. With `from_seqno` or `to_seqno`, and in a backfill, a run works
    on what is in the THL and leaves the source alone. ``reposition`` and ``acknowledge_gap`` are the ways out of lost log.

    :param service: a Service, a mapping of its fields, or the path of a service file, read now.
    :param dag_kwargs: arguments of `DAG` that win over the ones here; `default_args` are merged.
    :raises ConfigurationError: the service is not valid, or a class that it names does not fit.
    """
    checked = read_service(service)
    for applier in checked.appliers.values():
        check_target(applier)
    default_args = {"retries": 3, "retry_delay": timedelta(seconds=10), **dag_kwargs.pop("default_args", {})}
    arguments: dict[str, Any] = {
        "dag_id": f"{DAG_PREFIX}{checked.service}",
        "description": f"MySQL to {_targets(checked)}: service {checked.service}",
        "schedule": _timetable(checked.schedule),
        "start_date": START,
        "catchup": False,
        "max_active_runs": 1,
        "params": _params(),
        "tags": ["tungsten", checked.service],
        "doc_md": DOC,
        **dag_kwargs,
        "default_args": default_args,
    }
    with DAG(**arguments) as dag:
        extract = BinlogToThlOperator(
            task_id="extract",
            service=_fields(checked),
            reposition=_param_or_nothing("reposition"),
            max_active_tis_per_dag=1,
            pre_execute=_skip_when_the_log_is_enough,
        )
        for name, applier in checked.appliers.items():
            if len(checked.appliers) == 1:
                extract >> _branch(checked, name, applier)
            else:
                with TaskGroup(name):
                    plan = _branch(checked, name, applier)
                extract >> plan
    return dag


def _branch(service: Service, name: str, applier: ApplierSettings) -> BaseOperator:
    """Planning, writing and loading for one applier; its first task."""
    common: dict[str, Any] = {"service": _fields(service), "applier": name}
    plan = PlanBatchesOperator(
        task_id="plan",
        **common,
        **{field: _param_or_nothing(field) for field in (*PARAMS, "acknowledge_gap")},
        interval_start=IN_BACKFILL.format(name="data_interval_start"),
        interval_end=IN_BACKFILL.format(name="data_interval_end"),
        trigger_rule=TriggerRule.NONE_FAILED,
    )
    spans = plan.output
    last = batch = ThlToCsvOperator.partial(task_id="batch", **common, map_index_template=SPAN).expand_kwargs(
        spans
    )
    if applier.staging_folder:
        last = CsvToS3Operator.partial(task_id="upload", **common, map_index_template=SPAN).expand_kwargs(
            spans
        )
        batch >> last
    loads = S3ToRedshiftMergeOperator if applier.type == "redshift" else ApplyBatchesOperator
    load = loads(
        task_id="load",
        **common,
        to_seqno=f"{{{{ ti.xcom_pull(task_ids={plan.task_id!r})[-1].to_seqno }}}}",
        max_active_tis_per_dag=1,
    )
    last >> load
    return plan


def _targets(service: Service) -> str:
    """Each once, in the order of the appliers."""
    return " and ".join(dict.fromkeys(TARGETS[applier.type] for applier in service.appliers.values()))


def _fields(service: Service) -> dict[str, Any]:
    """The service as Airflow can show it: what was set, nothing that is a default."""
    return service.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def _params() -> dict[str, Param]:
    shown = {name: (*texts, "Range") for name, texts in PARAMS.items()}
    shown |= {name: (*texts, "Recovery") for name, texts in RECOVERY.items()}
    return {
        name: Param(None, title=title, description=description, section=section, **_type(name))
        for name, (title, description, section) in shown.items()
    }


def _type(name: str) -> dict[str, Any]:
    return (
        {"type": ["null", "string"]} if name == "reposition" else {"type": ["null", "integer"], "minimum": 0}
    )


def _param_or_nothing(name: str) -> str:
    return f"{{{{ '' if params.{name} is none else params.{name} }}}}"


def _timetable(schedule: str | None) -> CronDataIntervalTimetable | None:
    """:raises ConfigurationError: not a cron expression."""
    if schedule is None:
        return None
    try:
        timetable = CronDataIntervalTimetable(schedule, timezone="UTC")
        timetable.validate()
    except AirflowTimetableInvalid as error:
        raise ConfigurationError(f"schedule: {schedule!r} is not a cron expression: {error}") from None
    return timetable


def _skip_when_the_log_is_enough(context: Context) -> None:
    if context["dag_run"].run_type == "backfill":
        raise AirflowSkipException("a backfill takes its interval out of the THL")
    if any(context["params"].get(name) is not None for name in PARAMS):
        raise AirflowSkipException("a range of seqnos is taken out of the THL")


def service_file_dag(path: Path) -> DAG:
    """The DAG of a service file, which is named after its service.

    A file that is not valid gives a DAG in the place of its own that fails once an hour with what is wrong in it: the
    other files' DAGs go on, the broken one is seen and alerts, and its history stays.
    """
    try:
        service = load_service(path)
        if service.service != path.stem:
            raise ConfigurationError(
                f"{path}: service: {service.service!r} is not the file's name; call the file {service.service}{path.suffix}"
            )
        return tungsten_dag(service)
    except ConfigurationError as error:
        return _broken(path.stem, f"service file {path.name}: {error}")


def _broken(name: str, message: str) -> DAG:
    with DAG(
        dag_id=f"{DAG_PREFIX}{name}",
        description="The service file is not valid",
        schedule="@hourly",
        start_date=START,
        catchup=False,
        max_active_runs=1,
        tags=["tungsten", "invalid service file"],
        doc_md=f"```\n{message}\n```",
    ) as dag:
        InvalidServiceFileOperator(task_id="service_file", message=message)
    return dag


class InvalidServiceFileOperator(BaseOperator):
    """Fails with what is wrong in a service file.

    :param message: what is wrong.
    """

    def __init__(self, *, message: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.message = message

    def execute(self, context: Context) -> None:
        raise AirflowFailException(self.message)
