from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing

import pytest
import zstandard

from airflow_provider_tungsten.replicator.batch import parts
from airflow_provider_tungsten.replicator.batch.parts import PartFile, Parts

COUNT = 24


@pytest.fixture
def growing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Parts]:
    """Few compressors and little memory, so that small parts do what large ones would."""
    monkeypatch.setattr(parts, "CHUNK", 1000)
    monkeypatch.setattr(parts, "_BUFFERED", 8000)
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
            assert growing._buffered <= parts._BUFFERED
            assert growing._ahead_bytes <= parts._AHEAD
    for table, part in enumerate(made):
        expected = b"".join(_csv(table, number) for number in range(60))
        assert part.csv_bytes == len(expected)
        assert _closed(part)[0] == expected
    assert growing._buffered == growing._streams == 0


def test_a_part_that_is_given_up_leaves_room_for_others(growing: Parts) -> None:
    for _ in range(10):
        part = growing.new()
        for number in range(100):
            part.add(_csv(4, number))
        part.discard()
    assert growing._buffered == growing._streams == 0


def test_the_same_content_gives_the_same_bytes(growing: Parts) -> None:
    def written() -> list[str]:
        made = [growing.new() for _ in range(COUNT)]
        for number in range(60):
            for table, part in enumerate(made):
                part.add(_csv(table, number))
        return [_closed(part)[1] for part in made]

    assert written() == written()


@pytest.mark.parametrize("compression", ["zstd", "none"])
def test_small_parts_that_waited_aside_share_no_memory_when_they_end(
    monkeypatch: pytest.MonkeyPatch, compression: str
) -> None:
    monkeypatch.setattr(parts, "CHUNK", 1000)
    monkeypatch.setattr(parts, "_BUFFERED", 2000)
    with closing(Parts(compression)) as growing:
        made = [growing.new() for _ in range(COUNT)]
        for number in range(10):
            for table, part in enumerate(made):
                part.add(f"{table},{number}\n".encode() * 5)
        ends = [part.close(lambda content, *_: content) for part in made]
        contents = [end.result() for end in ends]
    for table, content in enumerate(contents):
        assert isinstance(content, bytes)
        if compression == "zstd":
            content = zstandard.ZstdDecompressor().decompress(content)
        assert content == b"".join(f"{table},{number}\n".encode() * 5 for number in range(10))


def test_a_temporary_file_that_lost_its_end_ends_no_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "_BUFFERED", 2000)
    monkeypatch.setattr(parts, "CHUNK", 1000)
    with closing(Parts("zstd")) as growing:
        small, other = growing.new(), growing.new()
        small.add(b"1\n" * 200)
        other.add(b"2\n" * 900)
        assert small.running is not None
        small.running.result()
        assert growing._waiting is not None
        growing._waiting.truncate(10)
        with pytest.raises(OSError, match="gives back less than was written"):
            small.close(lambda content, *_: content).result()
