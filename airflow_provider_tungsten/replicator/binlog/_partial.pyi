from collections.abc import Callable, Iterable

from airflow_provider_tungsten.replicator.binlog._images import Field

class PartialUpdates:
    def __init__(self, table: str, names: Iterable[str], fields: Iterable[Field]) -> None: ...
    def whole(self, payload: bytes | memoryview, apply: Callable[[bytes, bytes], bytes]) -> bytes: ...
