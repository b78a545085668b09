"""CSV bytes into one compressed file with its size and hash. Names and puts are the files module's."""

from __future__ import annotations

import bz2
import hashlib
import os
import tempfile
import zlib
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from typing import BinaryIO, Protocol

import zstandard

# Compressed in pieces of this size.
CHUNK = 1024 * 1024
# Of all parts together; compressors take more than a megabyte each.
_BUFFERED = 64 * CHUNK
_STREAMS = 16


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


class _Plain:
    def compress(self, data: bytes, /) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


def _compressor(compression: str) -> _Compressor:
    """Level 1 keeps up with the encoder (570 MB/s zstd). No format carries a time, so equal bytes stay equal."""
    if compression == "zstd":
        return zstandard.ZstdCompressor(level=1).compressobj()
    if compression == "gzip":
        return zlib.compressobj(1, wbits=31)
    if compression == "bzip2":
        return bz2.BZ2Compressor(1)
    return _Plain()


class Parts:
    """Makes parts that grow at the same time, of any number of tables, in bounded memory.

    Few of them are compressed while they grow; the others wait as CSV, and where all of these together become too large, they
    wait in one file. Neither file has a name, so that nothing is left of a killed process.

    :param background: runs the compression; each part gives it one chunk at a time.
    """

    def __init__(self, compression: str, background: Executor) -> None:
        self.compression = compression
        self.background = background
        self._whole = zstandard.ZstdCompressor(level=1)
        self._open: dict[PartFile, None] = {}
        self._waiting: BinaryIO | None = None
        self._buffered = 0
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
        """So much more CSV is in memory."""
        self._buffered += size
        if self._buffered > _BUFFERED:
            for part in self._open:
                part.spill()

    def went(self, size: int) -> None:
        self._buffered -= size

    def put_aside(self, csv: bytes) -> tuple[int, int]:
        """Where it lies in the file."""
        if self._waiting is None:
            self._waiting = tempfile.TemporaryFile(prefix="tungsten-parts-")
        self._waiting.seek(0, os.SEEK_END)
        start = self._waiting.tell()
        self._waiting.write(csv)
        return start, start + len(csv)

    def taken_back(self, start: int, end: int) -> Iterator[bytes]:
        """What lies there, a chunk at a time."""
        if self._waiting is not None:
            self._waiting.seek(start)
            for at in range(start, end, CHUNK):
                yield self._waiting.read(min(CHUNK, end - at))

    def compressed(self, csv: bytes) -> bytes:
        """Of a part in one piece. The compressor is used again and again, as making one costs more than a small part."""
        if self.compression == "zstd":
            return self._whole.compress(csv)
        compressor = _compressor(self.compression)
        return compressor.compress(csv) + compressor.flush()

    def done(self, part: PartFile, streamed: bool) -> None:
        self._open.pop(part, None)
        self._streams -= streamed

    def close(self) -> None:
        """No part is in the making any more."""
        if self._waiting is not None:
            self._waiting.close()


class PartFile:
    """One part in the making, which :class:`Parts` gave out. Where it is compressed while it grows, a chunk is compressed,
    hashed and written while the next one is encoded; what grows beyond a chunk is kept in a file.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._aside: list[tuple[int, int]] = []
        self._streams = False
        self._running: Future[None] | None = None
        self._compressor: _Compressor | None = None
        self._file: BinaryIO | None = None
        self._pieces: list[bytes] = []
        self._held = 0
        self._hash = hashlib.sha256()
        self.size = 0
        self.csv_bytes = 0

    def add(self, csv: bytes) -> None:
        self._pieces.append(csv)
        self._held += len(csv)
        self.csv_bytes += len(csv)
        self._parts.came(len(csv))
        if self._held >= CHUNK and not self._aside:
            self._streams = self._streams or self._parts.stream()
            if self._streams:
                self._stream()

    def _stream(self) -> None:
        self._wait()
        self._running = self._parts.background.submit(self._write, self._taken())

    def _taken(self) -> bytes:
        """What it holds in memory, which it holds no longer."""
        csv = b"".join(self._pieces)
        self._parts.went(self._held)
        self._pieces.clear()
        self._held = 0
        return csv

    def spill(self) -> None:
        """Frees the memory that its CSV takes."""
        if self._streams:
            self._stream()
        elif self._pieces:
            self._aside.append(self._parts.put_aside(self._taken()))

    def close(self) -> tuple[bytes | BinaryIO, str]:
        """Its content, or the open file that holds it, and the SHA-256 of the bytes as stored, hexadecimal."""
        self._finish()
        self._take_back()
        if self._file is None:
            content = self._parts.compressed(b"".join(self._pieces))
            self._count(content)
            return content, self._hash.hexdigest()
        rest = self._compressed(b"".join(self._pieces), end=True)
        self._file.write(rest)
        return self._file, self._hash.hexdigest()

    def _take_back(self) -> None:
        """What was put aside, in front of what was not: into memory where it is small."""
        chunks = (chunk for extent in self._aside for chunk in self._parts.taken_back(*extent))
        if self.csv_bytes <= CHUNK:
            self._pieces[:0] = chunks
        else:
            for chunk in chunks:
                self._write(chunk)

    def discard(self) -> None:
        self._finish()
        if self._file is not None:
            self._file.close()

    def _finish(self) -> None:
        self._wait()
        self._parts.went(self._held)
        self._parts.done(self, self._streams)

    def _wait(self) -> None:
        if self._running is not None:
            self._running.result()

    def _write(self, chunk: bytes) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="tungsten-part-")
        self._file.write(self._compressed(chunk))

    def _compressed(self, chunk: bytes, end: bool = False) -> bytes:
        if self._compressor is None:
            self._compressor = _compressor(self._parts.compression)
        data = self._compressor.compress(chunk)
        if end:
            data += self._compressor.flush()
            self._compressor = None
        self._count(data)
        return data

    def _count(self, data: bytes) -> None:
        self._hash.update(data)
        self.size += len(data)
