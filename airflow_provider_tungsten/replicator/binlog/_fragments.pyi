from collections.abc import Hashable, Iterator
from typing import Any

class Buffer: ...

class Fragments:
    """Fragments of the open transaction, behind those of whole ones.

    :param fragment_bytes: up to which row images that follow each other are joined.

    ``keys``: tables by their numbers; ``whole``: fragments of whole transactions; ``opened``: of the open one;
    ``size``: bytes of all payloads.
    """

    def __init__(self, fragment_bytes: int) -> None: ...
    @property
    def keys(self) -> list[Any]: ...
    @property
    def whole(self) -> int: ...
    @property
    def opened(self) -> int: ...
    @property
    def size(self) -> int: ...
    def open_size(self) -> int:
        """Bytes that the open transaction takes in memory."""
    def number(self, key: Hashable) -> int:
        """Of a table; a new one the first time."""
    def add(
        self,
        key: int,
        kind: int,
        rows: int,
        payload: bytes | memoryview,
        options: dict[str, str] | None = None,
    ) -> None:
        """Row images, joined to those before of the same table and kind up to a size; with options: a statement."""
    def mark(self) -> int:
        """How many fragments are open; what is added from here on is none of them."""
    def cut(self, count: int) -> None:
        """Forgets the open fragments behind the first ``count``."""
    def fragments(self) -> Iterator[tuple[int, int, int, bytes, dict[str, str] | None]]:
        """The open ones: kind, table, rows, payload, options. None may come or go meanwhile."""
    def take(self) -> tuple[int, dict[str, Any], dict[int, dict[str, str]]]:
        """How many rows whole transactions have, at least one, their columns, and options by row; they are gone here."""
    def forget_keys(self) -> bool:
        """Forgets the tables if no fragment has one of them."""
