from __future__ import annotations

import io
import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest

from airflow_provider_tungsten.replicator.errors import StorageError, WriteConflictError
from airflow_provider_tungsten.replicator.storage import (
    LocalStorage,
    ObjectChangedError,
    ObjectExistsError,
    ObjectMissingError,
    new_token,
    open_storage,
)
from airflow_provider_tungsten.replicator.storage.local import TEMPORARY
from airflow_provider_tungsten.replicator.storage.s3 import _RangedReader
from tests.unit.replicator.durability import Disk


@pytest.fixture
def store(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "store")


def test_what_was_created_is_read_back_from_bytes_a_path_and_an_open_file(
    store: LocalStorage, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"content")
    for key, source in (
        ("a", b"content"),
        ("b", tmp_path / "file"),
        ("c", io.BytesIO(b"content")),
    ):
        store.create(f"below/{key}", source, token=new_token())
        assert store.read(f"below/{key}") == b"content"


def test_creating_again_with_the_same_token_is_success(store: LocalStorage) -> None:
    token = new_token("dag/run/task/try 1")
    store.create("key", b"once", token=token)
    store.create("key", b"once", token=token)
    assert store.read("key") == b"once"


def test_another_writer_is_refused_and_told_who_won(store: LocalStorage) -> None:
    store.create("key", b"first", token=(winner := new_token("winner")))
    with pytest.raises(ObjectExistsError, match="winner") as caught:
        store.create("key", b"second", token=new_token("loser"))
    assert (caught.value.key, caught.value.token) == ("key", winner)
    assert isinstance(caught.value, WriteConflictError)
    assert store.read("key") == b"first"


def test_of_many_writers_at_once_exactly_one_wins(store: LocalStorage) -> None:
    begin = threading.Barrier(8)
    won: list[bytes] = []

    def write(number: int) -> None:
        begin.wait()
        try:
            store.create("key", b"%d" % number, token=new_token())
        except ObjectExistsError:
            return
        won.append(b"%d" % number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won == [store.read("key")]


def test_list_is_in_byte_order_over_whole_keys(store: LocalStorage) -> None:
    keys = ["a-b", "a/b", "a/c/d", "a0", "b", "é", "z"]
    for key in keys:
        store.create(key, key.encode(), token="t")
    in_order = sorted(keys, key=str.encode)
    assert [item.key for item in store.list()] == in_order
    assert [item.key for item in store.list("a/")] == ["a/b", "a/c/d"]
    assert [item.key for item in store.list("a")] == ["a-b", "a/b", "a/c/d", "a0"]
    for key in [*keys, "a", "a/", "a/c", "a/bb"]:
        behind = [other for other in in_order if other.encode() > key.encode()]
        assert [item.key for item in store.list(start_after=key)] == behind
    assert [item.size for item in store.list("é")] == [2]


def test_a_folder_that_is_not_there_yet_is_an_empty_store(store: LocalStorage) -> None:
    assert list(store.list()) == []
    assert not store.exists("key")
    store.delete("key")
    with pytest.raises(ObjectMissingError, match=r"store/key does not exist"):
        store.read("key")
    with pytest.raises(ObjectMissingError):
        store.open("key")


def test_put_overwrites_and_delete_removes(store: LocalStorage) -> None:
    store.put("hint", b"1")
    store.put("hint", b"2")
    assert store.read("hint") == b"2"
    store.delete("hint")
    assert not store.exists("hint")


def test_sub_is_the_same_store_one_folder_down(store: LocalStorage) -> None:
    store.sub("service").create("key", b"x", token="t")
    assert [item.key for item in store.list()] == ["service/key"]
    assert store.sub("service").url == f"{store.url}/service"


class _Murderer(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        if self.tell() > 2_000_000:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read(size)


def test_a_writer_killed_in_the_middle_leaves_no_object(store: LocalStorage) -> None:
    if (child := os.fork()) == 0:
        store.create("key", _Murderer(bytes(4_000_000)), token="t")
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert list(store.list()) == []
    left = list((Path(store.url) / TEMPORARY).iterdir())
    assert left
    os.utime(left[0], (time.time() - 2 * 24 * 3600,) * 2)
    assert store.check_write_once() is None
    assert list((Path(store.url) / TEMPORARY).iterdir()) == []


def test_a_group_names_its_objects_when_all_of_them_are_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LocalStorage(tmp_path / "new" / "store")
    keys = [f"{letter}/{number}" for letter in "abc" for number in range(9)]
    unsynced: list[int] = []

    def count(disk: Disk, _: Path) -> None:
        hidden = (Path(store.url) / TEMPORARY).iterdir()
        unsynced.append(sum(not disk.has_content(path) for path in hidden))

    disk = Disk(tmp_path, monkeypatch, count)
    group = store.group(new_token())
    for key in keys:
        group.create(key, key.encode())
    assert list(store.list()) == []
    assert group.finish() == []
    group.close()
    assert unsynced == [0] * len(keys)
    assert [info.key for info in store.list()] == keys
    assert all(disk.survives(Path(store.url) / key) for key in keys)
    assert store.read("b/3") == b"b/3"
    assert os.listdir(Path(store.url) / TEMPORARY) == []
    # Of the store's own folder and the hidden one, once; of the files; of each folder that got names.
    assert disk.syncs <= 3 + len(keys) + 4


def test_what_a_group_meets_is_reported_kept_and_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LocalStorage(tmp_path)
    disk = Disk(tmp_path, monkeypatch)
    (tmp_path / "below").mkdir()
    with (tmp_path / "below" / "met").open("wb") as theirs:
        theirs.write(b"theirs")
        theirs.flush()
        os.fsync(theirs.fileno())
    group = store.group(new_token())
    group.create("below/met", io.BytesIO(b"ours"))
    group.create("below/new", io.BytesIO(b"ours"))
    assert group.finish() == ["below/met"]
    assert (store.read("below/met"), store.read("below/new")) == (b"theirs", b"ours")
    assert disk.survives(tmp_path / "below" / "met")


def test_a_group_that_is_given_up_leaves_nothing(store: LocalStorage) -> None:
    group = store.group(new_token())
    group.create("below/key", b"content")
    group.close()
    assert list(store.list()) == []
    assert os.listdir(Path(store.url) / TEMPORARY) == []


def test_a_group_killed_before_its_end_leaves_no_object(store: LocalStorage) -> None:
    if (child := os.fork()) == 0:
        group = store.group(new_token())
        group.create("a", b"content")
        group.create("b", _Murderer(bytes(4_000_000)))
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert list(store.list()) == []


def test_check_write_once_passes_any_number_of_times_and_leaves_one_object(store: LocalStorage) -> None:
    for _ in range(3):
        assert store.check_write_once() is None
        assert [info.key for info in store.list()] == ["_write_once_check"]


def test_a_store_that_cannot_be_written_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = open_storage(str(tmp_path / "file" / "below"))
    with pytest.raises(StorageError, match=r"/file/below/key: .*; the path leads through a file"):
        store.create("key", b"x", token="t")
    assert "leads through a file" in (store.check_write_once() or "")


def test_tokens_are_ascii_name_the_writer_and_never_repeat() -> None:
    token = new_token("dag/läuf\n1/task")
    assert token.isascii()
    assert token.startswith("dag/l\\xe4uf 1/task ")
    assert f":{os.getpid()} " in token
    assert token != new_token("dag/läuf\n1/task")


def test_ranged_reader_reads_what_a_file_would() -> None:
    chance = random.Random(7)
    data = chance.randbytes(3_000_000)
    fetched: list[int] = []

    def fetch(first: int, size: int) -> bytes:
        fetched.append(size)
        return data[first : first + size]

    reader, plain = _RangedReader(len(data), fetch), io.BytesIO(data)
    for _ in range(300):
        if chance.random() < 0.4:
            place = (
                (chance.choice([-70_000, -8, 0]), 2)
                if chance.random() < 0.3
                else (chance.randrange(3_100_000), 0)
            )
            assert reader.seek(*place) == plain.seek(*place)
        size = chance.choice([0, 1, 8, 65_536, 400_000])
        assert reader.read(size) == plain.read(size)
        assert reader.tell() == plain.tell()
    reader.seek(0)
    assert io.BufferedReader(reader).read() == data
    assert min(fetched) > 0  # a range of no bytes is none, and gets the whole object


def test_ranged_reader_fetches_more_at_a_time_the_longer_it_goes_straight_on() -> None:
    fetched: list[int] = []

    def fetch(first: int, size: int) -> bytes:
        fetched.append(size)
        return bytes(size)

    reader = _RangedReader(64 * 1024 * 1024, fetch)
    while reader.read(10_000):
        pass
    assert len(fetched) < 20
    assert max(fetched) == 8 * 1024 * 1024
    assert sum(fetched) == 64 * 1024 * 1024


def test_an_object_is_replaced_only_in_the_version_that_was_read(store: LocalStorage) -> None:
    store.replace("below/key", b"1", None)
    with pytest.raises(ObjectChangedError):
        store.replace("below/key", b"x", None)
    data, version = store.read_version("below/key")
    assert data == b"1"
    store.replace("below/key", b"2", version)
    with pytest.raises(ObjectChangedError, match="changed by another writer"):
        store.replace("below/key", b"x", version)
    store.delete("below/key")
    with pytest.raises(ObjectChangedError):
        store.replace("below/key", b"x", version)
    assert store.check_replace() is None
    assert list(store.list()) == []


def test_of_many_who_replace_one_version_one_wins(store: LocalStorage) -> None:
    store.replace("key", b"0", None)
    _, version = store.read_version("key")
    begin, won = threading.Barrier(6), []

    def replace(number: int) -> None:
        begin.wait()
        try:
            store.replace("key", f"by {number}".encode(), version)
        except ObjectChangedError:
            return
        won.append(number)

    threads = [threading.Thread(target=replace, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert store.read("key") == f"by {won[0]}".encode()


def test_a_store_knows_the_folder_above(tmp_path: Path) -> None:
    store = LocalStorage(tmp_path)
    above = store.sub("a").above()
    assert above is not None
    assert above.url == store.url
    assert LocalStorage("/").above() is None
