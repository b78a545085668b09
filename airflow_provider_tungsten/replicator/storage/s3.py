"""A store in an S3 bucket: `If-None-Match: *` makes objects write-once, also at the end of a multipart upload, and `If-Match`
replaces an object of a known version.

Answers get lost: a PUT that botocore repeats may meet the object that its first try made. The writer's token in the
object's metadata tells.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, cast

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
    IncompleteReadError,
    ResponseStreamingError,
)
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential
from urllib3.exceptions import HTTPError

from airflow_provider_tungsten.replicator.errors import StorageError, StorageUnavailableError
from airflow_provider_tungsten.replicator.storage.base import (
    WRITE_ONCE_CHECK,
    Group,
    ObjectChangedError,
    ObjectExistsError,
    ObjectInfo,
    ObjectMissingError,
    Source,
    Storage,
    opened,
    refuses_other_version,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from airflow_provider_tungsten.replicator.settings import Encryption

T = TypeVar("T")
MIB = 1024 * 1024
SINGLE_PUT_BYTES = 64 * MIB
PART_BYTES = 16 * MIB
MOST_PARTS = 10_000
TOKEN = "tungsten-writer"
_MISSING = {"NoSuchKey", "404", "NotFound"}
_REFUSED_EXISTING = {"PreconditionFailed", "412"}
_TRANSIENT = {
    "ConditionalRequestConflict",
    "ExpiredToken",
    "InternalError",
    "OperationAborted",
    "RequestExpired",
    "RequestTimeout",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
}
_MENDS = {
    "NoSuchBucket": "make the bucket or mend the url",
    "AccessDenied": "allow s3:GetObject, s3:PutObject, s3:DeleteObject, s3:AbortMultipartUpload below the prefix and "
    "s3:ListBucket on the bucket (and the use of its KMS key)",
    "403": "allow s3:GetObject below the prefix and s3:ListBucket on the bucket",
    "InvalidAccessKeyId": "mend the access key of the connection",
    "SignatureDoesNotMatch": "mend the secret key of the connection",
    "PermanentRedirect": "set the connection's region to the bucket's",
    "AuthorizationHeaderMalformed": "set the connection's region to the bucket's",
}


CLIENT = Config(max_pool_connections=16)
"""Of a client that keeps as many connections as a batch uploads objects at once; boto3's own keeps ten."""


class _TryAgainError(StorageUnavailableError):
    """Worth another attempt at once: a conflict of two conditional writes, an answer cut off in the middle."""


def _code(error: ClientError) -> str:
    return error.response.get("Error", {}).get("Code", "")


@contextmanager
def _explained(place: str) -> Iterator[None]:
    """Turns boto's errors into this package's two families."""
    try:
        yield
    except ClientError as error:
        code = _code(error)
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        text = f"{place}: {error}"
        if code == "ConditionalRequestConflict":
            raise _TryAgainError(text) from error
        if code in _TRANSIENT or status >= 500 or status == 429:
            raise StorageUnavailableError(text) from error
        mend = _MENDS.get(code)
        raise StorageError(f"{text}; {mend}" if mend else text) from error
    except (ResponseStreamingError, IncompleteReadError, HTTPError) as error:
        raise _TryAgainError(f"{place}: the answer was cut off: {error}") from error
    except (ConnectionError, HTTPClientError) as error:
        raise StorageUnavailableError(f"{place}: {error}") from error
    except BotoCoreError as error:
        raise StorageError(f"{place}: {error}") from error


def _persistent(attempt: Callable[[], T]) -> T:
    retrying = Retrying(
        retry=retry_if_exception_type(_TryAgainError),
        stop=stop_after_attempt(6),
        wait=wait_random_exponential(multiplier=0.2, max=5),
        reraise=True,
    )
    return retrying(attempt)


class _RangedReader(io.RawIOBase):
    """An object as a seekable file. A read fetches more than was asked for, and the more the longer it goes straight on; a
    large one what was asked for, which is not kept."""

    _least, _most = 128 * 1024, 8 * MIB

    def __init__(self, size: int, fetch: Callable[[int, int], bytes]) -> None:
        self._size = size
        self._fetch = fetch
        self._position = 0
        self._start = 0
        self._window = b""
        self._ahead = self._least

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, self._size - self._position)
        size = left if size is None or size < 0 else min(size, left)
        if not size:
            return b""
        if size > self._most:
            self._position += size
            return self._fetch(self._position - size, size)
        begin, end = self._position - self._start, self._position - self._start + size
        if begin < 0 or end > len(self._window):
            straight_on = 0 <= begin <= len(self._window)
            self._ahead = min(self._ahead * 2, self._most) if straight_on else self._least
            kept = self._window[begin:] if straight_on else b""
            first = self._position + len(kept)
            self._window = kept + self._fetch(
                first, min(max(self._ahead, size - len(kept)), self._size - first)
            )
            self._start, begin, end = self._position, 0, size
        self._position += size
        return self._window[begin:end]

    def readall(self) -> bytes:
        return self.read()


class S3Storage:
    """Objects below a prefix of a bucket.

    :param url: ``s3://bucket/prefix``.
    :param client: boto3 client; None: one made of boto3's own defaults.
    """

    def __init__(
        self, url: str, *, client: S3Client | None = None, encryption: Encryption | None = None
    ) -> None:
        self._url = url.rstrip("/")
        self._bucket, _, prefix = self._url.removeprefix("s3://").partition("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self._client: S3Client = client or boto3.client("s3", config=CLIENT)
        self._encryption = encryption
        self._settings: dict[str, Any] = {}
        if encryption and encryption.sse:
            self._settings["ServerSideEncryption"] = encryption.sse
        if encryption and encryption.kms_key_id:
            self._settings["SSEKMSKeyId"] = encryption.kms_key_id

    @property
    def url(self) -> str:
        return self._url

    def _place(self, key: str) -> str:
        return f"{self._url}/{key}"

    def _at(self, key: str) -> dict[str, Any]:
        return {"Bucket": self._bucket, "Key": self._prefix + key}

    def list(self, prefix: str = "", start_after: str = "") -> Iterator[ObjectInfo]:
        behind: dict[str, Any] = {"StartAfter": self._prefix + start_after} if start_after else {}
        paginator = self._client.get_paginator("list_objects_v2")
        answers = iter(paginator.paginate(Bucket=self._bucket, Prefix=self._prefix + prefix, **behind))
        while True:
            with _explained(self._place(prefix)):
                page = next(answers, None)
            if page is None:
                return
            for item in page.get("Contents", ()):
                yield ObjectInfo(item["Key"].removeprefix(self._prefix), item["Size"])

    def read(self, key: str) -> bytes:
        return self._get(key, {})

    def _get(self, key: str, extra: dict[str, Any]) -> bytes:
        def attempt() -> bytes:
            with _explained(self._place(key)), self._existing(key):
                return self._client.get_object(**self._at(key), **extra)["Body"].read()

        return _persistent(attempt)

    @contextmanager
    def _existing(self, key: str) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            if _code(error) in _MISSING:
                raise ObjectMissingError(self._place(key), key) from None
            raise

    def _head(self, key: str) -> dict[str, Any]:
        with _explained(self._place(key)), self._existing(key):
            return cast(dict[str, Any], self._client.head_object(**self._at(key)))

    def open(self, key: str) -> BinaryIO:
        head = self._head(key)
        tag = head["ETag"]

        def fetch(first: int, size: int) -> bytes:
            return self._get(key, {"Range": f"bytes={first}-{first + size - 1}", "IfMatch": tag})

        return cast(BinaryIO, _RangedReader(head["ContentLength"], fetch))

    def exists(self, key: str) -> bool:
        try:
            self._head(key)
        except ObjectMissingError:
            return False
        return True

    def create(self, key: str, source: Source, *, token: str) -> None:
        def attempt() -> None:
            with opened(source) as (content, size):
                upload = self._put_once if size <= SINGLE_PUT_BYTES else self._upload_once
                try:
                    with _explained(self._place(key)):
                        upload(key, content, token, size)
                except ObjectExistsError:
                    self._recognise(key, token)

        _persistent(attempt)

    def _recognise(self, key: str, token: str) -> None:
        """The object is there: ours, of an attempt whose answer was lost, or another writer's?"""
        try:
            winner = self._head(key).get("Metadata", {}).get(TOKEN, "")
        except ObjectMissingError:
            raise _TryAgainError(f"{self._place(key)} was there and is gone again") from None
        if winner != token:
            raise ObjectExistsError(self._place(key), key, winner)

    def _signed(self, token: str) -> dict[str, Any]:
        return {"Metadata": {TOKEN: token}, **self._settings}

    @contextmanager
    def _conditional(self, key: str) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            if _code(error) in _REFUSED_EXISTING:
                raise ObjectExistsError(self._place(key), key, "") from None
            raise

    def _put_once(self, key: str, content: BinaryIO, token: str, size: int) -> None:
        with self._conditional(key):
            self._client.put_object(**self._at(key), Body=content, IfNoneMatch="*", **self._signed(token))

    def _upload_once(self, key: str, content: BinaryIO, token: str, size: int) -> None:
        at = self._at(key)
        part_bytes = max(PART_BYTES, -(-size // MOST_PARTS))
        upload_id = self._client.create_multipart_upload(**at, **self._signed(token))["UploadId"]
        try:
            parts: list[Any] = []
            while (data := content.read(part_bytes)) or not parts:
                number = len(parts) + 1
                answer = self._client.upload_part(**at, UploadId=upload_id, PartNumber=number, Body=data)
                checksums = {name: value for name, value in answer.items() if name.startswith("Checksum")}
                checksums.pop("ChecksumType", None)
                parts.append({"PartNumber": number, "ETag": answer["ETag"], **checksums})
            self._complete_once(key, upload_id, parts)
        except BaseException as error:
            try:
                self._client.abort_multipart_upload(**at, UploadId=upload_id)
            except (ClientError, BotoCoreError) as second:
                error.add_note(f"{self._place(key)}: the unfinished upload was not removed: {second}")
            raise

    def _complete_once(self, key: str, upload_id: str, parts: Sequence[Any]) -> None:
        with self._conditional(key):
            try:
                self._client.complete_multipart_upload(
                    **self._at(key), UploadId=upload_id, MultipartUpload={"Parts": parts}, IfNoneMatch="*"
                )
            except ClientError as error:
                # A completion whose answer was lost has used the upload up: its repetition finds none.
                if _code(error) == "NoSuchUpload":
                    raise ObjectExistsError(self._place(key), key, "") from error
                raise

    def group(self, token: str) -> Group:
        return Group(self, token)

    def put(self, key: str, data: bytes) -> None:
        with _explained(self._place(key)):
            self._client.put_object(**self._at(key), Body=data, **self._settings)

    def read_version(self, key: str) -> tuple[bytes, str]:
        def attempt() -> tuple[bytes, str]:
            with _explained(self._place(key)), self._existing(key):
                answer = self._client.get_object(**self._at(key))
                return answer["Body"].read(), answer["ETag"]

        return _persistent(attempt)

    def replace(self, key: str, data: bytes, version: str | None) -> None:
        condition: dict[str, Any] = {"IfNoneMatch": "*"} if version is None else {"IfMatch": version}

        def attempt() -> None:
            with _explained(self._place(key)):
                try:
                    self._client.put_object(**self._at(key), Body=data, **condition, **self._settings)
                except ClientError as error:
                    if _code(error) in _REFUSED_EXISTING | _MISSING:
                        raise ObjectChangedError(self._place(key), key) from None
                    raise

        _persistent(attempt)

    def delete(self, key: str) -> None:
        with _explained(self._place(key)):
            self._client.delete_object(**self._at(key))

    def check_write_once(self) -> str | None:
        try:
            for upload, what in ((self._put_once, "PUT"), (self._upload_once, "CompleteMultipartUpload")):
                if not self._refuses_second(upload):
                    return (
                        f"{self._url} lets an object be written twice: its server ignores If-None-Match on {what}; "
                        "use Amazon S3 or a server that honours it"
                    )
        except StorageError as error:
            return str(error)
        return None

    def _refuses_second(self, upload: Callable[[str, BinaryIO, str, int], None]) -> bool:
        key = WRITE_ONCE_CHECK
        with _explained(self._place(key)):
            try:
                self._put_once(key, io.BytesIO(b"first"), "first", 5)
            except ObjectExistsError:
                pass  # of an earlier check
            try:
                upload(key, io.BytesIO(b"second"), "second", 6)
            except ObjectExistsError:
                return True
        return False

    def check_replace(self) -> str | None:
        try:
            refused = refuses_other_version(self)
        except StorageError as error:
            return str(error)
        return (
            None
            if refused
            else f"{self._url} lets an object of any version be replaced: its server ignores If-Match on PUT; "
            "use Amazon S3 or a server that honours it"
        )

    def sub(self, prefix: str) -> Storage:
        return S3Storage(f"{self._url}/{prefix}", client=self._client, encryption=self._encryption)

    def above(self) -> Storage | None:
        if not self._prefix:
            return None
        return S3Storage(self._url.rpartition("/")[0], client=self._client, encryption=self._encryption)
