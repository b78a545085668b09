# distutils: language = c++
"""Walks over the rows of PARTIAL_UPDATE_ROWS events. See `partial` for the Python face.

A row is an image as it was before, then value options, a bitmap of the JSON columns that stand as diffs, and the image
as it was after (MySQL `sql/rpl_record.cc`, ``unpack_row``). Every read is checked against the end of the payload.
"""

from __future__ import annotations

from libc.stdint cimport uint8_t
from libcpp.vector cimport vector

from airflow_provider_tungsten.replicator.binlog._buffer cimport Buffer, page_out
from airflow_provider_tungsten.replicator.binlog._images cimport (
    SKIPPED,
    Field,
    Images,
    Op,
    find_value,
    little_endian,
)
from airflow_provider_tungsten.replicator.binlog._spooled cimport SpooledBuffer, room_of
from airflow_provider_tungsten.replicator.binlog._json_children import put_pieces
from airflow_provider_tungsten.replicator.binlog.json_diff import pieces
from airflow_provider_tungsten.replicator.errors import CorruptLogError, UnsupportedError

cdef enum:
    PARTIAL_JSON = 1
    DIFFS_LENGTH = 4
    STEP = 1 << 22  # walked over before it leaves memory


cdef class PartialUpdates(Images):
    cdef SpooledBuffer _out
    cdef object _view  # of the payload that is being made whole
    cdef const uint8_t* _begin
    cdef const Buffer* _room
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

    def whole(self, SpooledBuffer out not None, view not None):
        cdef const uint8_t[::1] payload = view
        cdef SpooledBuffer spooled = room_of(view)
        cdef const uint8_t* data
        cdef const uint8_t* start
        cdef const uint8_t* end
        cdef const uint8_t* partial
        cdef const uint8_t* read
        if payload.shape[0] == 0:
            return
        if self._count == 0:
            raise self._misfit()
        if self._view is not None:
            raise RuntimeError("partial updates of a table are made whole one payload at a time")
        self._out, self._view, self._begin = out, view, &payload[0]
        self._room = &spooled.buffer if spooled is not None else NULL
        data = read = &payload[0]
        end = data + payload.shape[0]
        try:
            while data < end:
                start = data
                self._read_before(&data, end)
                out.put(start, data - start, self._room)
                partial = self._read_options(&data, end)
                self._read_after(&data, end, partial)
                if self._room != NULL and data - read > STEP:
                    page_out(self._room)
                    read = data
        finally:
            self._out = self._view = None

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
            if size > SKIPPED and self._room != NULL:
                page_out(self._room)
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

    cdef int _read_after(self, const uint8_t** data, const uint8_t* end, const uint8_t* partial) except -1:
        cdef const uint8_t* nulls = data[0]
        cdef const uint8_t* start
        cdef size_t at, size
        cdef size_t json_column = 0
        cdef bint is_partial
        if <size_t>(end - data[0]) < self._bitmap:
            raise self._misfit()
        data[0] += self._bitmap
        self._out.put(nulls, data[0] - nulls)
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
                self._put_applied(at, data[0], size)
            else:
                self._out.put(start, data[0] + size - start, self._room)
            data[0] += size
            if size > SKIPPED and self._room != NULL:
                page_out(self._room)
        return 0

    cdef object _view_of(self, const uint8_t* data, size_t size):
        cdef size_t at = data - self._begin
        return self._view[at:at + size]

    cdef int _put_applied(self, size_t column, const uint8_t* diffs, size_t size) except -1:
        cdef bytes length
        if self._fields[column].prefix != DIFFS_LENGTH:
            raise self._misfit()
        try:
            if self._before[column] == NULL:
                raise ValueError("a JSON diff of NULL")
            document = pieces(
                self._view_of(self._before[column], self._sizes[column]), self._view_of(diffs, size)
            )
            whole = sum(map(len, document))
            if whole >> 8 * DIFFS_LENGTH:
                raise ValueError("a JSON value grows over 4 GiB")
            length = whole.to_bytes(DIFFS_LENGTH, "little")
            self._out.put(length, DIFFS_LENGTH)
            put_pieces(self._out, document)
        except ValueError as error:
            raise CorruptLogError(f"{self._table}.{self._names[column]}: {error}") from None
        return 0
