# distutils: language = c++
"""Columns of THL rows: those of whole transactions, and behind them the fragments of the open one. See `collector`.

A commit fills in what all fragments of a transaction have in common; a rollback cuts them off. So no row is moved, and
no Python object is made, between the event and the segment's columns.
"""

from __future__ import annotations

from cpython.buffer cimport PyBuffer_FillInfo
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int32_t, int64_t, uint8_t
from libcpp.string cimport string
from libcpp.vector cimport vector

cdef enum:
    FRAGMENT_COST = 256  # bytes that a fragment takes besides its payload, its event id and GTID included
    SPARE = 1 << 24  # bytes that are kept for the payloads to come


cdef class Buffer:
    """Memory of a column; read-only."""

    cdef uint8_t _nothing
    cdef vector[uint8_t] _bytes
    cdef vector[int32_t] _ints
    cdef vector[int64_t] _longs

    def __getbuffer__(self, Py_buffer* view, int flags):
        if not self._ints.empty():
            PyBuffer_FillInfo(view, self, self._ints.data(), self._ints.size() * 4, 1, flags)
        elif not self._longs.empty():
            PyBuffer_FillInfo(view, self, self._longs.data(), self._longs.size() * 8, 1, flags)
        elif not self._bytes.empty():
            PyBuffer_FillInfo(view, self, self._bytes.data(), self._bytes.size(), 1, flags)
        else:
            PyBuffer_FillInfo(view, self, &self._nothing, 0, 1, flags)  # Arrow wants an address all the same


cdef Buffer _take_bytes(vector[uint8_t]& column, size_t count):
    """The first `count` values; what is behind them stays."""
    buffer = Buffer()
    buffer._bytes.assign(column.begin() + count, column.end())
    buffer._bytes.swap(column)
    buffer._bytes.resize(count)
    return buffer


cdef Buffer _take_ints(vector[int32_t]& column, size_t count):
    buffer = Buffer()
    buffer._ints.assign(column.begin() + count, column.end())
    buffer._ints.swap(column)
    buffer._ints.resize(count)
    return buffer


cdef Buffer _take_longs(vector[int64_t]& column, size_t count):
    buffer = Buffer()
    buffer._longs.assign(column.begin() + count, column.end())
    buffer._longs.swap(column)
    buffer._longs.resize(count)
    return buffer


cdef Buffer _take_ends(vector[int32_t]& ends, size_t count):
    """Likewise, of where values end in another column: there is one more, the first is 0."""
    cdef int32_t first = ends[count]
    cdef size_t at
    buffer = Buffer()
    buffer._ints.assign(ends.begin() + count, ends.end())
    for at in range(buffer._ints.size()):
        buffer._ints[at] -= first
    buffer._ints.swap(ends)
    buffer._ints.resize(count + 1)
    return buffer


cdef class Fragments:
    def __cinit__(self, size_t fragment_bytes):
        self._fragment_bytes = fragment_bytes
        self.keys = []
        self._numbers = {}
        self._options = {}
        self.whole = 0
        self._closed = True
        self._event_id_ends.push_back(0)
        self._gtid_ends.push_back(0)
        self._payload_ends.push_back(0)

    def number(self, key):
        found = self._numbers.get(key)
        if found is None:
            found = self._numbers[key] = len(self.keys)
            self.keys.append(key)
        return found

    @property
    def opened(self):
        return self._key.size() - self.whole

    @property
    def size(self):
        return self._payload.size()

    cdef size_t payload_size(self) noexcept:
        return self._payload.size()

    cpdef size_t open_size(self) noexcept:
        return self._payload.size() - self._payload_ends[self.whole] + FRAGMENT_COST * (self._key.size() - self.whole)

    def add(self, int32_t key, int32_t kind, int32_t rows, const uint8_t[::1] payload not None, options=None):
        cdef const uint8_t* data = NULL
        if payload.shape[0]:
            data = &payload[0]
        if options is not None:
            self._closed = True
            self._options[self._key.size()] = options
        self.append(key, kind, rows, data, payload.shape[0])
        if options is not None:
            self._closed = True

    cdef int append(self, int32_t key, int32_t kind, int32_t rows, const uint8_t* data, size_t size) except -1:
        cdef size_t last = self._key.size() - 1
        if self._payload.size() + size > 0x7FFFFFFF:
            raise MemoryError("more than 2 GiB of one transaction in memory")
        if size:
            self._payload.insert(self._payload.end(), data, data + size)
        if (
            not self._closed and self._key[last] == key and self._kind[last] == kind
            and self._payload.size() - self._payload_ends[last] <= <int64_t>self._fragment_bytes
            and self._rows[last] <= 0x7FFFFFFF - rows
        ):
            self._rows[last] += rows
            self._payload_ends[last + 1] = <int32_t>self._payload.size()
        else:
            self._key.push_back(key)
            self._kind.push_back(kind)
            self._rows.push_back(rows)
            self._payload_ends.push_back(<int32_t>self._payload.size())
            self._closed = False
        return 0

    def mark(self):
        self._closed = True
        return self._key.size() - self.whole

    def cut(self, size_t count):
        cdef size_t left = self.whole + count
        if count > self._key.size() - self.whole:
            raise ValueError("there are fewer fragments")
        self._closed = True
        for at in [at for at in self._options if at >= left]:
            del self._options[at]
        self._key.resize(left)
        self._kind.resize(left)
        self._rows.resize(left)
        self._payload_ends.resize(left + 1)
        self._payload.resize(self._payload_ends.back())
        if self._payload.capacity() - self._payload.size() > SPARE:
            self._payload.shrink_to_fit()

    def fragments(self):
        cdef size_t at = self.whole
        self._closed = True
        # There may be fewer of them when it goes on.
        while at < self._key.size():
            payload = PyBytes_FromStringAndSize(
                <const char*>self._payload.data() + self._payload_ends[at],
                self._payload_ends[at + 1] - self._payload_ends[at],
            )
            yield self._kind[at], self._key[at], self._rows[at], payload, self._options.get(at)
            at += 1

    cdef int64_t finish(
        self, int64_t seqno, const string& event_id, const string& gtid, int64_t commit_ts, int64_t watermark,
        int64_t extracted_ts
    ) except -1:
        cdef int64_t rows = 0
        cdef size_t at
        for at in range(self.whole, self._key.size()):
            rows += self._rows[at]
            self._seqno.push_back(seqno)
            self._fragno.push_back(<int32_t>(at - self.whole))
            self._last.push_back(at + 1 == self._key.size())
            self._event_ids.insert(self._event_ids.end(), event_id.begin(), event_id.end())
            self._event_id_ends.push_back(<int32_t>self._event_ids.size())
            self._gtids.insert(self._gtids.end(), gtid.begin(), gtid.end())
            self._gtid_ends.push_back(<int32_t>self._gtids.size())
            self._commit_ts.push_back(commit_ts)
            self._watermark.push_back(watermark)
            self._extracted_ts.push_back(extracted_ts)
            self._payload_bytes.push_back(self._payload_ends[at + 1] - self._payload_ends[at])
        self.whole = self._key.size()
        self._closed = True
        return rows

    def take(self):
        cdef size_t count = self.whole
        cdef size_t payload = self._payload_ends[count]
        cdef dict options = {at: pairs for at, pairs in self._options.items() if at < count}
        self._options = {at - count: pairs for at, pairs in self._options.items() if at >= count}
        taken = {
            "seqno": _take_longs(self._seqno, count),
            "fragno": _take_ints(self._fragno, count),
            "last_frag": _take_bytes(self._last, count),
            "event_id": (_take_ends(self._event_id_ends, count), _take_bytes(self._event_ids, self._event_ids.size())),
            "gtid": (_take_ends(self._gtid_ends, count), _take_bytes(self._gtids, self._gtids.size())),
            "commit_ts": _take_longs(self._commit_ts, count),
            "watermark": _take_longs(self._watermark, count),
            "extracted_ts": _take_longs(self._extracted_ts, count),
            "kind": _take_ints(self._kind, count),
            "key": _take_ints(self._key, count),
            "rows": _take_ints(self._rows, count),
            "payload": (_take_ends(self._payload_ends, count), _take_bytes(self._payload, payload)),
            "payload_bytes": _take_longs(self._payload_bytes, count),
        }
        self.whole = 0
        return count, taken, options

    def forget_keys(self):
        if self._key.empty():
            self.keys = []
            self._numbers = {}
            return True
        return False
