from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from airflow_provider_tungsten.replicator.binlog._images import Field
from airflow_provider_tungsten.replicator.binlog._lines import Workspace
from airflow_provider_tungsten.replicator.binlog._spooled import SpooledBuffer
from airflow_provider_tungsten.replicator.binlog.dialect import Dialect
from airflow_provider_tungsten.replicator.binlog.output import Output
from airflow_provider_tungsten.replicator.binlog.refusals import Encoded

class EventRun(Protocol):
    """Events of one table and definition as columns: `places` of those that are meant, in order, in all the others; and
    what `payload` lies in where it is paged.

    Memoryviews of int64 (`seqnos`, `commits`), uint8 (`kinds`, places in `KINDS`), int32 (`counts` of rows; `offsets` into
    `payload`, one more), bytes (`payload`) and uint64 (`places`).
    """

    @property
    def places(self) -> memoryview: ...
    @property
    def seqnos(self) -> memoryview: ...
    @property
    def commits(self) -> memoryview: ...
    @property
    def kinds(self) -> memoryview: ...
    @property
    def counts(self) -> memoryview: ...
    @property
    def offsets(self) -> memoryview: ...
    @property
    def payload(self) -> memoryview: ...
    @property
    def spooled(self) -> SpooledBuffer | None: ...
    @property
    def event_ids(self) -> list[str | None]: ...
    @property
    def gtids(self) -> list[str | None]: ...

KINDS: tuple[str, ...]

class CsvEncoder:
    workspace: Workspace
    @property
    def failed(self) -> int: ...
    def __init__(
        self,
        table: str,
        names: Iterable[str],
        fields: Iterable[Field],
        header: Sequence[str],
        *,
        key: Sequence[int | str],
        dialect: Dialect,
        null: str,
        output: Output,
        service: str,
        timestamp_digits: int,
        distinguish_updates: bool,
        update_opcode: bool,
        max_text_bytes: int | None,
        max_binary_bytes: int | None,
        max_geometry_bytes: int | None,
        refuse_nul: bool,
        refuse_zero_dates: bool,
        workspace: Workspace | None,
    ) -> None: ...
    def encode(
        self,
        payload: bytes | bytearray | memoryview,
        kind: str,
        *,
        seqno: int,
        row_id: int,
        commit_ts: int,
        event_id: str = "",
        gtid: str = "",
    ) -> Encoded: ...
    def titles(self, names: Iterable[str]) -> bytes: ...
    def encode_run(
        self,
        run: EventRun,
        start: int,
        *,
        row_id: int,
        limit: int,
        sink: Callable[[bytes | memoryview], None] | None = None,
    ) -> tuple[Encoded, int]: ...
