# distutils: language = c++
"""Walks over the rows of PARTIAL_UPDATE_ROWS events. See `partial` for the Python face.

A row is an image as it was before, then value options, a bitmap of the JSON columns that stand as diffs, and the image
as it was after (MySQL `sql/rpl_record.cc`, ``unpack_row``). Every read is checked against the end of the payload.
"""

from __future__ import annotations

from cpython.buffer cimport PyBUF_READ
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE, PyByteArray_Resize
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy
from libcpp.vector cimport vector

from airflow_provider_tungsten.replicator.binlog._images cimport Field, Images, Op, find_value, little_endian
from airflow_provider_tungsten.replicator.errors import CorruptLogError, UnsupportedError

cdef enum:
    PARTIAL_JSON = 1
    DIFFS_LENGTH = 4


cdef class PartialUpdates(Images):
    cdef vector[const uint8_t*] _before  # of each column; NULL: it is NULL
    cdef vector[size_t] _sizes
    cdef size_t _json_columns

    def __init__(self, str table, names, fields):
        cdef size_t at
        Images.__init__(self, table, names, fields)
        self._before.resize(self._count)
        self._sizes.resize(self._count)
        self._json_columns = 0
        for at in range(self._count):
            self._json_columns += self._fields[at].op == Op.JSON

    def whole(self, bytearray out not None, const uint8_t[::1] payload not None, pieces):
        cdef const uint8_t* data
        cdef const uint8_t* start
        cdef const uint8_t* end
        cdef const uint8_t* partial
        if payload.shape[0] == 0:
            return out
        if self._count == 0:
            raise self._misfit()
        data, end = &payload[0], &payload[0] + payload.shape[0]
        while data < end:
            start = data
            self._read_before(&data, end)
            _append(out, start, data - start)
            partial = self._read_options(&data, end)
            self._read_after(&data, end, partial, out, pieces)
        return out

    cdef object _misfit(self):
        return CorruptLogError(f"{self._table}: a row image does not fit its table definition")

    cdef int _read_before(self, const uint8_t** data, const uint8_t* end) except -1:
        cdef const uint8_t* nulls = data[0]
        cdef size_t at, size
        if <size_t>(end - data[0]) < self._bitmap:
            raise self._misfit()
        data[0] += self._bitmap
        for at in range(self._count):
            self._before[at] = NULL
            if nulls[at >> 3] >> (at & 7) & 1:
                continue
            if not find_value(&self._fields[at], data, end, &size):
                raise self._misfit()
            self._before[at], self._sizes[at] = data[0], size
            data[0] += size
        return 0

    cdef const uint8_t* _read_options(self, const uint8_t** data, const uint8_t* end) except? NULL:
        """The bitmap of partial columns; NULL: none is."""
        cdef size_t size = (self._json_columns + 7) // 8
        cdef const uint8_t* bitmap
        cdef uint8_t options
        if data[0] == end:
            raise self._misfit()
        options = data[0][0]
        data[0] += 1
        if options & ~PARTIAL_JSON:
            raise UnsupportedError(f"{self._table}: a partial update has the unknown options {options}")
        if not options:
            return NULL
        if <size_t>(end - data[0]) < size:
            raise self._misfit()
        bitmap = data[0]
        data[0] += size
        return bitmap

    cdef int _read_after(
        self, const uint8_t** data, const uint8_t* end, const uint8_t* partial, bytearray out, pieces
    ) except -1:
        cdef const uint8_t* nulls = data[0]
        cdef const uint8_t* start
        cdef size_t at, size
        cdef size_t json_column = 0
        cdef bint is_partial
        if <size_t>(end - data[0]) < self._bitmap:
            raise self._misfit()
        data[0] += self._bitmap
        _append(out, nulls, data[0] - nulls)
        for at in range(self._count):
            is_partial = False
            if self._fields[at].op == Op.JSON:
                is_partial = partial != NULL and partial[json_column >> 3] >> (json_column & 7) & 1
                json_column += 1
            if nulls[at >> 3] >> (at & 7) & 1:
                continue
            start = data[0]
            if not find_value(&self._fields[at], data, end, &size):
                raise self._misfit()
            if is_partial:
                self._put_applied(at, data[0], size, out, pieces)
            else:
                _append(out, start, data[0] + size - start)
            data[0] += size
        return 0

    cdef int _put_applied(self, size_t column, const uint8_t* diffs, size_t size, bytearray out, pieces) except -1:
        if self._fields[column].prefix != DIFFS_LENGTH:
            raise self._misfit()
        try:
            if self._before[column] == NULL:
                raise ValueError("a JSON diff of NULL")
            document = pieces(
                PyMemoryView_FromMemory(<char*>self._before[column], self._sizes[column], PyBUF_READ),
                PyMemoryView_FromMemory(<char*>diffs, size, PyBUF_READ),
            )
            length = sum(map(len, document))
            if length >> 8 * DIFFS_LENGTH:
                raise ValueError("a JSON value grows over 4 GiB")
        except ValueError as error:
            raise CorruptLogError(f"{self._table}.{self._names[column]}: {error}") from None
        out += length.to_bytes(DIFFS_LENGTH, "little")
        for piece in document:
            out += piece
        return 0


cdef int _append(bytearray out, const uint8_t* data, size_t size) except -1:
    cdef Py_ssize_t before = PyByteArray_GET_SIZE(out)
    PyByteArray_Resize(out, before + size)
    memcpy(PyByteArray_AS_STRING(out) + before, data, size)
    return 0
