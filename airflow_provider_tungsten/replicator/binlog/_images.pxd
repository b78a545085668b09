from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libcpp.vector cimport vector

from airflow_provider_tungsten.replicator.binlog._buffer cimport Buffer
from airflow_provider_tungsten.replicator.binlog._charset cimport Decoder


cpdef enum Op:
    """How a field's bytes become text."""

    UNSUPPORTED
    SIGNED
    UNSIGNED
    DECIMAL
    REAL
    BIT
    YEAR
    DATE
    TIME
    DATETIME
    TIMESTAMP
    TEXT
    CHARSET_TEXT
    HEXADECIMAL
    ENUM
    SET
    JSON
    GEOMETRY
    VECTOR
    OLD_TIME
    OLD_DATETIME
    OLD_TIMESTAMP
    COMPRESSED


cdef struct Field:
    Op op
    uint32_t size       # bytes of the value; unused where it has its length in front
    uint32_t prefix     # bytes of that length; 0: none
    uint32_t detail     # fractional digits, scale, bytes to which BINARY is filled up, or what was compressed (Op)
    uint32_t precision  # of DECIMAL
    size_t first_label
    size_t labels
    const Decoder* decoder  # of a text that is not in UTF-8, else NULL


cdef struct Label:
    const uint8_t* text
    size_t size


cdef inline uint64_t little_endian(const uint8_t* data, uint32_t size) noexcept nogil:
    cdef uint64_t value = 0
    while size:
        size -= 1
        value = value << 8 | data[size]
    return value


cdef inline uint64_t big_endian(const uint8_t* data, uint32_t size) noexcept nogil:
    cdef uint64_t value = 0
    cdef uint32_t at
    for at in range(size):
        value = value << 8 | data[at]
    return value


cdef inline bint find_value(
    const Field* field, const uint8_t** data, const uint8_t* end, size_t* size
) noexcept nogil:
    """Moves ``data`` to the value's first byte and tells its size; False where it is not all there."""
    cdef size_t left = end - data[0]
    size[0] = field.size
    if field.prefix:
        if left < field.prefix:
            return False
        size[0] = little_endian(data[0], field.prefix)
        data[0] += field.prefix
        left -= field.prefix
    return size[0] <= left


cdef enum:
    SKIPPED = 1 << 15  # a value that is passed over and makes it worth while to let go of what lies around it


cdef class Images:
    cdef vector[Field] _fields
    cdef vector[Label] _labels
    cdef size_t _count
    cdef size_t _bitmap
    cdef tuple _names
    cdef list _kept_alive
    cdef str _table


cdef class RowLayout(Images):
    cdef object _misfit(self)
    cdef bint _skip(self, const uint8_t** data, const uint8_t* end, const Buffer* room) noexcept nogil
    cdef Py_ssize_t images(self, const uint8_t* data, const uint8_t* end, const Buffer* room) noexcept nogil
    cdef object kept_of(
        self, const uint8_t* data, const uint8_t* end, const Buffer* room, size_t images, keep
    )
