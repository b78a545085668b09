from __future__ import annotations

import bz2
import gzip
import hashlib
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
import zstandard

from airflow_provider_tungsten.replicator.batch import parts
from airflow_provider_tungsten.replicator.batch.parts import PartFile, Parts

COUNT = 24
DECOMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
    "gzip": gzip.decompress,
    "bzip2": bz2.decompress,
    "none": bytes,
}


@pytest.fixture
def growing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Parts]:
    """Few compressors and little memory, so that small parts do what large ones would."""
    monkeypatch.setattr(parts, "CHUNK", 1000)
    monkeypatch.setattr(parts, "_HELD", 8000)
    monkeypatch.setattr(parts, "_PACKED", 2000)
    monkeypatch.setattr(parts, "_STREAMS", 3)
    with closing(Parts("zstd")) as made:
        yield made


def _closed(part: PartFile) -> tuple[bytes, str]:
    """The CSV that comes out of the part again, and the hash of what is stored."""
    source, size, digest = part.close(lambda *content: content).result()
    if not isinstance(source, bytes):
        source.seek(0)
        source = source.read()
    assert hashlib.sha256(source).hexdigest() == digest
    assert len(source) == size
    return zstandard.ZstdDecompressor().decompressobj().decompress(source), digest


def _csv(table: int, number: int) -> bytes:
    return f"{table},{number},{'x' * (table % 5 * 40)}\n".encode()


def test_parts_that_grow_together_hold_what_they_were_given(growing: Parts) -> None:
    made = [growing.new() for _ in range(COUNT)]
    for number in range(60):
        for table, part in enumerate(made):
            part.add(_csv(table, number))
            assert sum(each._held for each in made) <= parts._HELD + parts._STREAMS * parts.CHUNK
            assert growing.aside._kept <= parts._PACKED
            assert growing._ahead_bytes <= parts._AHEAD
    for table, part in enumerate(made):
        expected = b"".join(_csv(table, number) for number in range(60))
        assert part.csv_bytes == len(expected)
        assert _closed(part)[0] == expected
    _is_empty(growing)


def _is_empty(growing: Parts) -> None:
    assert growing._open == growing._streams == growing.aside._kept == 0


def test_any_number_of_threads_make_parts(growing: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "_HELD", 1000)

    def made(table: int) -> bool:
        part = growing.new()
        for number in range(60):
            part.add(_csv(table, number))
        if table % 7 == 0:
            part.discard()
            return True
        return _closed(part)[0] == b"".join(_csv(table, number) for number in range(60))

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(made, range(1000)))
    finally:
        sys.setswitchinterval(before)
    _is_empty(growing)


@pytest.mark.parametrize("compression", ["zstd", "gzip", "bzip2", "none"])
@pytest.mark.parametrize(
    "sizes", [(999,), (1000,), (1001,), (500, 500), (500, 501), (1000, 1), (1, 1000), (1000, 1000)]
)
def test_no_size_of_a_part_is_special(growing: Parts, compression: str, sizes: tuple[int, ...]) -> None:
    growing._compression = compression
    part = growing.new()
    for size in sizes:
        part.add(b"x" * size)
    source, _, _ = part.close(lambda *content: content).result()
    if not isinstance(source, bytes):
        source.seek(0)
        source = source.read()
    assert DECOMPRESS[compression](source) == b"x" * sum(sizes)


@pytest.mark.parametrize("streams", [0, 1])
def test_large_csv_is_not_copied_as_a_whole(
    growing: Parts, monkeypatch: pytest.MonkeyPatch, streams: int
) -> None:
    monkeypatch.setattr(parts, "_LARGE", 5000)
    monkeypatch.setattr(parts, "_STREAMS", streams)
    taken, chunks = list[object](), parts._chunks
    monkeypatch.setattr(parts, "_chunks", lambda csv: taken.append(csv) or chunks(csv))
    large = memoryview(b"x" * 20_000)
    part = growing.new()
    for csv in (b"", b"titles\n", large, b"", large):
        part.add(csv)
    assert _closed(part)[0] == b"titles\n" + bytes(large) * 2
    assert sum(csv is large for csv in taken) == 2


def test_a_part_that_is_given_up_leaves_room_for_others(
    growing: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    for held, streams in ((200, 0), (8000, 1)):
        monkeypatch.setattr(parts, "_HELD", held)
        monkeypatch.setattr(parts, "_STREAMS", streams)
        for _ in range(10):
            part = growing.new()
            for number in range(100):
                part.add(_csv(4, number))
            assert (growing.aside._kept > 0) is (not streams)
            part.discard()
            _is_empty(growing)


def test_the_same_content_gives_the_same_bytes(growing: Parts) -> None:
    def written() -> list[str]:
        made = [growing.new() for _ in range(COUNT)]
        for number in range(60):
            for table, part in enumerate(made):
                part.add(_csv(table, number))
        return [_closed(part)[1] for part in made]

    assert written() == written()


@pytest.mark.parametrize("compression", ["zstd", "none"])
@pytest.mark.parametrize("packed", [0, 500, 2**20])
def test_small_parts_that_waited_aside_share_no_memory_when_they_end(
    monkeypatch: pytest.MonkeyPatch, compression: str, packed: int
) -> None:
    monkeypatch.setattr(parts, "CHUNK", 1000)
    monkeypatch.setattr(parts, "_HELD", 2000)
    monkeypatch.setattr(parts, "_PACKED", packed)
    with closing(Parts(compression)) as growing:
        made = [growing.new() for _ in range(COUNT)]
        for number in range(10):
            for table, part in enumerate(made):
                part.add(f"{table},{number}\n".encode() * 5)
        assert (growing.aside._file is not None) is (packed < 2**20)
        ends = [part.close(lambda content, *_: content) for part in made]
        contents = [end.result() for end in ends]
    for table, content in enumerate(contents):
        assert isinstance(content, bytes)
        if compression == "zstd":
            content = zstandard.ZstdDecompressor().decompress(content)
        assert content == b"".join(f"{table},{number}\n".encode() * 5 for number in range(10))


def test_a_temporary_file_that_lost_its_end_ends_no_part(
    growing: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "_HELD", 200)
    monkeypatch.setattr(parts, "_PACKED", 0)
    part = growing.new()
    part.add(b"1\n" * 200)
    assert growing.aside._file is not None
    growing.aside._file.truncate(10)
    with pytest.raises(OSError, match="gives back less than was written"):
        part.close(lambda content, *_: content).result()
