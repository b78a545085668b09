# distutils: language = c++
"""Walks over row images. See `rows` for the Python face.

A row image is a bitmap of NULLs (lowest bit first) and the fields that are not NULL, one behind the other (MySQL
`sql/rpl_record.cc`). Every read is checked against the end of the payload.
"""

from __future__ import annotations

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t
from libcpp.vector cimport vector

from airflow_provider_tungsten.replicator.binlog._charset cimport Charset
from airflow_provider_tungsten.replicator.errors import CorruptLogError


cdef class Images:
    """What the layout and the encoder know alike of an image: its fields."""

    def __init__(self, str table, names, fields):
        cdef Field field
        cdef Label label
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
        self._count = self._fields.size()
        self._bitmap = (self._count + 7) // 8

cdef class RowLayout(Images):
    cdef object _misfit(self):
        return CorruptLogError(f"{self._table}: a row image does not fit its table definition")

    cdef bint _skip(self, const uint8_t** data, const uint8_t* end) noexcept nogil:
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
        return True

    cdef Py_ssize_t images(self, const uint8_t* data, const uint8_t* end) noexcept nogil:
        """How many images fill the memory; -1 where they do not fit it."""
        cdef Py_ssize_t images = 0
        if self._bitmap == 0 and data < end:
            return -1
        while data < end:
            if not self._skip(&data, end):
                return -1
            images += 1
        return images

    def count(self, const uint8_t[::1] payload not None, size_t images_per_row):
        cdef Py_ssize_t images = 0
        if payload.shape[0] == 0:
            return 0
        with nogil:
            images = self.images(&payload[0], &payload[0] + payload.shape[0])
        if images < 0 or images_per_row == 0 or images % images_per_row:
            raise self._misfit()
        return images // images_per_row

    def drop(self, const uint8_t[::1] payload not None, size_t images, keep):
        cdef vector[uint8_t] kept, out, nulls
        cdef const uint8_t* data
        cdef const uint8_t* start
        cdef const uint8_t* bits
        cdef const uint8_t* end
        cdef size_t image, at, size, bitmap_at
        cdef size_t column = 0
        for stays in keep:
            kept.push_back(bool(stays))
            column += kept.back()
        if kept.size() != self._count:
            raise ValueError(f"{self._table} has {self._count} columns, not {kept.size()}")
        nulls.resize((column + 7) // 8)
        if payload.shape[0] == 0:
            if images:
                raise self._misfit()
            return b""
        data, end = &payload[0], &payload[0] + payload.shape[0]
        out.reserve(payload.shape[0])
        for image in range(images):
            if <size_t>(end - data) < self._bitmap:
                raise self._misfit()
            bits = data
            data += self._bitmap
            bitmap_at, column = out.size(), 0
            nulls.assign(nulls.size(), 0)
            out.insert(out.end(), nulls.begin(), nulls.end())
            for at in range(self._count):
                if bits[at >> 3] >> (at & 7) & 1:
                    if kept[at]:
                        out[bitmap_at + (column >> 3)] |= 1 << (column & 7)
                else:
                    start = data
                    if not find_value(&self._fields[at], &data, end, &size):
                        raise self._misfit()
                    data += size
                    if kept[at]:
                        out.insert(out.end(), start, data)
                column += kept[at]
        if data != end:
            raise self._misfit()
        return PyBytes_FromStringAndSize(<const char*>out.data(), out.size())
