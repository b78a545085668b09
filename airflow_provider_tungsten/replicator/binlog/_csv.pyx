# distutils: language = c++
"""Row images to CSV text. See `rows` for the Python face. Every read is checked against the end of the payload."""

from __future__ import annotations

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memchr, memcmp, memcpy, memset

import zlib

from airflow_provider_tungsten.replicator.binlog._charset cimport TEXT_NO_MEMORY, TEXT_OK, TextStatus, to_utf8
from airflow_provider_tungsten.replicator.binlog._images cimport (
    Field,
    Images,
    Label,
    Op,
    big_endian,
    find_value,
    little_endian,
)
from airflow_provider_tungsten.replicator.binlog._json cimport (
    JSON_CORRUPT,
    JSON_NO_MEMORY,
    JSON_OK,
    JSON_TOO_LONG,
    JsonStatus,
    json_text,
)
from airflow_provider_tungsten.replicator.binlog._text cimport (
    DECIMAL_ROOM,
    REAL_ROOM,
    Buffer,
    Time,
    is_datetime,
    is_time,
    put,
    put_date,
    put_datetime,
    put_decimal,
    put_padded,
    put_real,
    put_signed,
    put_time,
    put_unsigned,
    reserve,
    unpack_datetime,
    unpack_old_datetime,
    unpack_old_time,
    unpack_time,
    utc,
)

from airflow_provider_tungsten.replicator.binlog.refusals import Encoded, SentinelCollision, ValueRefused
from airflow_provider_tungsten.replicator.errors import CorruptLogError


cdef enum Status:
    DONE
    CORRUPT
    NO_MEMORY
    COLLISION
    NUL
    TOO_LONG
    WRONG_CHARACTER
    ZERO_DATE
    NO_LABEL
    NOT_A_VALUE
    MISCOUNTED


_REASONS = {
    NUL: "a text with a NUL character (0x00)",
    WRONG_CHARACTER: "bytes that are no character of the column's character set",
    ZERO_DATE: "a zero date, or one whose year, month or day is zero",
}
_BROKEN = {
    CORRUPT: "a row image does not fit its table definition",
    NO_LABEL: "a row holds a number for which the definition has no label",
    NOT_A_VALUE: "a row holds bytes that are no value of the column's type",
    MISCOUNTED: "an event holds more or fewer row images than the log counts",
}

cdef enum:
    QUOTE_IT = 1
    HIGH = 2
    ZERO = 4
    ROW_ROOM = 128
    HEAD_ROOM = 64
    # A geometry: SRID, byte order, type and what it holds.
    SRID_BYTES = 4
    WKB_HEAD = 5
    WKB_TYPES = 7
    EWKB_SRID = 0x20000000
    # What is compressed: how, the sign of no zlib header, bytes of the length behind.
    ZLIB = 8
    RAW_DEFLATE = 8


KINDS = ("insert", "update", "delete")
_HEADER = ("opcode", "seqno", "row_id", "commit_timestamp", "service", "event_id", "gtid")

cdef enum:
    INSERT
    UPDATE
    DELETE

cdef enum:
    OPCODE
    SEQNO
    ROW_ID
    COMMIT_TIMESTAMP
    SERVICE
    EVENT_ID
    GTID

cdef struct Events:
    # Columns of `count` events; `offsets` has one more, `counts` may be missing.
    size_t count
    const int64_t* seqnos
    const int64_t* commits
    const uint8_t* kinds
    const int32_t* counts
    const int32_t* offsets
    const uint8_t* payload
    size_t payload_size


cdef class Workspace:
    cdef Buffer out
    cdef Buffer scratch
    cdef bint busy

    def __cinit__(self):
        self.out.data = self.scratch.data = NULL
        self.out.size = self.scratch.size = self.out.capacity = self.scratch.capacity = 0
        if not reserve(&self.scratch, 1):
            raise MemoryError()

    def __dealloc__(self):
        free(self.out.data)
        free(self.scratch.data)


cdef class CsvEncoder(Images):
    cdef readonly size_t failed
    # The workspace's buffers while `encode` runs.
    cdef Buffer _out
    cdef Buffer _head
    cdef Buffer _scratch
    cdef uint8_t _class[256]
    cdef uint8_t _separator
    cdef uint8_t _quote
    cdef bint _refuse_nul
    cdef bint _refuse_zero_dates
    cdef size_t _max_text
    cdef size_t _max_binary
    cdef size_t _max_geometry
    cdef size_t _exceeded
    cdef size_t _room
    cdef bytes _inflated
    cdef bytes _null_text
    cdef const uint8_t* _null
    cdef size_t _null_size
    cdef size_t _columns
    cdef uint8_t _codes[7]
    cdef bint _has_opcode
    cdef bint _has_row_id
    cdef bint _textual
    cdef size_t _opcode_at
    cdef size_t _row_id_at
    cdef bytes _service
    cdef const char* _service_text
    cdef size_t _service_size
    cdef bytes _event_id
    cdef const char* _event_id_text
    cdef size_t _event_id_size
    cdef bytes _gtid
    cdef const char* _gtid_text
    cdef size_t _gtid_size
    cdef int64_t _number
    cdef size_t _taken
    cdef int64_t _inserts
    cdef int64_t _deletes
    cdef size_t _failed
    cdef Workspace _workspace

    def __cinit__(self):
        self._head.data = NULL
        self._head.size = self._head.capacity = 0

    def __dealloc__(self):
        free(self._head.data)

    def __init__(
        self, str table, names, fields, header, *, str null, str service, max_text_bytes,
        max_binary_bytes, max_geometry_bytes, bint refuse_nul, bint refuse_zero_dates, str separator, str quote,
        Workspace workspace,
    ):
        Images.__init__(self, table, names, fields)
        self._separator, self._quote = ord(separator), ord(quote)
        self._refuse_nul, self._refuse_zero_dates = refuse_nul, refuse_zero_dates
        self._max_text, self._max_binary, self._max_geometry = (
            <size_t>-1 // 2 if limit is None else limit
            for limit in (max_text_bytes, max_binary_bytes, max_geometry_bytes)
        )
        self._null_text = null.encode()
        self._null = <const uint8_t*>PyBytes_AS_STRING(self._null_text)
        self._null_size = len(self._null_text)
        self._prepare_classes()
        self._workspace = Workspace() if workspace is None else workspace
        if self._quoted(null) != self._null_text:
            raise ValueError(f"the text for NULL needs quotes: {null!r}")
        self._prepare_header(header, service)
        self._room = ROW_ROOM + self._count * (REAL_ROOM + DECIMAL_ROOM + self._null_size + 1)

    cdef int _prepare_header(self, header, str service) except -1:
        codes = [_HEADER.index(name) for name in header]
        if len(set(codes)) < len(codes):
            raise ValueError(f"a header column stands twice in {', '.join(header)}")
        self._columns = len(codes)
        for at, code in enumerate(codes):
            self._codes[at] = code
        self._has_opcode, self._has_row_id = OPCODE in codes, ROW_ID in codes
        self._textual = EVENT_ID in codes or GTID in codes
        self._service = self._quoted(service)
        self._service_text, self._service_size = PyBytes_AS_STRING(self._service), len(self._service)
        return self._set_texts("", "")

    cdef int _prepare_classes(self) except -1:
        cdef int byte
        memset(self._class, 0, 256)
        for byte in range(128, 256):
            self._class[byte] = HIGH
        self._class[0] = ZERO
        for byte in (self._separator, self._quote, 10, 13):
            self._class[byte] |= QUOTE_IT
        return 0

    cdef bytes _quoted(self, text):
        """A field of the header."""
        separator, quote = chr(self._separator), chr(self._quote)
        if any(mark in text for mark in (separator, quote, "\n", "\r")) or text != text.strip(" "):
            text = quote + text.replace(quote, quote + quote) + quote
        return text.encode()

    def encode(
        self, const uint8_t[::1] payload not None, kind, *, seqno, row_id, int64_t commit_ts,
        event_id="", gtid="",
    ):
        cdef int64_t number = seqno
        cdef uint8_t code
        cdef uint64_t place = 0
        cdef int32_t offsets[2]
        cdef Events events
        if kind not in KINDS:
            raise ValueError(f"{kind!r} events hold no rows")
        if payload.shape[0] > 0x7FFFFFFF:
            raise ValueError("an event of 2 GiB or more")
        code = KINDS.index(kind)
        offsets[0], offsets[1] = 0, <int32_t>payload.shape[0]
        events.count = 1
        events.seqnos, events.commits, events.kinds, events.offsets = &number, &commit_ts, &code, offsets
        events.counts = NULL
        events.payload = &payload[0] if payload.shape[0] else NULL
        events.payload_size = payload.shape[0]
        return self._encode(&events, &place, 1, 0, row_id, <size_t>-1, [event_id], [gtid])

    def encode_run(self, run, size_t start, *, row_id, size_t limit):
        cdef const int64_t[::1] seqnos = run.seqnos
        cdef const int64_t[::1] commits = run.commits
        cdef const uint8_t[::1] kinds = run.kinds
        cdef const int32_t[::1] counts = run.counts
        cdef const int32_t[::1] offsets = run.offsets
        cdef const uint8_t[::1] payload = run.payload
        cdef const uint64_t[::1] places = run.places
        cdef Events events
        cdef size_t count = seqnos.shape[0]
        if (
            <size_t>commits.shape[0] != count or <size_t>kinds.shape[0] != count or <size_t>counts.shape[0] != count
            or <size_t>offsets.shape[0] != count + 1 or not start < <size_t>places.shape[0]
        ):
            raise ValueError("columns of different lengths, or nothing left to encode")
        events.count = count
        events.seqnos, events.commits, events.kinds = &seqnos[0], &commits[0], &kinds[0]
        events.counts, events.offsets = &counts[0], &offsets[0]
        events.payload = &payload[0] if payload.shape[0] else NULL
        events.payload_size = payload.shape[0]
        event_ids, gtids = (run.event_ids, run.gtids) if self._textual else (None, None)
        encoded = self._encode(&events, &places[0], places.shape[0], start, row_id, limit, event_ids, gtids)
        return encoded, self._taken - start

    cdef object _encode(
        self, const Events* events, const uint64_t* places, size_t size, size_t start, row_id, size_t limit,
        list event_ids, list gtids,
    ):
        """Events from ``places[start]`` on, at least one, until there are ``limit`` bytes of text."""
        cdef Status status = DONE
        cdef size_t until = size
        if self._workspace.busy:
            raise RuntimeError("encoders of one workspace work for one thread at a time")
        self._number = row_id
        self._taken = start
        self._inserts = self._deletes = 0
        self._workspace.busy = True
        self._out, self._scratch = self._workspace.out, self._workspace.scratch
        self._out.size = 0
        try:
            while status == DONE and self._taken < size and (self._taken == start or self._out.size < limit):
                if self._textual:
                    self._set_texts(event_ids[places[self._taken]], gtids[places[self._taken]])
                    until = self._taken + 1
                with nogil:
                    while status == DONE and self._taken < until and (self._taken == start or self._out.size < limit):
                        status = self._event(events, places[self._taken])
                        self._taken += 1
            if status != DONE:
                self.failed = places[self._taken - 1]
                self._raise(status)
            csv = PyBytes_FromStringAndSize(self._out.data, self._out.size) if self._out.size else b""
            return Encoded(csv, self._number, self._inserts, self._deletes)
        finally:
            self._workspace.out, self._workspace.scratch = self._out, self._scratch
            self._workspace.busy = False

    cdef int _set_texts(self, event_id, gtid) except -1:
        self._event_id, self._gtid = self._quoted(event_id or ""), self._quoted(gtid or "")
        self._event_id_text, self._event_id_size = PyBytes_AS_STRING(self._event_id), len(self._event_id)
        self._gtid_text, self._gtid_size = PyBytes_AS_STRING(self._gtid), len(self._gtid)
        return 0

    cdef Status _event(self, const Events* events, size_t at) noexcept nogil:
        cdef const uint8_t* data
        cdef const uint8_t* end
        cdef int64_t first = self._number
        cdef int64_t images
        cdef uint8_t kind
        cdef Status status
        self._failed = self._count
        if at >= events.count:
            return CORRUPT
        kind = events.kinds[at]
        if (
            kind > DELETE or events.offsets[at] < 0 or events.offsets[at + 1] < events.offsets[at]
            or <size_t>events.offsets[at + 1] > events.payload_size
        ):
            return CORRUPT
        data = events.payload + events.offsets[at]
        end = events.payload + events.offsets[at + 1]
        if data != end and not self._bitmap:
            return CORRUPT
        if not self._render_head(events.seqnos[at], events.commits[at]):
            return NO_MEMORY
        while data < end:
            if not reserve(&self._out, self._room + self._head.size):
                return NO_MEMORY
            self._put_head(kind == DELETE or (kind == UPDATE and not (self._number - first) & 1))
            status = self._row(&data, end)
            if status != DONE:
                return status
            self._number += 1
        images = self._number - first
        if kind == UPDATE and images & 1:
            return CORRUPT
        if events.counts != NULL and images != <int64_t>events.counts[at] * (2 if kind == UPDATE else 1):
            return MISCOUNTED
        if kind == INSERT:
            self._inserts += images
        elif kind == DELETE:
            self._deletes += images
        else:
            self._inserts += images // 2
            self._deletes += images // 2
        return DONE

    cdef bint _render_head(self, int64_t seqno, int64_t commit_ts) noexcept nogil:
        """The header's columns in front of and behind the row's number, separators included, for all rows of an event."""
        cdef size_t at
        cdef char* out
        cdef Time time
        self._head.size = 0
        if not reserve(&self._head, self._columns * HEAD_ROOM + self._service_size + self._event_id_size + self._gtid_size):
            return False
        out = self._head.data
        for at in range(self._columns):
            if self._codes[at] == ROW_ID:
                self._row_id_at = out - self._head.data
                continue
            if self._codes[at] == OPCODE:
                self._opcode_at = out - self._head.data
                out += 1
            elif self._codes[at] == SEQNO:
                out = put_signed(out, seqno)
            elif self._codes[at] == COMMIT_TIMESTAMP:
                utc(commit_ts // 1000000, commit_ts % 1000000, &time)
                out = put_datetime(out, &time, 6)
            elif self._codes[at] == SERVICE:
                out = put(out, self._service_text, self._service_size)
            elif self._codes[at] == EVENT_ID:
                out = put(out, self._event_id_text, self._event_id_size)
            else:
                out = put(out, self._gtid_text, self._gtid_size)
            out[0] = self._separator
            out += 1
        self._head.size = out - self._head.data
        return True

    cdef void _put_head(self, bint delete) noexcept nogil:
        cdef char* out = self._out.data + self._out.size
        if self._has_opcode:
            self._head.data[self._opcode_at] = 68 if delete else 73
        if self._has_row_id:
            out = put(out, self._head.data, self._row_id_at)
            out = put_signed(out, self._number)
            out[0] = self._separator
            out = put(out + 1, self._head.data + self._row_id_at, self._head.size - self._row_id_at)
        else:
            out = put(out, self._head.data, self._head.size)
        self._out.size = out - self._out.data

    cdef object _raise(self, Status status):
        if status == NO_MEMORY:
            raise MemoryError()
        name = self._names[self._failed] if self._failed < self._count else None
        if status == COLLISION:
            raise SentinelCollision(name)
        if status == TOO_LONG:
            raise ValueRefused(name, f"a value of more than {self._exceeded} bytes")
        if status in _REASONS:
            raise ValueRefused(name, _REASONS[status])
        place = self._table if name is None else f"{self._table}.{name}"
        raise CorruptLogError(f"{place}: {_BROKEN[status]}")

    cdef Status _row(self, const uint8_t** data, const uint8_t* end) noexcept nogil:
        cdef const uint8_t* nulls = data[0]
        cdef size_t at, size
        cdef Status status
        if <size_t>(end - data[0]) < self._bitmap:
            return CORRUPT
        data[0] += self._bitmap
        for at in range(self._count):
            if nulls[at >> 3] >> (at & 7) & 1:
                memcpy(self._out.data + self._out.size, self._null, self._null_size)
                self._out.size += self._null_size
            else:
                if not find_value(&self._fields[at], data, end, &size):
                    self._failed = at
                    return CORRUPT
                status = self._field(&self._fields[at], data[0], size)
                if status != DONE:
                    self._failed = at
                    return status
                data[0] += size
            self._out.data[self._out.size] = self._separator
            self._out.size += 1
        self._out.data[self._out.size - 1] = 10
        return DONE

    cdef Status _field(self, const Field* field, const uint8_t* data, size_t size) noexcept nogil:
        """One value. Room for the fixed-size text of all columns is reserved before and after."""
        cdef char* out = self._out.data + self._out.size
        cdef uint64_t bits
        cdef int64_t number
        cdef float single
        cdef double real
        cdef Op op = field.op
        if op == Op.SIGNED:
            bits = little_endian(data, size)
            # The sign bit moved to the top and back: sizes of 1, 2, 3, 4 and 8 bytes alike.
            number = <int64_t>(bits << (64 - 8 * size)) >> (64 - 8 * size)
            out = put_signed(out, number)
        elif op == Op.UNSIGNED:
            out = put_unsigned(out, little_endian(data, size))
        elif op == Op.TEXT:
            return self._text(data, size, False)
        elif op == Op.TIMESTAMP or op == Op.DATETIME or op == Op.DATE or op == Op.TIME:
            return self._temporal(field, data)
        elif op == Op.DECIMAL:
            out = put_decimal(out, data, field.precision, field.detail)
        elif op == Op.REAL:
            bits = little_endian(data, size)
            if size == 4:
                memcpy(&single, &bits, 4)
                out = put_real(out, single, True)
            else:
                memcpy(&real, &bits, 8)
                out = put_real(out, real, False)
        elif op == Op.BIT:
            out = put_unsigned(out, big_endian(data, size))
        elif op == Op.YEAR:
            out = put_padded(out, 1900 + data[0] if data[0] else 0, 4)
        elif op == Op.CHARSET_TEXT:
            return self._charset_text(field, data, size)
        elif op == Op.HEXADECIMAL:
            return self._hexadecimal(data, size, field.detail)
        elif op == Op.ENUM:
            return self._enum(field, little_endian(data, size))
        elif op == Op.SET:
            return self._set(field, little_endian(data, size))
        elif op == Op.JSON:
            return self._json(data, size)
        elif op == Op.GEOMETRY:
            return self._geometry(data, size)
        elif op == Op.VECTOR:
            return self._vector(data, size)
        elif op == Op.OLD_TIME or op == Op.OLD_DATETIME or op == Op.OLD_TIMESTAMP:
            return self._temporal(field, data)
        elif op == Op.COMPRESSED:
            return self._compressed(field, data, size)
        else:
            return CORRUPT
        if out == NULL:
            return NOT_A_VALUE
        self._out.size = out - self._out.data
        return DONE

    cdef Status _temporal(self, const Field* field, const uint8_t* data) noexcept nogil:
        cdef char* out = self._out.data + self._out.size
        cdef Time time
        cdef Op op = field.op
        if op == Op.TIME or op == Op.OLD_TIME:
            if op == Op.TIME:
                unpack_time(_packed_time(data, field.detail), &time)
            else:
                unpack_old_time(<int32_t>(little_endian(data, 3) << 8) >> 8, &time)
            if not is_time(&time):
                return NOT_A_VALUE
            out = put_time(out, &time, field.detail)
        else:
            _unpack(field, data, &time)
            if not is_datetime(&time):
                return NOT_A_VALUE
            if self._refuse_zero_dates and not (time.year and time.month and time.day):
                return ZERO_DATE
            out = put_date(out, &time) if op == Op.DATE else put_datetime(out, &time, field.detail)
        self._out.size = out - self._out.data
        return DONE

    cdef Status _text(self, const uint8_t* data, size_t size, bint utf8) noexcept nogil:
        """A field of text, quoted where it must be.

        :param utf8: it is known to be that.
        """
        cdef uint8_t seen = 0
        cdef size_t at
        cdef char* out
        if size > self._max_text:
            return self._too_long(self._max_text)
        for at in range(size):
            seen |= self._class[data[at]]
        if seen & HIGH and not utf8 and not _is_utf8(data, size):
            return WRONG_CHARACTER
        if seen & ZERO and self._refuse_nul:
            return NUL
        if size == self._null_size and memcmp(data, self._null, size) == 0:
            return COLLISION
        if not reserve(&self._out, 2 * size + 2 + self._room):
            return NO_MEMORY
        out = self._out.data + self._out.size
        if seen & QUOTE_IT or (size and (data[0] == 32 or data[size - 1] == 32)):
            out = self._put_quoted(out, data, size)
        else:
            out = put(out, <const char*>data, size)
        self._out.size = out - self._out.data
        return DONE

    cdef Status _too_long(self, size_t limit) noexcept nogil:
        self._exceeded = limit
        return TOO_LONG

    cdef char* _put_quoted(self, char* out, const uint8_t* data, size_t size) noexcept nogil:
        cdef const uint8_t* end = data + size
        cdef const uint8_t* mark
        out[0] = self._quote
        out += 1
        while data < end:
            mark = <const uint8_t*>memchr(data, self._quote, end - data)
            if mark == NULL:
                out = put(out, <const char*>data, end - data)
                break
            out = put(out, <const char*>data, mark + 1 - data)
            out[0] = self._quote
            out += 1
            data = mark + 1
        out[0] = self._quote
        return out + 1

    cdef Status _charset_text(self, const Field* field, const uint8_t* data, size_t size) noexcept nogil:
        cdef size_t wrong
        cdef TextStatus status
        # No character has more than four bytes.
        if size // 4 > self._max_text:
            return self._too_long(self._max_text)
        self._scratch.size = 0
        status = to_utf8(field.decoder, &self._scratch, data, size, False, &wrong)
        if status == TEXT_OK:
            return self._text(<const uint8_t*>self._scratch.data, self._scratch.size, True)
        return NO_MEMORY if status == TEXT_NO_MEMORY else WRONG_CHARACTER

    cdef Status _hexadecimal(self, const uint8_t* data, size_t size, size_t filled_to) noexcept nogil:
        cdef size_t filler = filled_to - size if filled_to > size else 0
        cdef char* out
        if size > self._max_binary:
            return self._too_long(self._max_binary)
        if not reserve(&self._out, 2 * (size + filler) + self._room):
            return NO_MEMORY
        out = _put_hexadecimal(self._out.data + self._out.size, data, size)
        memset(out, 48, 2 * filler)
        self._out.size = out + 2 * filler - self._out.data
        return DONE

    cdef Status _enum(self, const Field* field, uint64_t number) noexcept nogil:
        if number == 0:
            return self._text(<const uint8_t*>self._scratch.data, 0, False)
        if number > field.labels:
            return NO_LABEL
        cdef const Label* label = &self._labels[field.first_label + number - 1]
        return self._text(label.text, label.size, False)

    cdef Status _set(self, const Field* field, uint64_t members) noexcept nogil:
        cdef size_t at
        cdef const Label* label
        if field.labels < 64 and members >> field.labels:
            return NO_LABEL
        self._scratch.size = 0
        for at in range(field.labels):
            if not members >> at & 1:
                continue
            label = &self._labels[field.first_label + at]
            if not reserve(&self._scratch, label.size + 1):
                return NO_MEMORY
            if self._scratch.size:
                self._scratch.data[self._scratch.size] = 44
                self._scratch.size += 1
            put(self._scratch.data + self._scratch.size, <const char*>label.text, label.size)
            self._scratch.size += label.size
        return self._text(<const uint8_t*>self._scratch.data, self._scratch.size, False)

    cdef Status _json(self, const uint8_t* data, size_t size) noexcept nogil:
        self._scratch.size = 0
        cdef JsonStatus status = json_text(&self._scratch, data, size, self._max_text)
        if status == JSON_OK:
            return self._text(<const uint8_t*>self._scratch.data, self._scratch.size, False)
        if status == JSON_TOO_LONG:
            return self._too_long(self._max_text)
        return NO_MEMORY if status == JSON_NO_MEMORY else NOT_A_VALUE

    cdef Status _geometry(self, const uint8_t* data, size_t size) noexcept nogil:
        """MySQL's SRID and WKB, both little-endian (`sql/gis/wkb.cc`), as EWKB: the SRID, unless it is 0, stands behind the
        type, which says so. Geometries inside a collection have none of their own."""
        cdef uint8_t head[WKB_HEAD]
        cdef uint32_t kind
        cdef char* out
        if size < SRID_BYTES + WKB_HEAD or data[SRID_BYTES] != 1:
            return NOT_A_VALUE
        kind = <uint32_t>little_endian(data + SRID_BYTES + 1, 4)
        if kind == 0 or kind > WKB_TYPES:
            return NOT_A_VALUE
        if size > self._max_geometry:
            return self._too_long(self._max_geometry)
        if not reserve(&self._out, 2 * size + self._room):
            return NO_MEMORY
        out = self._out.data + self._out.size
        if little_endian(data, SRID_BYTES):
            memcpy(head, data + SRID_BYTES, WKB_HEAD)
            head[WKB_HEAD - 1] |= EWKB_SRID >> 24
            out = _put_hexadecimal(out, head, WKB_HEAD)
            out = _put_hexadecimal(out, data, SRID_BYTES)
        else:
            out = _put_hexadecimal(out, data + SRID_BYTES, WKB_HEAD)
        out = _put_hexadecimal(out, data + SRID_BYTES + WKB_HEAD, size - SRID_BYTES - WKB_HEAD)
        self._out.size = out - self._out.data
        return DONE

    cdef Status _vector(self, const uint8_t* data, size_t size) noexcept nogil:
        """Little-endian floats as a JSON array."""
        cdef uint32_t bits
        cdef float single
        cdef char* out
        cdef size_t at
        if size % 4:
            return NOT_A_VALUE
        if size // 2 > self._max_text:
            return self._too_long(self._max_text)
        if not reserve(&self._scratch, size // 4 * (REAL_ROOM + 1) + 2):
            return NO_MEMORY
        out = put(self._scratch.data, "[", 1)
        for at in range(0, size, 4):
            if at:
                out = put(out, ",", 1)
            bits = <uint32_t>little_endian(data + at, 4)
            memcpy(&single, &bits, 4)
            out = put_real(out, single, True)
            if out == NULL:
                return NOT_A_VALUE
        out = put(out, "]", 1)
        return self._text(<const uint8_t*>self._scratch.data, out - self._scratch.data, False)

    cdef Status _compressed(self, const Field* field, const uint8_t* data, size_t size) noexcept nogil:
        """MariaDB's COMPRESSED: nothing for nothing, or a byte that says how, and the value (`sql/field_comp.cc`)."""
        cdef Field plain = field[0]
        cdef Status status
        plain.op, plain.detail = <Op>field.detail, 0
        if size == 0:
            return self._field(&plain, data, 0)
        if data[0] == 0:
            return self._field(&plain, data + 1, size - 1)
        with gil:
            status = self._inflate(plain.op, data, size)
            if status == DONE:
                data = <const uint8_t*>PyBytes_AS_STRING(self._inflated)
                size = len(self._inflated)
        return self._field(&plain, data, size) if status == DONE else status

    cdef Status _inflate(self, Op op, const uint8_t* data, size_t size) noexcept:
        """Fills ``_inflated``; no further than the length that stands in front, which is checked first."""
        cdef uint32_t digits = data[0] & 7
        cdef size_t length
        cdef size_t limit = self._max_binary if op == Op.HEXADECIMAL else self._max_text
        if data[0] >> 4 != ZLIB or not 1 <= digits <= 4 or size <= digits:
            return NOT_A_VALUE
        length = big_endian(data + 1, digits)
        # A character of four bytes may become one of a single byte.
        if length // (1 if op == Op.HEXADECIMAL else 4) > limit:
            return self._too_long(limit)
        try:
            inflater = zlib.decompressobj(-zlib.MAX_WBITS if data[0] & RAW_DEFLATE else zlib.MAX_WBITS)
            self._inflated = inflater.decompress(data[1 + digits:size], length + 1)
        except zlib.error:
            return NOT_A_VALUE
        except MemoryError:
            return NO_MEMORY
        return DONE if inflater.eof and <size_t>len(self._inflated) == length else NOT_A_VALUE


cdef inline void _unpack(const Field* field, const uint8_t* data, Time* time) noexcept nogil:
    """DATE, DATETIME or TIMESTAMP; TIMESTAMP 0 is MySQL's zero date, not 1970."""
    cdef uint64_t bits
    memset(time, 0, sizeof(Time))
    if field.op == Op.OLD_DATETIME:
        unpack_old_datetime(little_endian(data, 8), time)
    elif field.op == Op.OLD_TIMESTAMP:
        bits = little_endian(data, 4)
        if bits:
            utc(bits, 0, time)
    elif field.op == Op.DATE:
        bits = little_endian(data, 3)
        time.year, time.month, time.day = bits >> 9, bits >> 5 & 15, bits & 31
    elif field.op == Op.DATETIME:
        unpack_datetime(big_endian(data, 5) & 0x7FFFFFFFFFULL, _fraction(data + 5, field.detail), time)
    else:
        bits = big_endian(data, 4)
        if bits:
            utc(bits, _fraction(data + 4, field.detail), time)


cdef inline uint32_t _fraction(const uint8_t* data, uint32_t digits) noexcept nogil:
    """Microseconds out of 1 byte of hundredths, 2 of ten-thousandths or 3 of millionths."""
    if digits == 0:
        return 0
    if digits <= 2:
        return data[0] * 10000
    if digits <= 4:
        return <uint32_t>big_endian(data, 2) * 100
    return <uint32_t>big_endian(data, 3)


cdef inline int64_t _packed_time(const uint8_t* data, uint32_t digits) noexcept nogil:
    """TIME: an integer part with an offset, and a fraction that of negative values counts down (`my_time.cc`)."""
    cdef int64_t whole
    cdef int64_t part
    if digits > 4:
        return <int64_t>big_endian(data, 6) - 0x800000000000LL
    whole = <int64_t>big_endian(data, 3) - 0x800000
    if digits == 0:
        return whole * 0x1000000
    part = data[3] if digits <= 2 else <int64_t>big_endian(data + 3, 2)
    if whole < 0 and part:
        whole += 1
        part -= 0x100 if digits <= 2 else 0x10000
    return whole * 0x1000000 + part * (10000 if digits <= 2 else 100)


cdef inline char* _put_hexadecimal(char* out, const uint8_t* data, size_t size) noexcept nogil:
    cdef const char* digits = "0123456789abcdef"
    cdef size_t at
    for at in range(size):
        out[0] = digits[data[at] >> 4]
        out[1] = digits[data[at] & 15]
        out += 2
    return out


cdef bint _is_utf8(const uint8_t* data, size_t size) noexcept nogil:
    """Well-formed as RFC 3629 has it: no overlong forms, no surrogates, nothing over U+10FFFF."""
    cdef const uint8_t* end = data + size
    cdef uint8_t byte
    cdef int more
    while data < end:
        byte = data[0]
        data += 1
        if byte < 0x80:
            continue
        if byte < 0xC2 or byte > 0xF4:
            return False
        more = 1 if byte < 0xE0 else 2 if byte < 0xF0 else 3
        if end - data < more:
            return False
        if (
            (byte == 0xE0 and data[0] < 0xA0)
            or (byte == 0xED and data[0] > 0x9F)
            or (byte == 0xF0 and data[0] < 0x90)
            or (byte == 0xF4 and data[0] > 0x8F)
        ):
            return False
        while more:
            if data[0] & 0xC0 != 0x80:
                return False
            data += 1
            more -= 1
    return True
