"""One applier's place in a service, put together from its settings: the log, the folders, the chain of its batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from airflow_provider_tungsten.replicator.batch.chain import Chain
from airflow_provider_tungsten.replicator.batch.settings import ApplierSettings
from airflow_provider_tungsten.replicator.errors import ConfigurationError
from airflow_provider_tungsten.replicator.service import Service
from airflow_provider_tungsten.replicator.settings import Store
from airflow_provider_tungsten.replicator.storage import Storage
from airflow_provider_tungsten.replicator.thl.log import Log

StoreOpener = Callable[[Store], Storage]


@dataclass(frozen=True)
class Branch:
    """One applier of a service and what it works with.

    :param folder: ``<files>/<service>/<applier>``: plans, CSV files, manifests, the position's hint.
    :param staging: the same below the local staging folder, where batches are written first; None without one.
    :param open_store: makes any other place that the settings name.
    """

    service: Service
    name: str
    applier: ApplierSettings
    log: Log
    folder: Storage
    staging: Storage | None
    chain: Chain
    open_store: StoreOpener

    @property
    def writes_to(self) -> Storage:
        """Where the batch step writes."""
        return self.staging or self.folder


def open_branch(service: Service, name: str | None, open_store: StoreOpener) -> Branch:
    """
    :param name: of the applier; None: the only one.
    :param open_store: makes a place of its settings, with the connection that they name.
    :raises ConfigurationError: no such applier, or several to choose from.
    """
    if name is None and len(service.appliers) > 1:
        raise ConfigurationError(
            f"service {service.service} has several appliers, give one: {', '.join(sorted(service.appliers))}"
        )
    name = name or next(iter(service.appliers))
    applier = service.applier(name)

    def below(store: Store) -> Storage:
        return open_store(store).sub(service.service).sub(name)

    log = Log(open_store(service.thl), service.service)
    folder = below(applier.files)
    staging = below(Store(url=applier.staging_folder)) if applier.staging_folder else None
    chain = Chain(folder, log, service, name)
    return Branch(service, name, applier, log, folder, staging, chain, open_store)
