from typing import Final, Literal

from airflow_provider_tungsten.replicator.binlog.events import Event

class EventStream:
    file: Final[str]
    ended: Final[bool]
    error: Final[tuple[int, str, str] | None]
    def __init__(
        self,
        file: str,
        position: int,
        *,
        verify_checksum: bool = True,
        framing: Literal["packets", "file"] = "packets",
    ) -> None: ...
    @property
    def position(self) -> int: ...
    @property
    def pending(self) -> int: ...
    def feed(self, chunk: bytes | bytearray | memoryview, *, rows: bool = True) -> list[Event]: ...
    def feed_to(self, sink: object, chunk: bytes | bytearray | memoryview) -> None: ...
