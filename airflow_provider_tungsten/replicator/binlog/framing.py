"""Bytes of a log as they come, from a server or a file, to events; compressed transactions to the events inside them.

The framing itself is compiled (`_framing`): a small transaction is five events, and there are many of them.
Formats: MySQL's protocol (COM_BINLOG_DUMP), `libs/mysql/binlog/event/binlog_event.h`,
`libs/mysql/binlog/event/codecs/binary.cpp` (``Transaction_payload``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple, Protocol, cast

import zstandard

from airflow_provider_tungsten.replicator.binlog import _framing
from airflow_provider_tungsten.replicator.binlog._spooled import SpooledBuffer, room_of
from airflow_provider_tungsten.replicator.binlog.constants import EventType
from airflow_provider_tungsten.replicator.binlog.events import Event, packed_integer
from airflow_provider_tungsten.replicator.errors import CorruptLogError, UnsupportedError

__all__ = ["Dump", "Event", "EventStream", "payload_events"]

_HEADER = 19
# MySQL's largest packet, and what stands in front of the values; the same as of events that are not compressed.
_LARGEST_EVENT = (1 << 30) + (1 << 16)
# The most that a transaction may hold once decompressed. MySQL's own cache for one should be no larger than 4 GiB
# (`max_binlog_cache_size`), and it waits on disk for its end.
_LARGEST_PAYLOAD = 64 << 30
# Zstandard's largest window of the formats that MySQL writes (`ZSTD_compressionLevel` 22): what decompressing takes.
_LARGEST_WINDOW = 128 << 20
_STEP = 1 << 20
# Zstandard's best: four bytes for a block of 128 KiB of one byte (RFC 8878, 3.1.1.2).
_BEST_RATIO = 1 << 15
_ZSTD, _NONE = 0, 255


class EventStream(_framing.EventStream):
    """What the server sends after COM_BINLOG_DUMP, or what a binlog file holds, in pieces of any size, to events.

    Keeps what is unfinished, joins packets over 16 MB, counts offsets in 64 bits and checks them, CRC32 too (the
    algorithm is the FORMAT_DESCRIPTION's). A ROTATE, real or artificial, moves ``file`` and ``position``; the real one
    belongs to the file it ends. After an error the stream is of no further use.

    :param file: binlog file the dump was asked for ('' where the server chooses: the artificial ROTATE names it).
    :param position: offset the dump was asked for.
    :param verify_checksum: False: checksums are cut off unread.
    :param framing: ``packets`` of the protocol; ``file``: bare events, one behind the other, as they lie behind a file's
        four bytes of magic. To begin inside a file, feed its FORMAT_DESCRIPTION first: behind its place it counts for
        nothing but what it says.

    Attributes: ``file``, ``position`` (of the next event); ``pending``: bytes that wait for the rest of their event (at a
    file's end: it is cut short); ``ended``: an EOF packet was seen, a non-blocking dump has
    reached the head; ``error``: errno, SQL state and message of an ERR packet.

    :meth:`feed` takes what one read gave and returns the events that are complete, with ``rows=False`` those of rows without bodies.

    :raises CorruptLogError: packets or events do not fit together, an offset or a checksum is wrong; names file:position.
    :raises UnsupportedError: a log of a format before MySQL 5.1, or an unknown checksum.
    """


class Dump:
    """A log as chunks of bytes. Whoever iterates it feeds each to ``stream`` before asking for the next.

    :param chunks: reads on when asked, and then looks at what became of the stream. A chunk is good until the next.
    """

    def __init__(self, stream: EventStream, chunks: Iterator[bytes | memoryview]) -> None:
        self.stream = stream
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes | memoryview]:
        return self._chunks

    def events(self) -> Iterator[Event]:
        """All events, for whoever wants them one by one; those of rows, which may be large, without their bodies."""
        for chunk in self._chunks:
            yield from self.stream.feed(chunk, rows=False)


class _Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Bytes:
    """A file of bytes, of which no more stays in memory than was read last."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._room = room_of(data)
        self._at = 0

    def read(self, size: int) -> bytes:
        if self._room is not None:
            self._room.page_out()
        start = self._at
        self._at = min(start + size, len(self._data))
        return bytes(self._data[start : self._at])


class _Payload(NamedTuple):
    """:param size: bytes of the events once decompressed; ``at``: where the compressed bytes begin."""

    compression: int
    size: int
    at: int
    length: int


def payload_events(event: Event) -> Iterator[Event]:
    """The events inside a TRANSACTION_PAYLOAD, one by one: the whole is never in memory decompressed.

    :raises UnsupportedError: a compression other than ZSTD and none.
    :raises CorruptLogError: the payload does not hold what it says.
    """
    payload = _payload(event)
    data = memoryview(event.body)[payload.at : payload.at + payload.length]
    if payload.compression == _ZSTD:
        return _inner_events(event, _decompressed(data), payload.size)
    if payload.compression == _NONE:
        return _inner_events(event, _Bytes(data), payload.size)
    raise UnsupportedError(
        f"{event.place}: a transaction compressed by the unknown algorithm {payload.compression}; "
        "SET GLOBAL binlog_transaction_compression=OFF and start behind this place"
    )


def _payload(event: Event) -> _Payload:
    """Fields of number, length, value up to the end mark 0: 1 payload size, 2 compression, 3 uncompressed size."""
    body = event.body
    fields: dict[int, int] = {}
    at = 0
    while True:
        kind, at = packed_integer(body, at)
        if kind == 0:
            break
        length, at = packed_integer(body, at)
        if kind not in (1, 2, 3):
            raise UnsupportedError(f"{event.place}: it has the unknown field {kind}")
        fields[kind], end = packed_integer(body, at)
        if end != at + length:
            raise CorruptLogError(f"{event.place}: its field {kind} is not as long as it says")
        at = end
    length = fields.get(1, len(body) - at)
    compression = fields.get(2, _NONE)
    if length != len(body) - at:
        raise CorruptLogError(f"{event.place}: it is not as long as it says")
    size = fields.get(3, length) if compression == _ZSTD else length
    if size > length * _BEST_RATIO:
        raise CorruptLogError(f"{event.place}: it of {length} bytes says that it holds {size}")
    if size > _LARGEST_PAYLOAD:
        raise UnsupportedError(
            f"{event.place}: a compressed transaction of {size} bytes, and no more than {_LARGEST_PAYLOAD} are taken; start "
            "behind it with the DAG's parameter `reposition` and load its tables again"
        )
    return _Payload(compression, size, at, length)


def _decompressed(data: memoryview) -> _Stream:
    decompressor = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW)
    room = room_of(data)
    source = cast(BinaryIO, _Bytes(data)) if room is not None and room.is_paged else data
    return decompressor.stream_reader(source, read_across_frames=True)


def _inner_events(outer: Event, stream: _Stream, left: int) -> Iterator[Event]:
    while left:
        header = _read(outer, stream, min(_HEADER, left))
        length = int.from_bytes(header[9:13], "little")
        if len(header) < _HEADER or not _HEADER <= length <= left:
            raise CorruptLogError(f"{outer.place}: an event inside it does not fit")
        if header[4] == EventType.TRANSACTION_PAYLOAD:
            raise CorruptLogError(f"{outer.place}: a compressed transaction inside of it")
        if length > _LARGEST_EVENT:
            raise CorruptLogError(
                f"{outer.place}: an event inside it says that it has {length} bytes: more than MySQL can "
                "write"
            )
        body = _read(outer, stream, length - _HEADER)
        left -= length
        yield Event(
            header[4],
            int.from_bytes(header[17:19], "little"),
            int.from_bytes(header[:4], "little"),
            int.from_bytes(header[5:9], "little"),
            outer.file,
            outer.start,
            outer.end,
            body,
        )
    if _piece(outer, stream, 1):
        raise CorruptLogError(f"{outer.place}: it holds more than it says")


def _read(outer: Event, stream: _Stream, length: int) -> bytes:
    """In steps: room is taken for what is there, not for what is said to be."""
    found = piece = _piece(outer, stream, min(length, _STEP))
    if len(found) < length:
        growing = SpooledBuffer()
        while piece:
            growing.append(piece)
            piece = _piece(outer, stream, min(length - len(growing), _STEP))
        found = cast(bytes, memoryview(growing))
    if len(found) < length:
        raise CorruptLogError(f"{outer.place}: it ends inside an event")
    return found


def _piece(outer: Event, stream: _Stream, length: int) -> bytes:
    """As much, or what there is."""
    try:
        return stream.read(length)
    except zstandard.ZstdError as error:
        raise CorruptLogError(f"{outer.place}: it cannot be decompressed: {error}") from None
