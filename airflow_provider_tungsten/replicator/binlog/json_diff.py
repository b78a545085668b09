"""JSON diffs, as MySQL logs them with ``binlog_row_value_options=PARTIAL_JSON``, applied to a binary JSON document.

Only the containers on a diff's path are taken apart; everything else is copied as it stands, since a value's offsets
count from the value itself. Formats: MySQL `sql-common/json_binary.h` (values) and `sql-common/json_diff.cc` (diffs).
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

SMALL_OBJECT, LARGE_OBJECT, SMALL_ARRAY, LARGE_ARRAY = range(4)
_STRING, _OPAQUE = 12, 15
# Literals and numbers: type → bytes.
_FIXED = {4: 1, 5: 2, 6: 2, 7: 4, 8: 4, 9: 8, 10: 8, 11: 8}
# Those that stand in a container's entry itself: of a small one, of a large one.
_INLINE = (frozenset({4, 5, 6}), frozenset({4, 5, 6, 7, 8}))
_MAX_SMALL = 0xFFFF
_MAX_LARGE = 0xFFFFFFFF
# MySQL's documents are not nested deeper.
_MAX_LEGS = 100
_REPLACE, _INSERT, _REMOVE = range(3)


class DiffError(ValueError):
    """A document, a diff or a path that is none, or that do not go together; the message holds no value."""


class _Cell(NamedTuple):
    """``[number]``, or ``[last - number]``."""

    number: int
    from_end: bool

    def position(self, size: int) -> int:
        """As a number from 0; below 0 or beyond the last where there is none."""
        return size - 1 - self.number if self.from_end else self.number


_Leg = bytes | _Cell


class _Node:
    """A value; a container's ``children`` (of an object with ``keys``) once it was taken apart."""

    __slots__ = ("children", "data", "keys", "kind")

    def __init__(self, kind: int, data: memoryview) -> None:
        self.kind = kind
        self.data = data
        self.keys: list[bytes] | None = None
        self.children: list[_Node] | None = None

    @property
    def opened(self) -> list[_Node]:
        """The children.

        :raises DiffError: it is no container.
        """
        if self.children is None:
            if self.kind > LARGE_ARRAY:
                raise DiffError("a diff's path leads through a value that is no container")
            self.keys, self.children = _parse(self.kind, self.data)
        return self.children

    def find(self, leg: _Leg) -> int | None:
        """Where the child is.

        :raises DiffError: the leg is not of this kind of container.
        """
        children = self.opened
        if isinstance(leg, _Cell):
            if self.keys is not None:
                raise DiffError("a diff's path has an array's index where an object is")
            position = leg.position(len(children))
            return position if 0 <= position < len(children) else None
        if self.keys is None:
            raise DiffError("a diff's path has an object's key where an array is")
        return self.keys.index(leg) if leg in self.keys else None

    def packed(self) -> _Packed:
        if self.children is None:
            return _Packed(self.kind, len(self.data), [self.data])
        return _serialized(self.keys, [child.packed() for child in self.children])


class _Packed(NamedTuple):
    """A value's type and bytes; ``size`` of them."""

    kind: int
    size: int
    pieces: list[bytes | memoryview]


def apply(document: bytes, diffs: bytes) -> bytes:
    """The document with the diffs applied, one after the other.

    :param diffs: without the length in front of them.
    :raises DiffError: it cannot be done; the source's replicas would stop, too.
    """
    return b"".join(pieces(document, diffs))


def pieces(document: bytes | memoryview, diffs: bytes | memoryview) -> list[bytes | memoryview]:
    """The same in pieces, most of them views of what is given: a document may be large."""
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
        parent = parent.opened[at]
    leg = path[-1]
    at = parent.find(leg)
    children = parent.opened
    if value is None or operation == _REPLACE:
        if at is None:
            raise DiffError("a diff's path leads nowhere in the row's value before the update")
        if value is not None:
            children[at] = value
        else:
            del children[at]
            if parent.keys is not None:
                del parent.keys[at]
    elif isinstance(leg, _Cell):
        children.insert(min(max(leg.position(len(children)), 0), len(children)), value)
    elif at is not None or parent.keys is None:
        raise DiffError("a diff inserts a key that is there")
    else:
        # In the order of objects: the shorter key first, then by bytes.
        order = (len(leg), leg)
        at = sum((len(key), key) < order for key in parent.keys)
        parent.keys.insert(at, leg)
        children.insert(at, value)


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
        path = _parse_path(bytes(reader.text()))
        if operation == _REMOVE:
            yield operation, path, None
            continue
        value = reader.text()
        if not value:
            raise DiffError("a JSON diff has an empty value")
        size = _extent(value[0], value, 1)
        yield operation, path, _Node(value[0], value[1 : 1 + size])


# No wildcards: a diff changes one place.
_LEG = re.compile(
    r'\s*(?:\.\s*(?:(?P<quoted>"(?:[^"\\]|\\.)*")|(?P<key>[^\s."\[\]*]+))'
    r"|\[\s*(?:(?P<index>\d{1,10})|(?P<last>last)\s*(?:-\s*(?P<behind>\d{1,10}))?)\s*\])\s*",
    re.DOTALL | re.ASCII,
)


def _parse_path(raw: bytes) -> list[_Leg]:
    legs: list[_Leg] = []
    try:
        path = raw.decode()
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


def _parse(kind: int, data: memoryview) -> tuple[list[bytes] | None, list[_Node]]:
    """Keys (None: an array) and values of a container."""
    large, is_object = kind & 1, kind <= LARGE_OBJECT
    width = 4 if large else 2
    number = "<I" if large else "<H"
    if len(data) < 2 * width:
        raise DiffError("a JSON value is cut short")
    count, total = struct.unpack_from(number + number[1], data)
    keys_at = 2 * width
    values_at = keys_at + (count * (width + 2) if is_object else 0)
    if total > len(data) or values_at + count * (width + 1) > total:
        raise DiffError("a JSON value is cut short")
    keys = None
    if is_object:
        places = struct.iter_unpack(f"{number}H", data[keys_at:values_at])
        keys = [bytes(_slice(data, offset, length)) for offset, length in places]
    values = []
    for at in range(values_at, values_at + count * (width + 1), width + 1):
        inner = data[at]
        if inner in _INLINE[large]:
            values.append(_Node(inner, data[at + 1 : at + 1 + _FIXED[inner]]))
        else:
            (offset,) = struct.unpack_from(number, data, at + 1)
            values.append(_Node(inner, _slice(data, offset, _extent(inner, data, offset))))
    return keys, values


def _slice(data: memoryview, offset: int, length: int) -> memoryview:
    if offset + length > len(data):
        raise DiffError("a JSON value is cut short")
    return data[offset : offset + length]


def _extent(kind: int, data: memoryview, at: int) -> int:
    """Bytes of the value of that type that begins there, all of which are there."""
    if kind in _FIXED:
        size = _FIXED[kind]
    elif kind <= LARGE_ARRAY:
        width = 4 if kind & 1 else 2
        size = int.from_bytes(_slice(data, at + width, width), "little")
    elif kind in (_STRING, _OPAQUE):
        size = kind == _OPAQUE
        length = shift = 0
        while True:
            byte = _slice(data, at + size, 1)[0]
            size += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                break
            if shift > 28:
                raise DiffError("a JSON value has a length that is none")
        size += length
    else:
        raise DiffError(f"a JSON value has the unknown type {kind}")
    _slice(data, at, size)
    return size


def _serialized(keys: list[bytes] | None, values: list[_Packed]) -> _Packed:
    """A container of these, small if it can be."""
    for large in (0, 1):
        width, number, limit = (4, "I", _MAX_LARGE) if large else (2, "H", _MAX_SMALL)
        inline = _INLINE[large]
        head = 2 * width + len(values) * (width + 1) + (0 if keys is None else len(keys) * (width + 2))
        body = sum(map(len, keys or ())) + sum(size for kind, size, _ in values if kind not in inline)
        if len(values) > limit or head + body > limit:
            continue
        packed: list[bytes | memoryview] = [struct.pack("<2" + number, len(values), head + body)]
        offset = head
        for key in keys or ():
            packed.append(struct.pack(f"<{number}H", offset, len(key)))
            offset += len(key)
        for kind, size, data in values:
            if kind in inline:
                packed.append(bytes((kind,)) + b"".join(data).ljust(width, b"\0"))
            else:
                packed.append(struct.pack("<B" + number, kind, offset))
                offset += size
        packed += keys or ()
        packed += (piece for kind, _, data in values if kind not in inline for piece in data)
        return _Packed((SMALL_ARRAY if keys is None else SMALL_OBJECT) + large, head + body, packed)
    raise DiffError("a JSON value grows over 4 GiB")
