from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from airflow_provider_tungsten.replicator.binlog._buffer cimport Buffer


cdef class SpooledBuffer:
    cdef Buffer buffer
    cdef size_t _views

    # source: where the data lie, if in a buffer, too: what was copied of them leaves memory
    cdef int put(self, const uint8_t* data, size_t size, const Buffer* source=*) except -1


cdef inline int put_value(SpooledBuffer out, const uint8_t* data, size_t size, const Buffer* source) except -1:
    """The same for what is most often small."""
    if size >= out.buffer.capacity - out.buffer.size or out._views:
        return out.put(data, size, source)
    memcpy(out.buffer.data + out.buffer.size, data, size)
    out.buffer.size += size
    return 0


cpdef SpooledBuffer room_of(data)
cdef object no_room(const Buffer* buffer)
