"""Which class carries out an applier's steps, and one whole load of it: the same for Airflow and the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from airflow_provider_tungsten.replicator.batch.apply import BatchApplier, LoadResult, apply_batches
from airflow_provider_tungsten.replicator.branch import Branch
from airflow_provider_tungsten.replicator.custom.settings import CustomApplier
from airflow_provider_tungsten.replicator.errors import ConfigurationError, TungstenError
from airflow_provider_tungsten.replicator.redshift.settings import RedshiftApplier
from airflow_provider_tungsten.replicator.s3.settings import S3Applier
from airflow_provider_tungsten.replicator.thl.appliers import check_not_removed
from airflow_provider_tungsten.replicator.thl.retention import after_load

RedshiftConnector = Callable[[str, str], Callable[[], Any]]
"""Out of the name of a connection of type ``redshift``, and of one of type ``aws`` for IAM: what opens a session."""


def load(
    branch: Branch,
    redshift: RedshiftConnector,
    *,
    through: int,
    token: str,
    progress: Callable[..., None] | None = None,
) -> LoadResult:
    """Applies what is written and not applied yet, as far as ``through``; then the log may let go what it kept for that.

    What is applied stays applied when something goes wrong with the log behind it: the result's warnings tell.

    :raises ConfigurationError: the applier was removed from the log, or see :func:`open_target`.
    :raises TungstenError: see :func:`apply_batches`.
    """
    check_not_removed(branch.log, branch.name)
    target = open_target(branch, redshift, token=token)
    result = apply_batches(
        target, branch.log, branch.chain, branch.folder, through=through, progress=progress
    )
    try:
        after_load(branch.log, branch.service, branch.name, result.position, token=token)
    except TungstenError as error:
        warning = f"retention of the log {branch.log.url} failed, the load did not: {error}"
        return replace(result, warnings=(warning,))
    return result


def open_target(branch: Branch, redshift: RedshiftConnector, *, token: str) -> BatchApplier:
    """The target of an applier; nothing is contacted yet.

    :param token: signs what the target writes once.
    :raises ConfigurationError: a class that does not fit, a connection that is not known.
    """
    # Imported where they are needed: a driver, or a user's module, takes its time.
    names, applier = (branch.service.service, branch.name), branch.applier
    if isinstance(applier, RedshiftApplier):
        from airflow_provider_tungsten.replicator.redshift.load import Target

        connect = redshift(applier.connection, applier.files.connection)
        return Target(connect, *names, applier, branch.folder)
    if isinstance(applier, S3Applier):
        from airflow_provider_tungsten.replicator.s3.applier import s3_target

        return s3_target(branch.service, branch.name, branch.folder, branch.open_store, token=token)
    if isinstance(applier, CustomApplier):
        from airflow_provider_tungsten.replicator.custom.files import BatchFiles
        from airflow_provider_tungsten.replicator.custom.target import ApplierContext, CustomTarget

        files = BatchFiles(branch.folder, applier.csv)
        context = ApplierContext(*names, applier.options, applier.csv, files)
        return CustomTarget(applier.class_, context)
    raise ConfigurationError(f"applier {branch.name}: there is no target of type {applier.type}")
