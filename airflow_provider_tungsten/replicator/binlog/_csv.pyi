from collections.abc import Iterable, Sequence

from airflow_provider_tungsten.replicator.binlog._images import Field
from airflow_provider_tungsten.replicator.binlog.refusals import Encoded

class Workspace: ...

class CsvEncoder:
    def __init__(
        self,
        table: str,
        names: Iterable[str],
        fields: Iterable[Field],
        header: Sequence[str],
        *,
        null: str,
        service: str,
        max_text_bytes: int | None,
        max_binary_bytes: int | None,
        max_geometry_bytes: int | None,
        refuse_nul: bool,
        refuse_zero_dates: bool,
        separator: str,
        quote: str,
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
