from collections.abc import Iterable, Iterator

from typing_extensions import Buffer

from airflow_provider_tungsten.replicator.binlog._images import Field

class RowReader:
    def __init__(self, table: str, names: Iterable[str], fields: Iterable[Field]) -> None: ...
    def images(
        self, payload: Buffer, most: int | None = None, large: int | None = None
    ) -> Iterator[tuple[str | None, ...]]: ...
