# distutils: language = c++
"""Plain transactions from events to columns: GTID, BEGIN, TABLE_MAP, rows, XID or COMMIT. See `assembler`.

What is not plain, or does not look right, is left to the Python handler of its type, which judges it.
"""

from __future__ import annotations

from cpython.object cimport PyObject
from cython.operator cimport dereference
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdio cimport snprintf
from libc.string cimport memcmp
from libcpp.string cimport string
from libcpp.unordered_map cimport unordered_map
from libcpp.vector cimport vector

from airflow_provider_tungsten.replicator.binlog._fragments cimport Fragments
from airflow_provider_tungsten.replicator.binlog._framing cimport (
    DELETE_ROWS,
    DELETE_ROWS_V1,
    PARTIAL_UPDATE_ROWS,
    WRITE_ROWS,
    WRITE_ROWS_V1,
    EventSink,
    RawEvent,
    buffer_of,
    event_of,
    view_of,
)
from airflow_provider_tungsten.replicator.binlog._images cimport RowLayout, little_endian
from airflow_provider_tungsten.replicator.binlog._spooled cimport SpooledBuffer, room_of
from airflow_provider_tungsten.replicator.binlog.events import Event, Gtid
from airflow_provider_tungsten.replicator.binlog.gtid import GtidSet
from airflow_provider_tungsten.replicator.binlog.table_map import table_name
from airflow_provider_tungsten.replicator.errors import CorruptLogError, UnsupportedError

cdef enum:
    QUERY = 2
    XID = 16
    TABLE_MAP = 19
    GTID = 33
    ANONYMOUS_GTID = 34
    TRANSACTION_PAYLOAD = 40

cdef enum:
    QUERY_BYTES = 13
    GTID_BYTES = 50  # with a commit time, and what follows it
    ORIGINAL_COMMIT = 1 << 7  # of the commit time's eighth byte: the original commit's follows

# A table that is known takes up to a hundred times the bytes of its TABLE_MAP: what is kept from one transaction to the
# next, and what one transaction may bring.
cdef enum:
    MAX_KNOWN = 10_000
    MAX_KNOWN_BYTES = 4 << 20
    MAX_OPEN_BYTES = 16 << 20
    NAMES_BYTES = 1024  # of a TABLE_MAP, in which schema and table stand
    LARGE = 1 << 20  # the body of an event of which no copy is made

BEHIND = "start behind it with the DAG's parameter `reposition` and load its tables again"


cdef class Table:
    def __cinit__(self, int32_t key, RowLayout layout not None, size_t columns, list keep):
        self.key = key
        self.layout = layout
        self.columns = columns
        self.keep = keep


cdef struct Known:
    string body
    uint64_t transaction  # the one in which it was seen last
    PyObject* table  # NULL: excluded; kept alive by `_kept`


cdef struct Source:
    string uuid  # 16 bytes
    string text
    int64_t first  # executed, and not in the Python set yet; 0: nothing
    int64_t last
    int64_t greatest


cdef class Assembly(EventSink):
    """What is known of the open transaction and of the last whole one.

    :param kinds: of fragments: number of insert, update, delete in this order.
    """

    cdef public str ended, _asked_to_end
    cdef public bint skip
    cdef public int64_t next_seqno, transactions, rows, bytes
    cdef readonly Fragments fragments
    # Of the last whole transaction:
    cdef public uint64_t _position
    cdef public object _last_start
    cdef public int64_t _last_ts, _watermark, _extracted_ts
    cdef string _last_gtid_text
    cdef public object _expected
    # Of the open one:
    cdef object _foreign
    cdef int64_t _source, _gno, _commit_ts, _immediate_ts
    cdef uint64_t _number
    cdef public uint64_t _start
    cdef int64_t _session
    cdef public object _executed
    cdef public bint _begun, _special, _spooled
    cdef bint _is_open
    # Limits:
    cdef int64_t _max_transactions, _max_bytes, _end_position, _spool_bytes, _group_bytes, _group_events
    cdef str _end_file
    # Caches:
    cdef unordered_map[uint64_t, Known] _known
    cdef list _kept
    cdef size_t _known_bytes
    cdef vector[Source] _sources
    cdef str _current_file
    cdef string _file_text
    cdef bint _in_end_file

    def __init__(self, limits, int64_t spool_bytes, int64_t group_bytes, int64_t group_events, size_t fragment_bytes):
        if self.fragments is not None:
            raise RuntimeError("an object is initialized once")
        self.ended = self._asked_to_end = ""
        self.fragments = Fragments(fragment_bytes)
        self._max_transactions, self._max_bytes, self._end_file, self._end_position = limits
        self._spool_bytes = min(spool_bytes, 1 << 29)
        self._group_bytes = group_bytes
        self._group_events = group_events
        self._kept = []
        self._number = 1
        self._session = -1

    # What Python sees

    @property
    def _gtid(self):
        if not self._is_open:
            return None
        if self._foreign is not None:
            return self._foreign
        text = self._sources[self._source].text.decode() if self._gno else ""
        return Gtid(text, self._gno, "", self._commit_ts, self._immediate_ts, 0)

    @_gtid.setter
    def _gtid(self, gtid):
        self._foreign = gtid
        self._is_open = gtid is not None

    @property
    def _thread(self):
        return None if self._session < 0 else self._session

    @_thread.setter
    def _thread(self, thread):
        self._session = -1 if thread is None else thread

    @property
    def _last_gtid(self):
        return self._last_gtid_text.decode()

    @_last_gtid.setter
    def _last_gtid(self, str text):
        self._last_gtid_text = text.encode()

    def _sync(self):
        """Adds what was executed to the set that Python has."""
        cdef Source source
        cdef size_t at
        for at in range(self._sources.size()):
            source = self._sources[at]
            if source.first:
                self._sources[at].first = 0
                self._executed.add_range(source.text.decode(), source.first, source.last)

    def know(self, bytes body, Table table):
        """From here on, and when the same table map comes again, its table id stands for this table; None: excluded."""
        cdef Known* known
        if len(body) < 6:
            raise CorruptLogError("a TABLE_MAP event is cut short")
        self._known_bytes += len(body)
        if self._known_bytes > MAX_OPEN_BYTES:
            raise UnsupportedError(
                f"{'.'.join(table_name(body))}: its transaction changes more tables than are kept in memory (16 MiB of "
                f"TABLE_MAP events); {BEHIND}"
            )
        self._kept.append(table)
        known = &self._known[little_endian(body, 6)]
        known.body = body
        known.transaction = self._number
        known.table = <PyObject*>table if table is not None else NULL

    def forget_tables(self):
        """Every table map is new, and rows need one in front of them."""
        self._known.clear()
        self._kept.clear()
        self._known_bytes = 0

    def open_table(self, bytes body):
        """Whether a table map of that id was there in the open transaction, and its table (None: excluded)."""
        if len(body) < 6:
            return False, None
        found = self._known.find(little_endian(body, 6))
        if found == self._known.end() or dereference(found).second.transaction != self._number:
            return False, None
        table = dereference(found).second.table
        return True, None if table == NULL else <object>table

    # Events

    cdef int take(self, const RawEvent* event, str file) except -1:
        if self.fragments is None:
            raise RuntimeError("an object that was not initialized")
        if self.ended:
            self.paused = True
            return 0
        try:
            if not self._plain(event, file):
                self._on_event(view_of(event, file) if _is_read_once(event) else event_of(event, file))
            if self.fragments.open_size() > <size_t>self._spool_bytes:
                self._spill()
        except (UnsupportedError, CorruptLogError) as error:
            if file in str(error):
                raise
            place = Event(event.kind, 0, 0, 0, file, event.start, event.end, b"").place
            raise type(error)(f"{place}: {error}") from None
        if self.ended:
            self.paused = True
        elif not self._is_open and (
            self.fragments.payload_size() >= <size_t>self._group_bytes
            or self.fragments.whole >= <size_t>self._group_events
        ):
            self.paused = True
        return 0

    def take_event(self, event):
        """An event that stands alone, or stood in a compressed transaction."""
        cdef RawEvent raw
        cdef const uint8_t[::1] body = event.body
        held = event.body
        raw.kind, raw.flags, raw.timestamp, raw.server_id = event[:4]
        raw.start, raw.end = event.start, event.end
        raw.size = body.shape[0]
        raw.body = &body[0] if raw.size else NULL
        room = room_of(held)
        raw.room = <PyObject*>room if room is not None else NULL
        raw.lies_in, raw.begin = <PyObject*>held, raw.body
        self.take(&raw, event.file)

    cdef bint _plain(self, const RawEvent* event, str file) except -1:
        """False: it was not taken in."""
        cdef int kind = event.kind
        if WRITE_ROWS <= kind <= DELETE_ROWS:
            return self._take_rows(event, kind - WRITE_ROWS, 10)
        if kind == TABLE_MAP:
            return self._take_table_map(event)
        if kind == XID:
            return self._is_open and self._end(event, file)
        if kind == QUERY:
            return self._take_query(event, file)
        if kind == GTID or kind == ANONYMOUS_GTID:
            return self._take_gtid(event)
        if WRITE_ROWS_V1 <= kind <= DELETE_ROWS_V1:
            return self._take_rows(event, kind - WRITE_ROWS_V1, 8)
        return False

    cdef bint _take_gtid(self, const RawEvent* event) except -1:
        """Flags, UUID (16 bytes), number (8), logical clock (17), commit time (7), the original commit's (7 or none), length."""
        cdef const uint8_t* body = event.body
        cdef int64_t gno = 0, source = 0
        cdef size_t at = 49
        if self._is_open or self._expected is not None or event.size < GTID_BYTES:
            return False
        if type(self._executed) is not GtidSet:
            return False
        if event.kind == GTID:
            gno = <int64_t>little_endian(body + 17, 8)
            source = self._find_source(body + 1)
            if gno <= self._sources[source].greatest:
                return False  # executed before, perhaps
        self._immediate_ts = self._commit_ts = little_endian(body + 42, 7) & ~(<int64_t>ORIGINAL_COMMIT << 48)
        if body[48] & ORIGINAL_COMMIT:
            if event.size < GTID_BYTES + 7:
                return False
            self._commit_ts = little_endian(body + 49, 7)
            at = 56
        if body[at] > 250:
            if body[at] == 255 or body[at] == 251 or event.size < at + (9 if body[at] == 254 else body[at] - 249):
                return False
        self._source, self._gno = source, gno
        self._foreign = None
        self._start = event.start
        self._is_open = True
        self.skip = False
        return True

    cdef int64_t _find_source(self, const uint8_t* uuid) except -1:
        cdef Source source
        cdef size_t at
        for at in range(self._sources.size()):
            if memcmp(self._sources[at].uuid.data(), uuid, 16) == 0:
                return at
        self._sync()
        if self._sources.size() >= 64:
            self._sources.clear()
        source.uuid.assign(<const char*>uuid, 16)
        digits = uuid[:16].hex()
        text = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
        source.text = text.encode()
        source.first = source.last = 0
        source.greatest = self._executed.greatest(text)
        self._sources.push_back(source)
        return self._sources.size() - 1

    cdef bint _take_query(self, const RawEvent* event, str file) except -1:
        """Session (4 bytes), time (4), length of the schema (1), error (2), length of the variables (2), variables, schema, 0,
        statement."""
        cdef size_t sql
        if not self._is_open or event.size < QUERY_BYTES:
            return False
        sql = QUERY_BYTES + little_endian(event.body + 11, 2) + event.body[8] + 1
        if sql > event.size or event.body[sql - 1] != 0:
            return False
        if sql + 5 == event.size and memcmp(event.body + sql, b"BEGIN", 5) == 0 and not self._begun:
            self._session = little_endian(event.body, 4)
            self._begun = True
            return True
        return sql + 6 == event.size and memcmp(event.body + sql, b"COMMIT", 6) == 0 and self._end(event, file)

    cdef bint _take_table_map(self, const RawEvent* event) except -1:
        cdef Known* known
        if not self._is_open or event.size < 8:
            return False
        if self.skip:
            return True
        if event.size > MAX_OPEN_BYTES:
            raise self._too_large(event)
        found = self._known.find(little_endian(event.body, 6))
        if found == self._known.end():
            return False
        known = &dereference(found).second
        if known.body.size() != event.size or memcmp(known.body.data(), event.body, event.size):
            return False
        known.transaction = self._number
        return True

    cdef object _too_large(self, const RawEvent* event):
        cdef bytes beginning = event.body[:NAMES_BYTES]
        return UnsupportedError(
            f"{'.'.join(table_name(beginning))}: its TABLE_MAP has {event.size} bytes, more than are kept in memory of all "
            f"tables of a transaction (16 MiB); {BEHIND}"
        )

    cdef bint _take_rows(self, const RawEvent* event, int kind, size_t head) except -1:
        """Table id (6 bytes), flags (2), in version 2 the length of extra data (2, itself included), number of columns,
        a bitmap of them (an update: two), images."""
        cdef Known* known
        cdef size_t at = head, width, byte
        cdef int bitmap
        cdef Py_ssize_t images
        cdef size_t per_row = 2 if kind == 1 else 1
        if not self._is_open or event.size < head + 1:
            return False
        if self.skip:
            return True
        found = self._known.find(little_endian(event.body, 6))
        if found == self._known.end():
            return False
        known = &dereference(found).second
        if known.transaction != self._number:
            return False
        if known.table == NULL:
            return True
        table = <Table>known.table
        if table.columns > 250 or event.body[at] != table.columns or (head == 10 and little_endian(event.body + 8, 2) != 2):
            return False
        width = (table.columns + 7) >> 3
        at += 1
        if event.size < at + per_row * width:
            return False
        for bitmap in range(per_row):
            for byte in range(width):
                if not _all_set(event.body[at + byte], table.columns - 8 * byte):
                    return False
            at += width
        images = table.layout.images(event.body + at, event.body + event.size, buffer_of(event))
        if images < 0 or images % per_row:
            return False
        if images == 0:
            return True
        if table.keep is not None:
            kept = table.layout.kept_of(
                event.body + at, event.body + event.size, buffer_of(event), images, table.keep
            )
            self._add_fragment(table.key, kind, images // per_row, kept)
        elif event.size - at > <size_t>self._group_bytes:
            self._add_fragment(table.key, kind, images // per_row, view_of(event, "").body[at:])
        else:
            self.fragments.append(table.key, kind, images // per_row, event.body + at, event.size - at)
        return True

    def _add_fragment(self, int32_t key, int32_t kind, int32_t rows, payload, options=None):
        """A fragment of the open transaction; a large one goes where it takes no memory."""
        if len(payload) > self._group_bytes:
            self._spill_with(key, kind, rows, payload, options)
        else:
            self.fragments.add(key, kind, rows, payload, options)

    cdef bint _end(self, const RawEvent* event, str file) except -1:
        """The open transaction is whole: its fragments get a seqno, if there are any."""
        cdef int64_t seconds = <int64_t>event.timestamp * 1_000_000
        cdef int64_t commit_ts = self._commit_ts
        cdef int64_t immediate_ts = self._immediate_ts
        cdef string gtid
        if file is not self._current_file:
            self._enter(file)
        if self._foreign is not None:
            gtid = str(self._foreign).encode()
            commit_ts, immediate_ts = self._foreign.commit_ts, self._foreign.immediate_commit_ts
        elif self._gno:
            gtid = self._gtid_text()
        commit_ts = commit_ts or seconds
        if self._expected is not None:
            self._compare(self._expected, (file, event.end, gtid.decode(), commit_ts))
        else:
            self.bytes += event.end - self._start
        self._last_gtid_text = gtid
        self._last_start, self._last_ts = self._start, commit_ts
        self._position = event.end
        if not self.skip:
            self._watermark = max(self._watermark, immediate_ts or seconds)
            self._keep(event)
        if self._foreign is not None:
            self._add_executed(self._foreign)
        elif self._gno:
            self._execute()
        self._close()
        if self._special:
            self._special = False
            self._on_commit()
        self._check_limits(event)
        return True

    cdef int _keep(self, const RawEvent* event) except -1:
        cdef char text[48]
        cdef string event_id
        cdef int64_t rows
        if not (self._spooled or self.fragments.opened):
            return 0
        event_id = self._file_text
        snprintf(text, sizeof(text), b":%016llu;%lld", <unsigned long long>event.end, <long long>self._session)
        event_id.append(<const char*>text)
        if self._spooled:
            rows = self._keep_spooled(event_id.decode())
        else:
            rows = self.fragments.finish(
                self.next_seqno, event_id, self._last_gtid_text, self._last_ts, self._watermark, self._extracted_ts
            )
        self.next_seqno += 1
        self.transactions += 1
        self.rows += rows
        return 0

    cdef string _gtid_text(self):
        cdef char number[24]
        cdef string text = self._sources[self._source].text
        snprintf(number, sizeof(number), b":%lld", <long long>self._gno)
        text.append(<const char*>number)
        return text

    cdef int _execute(self) except -1:
        cdef Source* source = &self._sources[self._source]
        if source.first and source.last + 1 != self._gno:
            self._sync()
        if not source.first:
            source.first = self._gno
        source.last = self._gno
        source.greatest = max(source.greatest, self._gno)
        return 0

    def _add_executed(self, gtid):
        self._sync()
        self._sources.clear()
        gtid.add_to(self._executed)

    cdef int _enter(self, str file) except -1:
        self._current_file = file
        self._file_text = file.encode("utf-8", "surrogateescape")
        self._in_end_file = file == self._end_file
        return 0

    cdef int _check_limits(self, const RawEvent* event) except -1:
        if self._in_end_file and event.end >= <uint64_t>self._end_position:
            self.ended = "head"
        elif self.transactions >= self._max_transactions:
            self.ended = "max_transactions"
        elif self.bytes >= self._max_bytes:
            self.ended = "max_bytes"
        elif self._asked_to_end:
            self.ended = self._asked_to_end
        return 0

    cdef int _close(self) except -1:
        self._foreign = None
        self._is_open = self._begun = self.skip = False
        self._session = -1
        self._number += 1
        if len(self._kept) > MAX_KNOWN or self._known_bytes > MAX_KNOWN_BYTES:
            self.forget_tables()
        if self.fragments.opened:
            self.fragments.cut(0)
        return 0

    def _commit(self, event):
        """Ends the open transaction with an event that is not plain."""
        cdef RawEvent raw
        raw.timestamp, raw.end = event.timestamp, event.end
        raw.room = NULL
        self._end(&raw, event.file)


cdef inline bint _is_read_once(const RawEvent* event) noexcept nogil:
    """Whether its handler keeps nothing of the event, or copies what it does."""
    return (
        event.size > LARGE or event.kind == TRANSACTION_PAYLOAD or event.kind == PARTIAL_UPDATE_ROWS
        or WRITE_ROWS <= event.kind <= DELETE_ROWS
    )


cdef inline bint _all_set(uint8_t bits, Py_ssize_t columns) noexcept nogil:
    """Whether a byte of a bitmap has all columns, whatever stands behind the last."""
    cdef int wanted = 0xFF if columns >= 8 else (1 << columns) - 1
    return bits & wanted == wanted
