"""CSV bytes into one compressed file with its size and hash. Names and puts are the files module's."""

from __future__ import annotations

import bz2
import errno
import hashlib
import os
import tempfile
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from threading import Lock, RLock, local
from typing import Any, BinaryIO, Generic, NamedTuple, Protocol, TypeVar, cast

import pyarrow as pa
import zstandard

T = TypeVar("T")
Bytes = bytes | memoryview

# Compressed in pieces of this size.
CHUNK = 1024 * 1024
# Of all parts together: CSV that waits as it is, packed CSV that is kept in memory, and CSV that waits for the background.
_HELD = 16 * CHUNK
_PACKED = 32 * CHUNK
_AHEAD = 16 * CHUNK
# Longer CSV is one row's, and waits for nothing: there is no memory for two.
_LARGE = 8 * CHUNK
# Compressors take more than a megabyte each.
_STREAMS = 16
# Jobs that are handed over at a time, if they are not a chunk before.
_TOGETHER = 64
# In the background: one keeps up with who makes the CSV, and when all of it is made, the other takes that one's place.
_THREADS = 2


class _Compressor(Protocol):
    def compress(self, data: Bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


class _Plain:
    def compress(self, data: Bytes, /) -> bytes:
        return bytes(data)

    def flush(self) -> bytes:
        return b""


class _Zstd:
    """Level 1 keeps up with the encoder. What makes it is used again and again, as making that costs more than a small part.

    :param spare: where it is taken from, and put back to; from any number of threads.
    """

    def __init__(self, spare: list[zstandard.ZstdCompressor]) -> None:
        self._spare = spare
        try:
            self._maker = spare.pop()
        except IndexError:
            self._maker = zstandard.ZstdCompressor(level=1)
        self._stream = self._maker.compressobj()
        self.compress = self._stream.compress

    def flush(self) -> bytes:
        rest = self._stream.flush()
        self._spare.append(self._maker)
        return rest


class _Packing(local):
    """Each thread's own: neither can be used by two at once."""

    def __init__(self) -> None:
        self.packer = zstandard.ZstdCompressor(level=1)
        # Memory that is asked for again and again costs more than what is done in it.
        self.room = memoryview(bytearray(CHUNK))


class _Extent(NamedTuple):
    """Packed CSV, or where in the file it lies; its packed size, and its size."""

    packed: bytes | None
    place: int
    packed_size: int
    size: int


class _Aside:
    """CSV that waits, packed as quickly as can be: in memory, and what is more than ``_PACKED`` in a file without a name. For any
    thread."""

    def __init__(self) -> None:
        self._codec = pa.Codec("lz4_raw")
        self._file: BinaryIO | None = None
        self._kept = 0
        self._lock = Lock()

    def put(self, csv: Bytes) -> _Extent:
        packed = self._codec.compress(csv, asbytes=True)
        size = len(packed)
        with self._lock:
            if self._kept + size <= _PACKED:
                self._kept += size
                return _Extent(packed, 0, size, len(csv))
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="tungsten-parts-")
            place = self._file.seek(0, os.SEEK_END)
            self._file.write(packed)
        return _Extent(None, place, size, len(csv))

    def take(self, extent: _Extent) -> memoryview:
        """What lies there; of each once."""
        packed = extent.packed
        with self._lock:
            if packed is not None:
                self._kept -= extent.packed_size
            elif self._file is not None:
                self._file.seek(extent.place)
                packed = self._file.read(extent.packed_size)
        if packed is None or len(packed) != extent.packed_size:
            raise OSError(errno.EIO, "a temporary file gives back less than was written to it")
        return memoryview(self._codec.decompress(packed, extent.size)).cast("B")

    def drop(self, extents: Iterable[_Extent]) -> None:
        """They are taken no more."""
        with self._lock:
            self._kept -= sum(extent.packed_size for extent in extents if extent.packed is not None)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


class Job(Generic[T]):
    """What is done in the background, gathered with others."""

    __slots__ = ("_found", "_parts", "_work", "begun", "is_done")

    def __init__(self, parts: Parts, work: Callable[[], T]) -> None:
        self._parts = parts
        self._work: Callable[[], T] | None = work
        self.begun: Future[None] | None = None
        self.is_done = False

    def do(self) -> None:
        work, self._work = self._work, None
        self._found = cast(Callable[[], T], work)()
        self.is_done = True

    def result(self) -> T:
        """What it gave, once it is done; an error of it, or of one that it was gathered with."""
        if not self.is_done:
            if self.begun is None:
                self._parts.begin()
            cast("Future[None]", self.begun).result()
        return self._found


def _do(jobs: list[Job[Any]]) -> None:
    for job in jobs:
        job.do()


class Parts:
    """Makes parts that grow at the same time, of any number of tables, in bounded memory.

    Few of them are compressed while they grow; of each of the others little CSV waits as it is, the less the more parts there are,
    and the rest packed. No file has a name, so that nothing is left of a killed process. Threads in the background compress,
    hash and write while the next CSV is made.
    """

    def __init__(self, compression: str) -> None:
        self._compression = compression
        self._background = ThreadPoolExecutor(_THREADS, "tungsten-parts")
        self._packing = _Packing()
        self._spare: list[zstandard.ZstdCompressor] = []
        self.aside = _Aside()
        self._lock = RLock()
        self._open = 0
        self._streams = 0
        self._gathered: list[Job[Any]] = []
        self._gathered_bytes = 0
        self._ahead: deque[tuple[Future[None], int]] = deque()
        self._ahead_bytes = 0

    def new(self) -> PartFile:
        """An empty one, which its owner closes or discards."""
        with self._lock:
            self._open += 1
        return PartFile(self)

    @property
    def share(self) -> int:
        """Bytes of CSV that may wait as it is, of each part."""
        return min(CHUNK, _HELD // max(1, self._open))

    def stream(self) -> bool:
        """Whether one more part may keep a compressor."""
        with self._lock:
            if self._streams >= _STREAMS:
                return False
            self._streams += 1
            return True

    def done(self, streamed: bool) -> None:
        """A part that kept a compressor, or none, grows no more."""
        with self._lock:
            self._open -= 1
            self._streams -= streamed

    def in_background(self, work: Callable[[], T], size: int) -> Job[T]:
        """Does that behind all that came before; where too much waits, some of it must be done first.

        :param size: of the CSV that it is to be done to.
        """
        job = Job(self, work)
        with self._lock:
            self._gathered.append(job)
            self._gathered_bytes += size
            if self._gathered_bytes >= CHUNK or len(self._gathered) >= _TOGETHER:
                self._begin()
        return job

    def begin(self) -> None:
        """What was gathered: handing over each job would cost more than its work."""
        with self._lock:
            self._begin()

    def _begin(self) -> None:
        jobs, size = self._gathered, self._gathered_bytes
        if not jobs:
            return
        self._gathered, self._gathered_bytes = [], 0
        while self._ahead and (self._ahead_bytes + size > _AHEAD or self._ahead[0][0].done()):
            earlier, its_size = self._ahead.popleft()
            self._ahead_bytes -= its_size
            earlier.result()
        begun = self._background.submit(_do, jobs)
        for job in jobs:
            job.begun = begun
        self._ahead.append((begun, size))
        self._ahead_bytes += size

    def gathered(self, pieces: Iterable[Bytes]) -> Iterator[Bytes]:
        """The same CSV in pieces of about a chunk, in one where it stays within a chunk: each is good until the next is asked
        for."""
        room, filled = self._packing.room, 0
        for csv in pieces:
            if filled and filled + len(csv) > CHUNK:
                yield room[:filled]
                filled = 0
            if len(csv) > CHUNK:
                yield from _chunks(csv)
            else:
                room[filled : filled + len(csv)] = csv
                filled += len(csv)
        if filled:
            yield room[:filled]

    def compressed(self, csv: Bytes) -> bytes:
        """Of a part in one piece."""
        if self._compression == "zstd":
            return self._packing.packer.compress(csv)
        compressor = self.compressor()
        return compressor.compress(csv) + compressor.flush()

    def compressor(self) -> _Compressor:
        """For one part. No format carries a time, so equal bytes stay equal."""
        if self._compression == "zstd":
            return _Zstd(self._spare)
        if self._compression == "gzip":
            return zlib.compressobj(1, wbits=31)
        if self._compression == "bzip2":
            return bz2.BZ2Compressor(1)
        return _Plain()

    def close(self) -> None:
        """No part is in the making any more."""
        self._background.shutdown(cancel_futures=True)
        self.aside.close()


class PartFile:
    """One part in the making, which :class:`Parts` gave out; for one thread at a time. It is compressed in one piece where it
    stays within a chunk, else as a stream: how it grew makes no difference to its bytes. What is longer than a chunk in the end
    is kept in a file.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._streams = False
        self._pieces: list[Bytes] = []
        self._held = 0
        self._aside: list[_Extent] = []
        self._running: Job[Any] | None = None
        self.csv_bytes = 0
        # The background's.
        self._compressor: _Compressor | None = None
        self._file: BinaryIO | None = None
        self._hash = hashlib.sha256()
        self._size = 0

    def add(self, csv: Bytes) -> None:
        if not csv:
            return
        if len(csv) > _LARGE and self._held:
            self._hand_on()
        self._pieces.append(csv)
        self._held += len(csv)
        self.csv_bytes += len(csv)
        if self._held >= (CHUNK if self._streams else self._parts.share):
            self._hand_on()

    def _hand_on(self) -> None:
        """Frees the memory that its CSV takes."""
        self._streams = self._streams or (self.csv_bytes > CHUNK and self._parts.stream())
        if self._streams:
            is_large = self._held > _LARGE
            job = self._in_background(self._write)
            if is_large:
                job.result()
        else:
            csv = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
            self._pieces, self._held = [], 0
            self._aside += map(self._parts.aside.put, _chunks(csv))

    def close(self, then: Callable[[bytes | BinaryIO, int, str], T]) -> Job[T]:
        """Its end.

        :param then: is called in the background with its content, or the open file that holds it, the size in bytes, and the
            SHA-256 of the bytes as stored, hexadecimal.
        :returns: what that returns.
        """
        self._parts.done(self._streams)
        return self._in_background(lambda pieces: then(*self._end(pieces)))

    def discard(self) -> None:
        """Its end without content."""
        self._parts.done(self._streams)
        self._parts.aside.drop(self._aside)
        self._aside.clear()
        self._in_background(lambda _: self._file and self._file.close())

    def _in_background(self, work: Callable[[Iterator[Bytes]], T]) -> Job[T]:
        """Gives away all that waits. An error of what came before is the outcome of all that follows."""
        before, size = self._running, self._held
        pieces, self._pieces, self._held = self._pieces, [], 0
        aside, self._aside = self._aside, []

        def behind() -> T:
            if before is not None:
                before.result()
            return work(self._parts.gathered(chain(map(self._parts.aside.take, aside), pieces)))

        self._running = job = self._parts.in_background(behind, size)
        return job

    def _end(self, pieces: Iterator[Bytes]) -> tuple[bytes | BinaryIO, int, str]:
        if self.csv_bytes <= CHUNK:
            content = self._parts.compressed(next(pieces, b""))
            return content, len(content), hashlib.sha256(content).hexdigest()
        self._write(pieces)
        self._store(self._stream().flush())
        return cast(BinaryIO, self._file), self._size, self._hash.hexdigest()

    def _write(self, pieces: Iterator[Bytes]) -> None:
        for csv in pieces:
            self._store(self._stream().compress(csv))

    def _stream(self) -> _Compressor:
        if self._compressor is None:
            self._compressor = self._parts.compressor()
            self._file = cast(BinaryIO, tempfile.SpooledTemporaryFile(CHUNK, prefix="tungsten-part-"))
        return self._compressor

    def _store(self, data: bytes) -> None:
        self._hash.update(data)
        self._size += len(data)
        cast(BinaryIO, self._file).write(data)


def _chunks(csv: Bytes) -> Iterator[Bytes]:
    if len(csv) <= 2 * CHUNK:
        yield csv
        return
    view = memoryview(csv)
    for start in range(0, len(view), CHUNK):
        yield view[start : start + CHUNK]
