from typing import Any

from typing_extensions import Buffer

from airflow_provider_tungsten.replicator.binlog._fragments import Fragments
from airflow_provider_tungsten.replicator.binlog._images import RowLayout
from airflow_provider_tungsten.replicator.binlog.events import Event, Gtid
from airflow_provider_tungsten.replicator.binlog.mariadb import MariadbGtid

class Table:
    """An included table.

    :param key: its number among the fragments' tables.
    :param keep: of each column, whether it is kept; None: all are.
    """

    key: int
    layout: RowLayout
    columns: int
    keep: list[bool] | None
    def __init__(self, key: int, layout: RowLayout, columns: int, keep: list[bool] | None) -> None: ...

class Assembly:
    """Takes in plain transactions; what else comes, it hands to ``_on_event``.

    :param limits: transactions, bytes, file, position.
    :param group_bytes, group_events: of whole transactions; then the stream is paused.
    :param fragment_bytes: see `Fragments`.

    ``ended``: why nothing more is taken in, '' before; ``paused``: the stream keeps what follows; ``skip``: rows are not
    kept until the transaction ends. Counted: ``next_seqno``, ``transactions``, ``rows``, ``bytes``.
    """

    paused: bool
    ended: str
    skip: bool
    next_seqno: int
    transactions: int
    rows: int
    bytes: int
    fragments: Fragments
    _asked_to_end: str
    _position: int
    _last_start: int | None
    _last_gtid: str
    _last_ts: int
    _watermark: int
    _extracted_ts: int
    _expected: Any
    _gtid: Gtid | MariadbGtid | None
    _start: int
    _thread: int | None
    _executed: Any
    _begun: bool
    _special: bool
    _spooled: bool
    def __init__(
        self,
        limits: tuple[int, int, str, int],
        spool_bytes: int,
        group_bytes: int,
        group_events: int,
        fragment_bytes: int,
    ) -> None: ...
    def take_event(self, event: Event) -> None: ...
    def know(self, body: Buffer, table: Table | None) -> None:
        """From here on, and when the same table map comes again, its table id stands for this table; None: excluded."""
    def open_table(self, body: Buffer) -> tuple[bool, Any]:
        """Whether a table map of the id in front of the body was there in the open transaction; its table, None: excluded."""
    def forget_tables(self) -> None:
        """Every table map is new, and rows need one in front of them."""
    def _sync(self) -> None: ...
    def _add_fragment(
        self, key: int, kind: int, rows: int, payload: Buffer, options: dict[str, str] | None = None
    ) -> None: ...
    def _commit(self, event: Event) -> None: ...
