# distutils: language = c++
"""Walks over row images. See `rows` for the Python face.

A row image is a bitmap of NULLs (lowest bit first) and the fields that are not NULL, one behind the other (MySQL
`sql/rpl_record.cc`). Every read is checked against the end of the payload.
"""

from __future__ import annotations

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t
from libcpp.vector cimport vector

from airflow_provider_tungsten.replicator.binlog._buffer cimport Buffer, page_out
from airflow_provider_tungsten.replicator.binlog._charset cimport Charset
from airflow_provider_tungsten.replicator.binlog._spooled cimport SpooledBuffer, put_value, room_of
from airflow_provider_tungsten.replicator.errors import CorruptLogError

cdef enum:
    STEP = 1 << 22  # walked over before it leaves memory
    IN_BYTES = 1 << 20  # what is larger stays in the buffer in which it was made


cdef class Images:
    """What the layout and the encoder know alike of an image: its fields."""

    def __init__(self, str table, names, fields):
        cdef Field field
        cdef Label label
        cdef bytes text
        if self._names is not None:
            raise RuntimeError("an object is initialized once")
        self._table = table
        self._names = tuple(names)
        self._kept_alive = []
        for op, size, prefix, detail, precision, labels, charset in fields:
            field.op = op
            field.size, field.prefix, field.detail, field.precision = size, prefix, detail, precision
            field.first_label, field.labels = self._labels.size(), len(labels)
            field.decoder = NULL
            if charset is not None:
                self._kept_alive.append(charset)
                field.decoder = &(<Charset?>charset).decoder
            for text in labels:
                self._kept_alive.append(text)
                label.text = <const uint8_t*>PyBytes_AS_STRING(text)
                label.size = len(text)
                self._labels.push_back(label)
            self._fields.push_back(field)
        if self._fields.size() != <size_t>len(self._names):
            raise ValueError(f"{table} has {len(self._names)} names of {self._fields.size()} columns")
        self._count = self._fields.size()
        self._bitmap = (self._count + 7) // 8


cdef class RowLayout(Images):
    cdef object _misfit(self):
        return CorruptLogError(f"{self._table}: a row image does not fit its table definition")

    cdef bint _skip(self, const uint8_t** data, const uint8_t* end, const Buffer* room) noexcept nogil:
        """Moves behind one image; False where it is cut short."""
        cdef const uint8_t* nulls = data[0]
        cdef size_t at, size
        if <size_t>(end - data[0]) < self._bitmap:
            return False
        data[0] += self._bitmap
        for at in range(self._count):
            if nulls[at >> 3] >> (at & 7) & 1:
                continue
            if not find_value(&self._fields[at], data, end, &size):
                return False
            data[0] += size
            if size > SKIPPED and room != NULL:
                page_out(room)
        return True

    cdef Py_ssize_t images(self, const uint8_t* data, const uint8_t* end, const Buffer* room) noexcept nogil:
        """How many images fill the memory; -1 where they do not fit it.

        :param room: the buffer in which they lie, or NULL; what was walked over leaves memory.
        """
        cdef Py_ssize_t images = 0
        cdef const uint8_t* stop
        if self._bitmap == 0 and data < end:
            return -1
        while data < end:
            stop = data + STEP if room != NULL and end - data > STEP else end
            while data < stop:
                if not self._skip(&data, end, room):
                    return -1
                images += 1
            if room != NULL:
                page_out(room)
        return images

    def count(self, const uint8_t[::1] payload not None, size_t images_per_row):
        cdef Py_ssize_t images = 0
        cdef SpooledBuffer spooled = room_of(payload.base)
        cdef const Buffer* room = &spooled.buffer if spooled is not None else NULL
        if payload.shape[0] == 0:
            return 0
        with nogil:
            images = self.images(&payload[0], &payload[0] + payload.shape[0], room)
        if images < 0 or images_per_row == 0 or images % images_per_row:
            raise self._misfit()
        return images // images_per_row

    def drop(self, const uint8_t[::1] payload not None, size_t images, keep):
        cdef SpooledBuffer spooled = room_of(payload.base)
        cdef const Buffer* room = &spooled.buffer if spooled is not None else NULL
        cdef const uint8_t* data = &payload[0] if payload.shape[0] else NULL
        return self.kept_of(data, data + payload.shape[0], room, images, keep)

    cdef object kept_of(
        self, const uint8_t* data, const uint8_t* end, const Buffer* room, size_t images, keep
    ):
        """The images, so many of them, with those columns that are kept."""
        cdef vector[uint8_t] kept, nulls
        cdef SpooledBuffer out = SpooledBuffer()
        cdef const uint8_t* start
        cdef const uint8_t* bits
        cdef const uint8_t* stop = data + STEP if room != NULL else end
        cdef size_t image, at, size, bitmap_at
        cdef size_t column = 0
        for stays in keep:
            kept.push_back(bool(stays))
            column += kept.back()
        if kept.size() != self._count:
            raise ValueError(f"{self._table} has {self._count} columns, not {kept.size()}")
        nulls.resize((column + 7) // 8)
        for image in range(images):
            if data == end or <size_t>(end - data) < self._bitmap:
                raise self._misfit()
            bits = data
            data += self._bitmap
            bitmap_at, column = out.buffer.size, 0
            put_value(out, nulls.data(), nulls.size(), NULL)
            for at in range(self._count):
                if bits[at >> 3] >> (at & 7) & 1:
                    if kept[at]:
                        out.buffer.data[bitmap_at + (column >> 3)] |= 1 << (column & 7)
                else:
                    start = data
                    if not find_value(&self._fields[at], &data, end, &size):
                        raise self._misfit()
                    data += size
                    if kept[at]:
                        put_value(out, start, data - start, room)
                    if data > stop:
                        page_out(room)
                        stop = data + STEP
                column += kept[at]
        if data != end:
            raise self._misfit()
        if out.buffer.size > IN_BYTES:
            return out
        return PyBytes_FromStringAndSize(out.buffer.data, out.buffer.size)
