"""The S3 applier: a batch is in the feed when its files and manifest are; applying it is moving the position behind it."""

from __future__ import annotations

import time
from collections.abc import Callable

from airflow_provider_tungsten.replicator.batch.files import absent_files
from airflow_provider_tungsten.replicator.batch.manifest import BatchManifest, Plan, TableBatch
from airflow_provider_tungsten.replicator.batch.position import Position, is_applied
from airflow_provider_tungsten.replicator.errors import StorageError
from airflow_provider_tungsten.replicator.s3.position import PositionFile
from airflow_provider_tungsten.replicator.s3.settings import S3Applier
from airflow_provider_tungsten.replicator.service import Service
from airflow_provider_tungsten.replicator.settings import Store
from airflow_provider_tungsten.replicator.storage import ObjectChangedError, Storage


class S3Target:
    """An append-only feed: a :class:`BatchApplier`. Loads at once do no harm: the position moves by compare and swap.

    :param folder: ``<files>/<service>/<applier>``, where the batches are.
    :param position: where the position is kept.
    :param token: of :func:`.storage.new_token`.
    """

    def __init__(self, folder: Storage, position: PositionFile, *, token: str) -> None:
        self._folder = folder
        self._position = position
        self._token = token
        self._plan: Plan | None = None
        self._version: str | None = None

    def prepare(self) -> Position:
        """Reads the position.

        :raises PreflightError, CorruptLogError: see :meth:`PositionFile.read`.
        """
        return self._read()

    def begin(self, batch: BatchManifest) -> Position:
        """Reads the position again, as another load may have moved it."""
        self._plan = batch.plan
        return self._read()

    def apply(self, table: TableBatch) -> None:
        """Makes sure that the table's files are there.

        :raises StorageError: some are not.
        """
        assert self._plan is not None
        if gone := list(absent_files(self._folder, self._plan, table)):
            raise StorageError(
                f"{self._folder.url}/{gone[0]} (and {len(gone) - 1} more files of {table.schema}.{table.table}) is not there in the "
                f"size that the manifest of batch {self._plan.first}-{self._plan.last} tells: run the batch step for that range again"
            )

    def commit(self, position: Position) -> Position:
        """Moves the position. Where another load was quicker, what it has reached decides.

        :raises GapError, DivergedError: that does not go together with this batch; see :func:`is_applied`.
        """
        assert self._plan is not None
        while True:
            try:
                self._position.move(position, self._version, time.time(), self._token)
            except ObjectChangedError:
                current = self._read()
                if is_applied(current, self._plan):
                    return current
            else:
                return position

    def release(self) -> None:
        """Nothing is held."""
        self._plan = None

    def _read(self) -> Position:
        position, self._version = self._position.read()
        return position


def s3_target(
    service: Service,
    applier_name: str,
    folder: Storage,
    open_store: Callable[[Store], Storage],
    *,
    token: str,
) -> S3Target:
    """The target of an applier of ``type: s3``.

    :param folder: ``<files>/<service>/<applier>``.
    :param open_store: makes a place of its settings; asked for ``metadata`` where that is set.
    """
    applier = service.applier(applier_name)
    assert isinstance(applier, S3Applier)
    place = position_place(applier, service.service, folder, open_store)
    return S3Target(folder, PositionFile(place, service.service, applier_name), token=token)


def position_place(
    applier: S3Applier, service: str, folder: Storage, open_store: Callable[[Store], Storage]
) -> Storage:
    """``<metadata>/applier/<service>``."""
    metadata = open_store(applier.metadata) if applier.metadata else folder.sub("_metadata")
    return metadata.sub("applier").sub(service)
