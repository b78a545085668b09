# distutils: language = c++
"""Bytes as they come from the socket to events. See `framing` for the Python face."""

from __future__ import annotations

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memmove

from airflow_provider_tungsten.replicator.binlog._buffer cimport Buffer, is_paged, page_out
from airflow_provider_tungsten.replicator.binlog._spooled cimport SpooledBuffer

from airflow_provider_tungsten.replicator.binlog.constants import event_name
from airflow_provider_tungsten.replicator.binlog.events import (
    Event,
    has_checksum_field,
    parse_format_description,
    parse_rotate,
)
from airflow_provider_tungsten.replicator.errors import CorruptLogError, UnsupportedError

cdef enum:
    ROTATE = 4
    FORMAT_DESCRIPTION = 15
    HEARTBEAT = 27
    HEARTBEAT_V2 = 41
    START_ENCRYPTION = 164

cdef enum:
    IN_USE = 0x01
    ARTIFICIAL = 0x20

cdef enum:
    HEADER = 19
    CHECKSUM = 4
    PACKET_LIMIT = 0xFFFFFF
    LARGE = 1 << 23  # a buffer that was needed for one event and is given back behind it
    STEP = 1 << 22  # read of an event before that leaves memory
    LONGEST_ROTATE = 1 << 10  # and some: no file has such a name
    LONGEST_DESCRIPTION = 1 << 10  # of which every type of event takes a byte
    LONGEST_ERROR = 1 << 12

# MySQL's largest packet is 1 GiB (`MAX_MAX_ALLOWED_PACKET`); some room for what stands in front of the values.
cdef enum:
    MAX_EVENT = 0x40010000

cdef enum:
    CHECKSUM_UNKNOWN = -1
    CHECKSUM_NONE = 0
    CHECKSUM_CRC32 = 1


cdef inline uint16_t _u16(const uint8_t* p) noexcept nogil:
    return <uint16_t>(p[0] | p[1] << 8)


cdef inline uint32_t _u32(const uint8_t* p) noexcept nogil:
    return <uint32_t>p[0] | <uint32_t>p[1] << 8 | <uint32_t>p[2] << 16 | <uint32_t>p[3] << 24


cdef extern from "_crc32.h" namespace "tungsten" nogil:
    uint32_t crc32(uint32_t crc, const uint8_t* data, size_t size)


cdef object event_of(const RawEvent* event, str file):
    return _event(event, file, PyBytes_FromStringAndSize(<const char*>event.body, event.size))


cdef object view_of(const RawEvent* event, str file):
    """Likewise; its body is a view."""
    cdef size_t start = event.body - event.begin if event.size else 0
    return _event(event, file, memoryview(<object>event.lies_in)[start:start + event.size].toreadonly())


cdef object _kept(const RawEvent* event, str file):
    """Likewise; its body is a copy."""
    if event.size <= LARGE:
        return event_of(event, file)
    copy = SpooledBuffer()
    copy.put(event.body, event.size, buffer_of(event))
    return _event(event, file, memoryview(copy))


cdef object _event(const RawEvent* event, str file, object body):
    return tuple.__new__(
        Event,
        (event.kind, event.flags, event.timestamp, event.server_id, file, event.start, event.end, body),
    )


cdef class EventSink:
    """Where a stream puts its events. ``paused``, set by the sink, makes the stream keep what follows."""

    cdef int take(self, const RawEvent* event, str file) except -1:
        raise NotImplementedError


cdef class _List(EventSink):
    cdef list events
    cdef bint rows

    cdef int take(self, const RawEvent* event, str file) except -1:
        self.events.append(_kept(event, file) if self.rows or not _is_rows(event.kind) else _event(event, file, b""))
        return 0


cdef inline bint _is_rows(int kind) noexcept nogil:
    return (
        WRITE_ROWS <= kind <= DELETE_ROWS or WRITE_ROWS_V1 <= kind <= DELETE_ROWS_V1 or kind == PARTIAL_UPDATE_ROWS
        or WRITE_ROWS_COMPRESSED_V1 <= kind <= DELETE_ROWS_COMPRESSED
    )


cdef inline uint32_t _crc(uint32_t crc, const uint8_t* data, size_t size, const Buffer* room) noexcept:
    while room != NULL and size > STEP:
        crc = crc32(crc, data, STEP)
        page_out(room)
        data += STEP
        size -= STEP
    return crc32(crc, data, size)


cdef class EventStream:
    def __cinit__(self, str file, position, *, bint verify_checksum=True, str framing="packets"):
        if framing not in ("packets", "file"):
            raise ValueError(f"not a framing: {framing!r}")
        self.file = file
        self.ended = False
        self.error = None
        self._position = position
        self._verify = verify_checksum
        self._packed = framing == "packets"
        self._checksum = CHECKSUM_UNKNOWN
        self._sequence = -1
        self._missing = 0
        self._pending = SpooledBuffer()
        self._joined = SpooledBuffer()

    @property
    def position(self):
        return self._position

    @property
    def pending(self):
        return self._pending.buffer.size + self._joined.buffer.size

    def feed(self, const uint8_t[::1] chunk not None, *, bint rows=True):
        sink = _List()
        sink.rows = rows
        sink.events = []
        self.feed_to(sink, chunk)
        return sink.events

    def feed_to(self, EventSink sink not None, const uint8_t[::1] chunk not None):
        cdef size_t used
        cdef size_t size = chunk.shape[0]
        if self.ended or self.error is not None:
            return
        if self._busy:
            raise RuntimeError(f"{self.file}:{self._position}: the stream is being fed, or failed: it takes nothing more")
        # It stays so when events do not fit: what was taken in of the chunk is not known then.
        self._busy = True
        if not self._pending.buffer.size:
            if size:
                self._lies_in, self._begin = chunk.base, &chunk[0]
                used = self._take(&chunk[0], size, sink)
                self._pending.put(&chunk[0] + used, size - used)
        else:
            if size:
                self._pending.put(&chunk[0], size)
            self._take_pending(sink)
        self._lies_in = None
        self._busy = False

    cdef int _take_pending(self, EventSink sink) except -1:
        cdef const Buffer* pending = &self._pending.buffer
        self._room = self._pending if is_paged(pending) else None
        self._lies_in, self._begin = self._pending, <const uint8_t*>pending.data
        used = self._take(<const uint8_t*>pending.data, pending.size, sink)
        self._room = None
        return self._drop(used)

    cdef int _drop(self, size_t used) except -1:
        """These bytes of what was pending are taken in."""
        cdef SpooledBuffer before = self._pending
        cdef Buffer* pending = &before.buffer
        if not used:
            return 0
        if pending.capacity <= LARGE and not before._views:
            pending.size -= used
            memmove(pending.data, pending.data + used, pending.size)
            return 0
        self._pending = SpooledBuffer()
        return self._pending.put(<const uint8_t*>pending.data + used, pending.size - used, pending)

    cdef size_t _take(self, const uint8_t* data, size_t size, EventSink sink) except? <size_t>-1:
        return self._packets(data, size, sink) if self._packed else self._bare(data, size, sink)

    cdef size_t _bare(self, const uint8_t* data, size_t size, EventSink sink) except? <size_t>-1:
        """Takes in whole events as they lie in a file; how many bytes they were."""
        cdef size_t at = 0
        cdef size_t length
        while size - at >= HEADER and not sink.paused:
            length = _u32(data + at + 9)
            if length > MAX_EVENT:
                raise self._corrupt(f"an event says that it has {length} bytes: more than MySQL can write")
            if size - at < length:
                break
            if length < HEADER:
                raise self._corrupt("an event is shorter than an event's header")
            self._event(data + at, length, sink)
            at += length
        return at

    cdef size_t _packets(self, const uint8_t* data, size_t size, EventSink sink) except? <size_t>-1:
        """Takes in whole packets, and those that are joined as they come; how many bytes they were."""
        cdef size_t at = 0
        cdef size_t length
        cdef bint joins
        while not (self.ended or sink.paused) and self.error is None:
            if self._missing:
                length = min(self._missing, size - at)
                self._join(data + at, length)
                self._missing -= length
                at += length
                if self._missing:
                    break
                self._end_packet(sink)
                continue
            if size - at < 4:
                break
            length = _u32(data + at) & 0xFFFFFF
            joins = length == PACKET_LIMIT or self._joined.buffer.size
            if size - at - 4 < length and not joins:
                break
            if self._sequence >= 0 and data[at + 3] != (self._sequence + 1) & 0xFF:
                raise self._corrupt("packets from the server are missing or out of order")
            self._sequence = data[at + 3]
            at += 4
            if joins:
                self._missing, self._is_last = length, length < PACKET_LIMIT
                if not length:
                    self._end_packet(sink)
            else:
                self._packet(data + at, length, sink)
                at += length
        return at

    cdef int _join(self, const uint8_t* data, size_t length) except -1:
        cdef const Buffer* joined = &self._joined.buffer
        self._joined.put(data, length)
        if joined.size > MAX_EVENT + 1:
            raise self._corrupt("an event is larger than MySQL can write")
        if joined.size > 1 + HEADER and joined.size > 1 + <size_t>_u32(<const uint8_t*>joined.data + 10):
            raise self._corrupt("an event is longer than its header says")
        return 0

    cdef int _end_packet(self, EventSink sink) except -1:
        """Of those that are joined."""
        cdef SpooledBuffer before = self._room
        cdef const Buffer* joined = &self._joined.buffer
        cdef const uint8_t* begin = self._begin
        lies_in = self._lies_in
        if self._is_last:
            self._room = self._joined if is_paged(joined) else None
            self._lies_in, self._begin = self._joined, <const uint8_t*>joined.data
            self._packet(<const uint8_t*>joined.data, joined.size, sink)
            self._joined, self._room = SpooledBuffer(), before
            self._lies_in, self._begin = lies_in, begin
        return 0

    cdef int _packet(self, const uint8_t* data, size_t length, EventSink sink) except -1:
        if length == 0:
            raise self._corrupt("the server sent an empty packet")
        if data[0] == 0:
            self._event(data + 1, length - 1, sink)
        elif data[0] == 0xFE:
            self.ended = True
        elif data[0] == 0xFF:
            self._error(data[1:min(length, <size_t>LONGEST_ERROR)])
        else:
            raise self._corrupt(f"the server sent a packet that begins with 0x{data[0]:02x}")
        return 0

    cdef int _error(self, bytes packet) except -1:
        if len(packet) < 2:
            raise self._corrupt("the server sent an error that is cut short")
        state, text = ("HY000", packet[2:])
        if text[:1] == b"#":
            state, text = text[1:6].decode("ascii", "backslashreplace"), text[6:]
        self.error = (int.from_bytes(packet[:2], "little"), state, text.decode("utf-8", "backslashreplace"))
        return 0

    cdef int _event(self, const uint8_t* data, size_t length, EventSink sink) except -1:
        cdef RawEvent event
        cdef uint32_t log_pos
        if length < HEADER:
            raise self._corrupt("an event is shorter than an event's header")
        if _u32(data + 9) != length:
            raise self._corrupt(f"an event of {length} bytes says that it has {_u32(data + 9)}")
        event.timestamp = _u32(data)
        event.kind = data[4]
        event.server_id = _u32(data + 5)
        log_pos = _u32(data + 13)
        event.flags = _u16(data + 17)
        event.body = data + HEADER
        event.size = length - HEADER - self._take_checksum(data, length, event.kind)
        event.room = <PyObject*>self._room if self._room is not None else NULL
        event.lies_in, event.begin = <PyObject*>self._lies_in, self._begin
        file = self.file
        if event.kind == ROTATE and (log_pos == 0 or event.flags & ARTIFICIAL):
            self._rotate(event.body[:min(event.size, <size_t>LONGEST_ROTATE)])
            event.start = self._position
            file = self.file
        elif event.kind == HEARTBEAT or event.kind == HEARTBEAT_V2 or (
            # Sent again behind its place: with offset 0, but by COM_BINLOG_DUMP_GTID with the one it has in the file.
            event.kind == FORMAT_DESCRIPTION and (log_pos == 0 or self._position != 4)
        ) or (event.kind == START_ENCRYPTION and log_pos == 0 and self._packed):
            event.start = self._position
        else:
            if event.kind == START_ENCRYPTION and not self._packed:
                raise UnsupportedError(
                    f"{self.file}:{self._position}: the file is encrypted from here on; read it from its server, which "
                    "decrypts it, or copy it with mysqlbinlog --read-from-remote-server --raw"
                )
            event.start = self._position
            self._advance(event.kind, length, log_pos)
        event.end = self._position
        if event.kind == ROTATE and event.end > event.start:
            self._rotate(event.body[:min(event.size, <size_t>LONGEST_ROTATE)])
        sink.take(&event, file)
        return 0

    cdef size_t _take_checksum(self, const uint8_t* data, size_t length, int kind) except? <size_t>-1:
        """Checks it; its length (0 or 4). Learns from a FORMAT_DESCRIPTION whether there are any."""
        if kind == FORMAT_DESCRIPTION:
            return self._describe(data, length)
        if self._checksum == CHECKSUM_NONE:
            return 0
        if self._checksum == CHECKSUM_UNKNOWN:
            # Only what a server sends before the FORMAT_DESCRIPTION: with a checksum if the client asked for it.
            if kind != ROTATE and kind != HEARTBEAT and kind != HEARTBEAT_V2:
                raise self._corrupt(f"{event_name(kind)} stands before any FORMAT_DESCRIPTION")
            return CHECKSUM if length >= HEADER + CHECKSUM and self._fits(data, length, 0) else 0
        if length < HEADER + CHECKSUM:
            raise self._corrupt(f"{event_name(kind)} is too short for its checksum")
        if self._verify and not self._fits(data, length, 0):
            raise self._corrupt(f"the checksum of {event_name(kind)} is wrong")
        return CHECKSUM

    cdef bint _fits(self, const uint8_t* data, size_t length, uint8_t cleared) noexcept:
        """Whether the CRC32 at the end is right; ``cleared``: flags that do not count."""
        cdef uint8_t flags = data[17] & ~cleared
        cdef uint32_t expected = _u32(data + length - CHECKSUM)
        cdef const Buffer* room = &self._room.buffer if self._room is not None else NULL
        cdef uint32_t crc
        if flags == data[17]:
            return _crc(0, data, length - CHECKSUM, room) == expected
        crc = crc32(crc32(0, data, 17), &flags, 1)
        return _crc(crc, data + 18, length - 18 - CHECKSUM, room) == expected

    cdef size_t _describe(self, const uint8_t* data, size_t length) except? <size_t>-1:
        if length > LONGEST_DESCRIPTION:
            raise self._corrupt(f"a FORMAT_DESCRIPTION event of {length} bytes: more than any server writes")
        cdef bytes body = data[HEADER:length]
        cdef size_t checksum = CHECKSUM if has_checksum_field(body) else 0
        if checksum and len(body) < 57 + CHECKSUM + 1:
            raise self._corrupt("a FORMAT_DESCRIPTION event is cut short")
        # A file that its server has not closed yet carries a flag that its checksum does not count.
        cdef bint fits = not checksum or not self._verify or self._fits(data, length, IN_USE)
        # Sent again behind its place it is changed, and keeps its old checksum where the file has no others.
        if fits or self._position != 4:
            self._checksum = parse_format_description(body[:len(body) - checksum]).checksum
            fits = fits or self._checksum == CHECKSUM_NONE
        if not fits:
            raise self._corrupt("the checksum of FORMAT_DESCRIPTION is wrong")
        return checksum

    cdef int _advance(self, int kind, size_t length, uint32_t log_pos) except -1:
        """Counts in 64 bits and compares with the 32 that the header has."""
        cdef uint64_t end = self._position + length
        if <uint32_t>end != log_pos:
            if log_pos == 0:
                raise self._corrupt(f"{event_name(kind)} does not say where it ends")
            raise self._corrupt(
                f"{event_name(kind)} says that it ends at {log_pos} (modulo 4 GiB), but it ends at {end}: "
                "events are missing, or this is a relay log"
            )
        self._position = end
        return 0

    cdef int _rotate(self, bytes body) except -1:
        target = parse_rotate(body)
        self._position = target.position
        self.file = target.file
        return 0

    cdef object _corrupt(self, str what):
        return CorruptLogError(f"{self.file}:{self._position}: {what}")
