"""The client's end of a connection: first packets, TLS, log-in, and framed messages. Knows nothing of SQL."""

from __future__ import annotations

import hashlib
import hmac
import os
import select
import socket
import ssl

from redshift_gateway import wire
from redshift_gateway.backend import Backend

READ_SIZE = 1 << 16


class ClientGone(ConnectionError):
    """The client closed the connection."""


class LoginRefused(Exception):
    """Wrong user, password or database; the client has been told."""


class Client:
    """One accepted connection, plain or TLS."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connection
        self._received = bytearray()

    def first_packet(self, tls: ssl.SSLContext | None) -> tuple[int, bytes]:
        """Answer requests for encryption and return the code and body of the start-up or cancel packet."""
        while True:
            length = int.from_bytes(self._exactly(4))
            if not 8 <= length <= 10_000:
                raise ClientGone("the first packet is not of PostgreSQL's protocol")
            packet = self._exactly(length - 4)
            code, body = int.from_bytes(packet[:4]), packet[4:]
            if code == wire.SSL_REQUEST and tls is not None:
                self.send(b"S")
                self._socket = tls.wrap_socket(self._socket, server_side=True)
            elif code in (wire.SSL_REQUEST, wire.GSSENC_REQUEST):
                self.send(b"N")
            else:
                return code, body

    def log_in(self, user: str, expected_user: str, password: str, method: str) -> None:
        """Ask for the password (``md5`` or ``cleartext``) and check it. Raises LoginRefused."""
        salt = os.urandom(4)
        if method == "md5":
            self.send(wire.message(b"R", (5).to_bytes(4) + salt))
            inner = hashlib.md5(password.encode() + user.encode(), usedforsecurity=False).hexdigest()
            expected = "md5" + hashlib.md5(inner.encode() + salt, usedforsecurity=False).hexdigest()
        else:
            self.send(wire.message(b"R", (3).to_bytes(4)))
            expected = password
        kind, body = self.read()
        right = hmac.compare_digest(body.rstrip(b"\0"), expected.encode())
        if kind != b"p" or user != expected_user or not right:
            self.refuse("28000", f'password authentication failed for user "{user}"')

    def refuse(self, code: str, text: str) -> None:
        """Tell the client why its connection ends. Raises LoginRefused."""
        self.send(wire.error(code, text, severity="FATAL"))
        raise LoginRefused(text)

    def timeout(self, seconds: float | None) -> None:
        self._socket.settimeout(seconds)

    def read(self) -> tuple[bytes, bytes]:
        """The next message: type byte and body."""
        kind = bytes(self._exactly(1))
        return kind, self._exactly(int.from_bytes(self._exactly(4)) - 4)

    def _exactly(self, size: int) -> bytes:
        while len(self._received) < size:
            data = self._socket.recv(READ_SIZE)
            if not data:
                raise ClientGone("the client closed the connection")
            self._received += data
        result = bytes(self._received[:size])
        del self._received[:size]
        return result

    def has_more(self) -> bool:
        """Whether the client has already sent more than was read."""
        return self._buffered() or bool(select.select([self._socket], [], [], 0)[0])

    def _buffered(self) -> bool:
        return bool(self._received) or (
            isinstance(self._socket, ssl.SSLSocket) and self._socket.pending() > 0
        )

    def wait(self, backend: Backend) -> bool:
        """Wait for either side; True when the client has something, False when only PostgreSQL has."""
        if self._buffered():
            return True
        poller = select.poll()
        poller.register(self._socket, select.POLLIN)
        poller.register(backend.fileno(), select.POLLIN)
        return any(descriptor == self._socket.fileno() for descriptor, _ in poller.poll())

    def send(self, data: bytes | bytearray) -> None:
        self._socket.sendall(data)

    def close(self) -> None:
        self._socket.close()

    def shut_down(self) -> None:
        """Wake whoever waits on this connection (called from another thread)."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
