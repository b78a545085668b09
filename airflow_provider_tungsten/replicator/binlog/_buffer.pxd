# Bytes that grow: `_buffer.h`.

from libcpp.vector cimport vector

cdef extern from "_buffer.h" namespace "tungsten" nogil:
    cdef struct Buffer:
        char* data
        size_t size
        size_t capacity
        int error

    cdef cppclass Paced:
        size_t step
        vector[const Buffer*] buffers
        void page_out()

    const size_t WINDOW

    bint is_paged(const Buffer* buffer)
    void page_out(const Buffer* buffer)
    void clear(Buffer* buffer)
    void release(Buffer* buffer)
    bint reserve(Buffer* buffer, size_t more)
