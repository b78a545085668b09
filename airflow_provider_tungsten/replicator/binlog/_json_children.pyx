# distutils: language = c++
"""Children of binary JSON containers, of which there may be a hundred million: read where they stand, and written anew.

Who changes them is `json_diff`. Every read is checked against the end of the container.
"""

from __future__ import annotations

from libc.stdint cimport uint8_t
from libc.string cimport memcpy, memset

from airflow_provider_tungsten.replicator.binlog._buffer cimport Buffer, page_out
from airflow_provider_tungsten.replicator.binlog._images cimport little_endian
from airflow_provider_tungsten.replicator.binlog._spooled cimport SpooledBuffer, room_of

cdef enum:
    LARGE_OBJECT = 1
    LARGE_ARRAY = 3
    STRING = 12
    OPAQUE = 15

cpdef enum Segment:
    KEY_ENTRIES
    VALUE_ENTRIES
    KEYS
    VALUES

cdef enum:
    STEP = 1 << 22  # looked at before it leaves memory


class DiffError(ValueError):
    pass


cdef struct Bytes:
    const uint8_t* data
    size_t size


cdef inline size_t _fixed(uint8_t kind) noexcept:
    """Bytes of a literal or a number; 0: it is none."""
    if kind == 4:
        return 1
    if kind == 5 or kind == 6:
        return 2
    if kind == 7 or kind == 8:
        return 4
    return 8 if 9 <= kind <= 11 else 0


cdef inline bint _is_inline(uint8_t kind, bint large) noexcept:
    """Whether a value stands in a container's entry itself."""
    return 4 <= kind <= (8 if large else 6)


cdef inline void _put_number(uint8_t* to, size_t number, size_t size) noexcept:
    cdef size_t at
    for at in range(size):
        to[at] = number >> 8 * at & 0xFF


cdef size_t _extent(uint8_t kind, const uint8_t* data, size_t left) except? <size_t>-1:
    """Bytes of the value of that type that begins there, all of which are there."""
    cdef size_t size = _fixed(kind)
    cdef size_t length = 0, width
    cdef int shift = 0
    if kind <= LARGE_ARRAY:
        width = 4 if kind & 1 else 2
        if left < 2 * width:
            raise DiffError("a JSON value is cut short")
        size = little_endian(data + width, width)
    elif kind == STRING or kind == OPAQUE:
        size = kind == OPAQUE
        while True:
            if left <= size:
                raise DiffError("a JSON value is cut short")
            length |= <size_t>(data[size] & 0x7F) << shift
            shift += 7
            size += 1
            if data[size - 1] < 0x80:
                break
            if shift > 28:
                raise DiffError("a JSON value has a length that is none")
        size += length
    elif not size:
        raise DiffError(f"a JSON value has the unknown type {kind}")
    if size > left:
        raise DiffError("a JSON value is cut short")
    return size


def extent(int kind, const uint8_t[::1] data not None):
    cdef const uint8_t* begin = &data[0] if data.shape[0] else NULL
    return _extent(kind, begin, data.shape[0])


cdef class Children:
    cdef readonly bint keyed
    cdef bint _large
    cdef object _view
    cdef const uint8_t[::1] _held
    cdef const uint8_t* _data
    cdef size_t _size, _values_at, _start, _stop
    cdef SpooledBuffer _spooled
    cdef const Buffer* _room
    cdef size_t _walked

    def __init__(self, int kind, data not None):
        cdef size_t width, count, total
        self._start = self._stop = 0
        self._view, self._held, self._spooled = data, data, room_of(data)
        self._size = self._held.shape[0]
        self._data = &self._held[0] if self._size else NULL
        self._room = &self._spooled.buffer if self._spooled is not None else NULL
        if not 0 <= kind <= LARGE_ARRAY:
            raise DiffError("a diff's path leads through a value that is no container")
        self._large, self.keyed = kind & 1, kind <= LARGE_OBJECT
        width = 4 if self._large else 2
        if self._size < 2 * width:
            raise DiffError("a JSON value is cut short")
        count, total = little_endian(self._data, width), little_endian(self._data + width, width)
        self._values_at = 2 * width + (count * (width + 2) if self.keyed else 0)
        if total > self._size or self._values_at + count * (width + 1) > total:
            raise DiffError("a JSON value is cut short")
        self._start, self._stop = 0, count

    def __len__(self):
        return self._stop - self._start

    cdef size_t _place(self, size_t index) except? <size_t>-1:
        if index >= self._stop - self._start:
            raise IndexError(index)
        return self._start + index

    def part(self, size_t start, size_t stop):
        cdef Children part = Children.__new__(Children)
        cdef size_t end = min(stop, <size_t>len(self))
        if start > end:
            raise IndexError(start)
        part.keyed, part._large, part._view, part._held = self.keyed, self._large, self._view, self._held
        part._data, part._size, part._values_at = self._data, self._size, self._values_at
        part._spooled, part._room = self._spooled, self._room
        part._start, part._stop = self._start + start, self._start + end
        return part

    def key(self, size_t index):
        cdef Bytes key = self._key(self._place(index))
        return key.data[:key.size] if self.keyed else None

    def value(self, size_t index):
        cdef uint8_t kind
        cdef Bytes value = self._value(self._place(index), &kind)
        cdef size_t at = value.data - self._data
        return kind, self._view[at:at + value.size]

    def before(self, bytes key not None):
        cdef size_t low = 0, high = len(self), middle
        wanted = len(key), key
        while low < high:
            middle = (low + high) // 2
            found = self.key(middle)
            if (len(found), found) < wanted:
                low = middle + 1
            else:
                high = middle
        return low

    def sizes(self, bint large):
        cdef size_t keys = 0, values = 0, at
        cdef uint8_t kind
        cdef Bytes value
        for at in range(self._start, self._stop):
            value = self._value(at, &kind)
            if not _is_inline(kind, large):
                values += value.size
            if self.keyed:
                keys += self._key(at).size
        return keys, values

    cdef Bytes _key(self, size_t at) except *:
        cdef Bytes key
        cdef size_t width = 4 if self._large else 2
        cdef const uint8_t* entry = self._data + 2 * width + at * (width + 2)
        cdef size_t offset
        key.data = NULL
        key.size = 0
        if not self.keyed:
            return key
        offset, key.size = little_endian(entry, width), little_endian(entry + width, 2)
        if offset > self._size or key.size > self._size - offset:
            raise DiffError("a JSON value is cut short")
        key.data = self._data + offset
        self._walk(width + 2 + key.size)
        return key

    cdef Bytes _value(self, size_t at, uint8_t* kind) except *:
        cdef Bytes value
        cdef size_t width = 4 if self._large else 2
        cdef const uint8_t* entry = self._data + self._values_at + at * (width + 1)
        cdef size_t offset
        kind[0] = entry[0]
        if _is_inline(kind[0], self._large):
            value.data, value.size = entry + 1, _fixed(kind[0])
        else:
            offset = little_endian(entry + 1, width)
            if offset > self._size:
                raise DiffError("a JSON value is cut short")
            value.data = self._data + offset
            value.size = _extent(kind[0], value.data, self._size - offset)
        self._walk(width + 1 + value.size)
        return value

    cdef inline void _walk(self, size_t size) noexcept:
        self._walked += size
        if self._walked > STEP and self._room != NULL:
            page_out(self._room)
            self._walked = 0


cdef class Written:
    """What a container is to hold of the children: its entries of so many bytes, or what these stand for."""

    cdef Children _children
    cdef Segment _segment
    cdef bint _large
    cdef size_t _offset, _size

    def __len__(self):
        return self._size

    cdef int put_to(self, SpooledBuffer out) except -1:
        cdef size_t at
        if self._children is None:
            raise RuntimeError("an object that was not initialized")
        for at in range(self._children._start, self._children._stop):
            if self._segment == KEY_ENTRIES or self._segment == KEYS:
                self._put_key(out, self._children._key(at))
            else:
                self._put_value(out, at)
        return 0

    cdef int _put_key(self, SpooledBuffer out, Bytes key) except -1:
        cdef uint8_t entry[6]
        cdef size_t width = 4 if self._large else 2
        if self._segment == KEYS:
            return out.put(key.data, key.size)
        _put_number(entry, self._offset, width)
        _put_number(entry + width, key.size, 2)
        self._offset += key.size
        return out.put(entry, width + 2)

    cdef int _put_value(self, SpooledBuffer out, size_t at) except -1:
        cdef uint8_t entry[5]
        cdef size_t width = 4 if self._large else 2
        cdef Bytes value = self._children._value(at, entry)
        cdef bint is_inline = _is_inline(entry[0], self._large)
        if self._segment == VALUES:
            return 0 if is_inline else out.put(value.data, value.size, self._children._room)
        if is_inline:
            memset(entry + 1, 0, 4)
            memcpy(entry + 1, value.data, value.size)
        else:
            _put_number(entry + 1, self._offset, width)
            self._offset += value.size
        return out.put(entry, width + 1)


def written(Children children not None, Segment segment, bint large, size_t offset, size_t size):
    cdef Written written = Written()
    written._children, written._segment, written._large = children, segment, large
    written._offset, written._size = offset, size
    return written


def put_pieces(SpooledBuffer out not None, pieces):
    cdef const uint8_t[::1] data
    cdef SpooledBuffer room
    for piece in pieces:
        if isinstance(piece, Written):
            (<Written>piece).put_to(out)
            continue
        data = piece
        room = room_of(piece)
        if data.shape[0]:
            out.put(&data[0], data.shape[0], &room.buffer if room is not None else NULL)
