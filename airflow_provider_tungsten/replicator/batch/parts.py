"""CSV bytes into one compressed file with its size and hash. Names and puts are the files module's."""

from __future__ import annotations

import hashlib
import tempfile
import zlib
from concurrent.futures import Executor, Future
from typing import BinaryIO, Protocol

import zstandard

# Compressed in pieces of this size; a part that stays below never sees the disk.
_CHUNK = 1024 * 1024


class _Compressor(Protocol):
    def compress(self, data: bytes | bytearray, /) -> bytes: ...
    def flush(self) -> bytes: ...


class _Plain:
    def compress(self, data: bytes | bytearray, /) -> bytes:
        return bytes(data)

    def flush(self) -> bytes:
        return b""


def _compressor(compression: str) -> _Compressor:
    """Level 1 keeps up with the encoder (570 MB/s zstd). Neither format carries a time, so equal bytes stay equal."""
    if compression == "zstd":
        return zstandard.ZstdCompressor(level=1).compressobj()
    if compression == "gzip":
        return zlib.compressobj(1, wbits=31)
    return _Plain()


class PartFile:
    """One part in the making. A chunk is compressed, hashed and written while the next one is encoded.

    What grows beyond a chunk is kept in a file without a name, so that nothing is left of a killed process.

    :param background: runs the compression; each part gives it one chunk at a time.
    """

    def __init__(self, compression: str, background: Executor) -> None:
        self._compression = compression
        self._background = background
        self._running: Future[None] | None = None
        self._compressor: _Compressor | None = None
        self._file: BinaryIO | None = None
        self._buffer = bytearray()
        self._hash = hashlib.sha256()
        self.size = 0
        self.csv_bytes = 0

    def add(self, csv: bytes) -> None:
        self._buffer += csv
        self.csv_bytes += len(csv)
        if len(self._buffer) >= _CHUNK:
            self._wait()
            self._running = self._background.submit(self._write, self._buffer)
            self._buffer = bytearray()

    def close(self) -> tuple[bytes | BinaryIO, str]:
        """Its content, or the open file that holds it, and the SHA-256 of the bytes as stored, hexadecimal."""
        self._wait()
        rest = self._compressed(self._buffer, end=True)
        if self._file is None:
            return rest, self._hash.hexdigest()
        self._file.write(rest)
        return self._file, self._hash.hexdigest()

    def discard(self) -> None:
        self._wait()
        if self._file is not None:
            self._file.close()

    def _wait(self) -> None:
        if self._running is not None:
            self._running.result()

    def _write(self, chunk: bytearray) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="tungsten-part-")  # noqa: SIM115
        self._file.write(self._compressed(chunk))

    def _compressed(self, chunk: bytearray, end: bool = False) -> bytes:
        if self._compressor is None:
            self._compressor = _compressor(self._compression)
        data = self._compressor.compress(chunk)
        if end:
            data += self._compressor.flush()
        self._hash.update(data)
        self.size += len(data)
        return data
