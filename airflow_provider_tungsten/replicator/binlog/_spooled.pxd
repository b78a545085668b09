from libc.stdint cimport uint8_t

from airflow_provider_tungsten.replicator.binlog._buffer cimport Buffer


cdef class SpooledBuffer:
    cdef Buffer buffer
    cdef size_t _views

    cdef int put(self, const uint8_t* data, size_t size) except -1


cdef object no_room(const Buffer* buffer)
