"""Takes back what the open transaction had collected, where the log itself says that it was rolled back."""

from __future__ import annotations

from airflow_provider_tungsten.replicator.collector import Collector
from airflow_provider_tungsten.replicator.errors import UnsupportedError
from airflow_provider_tungsten.replicator.savepoints import Savepoints, SavepointStatement

# Since when rows of non-transactional tables are transactions of their own (two caches, `use_trans_cache` in the
# server's `sql/binlog.cc` and MariaDB's `sql/log.cc`), so that all rows of one that rolls back anything are undone.
_SEPARATE_CACHES = (5, 6, 0)


class Rollbacks:
    """Of one transaction after the other; MySQL itself cuts rolled-back rows out, unless something that cannot be rolled
    back follows the savepoint."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._savepoints = Savepoints()
        self._only_transactional = False

    def begin_file(self, version: tuple[int, int, int]) -> None:
        """:param version: of the server that wrote the file."""
        self._only_transactional = version >= _SEPARATE_CACHES

    def clear(self) -> None:
        """The transaction has ended."""
        self._savepoints.clear()

    def all(self, place: str) -> None:
        """:raises UnsupportedError: see :meth:`on_savepoint`."""
        if self._collector.mark():
            self._check_undoable(place)
        self._collector.forget()

    def on_savepoint(self, statement: SavepointStatement, place: str) -> None:
        """:raises UnsupportedError: which rows stay cannot be known."""
        verb, name = statement
        kept = self._collector.mark()
        if verb == "set":
            self._savepoints.set(name, kept)
        elif verb == "release":
            self._savepoints.release(name)
        else:
            mark = self._savepoints.back(name)
            if mark is None and kept:
                raise UnsupportedError(
                    f"{place}: a ROLLBACK TO SAVEPOINT whose savepoint is not in the log; start behind this "
                    "transaction with the DAG's parameter `reposition` and load its tables again"
                )
            if mark is not None and mark != kept:
                self._check_undoable(place)
                self._collector.cut(mark)

    def _check_undoable(self, place: str) -> None:
        """Rows that are rolled back may go if no table of them would have kept them."""
        if not self._only_transactional:
            raise UnsupportedError(
                f"{place}: rows that are rolled back, by a server that logs rows of tables without transactions "
                "(MyISAM) among the others: which of them stay cannot be known. Start behind this transaction with the "
                "DAG's parameter `reposition` and load its tables again; use MySQL 5.6 or later, or tables with "
                "transactions (ENGINE=InnoDB)"
            )
