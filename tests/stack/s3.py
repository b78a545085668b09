"""S3 as moto's server gives it: in memory, and it enforces `If-None-Match`. Objects are gone when it ends."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from tests.stack.process import Process, Server, answers, free_port

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class S3(Server):
    """An S3 endpoint on a free loopback port, without buckets. Started by `start` or as a context manager."""

    region = "us-east-1"
    access_key = "local"
    secret_key = "local-secret"

    def __init__(self) -> None:
        self.port = free_port()
        self.endpoint_url = f"http://127.0.0.1:{self.port}"
        self._process: Process | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def launch(self) -> None:
        """Start without waiting; `wait` ends the wait."""
        self._folder = tempfile.TemporaryDirectory(prefix="tungsten-s3-")
        argv = (sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port))
        self._process = Process(argv, log=Path(self._folder.name) / "s3.log")

    def wait(self) -> None:
        assert self._process is not None
        self._process.wait_until(lambda: answers(self.port))

    def stop(self) -> None:
        """End it, and with it every object."""
        if self._process is not None:
            self._process.kill()
            self._process = None
        if self._folder is not None:
            self._folder.cleanup()

    @property
    def env(self) -> dict[str, str]:
        """What any AWS client in a child process needs to reach this server and no other."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ENDPOINT_URL_S3": self.endpoint_url,
        }

    def client(self) -> S3Client:
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint_url,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=self.region,
            config=Config(s3={"addressing_style": "path"}, retries={"mode": "standard"}),
        )

    def create_bucket(self, name: str) -> str:
        self.client().create_bucket(Bucket=name)
        return name
