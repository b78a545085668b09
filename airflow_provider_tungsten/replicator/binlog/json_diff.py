"""JSON diffs, as MySQL logs them with ``binlog_row_value_options=PARTIAL_JSON``, applied to a binary JSON document.

Only the containers on a diff's path are written anew; everything else is copied as it stands, since a value's offsets
count from the value itself. Nothing is held of the children that stay (`_json_children`): there may be a hundred million. Formats: MySQL `sql-common/json_binary.h` (values) and `sql-common/json_diff.cc` (diffs).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NamedTuple, cast

from airflow_provider_tungsten.replicator.binlog._json_children import (
    Children,
    DiffError,
    Segment,
    Written,
    extent,
    put_pieces,
    written,
)
from airflow_provider_tungsten.replicator.binlog._spooled import SpooledBuffer

SMALL_OBJECT, LARGE_OBJECT, SMALL_ARRAY, LARGE_ARRAY = range(4)
# Those that stand in a container's entry itself: of a small one, of a large one.
_INLINE = (frozenset({4, 5, 6}), frozenset({4, 5, 6, 7, 8}))
_MAX_SMALL = 0xFFFF
_MAX_LARGE = 0xFFFFFFFF
# MySQL's documents are not nested deeper.
_MAX_LEGS = 100
_LONGEST_PATH = 1 << 24
_REPLACE, _INSERT, _REMOVE = range(3)


class _Cell(NamedTuple):
    """``[number]``, or ``[last - number]``."""

    number: int
    from_end: bool

    def position(self, size: int) -> int:
        """As a number from 0; below 0 or beyond the last where there is none."""
        return size - 1 - self.number if self.from_end else self.number


_Leg = bytes | _Cell
Piece = bytes | memoryview | Written


class _Member:
    """A child that is looked into, or new."""

    __slots__ = ("key", "node")

    def __init__(self, key: bytes | None, node: _Node) -> None:
        self.key = key
        self.node = node

    def __len__(self) -> int:
        return 1


class _Node:
    """A value; a container's ``parts`` once it was opened: those of its children that stand as they were, and the others."""

    __slots__ = ("data", "keyed", "kind", "parts")

    def __init__(self, kind: int, data: memoryview) -> None:
        self.kind = kind
        self.data = data
        self.keyed = kind <= LARGE_OBJECT
        self.parts: list[Children | _Member] | None = None

    @property
    def opened(self) -> list[Children | _Member]:
        """The parts.

        :raises DiffError: it is no container.
        """
        if self.parts is None:
            self.parts = [Children(self.kind, self.data)]
        return self.parts

    def __len__(self) -> int:
        return sum(map(len, self.opened))

    def find(self, leg: _Leg) -> int | None:
        """Where the child is.

        :raises DiffError: the leg is not of this kind of container.
        """
        parts = self.opened
        if isinstance(leg, _Cell):
            if self.keyed:
                raise DiffError("a diff's path has an array's index where an object is")
            size = len(self)
            position = leg.position(size)
            return position if 0 <= position < size else None
        if not self.keyed:
            raise DiffError("a diff's path has an object's key where an array is")
        start = 0
        for part in parts:
            at = 0 if isinstance(part, _Member) else part.before(leg)
            if at < len(part) and (part.key if isinstance(part, _Member) else part.key(at)) == leg:
                return start + at
            start += len(part)
        return None

    def before(self, key: bytes) -> int:
        """How many children an object has in front of the key: the shorter first, then by bytes."""
        count = 0
        for part in self.opened:
            if isinstance(part, _Member):
                other = cast(bytes, part.key)
                count += (len(other), other) < (len(key), key)
            else:
                count += part.before(key)
        return count

    def child(self, position: int) -> _Member:
        at = self._cut(position)
        part = self.opened[at]
        if isinstance(part, _Member):
            return part
        self._cut(position + 1)
        member = self.opened[at] = _Member(part.key(0), _Node(*part.value(0)))
        return member

    def insert(self, position: int, member: _Member) -> None:
        self.opened.insert(self._cut(position), member)

    def remove(self, position: int) -> None:
        at = self._cut(position)
        self._cut(position + 1)
        del self.opened[at]

    def _cut(self, position: int) -> int:
        """The number of the part that begins there."""
        parts = self.opened
        for at, part in enumerate(parts):
            if not position:
                return at
            if isinstance(part, Children) and position < len(part):
                parts[at : at + 1] = [part.part(0, position), part.part(position, len(part))]
                return at + 1
            position -= len(part)
        return len(parts)

    def packed(self) -> _Packed:
        if self.parts is None:
            return _Packed(self.kind, len(self.data), [self.data])
        return _serialized(self.keyed, [_part_of(part) for part in self.parts if len(part)])


class _Packed(NamedTuple):
    """A value's type and bytes; ``size`` of them."""

    kind: int
    size: int
    pieces: list[Piece]


def apply(document: bytes, diffs: bytes) -> bytes:
    """The document with the diffs applied, one after the other.

    :param diffs: without the length in front of them.
    :raises DiffError: it cannot be done; the source's replicas would stop, too.
    """
    out = SpooledBuffer()
    put_pieces(out, pieces(document, diffs))
    return bytes(out)


def pieces(document: bytes | memoryview, diffs: bytes | memoryview) -> list[Piece]:
    """The same in pieces, which :func:`~._json_children.put_pieces` puts together: a document may be large."""
    document, diffs = memoryview(document), memoryview(diffs)
    if not diffs:
        return [document]
    if not document:
        raise DiffError("a diff of an empty document")
    root = _Node(document[0], document[1:])
    for operation, path, value in _parse_diffs(diffs):
        _apply(root, operation, path, value)
    kind, _, found = root.packed()
    return [bytes((kind,)), *found]


def _apply(root: _Node, operation: int, path: list[_Leg], value: _Node | None) -> None:
    parent = root
    for leg in path[:-1]:
        at = parent.find(leg)
        if at is None:
            raise DiffError("a diff's path leads nowhere in the row's value before the update")
        parent = parent.child(at).node
    leg = path[-1]
    at = parent.find(leg)
    if value is None or operation == _REPLACE:
        if at is None:
            raise DiffError("a diff's path leads nowhere in the row's value before the update")
        if value is not None:
            parent.child(at).node = value
        else:
            parent.remove(at)
    elif isinstance(leg, _Cell):
        size = len(parent)
        parent.insert(min(max(leg.position(size), 0), size), _Member(None, value))
    elif at is not None:
        raise DiffError("a diff inserts a key that is there")
    else:
        parent.insert(parent.before(leg), _Member(leg, value))


class _Reader:
    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def take(self, size: int) -> memoryview:
        if size > len(self._data) - self._at:
            raise DiffError("a JSON diff is cut short")
        self._at += size
        return self._data[self._at - size : self._at]

    def text(self) -> memoryview:
        """Behind its length (`net_field_length`)."""
        length = self.take(1)[0]
        if length >= 251:
            if length not in (252, 253, 254):
                raise DiffError("a JSON diff holds a length that is none")
            length = int.from_bytes(self.take({252: 2, 253: 3, 254: 8}[length]), "little")
        return self.take(length)


def _parse_diffs(diffs: memoryview) -> Iterator[tuple[int, list[_Leg], _Node | None]]:
    reader = _Reader(diffs)
    while reader:
        operation = reader.take(1)[0]
        if operation > _REMOVE:
            raise DiffError(f"a JSON diff has the unknown operation {operation}")
        path = _parse_path(reader.text())
        if operation == _REMOVE:
            yield operation, path, None
            continue
        value = reader.text()
        if not value:
            raise DiffError("a JSON diff has an empty value")
        size = extent(value[0], value[1:])
        yield operation, path, _Node(value[0], value[1 : 1 + size])


# No wildcards: a diff changes one place.
_LEG = re.compile(
    r'\s*(?:\.\s*(?:(?P<quoted>"(?:[^"\\]++|\\.)*+")|(?P<key>[^\s."\[\]*]+))'
    r"|\[\s*(?:(?P<index>\d{1,10})|(?P<last>last)\s*(?:-\s*(?P<behind>\d{1,10}))?)\s*\])\s*",
    re.DOTALL | re.ASCII,
)


def _parse_path(raw: memoryview) -> list[_Leg]:
    legs: list[_Leg] = []
    try:
        if len(raw) > _LONGEST_PATH:
            raise ValueError
        path = bytes(raw).decode()
        at = 1
        if not path.startswith("$"):
            raise ValueError
        while at < len(path):
            match = _LEG.match(path, at)
            if match is None or len(legs) == _MAX_LEGS:
                raise ValueError
            legs.append(_leg(match))
            at = match.end()
    except ValueError:
        raise DiffError("a JSON diff has a path that is none") from None
    if not legs:
        raise DiffError("a JSON diff of a whole document")
    return legs


def _leg(match: re.Match[str]) -> _Leg:
    """:raises ValueError: what stands in quotes is no JSON string."""
    if match["quoted"] is not None:
        key: str = json.loads(match["quoted"], strict=False)
        return key.encode()
    if match["key"] is not None:
        return match["key"].encode()
    if match["index"] is not None:
        return _Cell(int(match["index"]), False)
    return _Cell(int(match["behind"] or 0), True)


# Of a container's part the keys and values, as the container holds them.
_Part = Children | tuple[bytes | None, _Packed]


def _part_of(part: Children | _Member) -> _Part:
    return part if isinstance(part, Children) else (part.key, part.node.packed())


def _serialized(keyed: bool, parts: list[_Part]) -> _Packed:
    """A container of these, small if it can be."""
    count = sum(len(part) if isinstance(part, Children) else 1 for part in parts)
    for large in (False, True):
        width, limit = (4, _MAX_LARGE) if large else (2, _MAX_SMALL)
        entry_sizes = (width + 2 if keyed else 0, width + 1)
        head = 2 * width + count * sum(entry_sizes)
        if count > limit or head > limit:
            continue
        sizes = [_sizes(part, large) for part in parts]
        size = head + sum(keys + values for keys, values in sizes)
        if size > limit:
            continue
        packed: list[Piece] = [count.to_bytes(width, "little") + size.to_bytes(width, "little")]
        offset = head
        for entries, contents in ((Segment.KEY_ENTRIES, 0), (Segment.VALUE_ENTRIES, 1)):
            for part, sized in zip(parts, sizes, strict=True):
                if not entry_sizes[contents]:
                    continue
                if isinstance(part, Children):
                    length = len(part) * entry_sizes[contents]
                    packed.append(written(part, entries, large, offset, length))
                else:
                    packed.append(_entry(part, entries, large, offset))
                offset += sized[contents]
        for contents, at in ((Segment.KEYS, 0), (Segment.VALUES, 1)):
            for part, sized in zip(parts, sizes, strict=True):
                if not sized[at]:
                    continue
                if isinstance(part, Children):
                    packed.append(written(part, contents, large, 0, sized[at]))
                else:
                    packed += [part[0] or b""] if contents == Segment.KEYS else part[1].pieces
        kind = (SMALL_OBJECT if keyed else SMALL_ARRAY) + large
        return _Packed(kind, size, packed)
    raise DiffError("a JSON value grows over 4 GiB")


def _sizes(part: _Part, large: bool) -> tuple[int, int]:
    """Bytes of keys, and of values that do not stand in their entries."""
    if isinstance(part, Children):
        return part.sizes(large)
    key, value = part
    return len(key or b""), 0 if value.kind in _INLINE[large] else value.size


def _entry(part: tuple[bytes | None, _Packed], segment: Segment, large: bool, offset: int) -> bytes:
    key, (kind, _, pieces) = part
    width = 4 if large else 2
    if segment == Segment.KEY_ENTRIES:
        return offset.to_bytes(width, "little") + len(key or b"").to_bytes(2, "little")
    if kind in _INLINE[large]:
        return bytes((kind,)) + b"".join(cast(list[bytes], pieces)).ljust(width, b"\0")
    return bytes((kind,)) + offset.to_bytes(width, "little")
