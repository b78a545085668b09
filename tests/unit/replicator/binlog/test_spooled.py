"""Bytes that grow: in memory, and beyond a size in a file of which little stays there."""

from __future__ import annotations

import hashlib
import resource
from pathlib import Path

import pytest

from airflow_provider_tungsten.replicator.binlog._spooled import SpooledBuffer, room_of, steps
from airflow_provider_tungsten.replicator.errors import StorageError
from tests.unit.replicator.test_memory import MIB, measured

IN_MEMORY = 16 * MIB


def grown(size: int, step: int = MIB) -> SpooledBuffer:
    buffer = SpooledBuffer()
    for start in range(0, size, step):
        buffer.append(bytes([start // step % 251]) * min(step, size - start))
    return buffer


@pytest.mark.parametrize(
    "size", [0, 1, 4096, IN_MEMORY - 1, IN_MEMORY, IN_MEMORY + 1, 64 * MIB, 64 * MIB + 1, 150 * MIB + 7]
)
def test_it_holds_what_was_appended(size: int) -> None:
    buffer = grown(size)
    expected = hashlib.sha256()
    for start in range(0, size, MIB):
        expected.update(bytes([start // MIB % 251]) * min(MIB, size - start))
    buffer.page_out()
    assert len(buffer) == size
    assert buffer.is_paged == (size > IN_MEMORY)
    with memoryview(buffer) as view:
        assert view.readonly
        assert hashlib.sha256(view).hexdigest() == expected.hexdigest()


def test_what_is_large_takes_little_memory() -> None:
    def work() -> int:
        buffer = grown(400 * MIB, step=9 * MIB)
        found = 0
        with memoryview(buffer) as view:
            for start in range(0, len(view), MIB):
                found += sum(view[start : start + MIB : 4096])
                buffer.page_out()
        return found

    found, peak = measured(work)
    assert found == sum(start // (9 * 256) % 251 for start in range(400 * 256))
    assert peak < 60 * MIB


def test_it_does_not_move_while_somebody_looks() -> None:
    buffer = grown(MIB)
    view = memoryview(buffer)
    with pytest.raises(BufferError):
        buffer.append(b"more")
    view.release()
    buffer.append(b"more")
    assert len(buffer) == MIB + 4


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    def work() -> int:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100 * MIB, 100 * MIB))
        return len(grown(200 * MIB))

    found, _ = measured(work)
    assert str(found).startswith("StorageError: a value or an event of more than ")
    assert "which cannot be written: File too large; free space" in str(found)
    assert not [*tmp_path.iterdir()]


def test_a_folder_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/nowhere")
    with pytest.raises(StorageError, match="No such file or directory"):
        grown(IN_MEMORY + 1)


def test_steps_are_all_of_it_and_need_not_be_in_memory() -> None:
    def work() -> bool:
        buffer = grown(200 * MIB)
        expected = b"".join(bytes([number % 251]) for number in range(200))
        with memoryview(buffer)[:-1] as view:
            found = [*map(bytes, steps(view, MIB))]
        return b"".join(step[:1] for step in found) == expected and len(found[-1]) == MIB - 1

    def read() -> int:
        buffer = grown(200 * MIB)
        return sum(len(step) for step in steps(buffer, MIB) if hashlib.sha256(step))

    assert measured(work)[0] is True
    found, peak = measured(read)
    assert found == 200 * MIB
    assert peak < 60 * MIB
    assert [*map(bytes, steps(b"abcde", 2))] == [b"ab", b"cd", b"e"]


def test_a_view_tells_in_which_buffer_it_lies() -> None:
    buffer = grown(3)
    assert room_of(buffer) is buffer
    assert room_of(memoryview(buffer)[1:][:1]) is buffer
    assert room_of(memoryview(b"abc")) is room_of(b"abc") is None
