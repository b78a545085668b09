from collections.abc import Iterable
from enum import IntEnum

from typing_extensions import Buffer

from airflow_provider_tungsten.replicator.binlog._spooled import SpooledBuffer

class Segment(IntEnum):
    """What a container holds of its children: entries of keys and of values, and the keys and values that these point to."""

    KEY_ENTRIES = ...
    VALUE_ENTRIES = ...
    KEYS = ...
    VALUES = ...

class DiffError(ValueError):
    """A document, a diff or a path that is none, or that do not go together; the message holds no value."""

class Written:
    def __len__(self) -> int: ...

class Children:
    """Children of a container that stand next to each other in it; at first, all.

    :param kind: of the container; ``keyed``: whether it is an object.
    :param data: its value, and perhaps more.
    :raises DiffError: it is no container, or cut short.
    """

    keyed: bool
    def __init__(self, kind: int, data: memoryview) -> None: ...
    def __len__(self) -> int: ...
    def part(self, start: int, stop: int) -> Children: ...
    def key(self, index: int) -> bytes | None:
        """None in an array."""
    def value(self, index: int) -> tuple[int, memoryview]:
        """Its type and bytes."""
    def before(self, key: bytes) -> int:
        """How many of an object's children stand in front of the key, in the order of objects: the shorter first, then by bytes."""
    def sizes(self, large: bool) -> tuple[int, int]:
        """Bytes of keys, and of the values that do not stand in the entries of a large or a small container."""

def extent(kind: int, data: Buffer) -> int:
    """Bytes of the value of that type that begins there."""

def written(children: Children, segment: Segment, large: bool, offset: int, size: int) -> Written:
    """What a container holds of the children.

    :param offset: where the first of them stands.
    :param size: bytes that it will have.
    """

def put_pieces(out: SpooledBuffer, pieces: Iterable[bytes | memoryview | Written]) -> None: ...
