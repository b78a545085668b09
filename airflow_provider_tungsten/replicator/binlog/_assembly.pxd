from libc.stdint cimport int32_t

from airflow_provider_tungsten.replicator.binlog._images cimport RowLayout


cdef class Table:
    cdef readonly int32_t key
    cdef readonly size_t columns
    cdef readonly RowLayout layout
    cdef readonly list keep
