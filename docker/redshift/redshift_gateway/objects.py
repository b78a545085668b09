"""Objects of a COPY out of S3: which ones, in which order, and their content as a stream of unpacked bytes."""

from __future__ import annotations

import bz2
import json
import zlib
from collections.abc import Iterator
from typing import Any

import boto3
import zstandard
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from redshift_gateway.copy_statement import Compression, CopyStatement
from redshift_gateway.errors import SqlError

PIECE = 1 << 16
_DUMMY = "redshift-gateway"


def internal_error(text: str, code: int) -> SqlError:
    """An error of Redshift's data path: XX000, with the code in the framed detail that a cluster sends."""
    line = "-" * 47
    return SqlError("XX000", text, f"\n  {line}\n  error:  {text}\n  code:      {code}\n  {line}")


class Objects:
    """S3 at one endpoint, with credentials that only a local stand-in accepts."""

    def __init__(self, endpoint: str) -> None:
        self._client: Any = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id=_DUMMY,
            aws_secret_access_key=_DUMMY,
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 3, "mode": "standard"}),
        )

    def sources(self, copy: CopyStatement) -> list[tuple[str, bool]]:
        """The objects to load, in order, each with whether it must exist.

        A manifest gives its entries; a prefix gives every key under it. Raises SqlError as Redshift words it.
        """
        if copy.manifest:
            return self._manifest(copy.source)
        bucket, prefix = _split(copy.source)
        try:
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
            keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        except (ClientError, BotoCoreError) as error:
            raise _s3_error(error) from error
        if not keys:
            raise internal_error(f"The specified S3 prefix '{prefix}' does not exist", 8001)
        return [(f"s3://{bucket}/{key}", True) for key in keys]

    def _manifest(self, url: str) -> list[tuple[str, bool]]:
        bucket, key = _split(url)
        try:
            body = self._client.get_object(Bucket=bucket, Key=key)["Body"].read()
        except (ClientError, BotoCoreError) as error:
            raise _s3_error(error, "Problem reading manifest file - ") from error
        try:
            entries = json.loads(body)["entries"]
            sources = [(entry["url"], bool(entry.get("mandatory", False))) for entry in entries]
            for source, _ in sources:
                _split(source)
        except (ValueError, TypeError, KeyError) as error:
            raise internal_error("Problem reading manifest file - Invalid manifest", 8001) from error
        return sources

    def exists(self, url: str) -> bool:
        """Whether the object is there; anything but a plain "not found" is an error."""
        bucket, key = _split(url)
        try:
            self._client.head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if _status(error) == 404:
                return False
            raise _s3_error(error) from error
        except BotoCoreError as error:
            raise _s3_error(error) from error
        return True

    def read(self, url: str, compression: Compression) -> Iterator[bytes]:
        """The object's unpacked content in pieces of what 64 KiB of the object hold."""
        bucket, key = _split(url)
        try:
            body = self._client.get_object(Bucket=bucket, Key=key)["Body"]
            yield from _unpack(body.iter_chunks(PIECE), compression, url)
        except (ClientError, BotoCoreError) as error:
            raise _s3_error(error) from error


def _split(url: str) -> tuple[str, str]:
    scheme, _, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not bucket or not key:
        raise ValueError(f"not an s3://bucket/key address: {url}")
    return bucket, key


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _s3_error(error: ClientError | BotoCoreError, before: str = "") -> SqlError:
    if isinstance(error, ClientError):
        what = error.response.get("Error", {})
        reason = f"{what.get('Message', '')},Status {_status(error)},Error {what.get('Code', '')},CanRetry 1"
        return internal_error(f"{before}S3ServiceException:{reason}", 15001)
    return internal_error(f"{before}S3CurlException: {type(error).__name__}, CurlError 7, CanRetry 1", 15001)


def _unpack(pieces: Iterator[bytes], compression: Compression, url: str) -> Iterator[bytes]:
    """Unpacked pieces; a stream that is damaged or ends inside a frame is an error, several frames are one stream."""
    if compression is Compression.NONE:
        yield from pieces
        return
    try:
        unpacker: Any = None
        for piece in pieces:
            data = piece
            while data:
                if unpacker is None:
                    unpacker = _unpacker(compression)
                yield unpacker.decompress(data)
                data = unpacker.unused_data
                if unpacker.eof:
                    unpacker = None
        if unpacker is not None:
            raise internal_error(f"{compression.value} file {url} ends before its end", 8001)
    except (OSError, zlib.error, zstandard.ZstdError) as error:
        raise internal_error(f"{compression.value} file {url} cannot be unpacked: {error}", 8001) from error


def _unpacker(compression: Compression) -> Any:
    if compression is Compression.GZIP:
        return zlib.decompressobj(wbits=31)
    if compression is Compression.BZIP2:
        return bz2.BZ2Decompressor()
    return zstandard.ZstdDecompressor().decompressobj()
