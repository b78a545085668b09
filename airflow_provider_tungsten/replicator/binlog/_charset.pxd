from libc.stdint cimport uint8_t, uint32_t
from libcpp.vector cimport vector

from airflow_provider_tungsten.replicator.binlog._buffer cimport Buffer


cpdef enum Form:
    """How a character set's bytes say a character."""

    TABLE
    UCS2
    UTF16
    UTF16LE
    UTF32


cdef enum TextStatus:
    TEXT_OK
    TEXT_WRONG
    TEXT_NO_MEMORY


cdef struct Decoder:
    Form form
    bint ascii              # bytes below 128 are ASCII's
    const uint32_t* units   # nodes of 256 entries each, the first for a character's first byte
    const uint32_t* linear  # GB18030's four-byte codes of the BMP


cdef TextStatus to_utf8(
    const Decoder* decoder, Buffer* out, const uint8_t** data, const uint8_t* until, const uint8_t* end, bint escape
) noexcept nogil


cdef class Charset:
    cdef Decoder decoder
    cdef vector[uint32_t] _units
    cdef vector[uint32_t] _linear
    cdef str _name
    cdef int _add(self, bytes code, bytes utf8) except -1
    cdef size_t _node(self, size_t node, uint8_t byte) except 0
