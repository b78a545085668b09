"""The applier's row of ``trep_commit_seqno`` as an operator reads and sets it: a :class:`PositionStore`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from airflow_provider_tungsten.replicator.batch.position import Position, Recorded
from airflow_provider_tungsten.replicator.errors import TargetError
from airflow_provider_tungsten.replicator.redshift import ddl, position
from airflow_provider_tungsten.replicator.redshift.ddl import Names
from airflow_provider_tungsten.replicator.redshift.load import Target
from airflow_provider_tungsten.replicator.redshift.session import Session
from airflow_provider_tungsten.replicator.redshift.settings import RedshiftApplier
from airflow_provider_tungsten.replicator.storage import Storage


class RedshiftPosition:
    """
    :param connect: gives a connection of ``redshift_connector``.
    :param store: the applier's folder.
    """

    def __init__(
        self,
        connect: Callable[[], Any],
        service: str,
        applier_name: str,
        applier: RedshiftApplier,
        store: Storage,
    ) -> None:
        self._session = Session.of(applier, connect)
        self._target = Target(connect, service, applier_name, applier, store)
        self._table = Names.of(service, applier).commit_table
        self._applier_name = applier_name
        self._current = Position()

    def read(self) -> Recorded | None:
        """:raises TargetError, TargetUnavailableError: see :class:`Session`."""
        with self._session.transaction():
            if not self._session.query(ddl.COLUMNS, self._table, doing=f"look up {self._table}"):
                return None
            return self._read()

    @contextmanager
    def held(self) -> Iterator[Recorded | None]:
        """Under the commit table's lock, which loads take too.

        :raises TargetError, TargetUnavailableError: see :class:`Session`.
        """
        try:
            self._target.prepare()
        finally:
            self._target.release()
        with self._session.locked(self._table):
            found = self._read()
            self._current = found.position if found else Position()
            yield found

    def write(self, new: Position | None) -> None:
        if new is None:
            self._session.execute(
                position.remove(self._table), (self._applier_name,), doing="remove the position"
            )
            return
        arguments = position.update_arguments(self._applier_name, self._current, new, time.time())
        changed = self._session.execute(position.update(self._table), arguments, doing="set the position")
        if changed != 1:
            raise TargetError(
                f"setting the position of applier {self._applier_name} changed {changed} rows of {self._table}, not one; "
                "nothing was changed"
            )

    def close(self) -> None:
        self._session.close()

    def _read(self) -> Recorded | None:
        found = self._session.query(
            position.select_all(self._table), (self._applier_name,), doing="read the position"
        )
        if not found:
            return None
        row = dict(zip(position.COLUMNS, found[0], strict=True))
        return Recorded(
            position.from_row(tuple(row[name] for name in position.READ)),
            float(row["applied_latency"]),
            {
                name: value.isoformat(" ") if isinstance(value, datetime) else value
                for name, value in row.items()
            },
        )
