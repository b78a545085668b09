"""A proxy in front of the S3 server that loses answers, requests' conditions and connections."""

from __future__ import annotations

import http.client
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

import boto3
from botocore.config import Config

from tests.stack.s3 import S3

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CONDITIONS = {"if-none-match", "if-match"}
HOP_BY_HOP = {"connection", "transfer-encoding", "content-length"}


class Proxy(ThreadingHTTPServer):
    """Hands every request on to the S3 server, and does harm.

    :ivar lose: decides on method and path whether the answer to a request that was carried out is lost.
    :ivar cut: the same for an answer that ends in the middle.
    :ivar refuse: decides which status is answered instead of carrying the request out; None: none.
    :ivar deaf_to: methods whose If-None-Match and If-Match are dropped.
    """

    daemon_threads = True

    def __init__(self, server: S3) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.server = server
        self.requests: list[tuple[str, str]] = []
        self.lose: Callable[[str, str], bool] = lambda method, path: False
        self.refuse: Callable[[str, str], bytes | None] = lambda method, path: None
        self.cut: Callable[[str, str], bool] = lambda method, path: False
        self.deaf_to: set[str] = set()

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self._thread.start()
        return super().__enter__()

    def __exit__(self, *args: Any) -> None:
        self.shutdown()
        self._thread.join()
        super().__exit__(*args)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), BrokenPipeError | ConnectionResetError):  # of a killed client
            super().handle_error(request, client_address)

    def client(self, attempts: int = 3) -> S3Client:
        return boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self.server_port}",
            aws_access_key_id=self.server.access_key,
            aws_secret_access_key=self.server.secret_key,
            region_name=self.server.region,
            config=Config(
                s3={"addressing_style": "path"}, retries={"mode": "standard", "total_max_attempts": attempts}
            ),
        )


class _Handler(BaseHTTPRequestHandler):
    server: Proxy
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        proxy, method = self.server, self.command
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        proxy.requests.append((method, self.path))
        if (refusal := proxy.refuse(method, self.path)) is not None:
            self._answer(int(refusal[:3]), {"Content-Type": "application/xml"}, refusal[3:])
            return
        headers = {
            name: value
            for name, value in self.headers.items()
            if name.lower() != "expect" and not (name.lower() in CONDITIONS and method in proxy.deaf_to)
        }
        upstream = http.client.HTTPConnection("127.0.0.1", proxy.server.port)
        upstream.request(method, self.path, body, headers)
        answer = upstream.getresponse()
        content = answer.read()
        upstream.close()
        if proxy.lose(method, self.path):
            self.close_connection = True
            self.connection.close()
            return
        size = answer.headers.get("Content-Length") if method == "HEAD" else None
        self._answer(answer.status, dict(answer.headers.items()), content, size)

    def _answer(self, status: int, headers: dict[str, str], content: bytes, size: str | None = None) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", size or str(len(content)))
        self.end_headers()
        if self.server.cut(self.command, self.path):
            self.close_connection = True
            content = content[: len(content) // 2]
        self.wfile.write(content)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _serve

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""


def once(method: str, part: str = "") -> Callable[[str, str], bool]:
    """True for the first request of that method whose path holds ``part``."""
    left = [1]
    return lambda given, path: given == method and part in path and bool(left) and bool(left.pop())
