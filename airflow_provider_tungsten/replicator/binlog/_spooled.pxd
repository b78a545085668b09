from libc.stdint cimport uint8_t

from airflow_provider_tungsten.replicator.binlog._buffer cimport Buffer


cdef class SpooledBuffer:
    cdef Buffer buffer
    cdef size_t _views

    # source: where the data lie, if in a buffer, too: what was copied of them leaves memory
    cdef int put(self, const uint8_t* data, size_t size, const Buffer* source=*) except -1


cpdef SpooledBuffer room_of(data)
cdef object no_room(const Buffer* buffer)
