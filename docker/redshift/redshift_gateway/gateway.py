"""The listening side: accepts clients, answers their first packets, and gives each a session in a thread."""

from __future__ import annotations

import logging
import os
import socket
import ssl
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from redshift_gateway import wire
from redshift_gateway.backend import Backend, BackendError, BackendLost
from redshift_gateway.client import Client, ClientGone, LoginRefused
from redshift_gateway.install import install
from redshift_gateway.objects import Objects
from redshift_gateway.replies import parameter
from redshift_gateway.session import Session
from redshift_gateway.tls import server_context
from redshift_gateway.types import varbyte_domain

log = logging.getLogger(__name__)

START_UP_SECONDS = 30
_PASSED_ON = {"application_name", "client_encoding", "datestyle", "timezone", "extra_float_digits"}
"""Start-up parameters PostgreSQL gets; the others are Redshift's own (driver versions, identity providers)."""
_OPTIONS = (
    r"-c standard_conforming_strings=on -c default_transaction_isolation=repeatable\ read -c TimeZone=UTC"
)


@dataclass(frozen=True)
class Settings:
    """Where the gateway listens, which PostgreSQL is behind it, and who may log in.

    ``backend_host`` is a socket directory when it begins with a slash. ``tls_dir`` None: no TLS.
    ``s3_endpoint`` None: taken from AWS_ENDPOINT_URL. ``authentication``: md5 or cleartext. ``port`` 0: a free one.
    """

    backend_host: str
    backend_port: int
    user: str
    password: str
    database: str = "dev"
    backend_user: str = "postgres"
    host: str = "127.0.0.1"
    port: int = 0
    tls_dir: Path | None = None
    s3_endpoint: str | None = None
    authentication: str = "md5"


class Gateway:
    """A local Redshift: ``with Gateway(settings) as gateway: connect(port=gateway.port)``."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._listener: socket.socket | None = None
        self._tls: ssl.SSLContext | None = None
        self._objects: Objects | None = None
        self._sessions: dict[threading.Thread, list[Client | Backend]] = {}
        self._lock = threading.Lock()
        self._domains: set[int] = set()

    @property
    def port(self) -> int:
        """The port it listens on, once started."""
        if self._listener is None:
            raise RuntimeError("the gateway is not started")
        return int(self._listener.getsockname()[1])

    def start(self) -> Gateway:
        """Install the shims, make the certificate, listen. Raises BackendError, OSError, RuntimeError, ValueError."""
        settings = self.settings
        endpoint = (
            settings.s3_endpoint
            or os.environ.get("AWS_ENDPOINT_URL_S3")
            or os.environ.get("AWS_ENDPOINT_URL")
        )
        if not endpoint:
            raise ValueError("no S3 endpoint: give --s3-endpoint or set AWS_ENDPOINT_URL")
        install(
            settings.backend_host,
            settings.backend_port,
            settings.backend_user,
            settings.database,
            settings.user,
        )
        self._objects = Objects(endpoint)
        self._tls = server_context(settings.tls_dir) if settings.tls_dir else None
        self._listener = socket.create_server((settings.host, settings.port), backlog=64)
        threading.Thread(
            target=self._accept, args=(self._listener,), name="gateway-accept", daemon=True
        ).start()
        return self

    def stop(self) -> None:
        """Stop listening and end every session; open transactions roll back."""
        if self._listener is None:
            return
        listener, self._listener = self._listener, None
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        with self._lock:
            sessions = dict(self._sessions)
        for ends in sessions.values():
            for end in ends:
                end.shut_down()
        for thread in sessions:
            thread.join(10)

    def __enter__(self) -> Gateway:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            client = Client(connection)
            thread = threading.Thread(target=self._serve, args=(client,), name="gateway-client", daemon=True)
            with self._lock:
                self._sessions[thread] = [client]
            thread.start()

    def _serve(self, client: Client) -> None:
        """The boundary of a client's thread: whatever ends the session is told or logged here."""
        try:
            client.timeout(START_UP_SECONDS)
            self._greet(client)
        except (ClientGone, LoginRefused, ConnectionError, ssl.SSLError, TimeoutError) as error:
            log.info("client connection ended: %s", error)
        except Exception:
            log.exception("client connection ended by an error of the gateway")
        finally:
            client.close()
            with self._lock:
                del self._sessions[threading.current_thread()]

    def _greet(self, client: Client) -> None:
        code, body = client.first_packet(self._tls)
        if code == wire.CANCEL_REQUEST:
            backend = Backend(self.settings.backend_host, self.settings.backend_port)
            backend.cancel(body)
            return
        if code != wire.PROTOCOL_3:
            client.refuse("0A000", f"unsupported frontend protocol {code >> 16}.{code & 0xFFFF}")
        words = wire.split_cstrings(body)
        given = dict(zip(words[::2], words[1::2], strict=False))
        user = given.get("user", "")
        client.log_in(user, self.settings.user, self.settings.password, self.settings.authentication)
        if given.get("database", user) != self.settings.database:
            client.refuse("3D000", f'database "{given.get("database", user)}" does not exist')
        self._session(client, given)

    def _session(self, client: Client, given: dict[str, str]) -> None:
        assert self._objects is not None
        backend = Backend(self.settings.backend_host, self.settings.backend_port)
        with self._lock:
            self._sessions[threading.current_thread()].append(backend)
        try:
            self._welcome(client, backend, given)
            # Its protocol 0, which it falls back to here, un-hexes VARBYTE into text; it must end up with the hex.
            hex_twice = "client_protocol_version" in given
            Session(client, backend, self._objects, self._connect, self._need_domains, hex_twice).run()
        except BackendError as error:
            client.refuse(error.fields.get("C", "XX000"), str(error))
        except BackendLost as error:
            client.refuse("57P01", f"terminating connection: {error}")
        finally:
            backend.terminate()

    def _welcome(self, client: Client, backend: Backend, given: dict[str, str]) -> None:
        """Start the backend for this client and pass its greeting on."""
        role = self.settings.user.replace("\\", "\\\\").replace(" ", "\\ ")
        parameters = {key: value for key, value in given.items() if key.lower() in _PASSED_ON}
        parameters |= {"user": self.settings.backend_user, "database": self.settings.database}
        parameters["options"] = f"{_OPTIONS} -c role={role} {given.get('options', '')}".rstrip()
        greeting = b""
        for kind, body in backend.start(parameters):
            if kind == b"S":
                name, value = wire.split_cstrings(body)
                greeting += parameter(name, value)
            else:
                greeting += wire.message(kind, body)
        client.timeout(None)
        client.send(greeting)

    def _connect(self) -> Backend:
        backend = Backend(self.settings.backend_host, self.settings.backend_port)
        backend.start({"user": self.settings.backend_user, "database": self.settings.database})
        return backend

    def _need_domains(self, lengths: Iterable[int]) -> None:
        """Make the domains behind VARBYTE(n) that are not there yet, on a connection of its own."""
        with self._lock:
            missing = set(lengths) - self._domains
            if not missing:
                return
            backend = self._connect()
            try:
                for length in sorted(missing):
                    backend.query(_DOMAIN.format(name=varbyte_domain(length), length=length))
            finally:
                backend.terminate()
            self._domains |= missing


_DOMAIN = """
DO $do$ BEGIN
  IF to_regtype('{name}') IS NULL THEN
    CREATE DOMAIN {name} AS bytea CONSTRAINT rs_varbyte_{length} CHECK (octet_length(VALUE) <= {length});
  END IF;
END $do$"""
