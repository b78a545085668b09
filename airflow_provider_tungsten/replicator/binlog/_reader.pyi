from collections.abc import Iterable

from airflow_provider_tungsten.replicator.binlog._images import Field
from airflow_provider_tungsten.replicator.binlog._spooled import SpooledBuffer

class RowReader:
    def __init__(self, table: str, names: Iterable[str], fields: Iterable[Field]) -> None: ...
    def images(
        self, payload: bytes | bytearray | memoryview | SpooledBuffer, most: int | None = None
    ) -> list[tuple[str | None, ...]]: ...
