"""CSV bytes into one compressed file with its size and hash. Names and puts are the files module's."""

from __future__ import annotations

import bz2
import hashlib
import os
import tempfile
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from typing import Any, BinaryIO, Protocol, TypeVar, cast

import zstandard

T = TypeVar("T")

# Compressed in pieces of this size.
CHUNK = 1024 * 1024
# Longer CSV is one row's, and waits for nothing: there is no memory for two.
_LARGE = 8 * CHUNK
# Of all parts together: CSV that waits for more of its part, and CSV that waits for the background.
_BUFFERED = 32 * CHUNK
_AHEAD = 16 * CHUNK
# Compressors take more than a megabyte each.
_STREAMS = 16


class _Compressor(Protocol):
    def compress(self, data: bytes | memoryview, /) -> bytes | memoryview: ...
    def flush(self) -> bytes: ...


class _Plain:
    def compress(self, data: bytes | memoryview, /) -> bytes | memoryview:
        return data

    def flush(self) -> bytes:
        return b""


class _Zstd:
    """Level 1 keeps up with the encoder. What makes it is used again and again, as making that costs more than a small part.

    :param spare: where it is taken from, and put back to.
    """

    def __init__(self, spare: list[zstandard.ZstdCompressor]) -> None:
        self._spare = spare
        self._maker = spare.pop() if spare else zstandard.ZstdCompressor(level=1)
        self._stream = self._maker.compressobj()
        self.compress = self._stream.compress

    def flush(self) -> bytes:
        rest = self._stream.flush()
        self._spare.append(self._maker)
        return rest


class Parts:
    """Makes parts that grow at the same time, of any number of tables, in bounded memory.

    Few of them are compressed while they grow; the others wait as CSV, and where all of these together become too large, they
    wait in one file. No file has a name, so that nothing is left of a killed process.

    :param background: one thread, which compresses, hashes and writes while the next CSV is made.
    """

    def __init__(self, compression: str, background: Executor) -> None:
        self._compression = compression
        self._background = background
        self._packer = zstandard.ZstdCompressor(level=1)
        self._unpacker = zstandard.ZstdDecompressor()
        self._spare: list[zstandard.ZstdCompressor] = []
        self._open: dict[PartFile, None] = {}
        self._waiting: BinaryIO | None = None
        self._buffered = 0
        self._ahead: deque[tuple[Future[Any], int]] = deque()
        self._ahead_bytes = 0
        self._streams = 0

    def new(self) -> PartFile:
        """An empty one, which its owner closes or discards."""
        part = PartFile(self)
        self._open[part] = None
        return part

    def stream(self) -> bool:
        """Whether one more part may keep a compressor."""
        if self._streams >= _STREAMS:
            return False
        self._streams += 1
        return True

    def came(self, size: int) -> None:
        """So much more CSV is held by parts."""
        self._buffered += size
        if self._buffered > _BUFFERED:
            for part in self._open:
                part.spill()

    def went(self, size: int) -> None:
        self._buffered -= size

    def done(self, part: PartFile, streamed: bool) -> None:
        self._open.pop(part, None)
        self._streams -= streamed

    def in_background(self, work: Callable[[bytes | memoryview], T], csv: bytes | memoryview) -> Future[T]:
        """Does that behind all that came before; where that is too much, some of it must be done first."""
        while self._ahead and (self._ahead_bytes + len(csv) > _AHEAD or self._ahead[0][0].done()):
            earlier, size = self._ahead.popleft()
            self._ahead_bytes -= size
            earlier.result()
        future = self._background.submit(work, csv)
        self._ahead.append((future, len(csv)))
        self._ahead_bytes += len(csv)
        return future

    def put_aside(self, csv: bytes | memoryview) -> tuple[int, int]:
        """Packed, since most of what a file costs is its size; returns where it lies. Like what follows, in the background."""
        if self._waiting is None:
            self._waiting = tempfile.TemporaryFile(prefix="tungsten-parts-")
        start = self._waiting.seek(0, os.SEEK_END)
        return start, self._waiting.write(self._packer.compress(csv))

    def taken_back(self, start: int, size: int) -> bytes:
        """What was put aside there."""
        waiting = cast(BinaryIO, self._waiting)
        waiting.seek(start)
        return self._unpacker.decompress(waiting.read(size))

    def compressed(self, csv: bytes) -> bytes:
        """Of a part in one piece."""
        if self._compression == "zstd":
            return self._packer.compress(csv)
        compressor = self.compressor()
        return b"".join((compressor.compress(csv), compressor.flush()))

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
        """No part is in the making any more, nor is the background at work."""
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
        self._running: Future[Any] | None = None
        self._pieces: list[bytes | memoryview] = []
        self._held = 0
        self.csv_bytes = 0
        # The background's.
        self._aside: list[tuple[int, int]] = []
        self._compressor: _Compressor | None = None
        self._file: BinaryIO | None = None
        self._hash = hashlib.sha256()
        self._size = 0

    def add(self, csv: bytes | memoryview) -> None:
        self.csv_bytes += len(csv)
        if len(csv) > _LARGE:
            self._add_large(csv)
            return
        self._pieces.append(csv)
        self._held += len(csv)
        self._parts.came(len(csv))
        if self._held >= CHUNK and not self._is_aside:
            self._streams = self._streams or self._parts.stream()
            if self._streams:
                self._in_background(self._write)

    def _add_large(self, csv: bytes | memoryview) -> None:
        self._streams = self._streams or (not self._is_aside and self._parts.stream())
        self.spill()
        self._is_aside = not self._streams
        self._behind(self._write if self._streams else self._put_aside, csv).result()

    def spill(self) -> None:
        """Frees the memory that its CSV takes."""
        if self._streams:
            self._in_background(self._write)
        elif self._pieces:
            self._is_aside = True
            self._in_background(self._put_aside)

    def close(self, then: Callable[[bytes | BinaryIO, int, str], T]) -> Future[T]:
        """Its end.

        :param then: is called in the background with its content, or the open file that holds it, the size in bytes, and the
            SHA-256 of the bytes as stored, hexadecimal.
        :returns: what that returns.
        """
        self._parts.done(self, self._streams)
        return self._in_background(lambda csv: then(*self._end(csv)))

    def discard(self) -> None:
        """Its end without content."""
        self._parts.done(self, self._streams)
        self._in_background(lambda _: self._file and self._file.close())

    def _in_background(self, work: Callable[[bytes | memoryview], T]) -> Future[T]:
        """Gives away the CSV that it holds. An error of what came before is the outcome of all that follows."""
        csv = b"".join(self._pieces)
        self._pieces.clear()
        self._parts.went(self._held)
        self._held = 0
        return self._behind(work, csv)

    def _behind(self, work: Callable[[bytes | memoryview], T], csv: bytes | memoryview) -> Future[T]:
        before = self._running

        def behind(csv: bytes | memoryview) -> T:
            if before is not None:
                before.result()
            return work(csv)

        self._running = future = self._parts.in_background(behind, csv)
        return future

    def _put_aside(self, csv: bytes | memoryview) -> None:
        self._aside += [self._parts.put_aside(piece) for piece in _chunks(csv)]

    def _end(self, rest: bytes | memoryview) -> tuple[bytes | BinaryIO, int, str]:
        aside = (self._parts.taken_back(*extent) for extent in self._aside)
        if self.csv_bytes <= CHUNK:
            content = self._parts.compressed(b"".join([*aside, rest]))
            return content, len(content), hashlib.sha256(content).hexdigest()
        for csv in aside:
            self._write(csv)
        self._write(rest, end=True)
        return cast(BinaryIO, self._file), self._size, self._hash.hexdigest()

    def _write(self, csv: bytes | memoryview, *, end: bool = False) -> None:
        if self._compressor is None or self._file is None:
            self._compressor = self._parts.compressor()
            self._file = cast(BinaryIO, tempfile.SpooledTemporaryFile(CHUNK, prefix="tungsten-part-"))
        for piece in _chunks(csv):
            self._store(self._compressor.compress(piece))
        if end:
            self._store(self._compressor.flush())

    def _store(self, data: bytes | memoryview) -> None:
        self._hash.update(data)
        self._size += len(data)
        cast(BinaryIO, self._file).write(data)


def _chunks(csv: bytes | memoryview) -> Iterator[bytes | memoryview]:
    if len(csv) <= 2 * CHUNK:
        yield csv
        return
    view = memoryview(csv)
    for start in range(0, len(view), CHUNK):
        yield view[start : start + CHUNK]
