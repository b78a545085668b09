# distutils: language = c++
"""Bytes that grow, as Python sees them; and what is raised where they cannot."""

from __future__ import annotations

from cpython.buffer cimport PyBuffer_FillInfo
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

import os

from airflow_provider_tungsten.replicator.binlog._buffer cimport Buffer, is_paged, page_out, release, reserve

from airflow_provider_tungsten.replicator.errors import StorageError

cdef enum:
    STEP = 1 << 20


cdef object no_room(const Buffer* buffer):
    if not buffer.error:
        return MemoryError()
    return StorageError(
        f"a value or an event of more than {buffer.size} bytes waits in a temporary file, which cannot be written: "
        f"{os.strerror(buffer.error)}; free space in the folder for temporary files, or set TMPDIR to another"
    )


cdef class SpooledBuffer:
    def __dealloc__(self):
        release(&self.buffer)

    def __len__(self):
        return self.buffer.size

    @property
    def is_paged(self):
        return is_paged(&self.buffer)

    def append(self, const uint8_t[::1] data not None):
        if data.shape[0]:
            self.put(&data[0], data.shape[0])

    cdef int put(self, const uint8_t* data, size_t size) except -1:
        cdef size_t step
        if self._views:
            raise BufferError("somebody looks at these bytes: they cannot grow")
        while size:
            step = min(size, <size_t>STEP)
            if not reserve(&self.buffer, step):
                raise no_room(&self.buffer)
            memcpy(self.buffer.data + self.buffer.size, data, step)
            self.buffer.size += step
            data += step
            size -= step
        return 0

    def page_out(self):
        page_out(&self.buffer)

    def __getbuffer__(self, Py_buffer* view, int flags):
        # Whoever takes it wants an address all the same.
        PyBuffer_FillInfo(view, self, self.buffer.data if self.buffer.size else <char*>&self._views, self.buffer.size, 1, flags)
        self._views += 1

    def __releasebuffer__(self, Py_buffer* view):
        self._views -= 1
