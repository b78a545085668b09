"""PostgreSQL protocol 3.0 messages as bytes: built, cut apart, and their error fields read. No sockets here."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping

SSL_REQUEST = 80877103
GSSENC_REQUEST = 80877104
CANCEL_REQUEST = 80877102
PROTOCOL_3 = 196608

Fields = dict[str, str]


def message(kind: bytes, body: bytes = b"") -> bytes:
    """One protocol message: type byte, int32 length counting itself, body."""
    return kind + struct.pack("!i", len(body) + 4) + body


def startup(parameters: Mapping[str, str]) -> bytes:
    """The StartupMessage, the only one without a type byte."""
    pairs = b"".join(cstring(key) + cstring(value) for key, value in parameters.items())
    body = struct.pack("!i", PROTOCOL_3) + pairs + b"\0"
    return struct.pack("!i", len(body) + 4) + body


def cstring(text: str) -> bytes:
    return text.encode() + b"\0"


def split_cstrings(body: bytes) -> list[str]:
    """The NUL-terminated strings of a body, without the empty one that closes a list."""
    return [part.decode() for part in body.split(b"\0")[:-1]]


def read_cstring(body: bytes, offset: int = 0) -> tuple[str, int]:
    """The string at ``offset`` and the offset behind its NUL."""
    end = body.index(b"\0", offset)
    return body[offset:end].decode(), end + 1


def query(sql: str) -> bytes:
    return message(b"Q", cstring(sql))


def parse(name: str, sql: str, rest: bytes) -> bytes:
    """Parse; ``rest`` is the parameter types as they came."""
    return message(b"P", cstring(name) + cstring(sql) + rest)


def command_complete(tag: str) -> bytes:
    return message(b"C", cstring(tag))


def parameter_status(name: str, value: str) -> bytes:
    return message(b"S", cstring(name) + cstring(value))


def notice(text: str) -> bytes:
    return message(b"N", _fields({"S": "INFO", "C": "00000", "M": text}))


def error(code: str, text: str, detail: str | None = None, severity: str = "ERROR") -> bytes:
    fields = {"S": severity, "C": code, "M": text}
    if detail:
        fields["D"] = detail
    return message(b"E", _fields(fields))


def _fields(fields: Mapping[str, str]) -> bytes:
    return b"".join(key.encode() + cstring(value) for key, value in fields.items()) + b"\0"


def error_from(fields: Mapping[str, str]) -> bytes:
    return message(b"E", _fields(fields))


def read_fields(body: bytes) -> Fields:
    """The fields of an ErrorResponse or NoticeResponse by their one-letter keys."""
    return {part[0]: part[1:] for part in body.decode(errors="replace").split("\0") if part}


def data_row(values: Iterable[bytes | None]) -> bytes:
    parts = [struct.pack("!i", -1) if v is None else struct.pack("!i", len(v)) + v for v in values]
    return message(b"D", struct.pack("!h", len(parts)) + b"".join(parts))


def read_data_row(body: bytes) -> list[bytes | None]:
    values: list[bytes | None] = []
    offset = 2
    for _ in range(int.from_bytes(body[:2])):
        length = int.from_bytes(body[offset : offset + 4], signed=True)
        offset += 4
        if length < 0:
            values.append(None)
            continue
        values.append(body[offset : offset + length])
        offset += length
    return values
