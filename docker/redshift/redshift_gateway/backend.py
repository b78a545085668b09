"""One connection to PostgreSQL: start-up, framing, and a write that never blocks while PostgreSQL wants to be read."""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Mapping

from redshift_gateway import wire

READ_SIZE = 1 << 16


class BackendError(Exception):
    """PostgreSQL answered a query of the gateway's own with an ErrorResponse."""

    def __init__(self, fields: wire.Fields) -> None:
        super().__init__(fields.get("M", "unknown error"))
        self.fields = fields


class BackendLost(ConnectionError):
    """PostgreSQL closed the connection."""


class Backend:
    """Messages to and from one PostgreSQL backend; ``status`` is the last ReadyForQuery's byte (I, T or E)."""

    def __init__(self, host: str, port: int) -> None:
        """``host`` is a socket directory when it begins with a slash, as in libpq."""
        if host.startswith("/"):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._socket.connect(f"{host}/.s.PGSQL.{port}")
        else:
            self._socket = socket.create_connection((host, port))
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = bytearray()
        self.status = b"I"

    def start(self, parameters: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
        """Log in without a password (PostgreSQL must trust the gateway) and return the messages up to ReadyForQuery."""
        self._socket.sendall(wire.startup(parameters))
        messages = []
        while True:
            kind, body = self.read()
            if kind == b"E":
                raise BackendError(wire.read_fields(body))
            if kind == b"R" and body != b"\0\0\0\0":
                raise BackendError(
                    {"C": "28000", "M": "PostgreSQL asks the gateway for a password; it must trust it"}
                )
            messages.append((kind, body))
            if kind == b"Z":
                return messages

    def cancel(self, body: bytes) -> None:
        """Pass on a CancelRequest (process id and key as PostgreSQL gave them out)."""
        self._socket.sendall(struct.pack("!ii", 16, wire.CANCEL_REQUEST) + body)

    def send(self, data: bytes | bytearray) -> None:
        """Write everything, taking in answers meanwhile, so that two full pipes cannot wait for each other."""
        view = memoryview(data)
        poller = select.poll()
        poller.register(self._socket, select.POLLIN | select.POLLOUT)
        while view:
            for _, event in poller.poll():
                if event & (select.POLLIN | select.POLLHUP | select.POLLERR):
                    self._fill()
                elif event & select.POLLOUT:
                    view = view[self._socket.send(view, socket.MSG_DONTWAIT) :]

    def _fill(self) -> None:
        data = self._socket.recv(READ_SIZE)
        if not data:
            raise BackendLost("PostgreSQL closed the connection")
        self._received += data

    def has_failed(self) -> bool:
        """Whether an ErrorResponse has already arrived, unread (an early one during COPY)."""
        if select.select([self._socket], [], [], 0)[0]:
            self._fill()
        offset = 0
        while offset + 5 <= len(self._received):
            if self._received[offset : offset + 1] == b"E":
                return True
            offset += int.from_bytes(self._received[offset + 1 : offset + 5]) + 1
        return False

    def read(self) -> tuple[bytes, bytes]:
        """The next message: type byte and body."""
        while len(self._received) < 5:
            self._fill()
        end = int.from_bytes(self._received[1:5]) + 1
        while len(self._received) < end:
            self._fill()
        kind, body = bytes(self._received[:1]), bytes(self._received[5:end])
        del self._received[:end]
        if kind == b"Z":
            self.status = body
        return kind, body

    def query(self, sql: str) -> list[list[str | None]]:
        """Run one simple query of the gateway's own; rows as text. Raises BackendError."""
        self.send(wire.query(sql))
        rows: list[list[str | None]] = []
        failure: wire.Fields | None = None
        while True:
            kind, body = self.read()
            if kind == b"D":
                rows.append([None if v is None else v.decode() for v in wire.read_data_row(body)])
            elif kind == b"E":
                failure = wire.read_fields(body)
            elif kind == b"Z":
                break
        if failure is not None:
            raise BackendError(failure)
        return rows

    def fileno(self) -> int:
        return self._socket.fileno()

    def terminate(self) -> None:
        """End politely; a connection that is already gone is no error."""
        try:
            self._socket.sendall(wire.message(b"X"))
        except OSError:
            pass
        self._socket.close()

    def shut_down(self) -> None:
        """Wake whoever waits on this connection (called from another thread)."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
