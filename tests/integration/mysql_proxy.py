"""A proxy in front of MySQL servers whose connections are cut, fall silent, get noisy or are refused."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from itertools import chain, repeat
from typing import Any, Literal, NamedTuple, Self

from tests.stack.mysql import MySQL


class Fate(NamedTuple):
    """What becomes of a connection.

    :param server: to which it leads; None: it is refused.
    :param limit: bytes from the server that arrive before ``end``; None: all do. Behind ``noise`` they arrive, but wrong.
    """

    server: MySQL | None
    limit: int | None = None
    end: Literal["cut", "silent", "noise"] = "cut"


class Proxy:
    """Gives each connection its fate, in order; the last one's is that of all that follow.

    :ivar accepted: connections so far.
    """

    def __init__(self, fates: Sequence[Fate]) -> None:
        self._fates: Iterator[Fate] = chain(fates, repeat(fates[-1]))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self.port = int(self._listener.getsockname()[1])
        self.accepted = 0

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for each in (self._listener, *self._sockets):
            each.close()

    def _serve(self) -> None:
        for fate in self._fates:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            if fate.server is None:
                client.close()
                continue
            upstream = socket.create_connection((fate.server.host, fate.server.port))
            self._sockets += (client, upstream)
            everything = Fate(fate.server)
            for source, sink, what in ((client, upstream, everything), (upstream, client, fate)):
                threading.Thread(target=_pump, args=(source, sink, what), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket, fate: Fate) -> None:
    left = fate.limit
    try:
        while data := source.recv(4096):
            if left is not None and (left := left - len(data)) < 0:
                if fate.end == "silent":
                    return
                if fate.end == "cut":
                    break
                data = bytes(byte ^ 0x55 for byte in data)
            sink.sendall(data)
    except OSError:
        pass
    for end in (source, sink):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
