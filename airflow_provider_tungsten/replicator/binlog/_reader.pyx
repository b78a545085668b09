# distutils: language = c++
"""Row images as Python texts. See `rows` for the Python face."""

from __future__ import annotations

from cpython.buffer cimport PyBUF_READ
from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport uint8_t

from airflow_provider_tungsten.replicator.binlog._images cimport Field, Op, find_value
from airflow_provider_tungsten.replicator.binlog._buffer cimport Buffer, release, reserve
from airflow_provider_tungsten.replicator.binlog._values cimport CORRUPT, DONE, PLAIN_ROOM, TEXT, Status, Values


cdef enum:
    LARGE = 1 << 20


cdef inline void _give_back(Buffer* buffer) noexcept:
    if buffer.capacity > LARGE:
        release(buffer)


cdef class RowReader(Values):
    cdef Buffer _plain
    cdef size_t _most

    def __dealloc__(self):
        release(&self._plain)
        release(&self._scratch)

    def __init__(self, str table, names, fields):
        Values.__init__(self, table, names, fields, None, None, None, False, False)
        self._room = PLAIN_ROOM

    def images(self, const uint8_t[::1] payload not None, most=None):
        cdef const uint8_t* data
        cdef const uint8_t* end
        images = []
        self._most = <size_t>-1 // 8 if most is None else most
        if payload.shape[0] == 0:
            return images
        data, end = &payload[0], &payload[0] + payload.shape[0]
        self._failed = self._count
        if not self._bitmap:
            self._raise(CORRUPT)
        if not (reserve(&self._plain, PLAIN_ROOM) and reserve(&self._scratch, 1)):
            raise MemoryError()
        while data < end:
            images.append(self._image(&data, end))
        _give_back(&self._plain)
        _give_back(&self._scratch)
        return images

    cdef tuple _image(self, const uint8_t** data, const uint8_t* end):
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
            texts.append(self._read(&self._fields[at], data[0], size))
            data[0] += size
        return tuple(texts)

    cdef str _read(self, const Field* field, const uint8_t* data, size_t size):
        cdef Status status
        if field.op == Op.HEXADECIMAL and not field.detail:
            # May be large: not to be made twice.
            return PyMemoryView_FromMemory(<char*>data, min(size, self._most // 2 + 1), PyBUF_READ).hex()
        self._plain.size = 0
        status = self._value(field, data, size, &self._plain)
        if status == TEXT and self._size > 4 * (self._most + 1):
            # A character that is cut there is left out; there are enough before it.
            return PyUnicode_DecodeUTF8(<const char*>self._text, 4 * (self._most + 1), b"ignore")
        if status == TEXT:
            return PyUnicode_DecodeUTF8(<const char*>self._text, self._size, NULL)
        if status != DONE:
            self._raise(status)
        return PyUnicode_DecodeUTF8(self._plain.data, min(self._plain.size, self._most + 1), NULL)
