"""Write-once on a real S3 server, through a proxy that loses answers, requests' conditions and connections."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_tungsten.replicator.errors import StorageError, StorageUnavailableError
from airflow_provider_tungsten.replicator.settings import Encryption
from airflow_provider_tungsten.replicator.storage import (
    ObjectChangedError,
    ObjectExistsError,
    ObjectMissingError,
    Storage,
    new_token,
    open_storage,
)
from airflow_provider_tungsten.replicator.storage import s3 as s3_module
from tests.integration.s3_proxy import Proxy, once
from tests.stack.s3 import S3

MULTIPART = 65 * 1024 * 1024


@pytest.fixture
def proxy(s3: S3) -> Iterator[Proxy]:
    with Proxy(s3) as server:
        yield server


@pytest.fixture
def store(s3: S3, bucket: str) -> Storage:
    return open_storage(f"s3://{bucket}/prefix", s3_client=s3.client())


@pytest.fixture
def proxied(proxy: Proxy, bucket: str) -> Storage:
    return open_storage(f"s3://{bucket}/prefix", s3_client=proxy.client())


@pytest.fixture(params=["put", "multipart"])
def content(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """So big that it is written by one PUT, or by a multipart upload of two parts."""
    if request.param == "multipart":
        monkeypatch.setattr(s3_module, "SINGLE_PUT_BYTES", 1024 * 1024)
        monkeypatch.setattr(s3_module, "PART_BYTES", 5 * 1024 * 1024)
        return os.urandom(6 * 1024 * 1024)
    return b"content"


def test_an_object_is_written_once_and_the_loser_told_who_won(store: Storage, content: bytes) -> None:
    store.create("key", content, token=(winner := new_token("winner")))
    assert store.read("key") == content
    store.create("key", content, token=winner)
    with pytest.raises(ObjectExistsError, match=r"prefix/key was already written by winner") as caught:
        store.create("key", b"other" + content, token=new_token("loser"))
    assert caught.value.token == winner
    assert store.read("key") == content


def test_an_answer_that_got_lost_is_recognised_as_ones_own(
    proxy: Proxy, proxied: Storage, content: bytes
) -> None:
    method = "PUT" if content == b"content" else "POST"
    part = "" if method == "PUT" else "uploadId="
    proxy.lose = once(method, part)
    proxied.create("key", content, token=new_token())
    written = [path for given, path in proxy.requests if given == method and part in path]
    assert len(written) == 2
    assert proxied.read("key") == content


def test_a_completion_that_finds_its_upload_used_up_looks_at_the_object(
    proxy: Proxy, proxied: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_module, "SINGLE_PUT_BYTES", 1)
    lost, answer = [], b"404<Error><Code>NoSuchUpload</Code></Error>"
    proxy.lose = lambda method, path: (
        method == "POST" and "uploadId=" in path and not lost and not lost.append(1)
    )
    proxy.refuse = lambda method, path: answer if lost and method == "POST" else None
    proxied.create("key", b"content", token=new_token())
    assert proxied.read("key") == b"content"


def test_a_retry_that_meets_another_writers_object_is_refused(
    proxy: Proxy, proxied: Storage, store: Storage, content: bytes
) -> None:
    def other_is_quicker(method: str, path: str) -> bytes | None:
        if first(method, path):
            store.create("key", b"theirs", token="the quicker one")
            return b"500"
        return None

    first = once("PUT") if content == b"content" else once("POST", "uploadId=")
    proxy.refuse = other_is_quicker
    with pytest.raises(ObjectExistsError, match="the quicker one"):
        proxied.create("key", content, token=new_token("the slower one"))
    assert store.read("key") == b"theirs"


def test_two_conditional_writes_at_once_are_tried_again(
    proxy: Proxy, proxied: Storage, content: bytes
) -> None:
    conflict = once("PUT") if content == b"content" else once("POST", "uploadId=")
    error = b"409<Error><Code>ConditionalRequestConflict</Code><Message>at once</Message></Error>"
    proxy.refuse = lambda method, path: error if conflict(method, path) else None
    proxied.create("key", content, token=new_token())
    assert proxied.read("key") == content


def test_a_failed_multipart_upload_leaves_nothing(
    proxy: Proxy, proxied: Storage, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_module, "SINGLE_PUT_BYTES", 1)
    proxy.refuse = lambda method, path: b"503" if "partNumber" in path else None
    with pytest.raises(StorageUnavailableError, match="prefix/key"):
        proxied.create("key", b"content", token=new_token())
    client = proxy.server.client()
    assert "Uploads" not in client.list_multipart_uploads(Bucket=bucket)
    assert not proxied.exists("key")


def test_a_file_beyond_the_limit_of_one_put_arrives_whole(store: Storage, tmp_path: Path) -> None:
    data = os.urandom(MULTIPART)
    (tmp_path / "big").write_bytes(data)
    store.create("big", tmp_path / "big", token=new_token())
    with store.open("big") as file:
        assert file.seek(-1000, os.SEEK_END) == MULTIPART - 1000
        assert file.read() == data[-1000:]
        file.seek(0)
        assert file.read() == data


@pytest.mark.parametrize(("deaf_to", "what"), [("PUT", "PUT"), ("POST", "CompleteMultipartUpload")])
def test_a_store_that_does_not_honour_write_once_is_found_out(
    proxy: Proxy, proxied: Storage, deaf_to: str, what: str
) -> None:
    for _ in range(2):
        assert proxied.check_write_once() is None
    proxy.deaf_to = {deaf_to}
    finding = proxied.check_write_once()
    assert finding is not None
    assert f"ignores If-None-Match on {what}; use Amazon S3 or a server that honours it" in finding
    assert [info.key for info in proxied.list()] == ["_write_once_check"]


def test_write_once_of_a_bucket_that_is_not_there_is_a_finding(s3: S3) -> None:
    store = open_storage("s3://no-such-bucket/x", s3_client=s3.client())
    finding = store.check_write_once()
    assert finding is not None
    assert "NoSuchBucket" in finding
    assert "make the bucket or mend the url" in finding


def test_an_object_is_replaced_only_in_the_version_that_was_read(store: Storage) -> None:
    store.replace("key", b"1", None)
    with pytest.raises(ObjectChangedError):
        store.replace("key", b"x", None)
    data, version = store.read_version("key")
    assert data == b"1"
    store.replace("key", b"2", version)
    with pytest.raises(ObjectChangedError, match="prefix/key was changed by another writer"):
        store.replace("key", b"x", version)
    assert store.read("key") == b"2"
    store.delete("key")
    with pytest.raises(ObjectChangedError):
        store.replace("key", b"x", version)
    assert (store.check_replace(), list(store.list())) == (None, [])


def test_a_replacement_whose_answer_got_lost_shows_as_a_change(
    proxy: Proxy, proxied: Storage, store: Storage
) -> None:
    store.replace("key", b"1", None)
    _, version = proxied.read_version("key")
    proxy.lose = once("PUT")
    with pytest.raises(ObjectChangedError):
        proxied.replace("key", b"2", version)
    assert store.read("key") == b"2"


def test_a_store_that_does_not_honour_versions_is_found_out(proxy: Proxy, proxied: Storage) -> None:
    proxy.deaf_to = {"PUT"}
    finding = proxied.check_replace()
    assert finding is not None
    assert "ignores If-Match on PUT; use Amazon S3 or a server that honours it" in finding
    assert list(proxied.list()) == []


def test_a_store_knows_the_folder_above(store: Storage, bucket: str) -> None:
    above = store.sub("a").above()
    assert above is not None
    assert above.url == store.url
    top = above.above()
    assert top is not None
    assert (top.url, top.above()) == (f"s3://{bucket}", None)


def test_list_pages_in_byte_order(store: Storage) -> None:
    keys = sorted(
        [f"thl/{number:04d}" for number in range(1005)] + ["a-b", "a/b", "a0", "é & ü+%20"], key=str.encode
    )
    for key in keys:
        store.put(key, b"x")
    assert [item.key for item in store.list()] == keys
    assert [item.key for item in store.list("thl/", "thl/1000")] == [
        "thl/1001",
        "thl/1002",
        "thl/1003",
        "thl/1004",
    ]
    assert [item.key for item in store.sub("a").list()] == ["b"]
    assert [(item.key, item.size) for item in store.list("é")] == [("é & ü+%20", 1)]
    assert list(store.list("none")) == []


def test_put_exists_and_delete(store: Storage) -> None:
    assert not store.exists("hint")
    store.put("hint", b"1")
    store.put("hint", b"2")
    assert (store.exists("hint"), store.read("hint")) == (True, b"2")
    store.delete("hint")
    store.delete("hint")
    assert not store.exists("hint")


def test_what_is_missing_is_told_by_its_full_name(store: Storage, bucket: str) -> None:
    with pytest.raises(ObjectMissingError, match=f"s3://{bucket}/prefix/key does not exist"):
        store.read("key")
    with pytest.raises(ObjectMissingError):
        store.open("key")


@pytest.mark.parametrize(
    ("answer", "family", "mend"),
    [
        (b"403<Error><Code>AccessDenied</Code></Error>", StorageError, "allow s3:GetObject, s3:PutObject"),
        (b"403<Error><Code>SignatureDoesNotMatch</Code></Error>", StorageError, "mend the secret key"),
        (b"404<Error><Code>NoSuchBucket</Code></Error>", StorageError, "make the bucket"),
        (b"503<Error><Code>SlowDown</Code></Error>", StorageUnavailableError, "SlowDown"),
        (b"500<Error><Code>InternalError</Code></Error>", StorageUnavailableError, "InternalError"),
        (b"400<Error><Code>ExpiredToken</Code></Error>", StorageUnavailableError, "ExpiredToken"),
    ],
)
def test_refusals_and_outages_are_told_apart(
    proxy: Proxy, bucket: str, answer: bytes, family: type[Exception], mend: str
) -> None:
    store = open_storage(f"s3://{bucket}/prefix", s3_client=proxy.client(attempts=1))
    proxy.refuse = lambda method, path: answer
    for act in (
        lambda: store.create("key", b"x", token="t"),
        lambda: store.read("key"),
        lambda: store.put("key", b"x"),
        lambda: list(store.list()),
        lambda: store.delete("key"),
    ):
        with pytest.raises(family, match=mend) as caught:
            act()
        assert f"s3://{bucket}/prefix/" in str(caught.value)
        assert not isinstance(caught.value, ObjectExistsError)


def test_a_server_that_is_away_is_an_outage(s3: S3, proxy: Proxy, bucket: str) -> None:
    gone = Proxy(s3)
    client = gone.client(attempts=1)
    gone.server_close()
    store = open_storage(f"s3://{bucket}", s3_client=client)
    for act in (
        lambda: store.read("key"),
        lambda: store.exists("key"),
        lambda: store.create("k", b"", token="t"),
    ):
        with pytest.raises(StorageUnavailableError, match=f"s3://{bucket}/k"):
            act()


def test_encryption_is_asked_for_every_object(s3: S3, bucket: str, content: bytes) -> None:
    encryption = Encryption(sse="aws:kms", kms_key_id="alias/our-key")
    store = open_storage(f"s3://{bucket}", s3_client=s3.client(), encryption=encryption).sub("below")
    store.create("created", content, token=new_token())
    store.put("put", b"x")
    for key in ("below/created", "below/put"):
        head = s3.client().head_object(Bucket=bucket, Key=key)
        assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", "alias/our-key")


def test_an_answer_that_ends_in_the_middle_is_asked_for_again(proxy: Proxy, proxied: Storage) -> None:
    proxied.create("key", b"0123456789" * 100, token=new_token())
    proxy.cut = once("GET")
    assert proxied.read("key") == b"0123456789" * 100
    proxy.cut = lambda method, path: method == "GET"
    with pytest.raises(StorageUnavailableError, match="the answer was cut off"):
        proxied.read("key")


def test_a_range_is_fetched_without_the_rest(proxy: Proxy, proxied: Storage) -> None:
    data = os.urandom(20 * 1024 * 1024)
    proxied.create("key", data, token=new_token())
    proxy.requests.clear()
    with proxied.open("key") as file:
        file.seek(10_000_000)
        assert file.read(100) == data[10_000_000:10_000_100]
    assert [method for method, _ in proxy.requests] == ["HEAD", "GET"]
