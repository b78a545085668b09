# distutils: language = c++
"""Row images as Python texts. See `rows` for the Python face."""

from __future__ import annotations

from cpython.buffer cimport PyBUF_READ
from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport uint8_t
from libcpp.algorithm cimport swap

from functools import partial

from airflow_provider_tungsten.replicator.binlog._images cimport Field, Op, big_endian, find_value
from airflow_provider_tungsten.replicator.binlog._buffer cimport Buffer, clear, release, reserve
from airflow_provider_tungsten.replicator.binlog._spooled cimport SpooledBuffer, room_of
from airflow_provider_tungsten.replicator.binlog._values cimport CORRUPT, DONE, PLAIN_ROOM, TEXT, Status, Values

from airflow_provider_tungsten.replicator.binlog.large_text import LargeText


cdef enum:
    LARGE = 1 << 20
    STEP = 1 << 20

cdef size_t UNLIMITED = <size_t>-1 // 8


cdef inline void _give_back(Buffer* buffer) noexcept:
    if buffer.capacity > LARGE:
        release(buffer)


cdef inline size_t _extent(const Field* field, const uint8_t* data, size_t size) noexcept:
    """Bytes of a value; of one that is compressed (`_values`) as many as it says that it becomes."""
    cdef uint8_t digits
    if field.op != Op.COMPRESSED or size == 0 or data[0] == 0:
        return size
    digits = data[0] & 7
    return big_endian(data + 1, digits) if size > digits else size


cdef inline size_t _cut(const uint8_t* text, size_t size, size_t start) noexcept:
    """Where a piece ends that begins there: before a character of UTF-8."""
    cdef size_t end = start + STEP
    cdef int back = 0
    if end >= size:
        return size
    while back < 3 and text[end - back] & 0xC0 == 0x80:
        back += 1
    return end - back


cdef struct Wanted:
    # Where the payload begins, characters of a text, and bytes of a value that is not large.
    const uint8_t* begin
    size_t most
    size_t large


cdef class RowReader(Values):
    cdef Buffer _plain
    # A value is being read: somebody else's code may run meanwhile.
    cdef bint _busy

    def __dealloc__(self):
        release(&self._plain)
        release(&self._scratch)

    def __init__(self, str table, names, fields):
        Values.__init__(self, table, names, fields, None, None, None, False, False)
        self._room = PLAIN_ROOM
        self._paced.buffers.push_back(&self._plain)

    cdef Status _text_of(self, const Field* field, const uint8_t* data, size_t size, SpooledBuffer room) except? CORRUPT:
        """Of one value, as `_value` finds it, in buffers that the one before may have given away.

        :param room: what it lies in, where that is to be paged out.
        """
        cdef Status status
        if self._busy:
            raise RuntimeError("a reader works for one thread at a time")
        if not (reserve(&self._plain, PLAIN_ROOM) and reserve(&self._scratch, 1)):
            raise MemoryError()
        clear(&self._plain)
        if room is not None:
            self._paced.buffers.push_back(&room.buffer)
        self._busy = True
        status = self._value(field, data, size, &self._plain)
        self._busy = False
        if room is not None:
            self._paced.buffers.pop_back()
        return status

    def images(self, payload not None, most=None, large=None):
        cdef const uint8_t[::1] view = payload
        cdef const uint8_t* data
        cdef const uint8_t* end
        cdef const uint8_t* looked_at
        cdef Wanted wanted
        cdef SpooledBuffer room = room_of(payload)
        wanted.most = UNLIMITED if most is None else most
        wanted.large = UNLIMITED if large is None else large
        if view.shape[0] == 0:
            return
        wanted.begin = looked_at = data = &view[0]
        end = data + view.shape[0]
        self._failed = self._count
        if not self._bitmap:
            self._raise(CORRUPT)
        whole = None if large is None else memoryview(payload)
        while data < end:
            image = self._image(&data, end, &wanted, whole)
            if room is not None and data - looked_at > STEP:
                room.page_out()
                looked_at = data
            yield image
        if not self._busy:
            _give_back(&self._plain)
            _give_back(&self._scratch)
            _give_back(&self._inflated)

    cdef tuple _image(self, const uint8_t** data, const uint8_t* end, const Wanted* wanted, payload):
        cdef const uint8_t* nulls = data[0]
        cdef size_t at, size
        self._failed = self._count
        if <size_t>(end - data[0]) < self._bitmap:
            self._raise(CORRUPT)
        data[0] += self._bitmap
        texts = []
        for at in range(self._count):
            if nulls[at >> 3] >> (at & 7) & 1:
                texts.append(None)
                continue
            self._failed = at
            if not find_value(&self._fields[at], data, end, &size):
                self._raise(CORRUPT)
            texts.append(self._read(at, data[0], size, wanted, payload))
            data[0] += size
        return tuple(texts)

    cdef object _read(self, size_t at, const uint8_t* data, size_t size, const Wanted* wanted, payload):
        cdef const Field* field = &self._fields[at]
        cdef Status status
        cdef size_t start = data - wanted.begin
        if field.op == Op.HEXADECIMAL and not field.detail and (size <= wanted.large or wanted.most != UNLIMITED):
            # May be large: not to be made twice.
            return PyMemoryView_FromMemory(<char*>data, min(size, wanted.most // 2 + 1), PyBUF_READ).hex()
        if _extent(field, data, size) > wanted.large:
            text = LargeText(partial(self.pieces, at, payload[start:start + size]))
            return text if wanted.most == UNLIMITED else text.beginning(wanted.most + 1)
        status = self._text_of(field, data, size, None)
        if status == TEXT and self._size > 4 * (wanted.most + 1):
            # A character that is cut there is left out; there are enough before it.
            return PyUnicode_DecodeUTF8(<const char*>self._text, 4 * (wanted.most + 1), b"ignore")
        if status == TEXT:
            return PyUnicode_DecodeUTF8(<const char*>self._text, self._size, NULL)
        if status != DONE:
            self._raise(status)
        return PyUnicode_DecodeUTF8(self._plain.data, min(self._plain.size, wanted.most + 1), NULL)

    def pieces(self, size_t at, value not None):
        """The text of a value of at least a byte, a step at a time."""
        cdef const uint8_t[::1] view = value
        cdef const uint8_t* text = &view[0]
        cdef size_t size = view.shape[0], start = 0, end
        cdef Field field
        cdef SpooledBuffer made = SpooledBuffer(), room = room_of(value)
        if at >= self._count or size < self._fields[at].size:
            raise ValueError("no value of any column")
        field = self._fields[at]
        if field.op == Op.COMPRESSED and text[0] == 0:
            field.op, field.detail = <Op>field.detail, 0
            text += 1
            size -= 1
        if field.op != Op.TEXT and field.op != Op.HEXADECIMAL:
            self._converted(at, &field, room, made, &text, &size)
        while start < size:
            end = _cut(text, size, start)
            if field.op == Op.HEXADECIMAL:
                piece = PyMemoryView_FromMemory(<char*>text + start, end - start, PyBUF_READ).hex()
            else:
                self._failed = at
                if field.op == Op.TEXT and (status := self._found(text + start, end - start, False)) != TEXT:
                    self._raise(status)
                piece = PyUnicode_DecodeUTF8(<const char*>text + start, end - start, NULL)
            start = end
            made.page_out()
            if room is not None:
                room.page_out()
            yield piece

    cdef int _converted(
        self, size_t at, const Field* field, SpooledBuffer room, SpooledBuffer made, const uint8_t** text, size_t* size
    ) except -1:
        """Finds a value's whole text, in ``made``."""
        cdef Status status = self._text_of(field, text[0], size[0], room)
        self._failed = at
        if status == DONE:
            swap(made.buffer, self._plain)
        elif status != TEXT:
            self._raise(status)
        elif <const char*>self._text == self._scratch.data:
            swap(made.buffer, self._scratch)
        elif <const char*>self._text == self._inflated.data:
            swap(made.buffer, self._inflated)
        else:  # a label
            made.put(self._text, self._size)
        text[0], size[0] = <const uint8_t*>made.buffer.data, made.buffer.size
        return 0
