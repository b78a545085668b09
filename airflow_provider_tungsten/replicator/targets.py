"""Which class carries out an applier's steps, and one whole load of it: the same for Airflow and the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from airflow_provider_tungsten.replicator.batch.apply import (
    BatchApplier,
    LoadResult,
    apply_batches,
    check_log,
)
from airflow_provider_tungsten.replicator.batch.hint import read_hint
from airflow_provider_tungsten.replicator.batch.position import Position
from airflow_provider_tungsten.replicator.branch import Branch
from airflow_provider_tungsten.replicator.custom.settings import CustomApplier
from airflow_provider_tungsten.replicator.errors import ConfigurationError, TungstenError
from airflow_provider_tungsten.replicator.redshift.settings import RedshiftApplier
from airflow_provider_tungsten.replicator.s3.settings import S3Applier
from airflow_provider_tungsten.replicator.service import Service
from airflow_provider_tungsten.replicator.settings import Store
from airflow_provider_tungsten.replicator.storage import Storage
from airflow_provider_tungsten.replicator.thl import appliers
from airflow_provider_tungsten.replicator.thl.appliers import check_not_removed
from airflow_provider_tungsten.replicator.thl.log import Log
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
        target,
        branch.log,
        branch.chain,
        branch.folder,
        through=through,
        progress=progress,
        closed_by=token if isinstance(branch.applier, CustomApplier) else None,
    )
    try:
        if branch.service.thl.retention is not None:
            keep_for_feeds(branch.service, branch.log, branch.open_store)
        after_load(branch.log, branch.service, branch.name, result.position, token=token)
    except TungstenError as error:
        warning = f"retention of the log {branch.log.url} failed, the load did not: {error}"
        return replace(result, warnings=(warning,))
    return result


def known_seqno(branch: Branch) -> int:
    """The last seqno that is applied, -1 before the first, as far as it is known without waking a target: a feed's own
    position; of other targets the hint that their last load left.

    :raises PreflightError, CorruptLogError: a feed's position cannot be read, or is another's.
    :raises DivergedError: it is not of this log.
    """
    if isinstance(branch.applier, S3Applier):
        position = _feed_position(branch.service, branch.name, branch.folder, branch.open_store)
        check_log(branch.log, position)
        return position.seqno
    hint = read_hint(branch.folder)
    return hint.seqno if hint else -1


def keep_for_feeds(service: Service, log: Log, open_store: Callable[[Store], Storage]) -> None:
    """Before a purge: the log is kept whole for a feed whose position is behind what the log knows, since a hand set it back.

    :raises PreflightError, CorruptLogError: see :func:`known_seqno`.
    """
    known = appliers.positions(log)  # first: a load moves the position, and then what is known here
    for name, applier in service.appliers.items():
        if name in known and isinstance(applier, S3Applier):
            folder = open_store(applier.files).sub(service.service).sub(name)
            if _feed_position(service, name, folder, open_store).seqno < known[name].seqno:
                appliers.rewind(log, name)


def _feed_position(
    service: Service, name: str, folder: Storage, open_store: Callable[[Store], Storage]
) -> Position:
    from airflow_provider_tungsten.replicator.s3.applier import position_place
    from airflow_provider_tungsten.replicator.s3.position import PositionFile

    applier = service.applier(name)
    assert isinstance(applier, S3Applier)
    place = position_place(applier, service.service, folder, open_store)
    return PositionFile(place, service.service, name).read()[0]


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
