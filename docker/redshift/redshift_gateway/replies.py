"""PostgreSQL's answers on their way to the client: counted against the requests, types and errors made Redshift's."""

from __future__ import annotations

import re
import struct
from collections import deque
from dataclasses import dataclass, field

from redshift_gateway import wire
from redshift_gateway.backend import Backend, BackendLost
from redshift_gateway.client import Client

SERVER_VERSION = "8.0.2"
"""What Redshift calls itself; below 8.2 redshift_connector expects counts only where Redshift sends them."""
_VARBYTE, _SUPER = 6551, 4000
_TYPES = {17: _VARBYTE, 3802: _SUPER, 114: _SUPER}
_CHUNK = 1 << 16
_COMPACT = re.compile(rb'("(?:[^"\\]|\\.)*")|\s+')
_NO_DETAIL = {"23502", "23514"}
"""States whose DETAIL shows the row in PostgreSQL; Redshift shows none."""


@dataclass
class RowShape:
    """Columns of a result that need a change: (index, Redshift's type)."""

    changes: list[tuple[int, int]] = field(default_factory=list)


@dataclass
class Request:
    """One message PostgreSQL owes an answer to. ``shape`` is what Describe fills and Execute uses."""

    kind: bytes
    shape: RowShape
    formats: tuple[int, ...] = ()


_ANSWERS = {
    b"1": b"P", b"2": b"B", b"3": b"C", b"n": b"D", b"C": b"E", b"I": b"E", b"s": b"E",
}  # fmt: skip


class Replies:
    """Copies answers to the client. ``hex_twice``: the client un-hexes VARBYTE once by itself."""

    def __init__(self, backend: Backend, client: Client, hex_twice: bool) -> None:
        self._backend = backend
        self._client = client
        self._hex_twice = hex_twice
        self._requests: deque[Request] = deque()
        self._out = bytearray()

    def add(self, data: bytes) -> None:
        """Queue a message of the gateway's own for the client."""
        self._out += data
        if len(self._out) >= _CHUNK:
            self.flush()

    def flush(self) -> None:
        if self._out:
            self._client.send(self._out)
            self._out = bytearray()

    def expect(self, request: Request) -> None:
        self._requests.append(request)

    @property
    def outstanding(self) -> bool:
        return bool(self._requests)

    def settle(self) -> bool:
        """Take in the answers to every request made so far; False if one was an error (the rest is then void)."""
        while self._requests:
            kind, body = self._backend.read()
            if kind == b"E":
                self._requests.clear()
                self._error(body)
                return False
            self._one(kind, body)
        return True

    def until_ready(self, pass_ready: bool = True) -> bool:
        """Copy answers up to ReadyForQuery; False if an ErrorResponse was among them."""
        good = True
        shape = RowShape()
        while True:
            kind, body = self._backend.read()
            if kind == b"Z":
                self._requests.clear()
                if pass_ready:
                    self.ready()
                return good
            if kind == b"E":
                good = False
                self._error(body)
            elif self._requests:
                self._one(kind, body)
            elif kind == b"T":
                self._describe(body, shape)
            elif kind == b"D":
                self._row(body, shape, ())
            else:
                self._plain(kind, body)

    def ready(self) -> None:
        """ReadyForQuery with the backend's state."""
        self.add(wire.message(b"Z", self._backend.status))
        self.flush()

    def unasked(self) -> None:
        """Copy one message PostgreSQL sent on its own: a notice, a setting, or the reason it ends the connection."""
        kind, body = self._backend.read()
        self._plain(kind, body)
        self.flush()
        if kind == b"E":
            raise BackendLost(wire.read_fields(body).get("M", "PostgreSQL ended the connection"))

    def _one(self, kind: bytes, body: bytes) -> None:
        request = self._requests[0]
        if kind == b"D":
            self._row(body, request.shape, request.formats)
        elif kind == b"T":
            self._describe(body, request.shape)
            self._requests.popleft()
        else:
            self._plain(kind, body)
            if _ANSWERS.get(kind) == request.kind:
                self._requests.popleft()

    def _plain(self, kind: bytes, body: bytes) -> None:
        if kind == b"S":
            name, value = wire.split_cstrings(body)
            self.add(parameter(name, value))
        elif kind == b"E":
            self._error(body)
        else:
            self.add(wire.message(kind, body))

    def _error(self, body: bytes) -> None:
        self.add(wire.error_from(redshift_error(wire.read_fields(body))))

    def _describe(self, body: bytes, shape: RowShape) -> None:
        described = bytearray(body)
        shape.changes.clear()
        offset = 2
        for index in range(int.from_bytes(body[:2])):
            type_at = body.index(b"\0", offset) + 7
            oid, *_, format_code = struct.unpack_from("!ihih", body, type_at)
            if oid in _TYPES:
                struct.pack_into("!ih", described, type_at, _TYPES[oid], -1)
                if format_code == 0:
                    shape.changes.append((index, _TYPES[oid]))
            offset = type_at + 12
        self.add(wire.message(b"T", bytes(described)))

    def _row(self, body: bytes, shape: RowShape, formats: tuple[int, ...]) -> None:
        if not shape.changes:
            self.add(wire.message(b"D", body))
            return
        values = wire.read_data_row(body)
        for index, redshift_type in shape.changes:
            value = values[index]
            binary = formats[index if len(formats) > 1 else 0] if formats else 0
            if value is not None and not binary:
                values[index] = self._text(value, redshift_type)
        self.add(wire.data_row(values))

    def _text(self, value: bytes, redshift_type: int) -> bytes:
        if redshift_type == _SUPER:
            return _COMPACT.sub(rb"\1", value)
        digits = value.removeprefix(rb"\x")
        return digits.hex().encode() if self._hex_twice else digits


def parameter(name: str, value: str) -> bytes:
    """ParameterStatus with the server's version as Redshift tells it."""
    return wire.parameter_status(name, SERVER_VERSION if name == "server_version" else value)


def redshift_error(fields: wire.Fields) -> wire.Fields:
    """PostgreSQL's error as Redshift words it: conflicts as 1023, byte lengths as lengths, no row values."""
    state = fields.get("C", "")
    if state == "40001":
        detail = "Serializable isolation violation on table in Redshift"
        return {"S": "ERROR", "C": "XX000", "M": "1023", "D": detail}
    rule = re.fullmatch(r"rs_(octets_\d+|ascii_\d+|varbyte)_(\d+)", fields.get("n", ""))
    if state == "23514" and rule is not None:
        if rule[1].startswith("ascii"):
            return {"S": "ERROR", "C": "22001", "M": "multibyte character not supported for CHAR"}
        name = "binary varying" if rule[1] == "varbyte" else "character varying"
        return {"S": "ERROR", "C": "22001", "M": f"value too long for type {name}({rule[2]})"}
    if state in _NO_DETAIL:
        return {key: value for key, value in fields.items() if key != "D"}
    return fields
