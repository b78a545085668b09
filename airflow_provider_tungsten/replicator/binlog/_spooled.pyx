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


cpdef SpooledBuffer room_of(data):
    if isinstance(data, memoryview):
        data = data.obj
    return data if isinstance(data, SpooledBuffer) else None


def steps(data, Py_ssize_t size):
    cdef SpooledBuffer room = room_of(data)
    cdef Py_ssize_t at, read = 0
    view = memoryview(data)
    for at in range(0, len(view), size):
        yield view[at:at + size]
        read += size
        if room is not None and read >= STEP:
            page_out(&room.buffer)
            read = 0


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

    cdef int put(self, const uint8_t* data, size_t size, const Buffer* source=NULL) except -1:
        cdef size_t step
        if self._views:
            raise BufferError("somebody looks at these bytes: they cannot grow")
        while size:
            step = min(size, <size_t>STEP)
            if not reserve(&self.buffer, step):
                raise no_room(&self.buffer)
            memcpy(self.buffer.data + self.buffer.size, data, step)
            self.buffer.size += step
            if source != NULL and step == STEP:
                page_out(source)
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
