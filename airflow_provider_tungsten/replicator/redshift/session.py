"""One session on Redshift: statements, transactions under the commit table's lock, and errors told apart.

What is run in it is :mod:`.load`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from airflow_provider_tungsten.replicator.errors import TargetUnavailableError, TungstenError
from airflow_provider_tungsten.replicator.redshift import errors, position
from airflow_provider_tungsten.replicator.redshift.ddl import Relation
from airflow_provider_tungsten.replicator.redshift.settings import RedshiftApplier

# Arguments of redshift_connector.connect with which a session whose worker vanished is noticed within minutes.
KEEPALIVE = {
    "tcp_keepalive": True,
    "tcp_keepalive_idle": 60,
    "tcp_keepalive_interval": 15,
    "tcp_keepalive_count": 4,
}

# Sessions that hold a lock on a table: argument its oid (SVV_TRANSACTIONS).
_HOLDERS = (
    "SELECT DISTINCT pid, TRIM(txn_owner), txn_start FROM svv_transactions WHERE granted AND relation = "
    "(SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
    "WHERE LOWER(n.nspname) = LOWER(%s) AND LOWER(c.relname) = LOWER(%s)) AND lock_mode = 'AccessExclusiveLock'"
)


class CommitUnknownError(TargetUnavailableError):
    """The connection was lost at COMMIT: the position, read under the lock, tells what happened."""


class Session:
    """A connection of ``redshift_connector`` in transactions, opened when it is first needed.

    Every method raises :class:`TargetUnavailableError` where a later attempt may help, else :class:`TargetError`.

    :param connect: gives a new connection; :data:`KEEPALIVE` is for its arguments.
    :param lock_timeout, statement_timeout: seconds.
    """

    def __init__(self, connect: Callable[[], Any], *, lock_timeout: float, statement_timeout: float) -> None:
        self._connect = connect
        self._lock_timeout = lock_timeout
        self._statement_timeout = statement_timeout
        self._connection: Any = None

    @classmethod
    def of(cls, applier: RedshiftApplier, connect: Callable[[], Any]) -> Session:
        """With the applier's timeouts."""
        return cls(
            connect,
            lock_timeout=applier.lock_timeout_seconds,
            statement_timeout=applier.statement_timeout_seconds,
        )

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except errors.DRIVER_ERRORS:
                return  # it was gone already

    def execute(self, sql: str, arguments: Sequence[Any] = (), *, doing: str) -> int:
        """:returns: rows changed, -1 where the server does not say."""
        with self._explained(doing), self._open().cursor() as cursor:
            cursor.execute(sql, arguments)
            return int(cursor.rowcount)

    def query(self, sql: str, arguments: Sequence[Any] = (), *, doing: str) -> list[tuple[Any, ...]]:
        with self._explained(doing), self._open().cursor() as cursor:
            cursor.execute(sql, arguments)
            return [tuple(row) for row in cursor.fetchall()]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commits at the end, rolls back on any exception.

        :raises CommitUnknownError: the connection was lost at COMMIT.
        """
        with self.guarded():
            yield
        self.commit()

    @contextmanager
    def locked(self, table: Relation) -> Iterator[None]:
        """A transaction under the commit table's lock; see :meth:`lock`."""
        self.lock(table)
        with self.transaction():
            yield

    def lock(self, table: Relation) -> None:
        """Begins a transaction with the commit table's lock, so that its snapshot is taken behind it; its end is the caller's.

        :raises TargetUnavailableError: the lock was not to be had in time; the message names who holds it.
        """
        with self.transaction():
            self._timeout(self._lock_timeout)
        with self.guarded():
            self._lock(table)
            self._timeout(self._statement_timeout)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Part of a transaction: it goes on behind it, unless an exception ended it."""
        try:
            yield
        except TungstenError:
            self.rollback()
            raise
        except BaseException:
            self.close()  # it may have come in the middle of an answer
            raise

    def commit(self) -> None:
        """:raises CommitUnknownError: the connection was lost at COMMIT."""
        try:
            self._open().commit()
        except errors.DRIVER_ERRORS as error:
            explained = errors.classify(error, "commit")
            if errors.connection_lost(error):
                self.close()
                raise CommitUnknownError(str(explained)) from error
            self.rollback()
            raise explained from error

    def rollback(self) -> None:
        if self._connection is None:
            return
        try:
            self._connection.rollback()
        except errors.DRIVER_ERRORS:
            self.close()  # what the server holds of a lost connection it rolls back itself

    def _lock(self, table: Relation) -> None:
        try:
            with self._open().cursor() as cursor:
                cursor.execute(position.lock(table))
        except errors.DRIVER_ERRORS as error:
            explained = errors.classify(error, f"lock {table}")
            if errors.server_fields(error).get("C") != errors.QUERY_CANCELED:
                self._drop_if_lost(error)
                raise explained from error
            self.rollback()
            raise TargetUnavailableError(
                f"{table} stayed locked for {self._lock_timeout:g} s by {self._holders(table)}; another load may be at work "
                f"(then a later attempt goes on), or its worker vanished: SELECT pg_terminate_backend(<pid>)"
            ) from error

    def _holders(self, table: Relation) -> str:
        try:
            with self.transaction():
                rows = self.query(_HOLDERS, table, doing="look up who holds the lock")
        except TungstenError as error:
            return f"a session that could not be looked up ({error})"
        return ", ".join(f"session {pid} of {owner}, since {start} UTC" for pid, owner, start in rows) or (
            "a session that this user may not see"
        )

    def _timeout(self, seconds: float) -> None:
        self.execute(f"SET statement_timeout TO {max(1, round(seconds * 1000))}", doing="set a timeout")

    def _open(self) -> Any:
        if self._connection is None:
            try:
                self._connection = self._connect()
            except errors.DRIVER_ERRORS as error:
                raise errors.classify(error, "be reached") from error
            self._connection.autocommit = False
        return self._connection

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        try:
            yield
        except errors.DRIVER_ERRORS as error:
            self._drop_if_lost(error)
            raise errors.classify(error, doing) from error

    def _drop_if_lost(self, error: BaseException) -> None:
        if errors.connection_lost(error):
            self.close()
