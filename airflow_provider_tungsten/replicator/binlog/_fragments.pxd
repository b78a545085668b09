from libc.stdint cimport int32_t, int64_t, uint8_t
from libcpp.string cimport string
from libcpp.vector cimport vector


cdef class Fragments:
    cdef readonly list keys
    cdef readonly size_t whole
    cdef size_t _fragment_bytes
    cdef dict _numbers
    cdef dict _options
    cdef bint _closed
    cdef vector[int32_t] _key, _kind, _rows, _fragno, _event_id_ends, _gtid_ends, _payload_ends
    cdef vector[int64_t] _seqno, _commit_ts, _watermark, _extracted_ts, _payload_bytes
    cdef vector[uint8_t] _last, _event_ids, _gtids, _payload

    cdef size_t payload_size(self) noexcept
    cpdef size_t open_size(self) noexcept
    cdef int append(self, int32_t key, int32_t kind, int32_t rows, const uint8_t* data, size_t size) except -1
    cdef int64_t finish(
        self, int64_t seqno, const string& event_id, const string& gtid, int64_t commit_ts, int64_t watermark,
        int64_t extracted_ts
    ) except -1
