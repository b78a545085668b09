from collections.abc import Callable, Iterable

from airflow_provider_tungsten.replicator.binlog._images import Field

class PartialUpdates:
    def __init__(self, table: str, names: Iterable[str], fields: Iterable[Field]) -> None: ...
    def whole(
        self,
        out: bytearray,
        payload: bytes | memoryview,
        pieces: Callable[[memoryview, memoryview], list[bytes | memoryview]],
    ) -> bytearray:
        """Puts the whole images behind what is there."""
