"""CSV bytes into one compressed file with its size and hash. Names and puts are the files module's."""

from __future__ import annotations

import bz2
import errno
import hashlib
import os
import tempfile
import zlib
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock, RLock, local
from typing import Any, BinaryIO, Generic, Protocol, TypeVar, cast

import zstandard

T = TypeVar("T")
Bytes = bytes | memoryview

# Compressed in pieces of this size.
CHUNK = 1024 * 1024
# Of all parts together: CSV that waits for more of its part, and CSV that waits for the background.
_BUFFERED = 32 * CHUNK
_AHEAD = 16 * CHUNK
# Longer CSV is one row's, and waits for nothing: there is no memory for two.
_LARGE = 8 * CHUNK
# Compressors take more than a megabyte each.
_STREAMS = 16
# Jobs that are handed over at a time, if they are not a chunk before.
_TOGETHER = 64
# In the background: one keeps up with who makes the CSV, and when all of it is made, the other takes that one's place.
_THREADS = 2


# zstd's level for what is only put aside: takes a third of level 1's time, both ways, and up to two and a half times its space.
_QUICK = -10

# Where something lies, its packed size, and its size.
_Extent = tuple[int, int, int]


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
        self.quick = zstandard.ZstdCompressor(level=_QUICK)
        self.unpacker = zstandard.ZstdDecompressor()
        # Memory that is asked for again and again costs more than what is done in it.
        self.room = memoryview(bytearray(CHUNK))


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

    Few of them are compressed while they grow; the others wait as CSV, and where all of these together become too large, those
    that wait longest go to one file. No file has a name, so that nothing is left of a killed process. Threads in the background
    compress, hash and write while the next CSV is made.

    :ivar lock: of whoever adds to a part, in any thread.
    """

    def __init__(self, compression: str) -> None:
        self._compression = compression
        self._background = ThreadPoolExecutor(_THREADS, "tungsten-parts")
        self._packing = _Packing()
        self._spare: list[zstandard.ZstdCompressor] = []
        self._holding: OrderedDict[PartFile, None] = OrderedDict()
        self._waiting: BinaryIO | None = None
        self._waiting_lock = Lock()
        self._buffered = 0
        self.lock = RLock()
        self._gathered: list[Job[Any]] = []
        self._gathered_bytes = 0
        self._ahead: deque[tuple[Future[None], int]] = deque()
        self._ahead_bytes = 0
        self._streams = 0

    def new(self) -> PartFile:
        """An empty one, which its owner closes or discards."""
        return PartFile(self)

    def stream(self) -> bool:
        """Whether one more part may keep a compressor."""
        if self._streams >= _STREAMS:
            return False
        self._streams += 1
        return True

    def came(self, part: PartFile, size: int) -> None:
        """So much more CSV is held by the part."""
        self._buffered += size
        self._holding.setdefault(part)
        if self._buffered > _BUFFERED:
            self._spill()

    def went(self, part: PartFile, size: int) -> None:
        """The part gave away all it held."""
        self._buffered -= size
        self._holding.pop(part, None)

    def done(self, streamed: bool) -> None:
        self._streams -= streamed

    def _spill(self) -> None:
        """What waits longest."""
        before = self._buffered
        while self._holding and (self._buffered > _BUFFERED or before - self._buffered < CHUNK):
            next(iter(self._holding)).spill()

    def in_background(self, work: Callable[[], T], size: int) -> Job[T]:
        """Does that behind all that came before; where too much waits, some of it must be done first.

        :param size: of the CSV that it is to be done to.
        """
        job = Job(self, work)
        with self.lock:
            self._gathered.append(job)
            self._gathered_bytes += size
            if self._gathered_bytes >= CHUNK or len(self._gathered) >= _TOGETHER:
                self._begin()
        return job

    def begin(self) -> None:
        """What was gathered: handing over each job would cost more than its work."""
        with self.lock:
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

    def put_aside(self, csv: Bytes) -> _Extent:
        """Packed, since most of what a file costs is its size; returns where it lies. Like what follows, in the background."""
        packed = self._packing.quick.compress(csv)
        with self._waiting_lock:
            if self._waiting is None:
                self._waiting = tempfile.TemporaryFile(prefix="tungsten-parts-")
            return self._waiting.seek(0, os.SEEK_END), self._waiting.write(packed), len(csv)

    def taken_back(self, extents: Sequence[_Extent], rest: Bytes) -> Iterator[Bytes]:
        """What was put aside there, and the rest: in one piece where it stays within a chunk. A piece is good until the next is
        asked for."""
        room, filled = self._packing.room, 0
        for extent in extents:
            size = extent[2]
            if filled + size > CHUNK:
                yield room[:filled]
                filled = 0
            if size > CHUNK:
                yield self._packing.unpacker.decompress(self._read(extent))
            else:
                packed = self._packing.unpacker.stream_reader(self._read(extent))
                if packed.readinto(room[filled : filled + size]) != size:
                    raise OSError(errno.EIO, "a temporary file gives back less than was written to it")
                filled += size
        if filled + len(rest) > CHUNK:
            yield room[:filled]
            yield rest
        else:
            room[filled : filled + len(rest)] = rest
            yield room[: filled + len(rest)]

    def _read(self, extent: _Extent) -> bytes:
        waiting = cast(BinaryIO, self._waiting)
        with self._waiting_lock:
            waiting.seek(extent[0])
            return waiting.read(extent[1])

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
        if self._waiting is not None:
            self._waiting.close()


class PartFile:
    """One part in the making, which :class:`Parts` gave out. It is compressed in one piece where it stays within a chunk, else
    as a stream: how it grew makes no difference to its bytes. What is longer than a chunk in the end is kept in a file.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._streams = False
        self._is_aside = False
        self.running: Job[Any] | None = None
        self._pieces: list[Bytes] = []
        self._held = 0
        self.csv_bytes = 0
        # The background's.
        self._aside: list[_Extent] = []
        self._compressor: _Compressor | None = None
        self._file: BinaryIO | None = None
        self._hash = hashlib.sha256()
        self._size = 0

    def add(self, csv: Bytes) -> None:
        if csv:
            with self._parts.lock:
                self._add(csv)

    def _add(self, csv: Bytes) -> None:
        self.csv_bytes += len(csv)
        if len(csv) > _LARGE:
            self._add_large(csv)
            return
        self._pieces.append(csv)
        self._held += len(csv)
        self._parts.came(self, len(csv))
        if self._held >= CHUNK and not self._is_aside:
            self._streams = self._streams or self._parts.stream()
            if self._streams:
                self._in_background(self._write)

    def _add_large(self, csv: Bytes) -> None:
        self._streams = self._streams or (not self._is_aside and self._parts.stream())
        if self._pieces:
            self._in_background(self._freeing())
        self.running = large = self._parts.in_background(self._behind(self._freeing(), csv), len(csv))
        large.result()

    def spill(self) -> None:
        """Frees the memory that its CSV takes."""
        self._in_background(self._freeing())

    def _freeing(self) -> Callable[[Bytes], None]:
        self._is_aside = not self._streams
        return self._write if self._streams else self._put_aside

    def close(self, then: Callable[[bytes | BinaryIO, int, str], T]) -> Job[T]:
        """Its end.

        :param then: is called in the background with its content, or the open file that holds it, the size in bytes, and the
            SHA-256 of the bytes as stored, hexadecimal.
        :returns: what that returns.
        """
        with self._parts.lock:
            self._parts.done(self._streams)
            return self._in_background(lambda csv: then(*self._end(csv)))

    def discard(self) -> None:
        """Its end without content."""
        with self._parts.lock:
            self._parts.done(self._streams)
            self._in_background(lambda _: self._file and self._file.close())

    def _in_background(self, work: Callable[[Bytes], T]) -> Job[T]:
        """Gives away the CSV that it holds."""
        size, self._held = self._held, 0
        csv = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._parts.went(self, size)
        self.running = job = self._parts.in_background(self._behind(work, csv), size)
        return job

    def _behind(self, work: Callable[[Bytes], T], csv: Bytes) -> Callable[[], T]:
        """An error of what came before is the outcome of all that follows."""
        before = self.running

        def behind() -> T:
            if before is not None:
                before.result()
            return work(csv)

        return behind

    def _put_aside(self, csv: Bytes) -> None:
        self._aside += [self._parts.put_aside(piece) for piece in _chunks(csv)]

    def _end(self, rest: Bytes) -> tuple[bytes | BinaryIO, int, str]:
        pieces = self._parts.taken_back(self._aside, rest) if self._aside else iter((rest,))
        if self.csv_bytes <= CHUNK:
            content = self._parts.compressed(next(pieces))
            return content, len(content), hashlib.sha256(content).hexdigest()
        for csv in pieces:
            self._write(csv)
        self._store(self._stream().flush())
        return cast(BinaryIO, self._file), self._size, self._hash.hexdigest()

    def _write(self, csv: Bytes) -> None:
        for piece in _chunks(csv):
            self._store(self._stream().compress(piece))

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
