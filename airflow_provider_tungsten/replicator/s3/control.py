"""The position of an S3 applier as an operator reads and sets it: a :class:`PositionStore`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from airflow_provider_tungsten.replicator.batch.position import Position, Recorded
from airflow_provider_tungsten.replicator.s3.applier import position_place
from airflow_provider_tungsten.replicator.s3.position import KEY, PositionFile
from airflow_provider_tungsten.replicator.s3.settings import S3Applier
from airflow_provider_tungsten.replicator.settings import Store
from airflow_provider_tungsten.replicator.storage import Storage


class S3Position:
    """
    :param folder: the applier's.
    :param open_store: makes a place of its settings.
    :param token: of :func:`.storage.new_token`.
    """

    def __init__(
        self,
        service: str,
        applier_name: str,
        applier: S3Applier,
        folder: Storage,
        open_store: Callable[[Store], Storage],
        *,
        token: str,
    ) -> None:
        self._place = position_place(applier, service, folder, open_store)
        self._file = PositionFile(self._place, service, applier_name)
        self._version: str | None = None
        self._token = token

    def read(self) -> Recorded | None:
        """:raises PreflightError, CorruptLogError: see :meth:`PositionFile.read`."""
        position, self._version = self._file.read()
        if self._version is None:
            return None
        fields = json.loads(self._place.read(KEY))
        return Recorded(position, float(fields["appliedLatency"]), fields)

    @contextmanager
    def held(self) -> Iterator[Recorded | None]:
        """Nobody is kept waiting: whoever moves it meanwhile makes :meth:`write` fail."""
        yield self.read()

    def write(self, new: Position | None) -> None:
        """:raises ObjectChangedError: a load has moved it since it was read."""
        if new is None:
            self._place.delete(KEY)
        else:
            self._file.move(new, self._version, time.time(), self._token)

    def close(self) -> None:
        """Nothing is open."""
