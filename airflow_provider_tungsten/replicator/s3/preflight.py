"""What stands against an S3 applier before its first batch, all at once, each with its mend."""

from __future__ import annotations

from collections.abc import Callable

from airflow_provider_tungsten.replicator.batch import claims
from airflow_provider_tungsten.replicator.batch.claims import Owner
from airflow_provider_tungsten.replicator.errors import TerminalError
from airflow_provider_tungsten.replicator.s3.applier import position_place
from airflow_provider_tungsten.replicator.s3.position import PositionFile
from airflow_provider_tungsten.replicator.s3.settings import S3Applier
from airflow_provider_tungsten.replicator.service import Service
from airflow_provider_tungsten.replicator.settings import Store
from airflow_provider_tungsten.replicator.storage import Storage
from airflow_provider_tungsten.replicator.thl.log import Log


def findings(
    service: Service, applier_name: str, log: Log, folder: Storage, open_store: Callable[[Store], Storage]
) -> list[str]:
    """
    :param log: may not have begun.
    :param folder: ``<files>/<service>/<applier>``.
    """
    applier = service.applier(applier_name)
    assert isinstance(applier, S3Applier)
    place = position_place(applier, service.service, folder, open_store)
    found: list[str] = []
    head = log.head()
    claimed = claims.owner_of(claims.files_of(folder))
    # Before the log begins it has no uuid: then the place must be nobody's.
    owner = Owner(service.service, applier_name, head.uuid if head else "")
    try:
        found += claims.findings(folder, owner, alone=claimed is None)
        PositionFile(place, service.service, applier_name).read()
    except TerminalError as error:
        found.append(str(error))
    # Nothing is tried in what may be another's.
    return found or [finding for finding in (folder.check_write_once(), place.check_replace()) if finding]


def warnings(service: Service, applier_name: str) -> list[str]:
    """What works, but not everywhere."""
    applier = service.applier(applier_name)
    assert isinstance(applier, S3Applier)
    local = [
        f"appliers.{applier_name}.{name}"
        for name, store in (("files.url", applier.files), ("metadata.url", applier.metadata))
        if store is not None and not store.url.startswith("s3://")
    ]
    return [
        f"{name} is a local folder: run every task of this service on this one host; a lock of its file system guards the position"
        for name in local
    ]
