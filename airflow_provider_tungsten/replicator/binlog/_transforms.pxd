from libc.stdint cimport uint8_t
from libcpp.vector cimport vector


cdef enum Outcome:
    SAME
    CHANGED
    NULLED
    NOT_DONE

cdef enum Kind:
    KEEP
    NULL_IT
    CONSTANT

cdef struct Step:
    Kind kind
    const uint8_t* text
    size_t size


cdef class Transforms:
    cdef vector[Step] _steps
    cdef list _kept_alive
    cdef readonly dict conversions
    # Why it is NOT_DONE.
    cdef readonly object error
    cdef bint changes(self, size_t column) noexcept nogil
    cdef Outcome apply(
        self, size_t column, const uint8_t* data, size_t size, const uint8_t** text, size_t* text_size
    ) noexcept nogil
