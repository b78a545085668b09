from libc.stdint cimport uint8_t

from airflow_provider_tungsten.replicator.binlog._buffer cimport Buffer, Paced

cdef enum JsonStatus:
    JSON_OK
    JSON_CORRUPT
    JSON_TOO_LONG
    JSON_NO_MEMORY

cdef JsonStatus json_text(
    Buffer* out, const uint8_t* data, size_t size, size_t limit, const Paced* paced
) noexcept nogil
