# Bytes that grow: `_buffer.h`.

cdef extern from "_buffer.h" namespace "tungsten" nogil:
    cdef struct Buffer:
        char* data
        size_t size
        size_t capacity
        int error

    bint is_paged(const Buffer* buffer)
    void page_out(const Buffer* buffer)
    void clear(Buffer* buffer)
    void release(Buffer* buffer)
    bint reserve(Buffer* buffer, size_t more)
