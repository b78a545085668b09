from collections.abc import Iterable

from airflow_provider_tungsten.replicator.binlog._images import Field

class RowReader:
    def __init__(self, table: str, names: Iterable[str], fields: Iterable[Field]) -> None: ...
    def images(
        self, payload: bytes | bytearray | memoryview, most: int | None = None
    ) -> list[tuple[str | None, ...]]: ...
