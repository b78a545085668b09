"""How to reach a MySQL server, and what its refusals mean. What is asked of the server is for others to know."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import pymysql
from pymysql.constants import CLIENT, CR, ER
from pymysql.cursors import DictCursor

from airflow_provider_tungsten.replicator.errors import (
    ConfigurationError,
    PreflightError,
    SourceUnavailableError,
    TerminalError,
    TungstenError,
)

SslMode = Literal["disabled", "preferred", "required", "verify_ca", "verify_identity"]

_SECURE_TRANSPORT_REQUIRED = 3159
_PASSWORD_EXPIRED = frozenset({1820, 1862})
_PRIVILEGE = frozenset(
    {ER.SPECIFIC_ACCESS_DENIED_ERROR, ER.TABLEACCESS_DENIED_ERROR, ER.DBACCESS_DENIED_ERROR}
)
_PLUGIN = 2059  # an authentication plugin that the client does not have, or does not want
_NOT_LET_IN = frozenset({ER.HOST_NOT_PRIVILEGED, ER.HOST_IS_BLOCKED, 1251, _PLUGIN, 3118})
# Lost or refused for the moment: a later attempt may get through.
_UNAVAILABLE = frozenset(
    {
        *(CR.CR_CONNECTION_ERROR, CR.CR_CONN_HOST_ERROR, CR.CR_UNKNOWN_HOST, CR.CR_SERVER_GONE_ERROR),
        *(CR.CR_SERVER_LOST, CR.CR_SERVER_LOST_EXTENDED, ER.CON_COUNT_ERROR, ER.TOO_MANY_USER_CONNECTIONS),
        *(ER.USER_LIMIT_REACHED, ER.SERVER_SHUTDOWN, ER.NORMAL_SHUTDOWN, ER.ABORTING_CONNECTION),
        *(ER.NEW_ABORTING_CONNECTION, ER.NET_READ_ERROR, ER.NET_READ_INTERRUPTED, ER.NET_ERROR_ON_WRITE),
        *(ER.NET_WRITE_INTERRUPTED, ER.QUERY_INTERRUPTED, ER.LOCK_WAIT_TIMEOUT),
        *(1927, 3032, 3169, 4031),  # killed, offline mode, session killed, idle for too long
    }
)
_IAM_TOKEN = "X-Amz-Signature="  # an RDS token, which is given as password, is a signed address


@dataclass(frozen=True)
class MySQLEndpoint:
    """A server and a user of it.

    :param ssl_mode: as MySQL's own clients mean it. ``preferred`` with a CA is ``verify_ca``; ``verify_ca`` and
        ``verify_identity`` without ``ssl_ca`` trust the system's authorities.
    :param ssl_ca, ssl_cert, ssl_key: PEM files.
    :param read_timeout: seconds without a byte after which the connection counts as lost.
    """

    host: str
    port: int = 3306
    user: str = ""
    password: str = field(default="", repr=False)
    ssl_mode: SslMode = "preferred"
    ssl_ca: str | None = None
    ssl_cert: str | None = None
    ssl_key: str | None = None
    connect_timeout: float = 10
    read_timeout: float = 120

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Connection(pymysql.connections.Connection):
    """PyMySQL's connection; on a server without TLS it goes on in plain text only where that is allowed."""

    tls_required = False

    # What PyMySQL's stubs leave out, or leave without types.
    server_capabilities: int
    get_server_info: Callable[[], str]
    _secure: bool
    _sock: socket.socket
    _next_seq_id: int
    _force_close: Callable[[], None]
    _write_bytes: Callable[[bytes], None]
    _read_packet: Callable[..., Any]
    _execute_command: Callable[[int, bytes], None]

    def _request_authentication(self) -> None:
        if self.ssl and not self.server_capabilities & CLIENT.SSL:
            if self.tls_required:
                raise ssl.SSLError("the server offers no TLS")
            self.client_flag &= (
                ~CLIENT.SSL
            )  # PyMySQL leaves it, and the server takes that for a bad handshake
        super()._request_authentication()  # type: ignore[misc]  # not in the stubs

    def _process_auth(self, plugin_name: bytes, auth_packet: Any) -> Any:
        # PyMySQL would send the password to whoever asks, in plain text on an open line, too.
        if plugin_name == b"mysql_clear_password" and not self._secure:
            raise pymysql.err.OperationalError(
                _PLUGIN, "it asks for the bare password, as PAM, LDAP and IAM do: set ssl_mode to verify_ca"
            )
        return super()._process_auth(plugin_name, auth_packet)  # type: ignore[misc]  # not in the stubs


def connect(endpoint: MySQLEndpoint) -> Connection:
    """Opens a session, with autocommit and in UTC.

    The password goes over TLS, or encrypted with the server's RSA key where TLS is off (``caching_sha2_password``).

    :raises SourceUnavailableError: not to be reached at the moment.
    :raises PreflightError: reached, but it does not let us in; with the mend.
    :raises ConfigurationError: a certificate file that cannot be read.
    """
    connection = Connection(
        host=endpoint.host,
        port=endpoint.port,
        user=endpoint.user,
        password=endpoint.password.encode(),
        charset="utf8mb4",
        autocommit=True,
        init_command="SET time_zone = '+00:00'",
        connect_timeout=endpoint.connect_timeout,
        read_timeout=endpoint.read_timeout,
        write_timeout=endpoint.read_timeout,
        ssl_disabled=endpoint.ssl_mode == "disabled",
        ssl=_tls(endpoint),
        defer_connect=True,
    )
    connection.tls_required = (
        endpoint.ssl_mode not in ("disabled", "preferred") or endpoint.ssl_ca is not None
    )
    with explained(endpoint):
        connection.connect()
    return connection


def rows(connection: Connection, sql: str, arguments: Sequence[Any] = ()) -> list[dict[str, Any]]:
    """All rows of a query, by column name."""
    with connection.cursor(DictCursor) as cursor:
        cursor.execute(sql, tuple(arguments) or None)
        return list(cursor.fetchall())


@contextmanager
def explained(endpoint: MySQLEndpoint) -> Iterator[None]:
    """Turns PyMySQL's errors inside the block into ours."""
    try:
        yield
    except pymysql.err.MySQLError as error:
        raise explain(endpoint, error) from None


def explain(endpoint: MySQLEndpoint, error: pymysql.err.MySQLError) -> TungstenError:
    """What a refusal or a lost connection means, and the mend."""
    cause = getattr(error, "original_exception", None)
    if isinstance(cause, ssl.SSLError):
        return _tls_error(endpoint, cause)
    code, text = (*error.args, "", "")[:2]
    if code == ER.ACCESS_DENIED_ERROR:
        finding = (
            f"access denied for user {endpoint.user!r}: check user, password and the host it may come from"
        )
        if _IAM_TOKEN in endpoint.password:
            finding += (
                "; the password is an IAM token, which expires after 15 minutes: give a user with a password"
            )
    elif code in _PRIVILEGE:
        finding = f"a privilege is missing ({text}): {grant(endpoint.user)}"
    elif code == _SECURE_TRANSPORT_REQUIRED:
        finding = "the server lets nobody in without TLS: set ssl_mode to required or stricter"
    elif code in _PASSWORD_EXPIRED:
        finding = f"the password of user {endpoint.user!r} has expired: set a new one with ALTER USER"
    elif code in _NOT_LET_IN:
        finding = f"the server refuses this client ({code}: {text})"
    elif code in _UNAVAILABLE or isinstance(error, pymysql.err.InterfaceError):
        return SourceUnavailableError(
            f"MySQL at {endpoint} cannot be reached ({code}: {text}); check host, port, network and that it is up"
        )
    else:
        return TerminalError(f"MySQL at {endpoint} refused ({code}): {text}")
    return PreflightError(f"MySQL at {endpoint}", [finding])


def grant(user: str) -> str:
    """The statement that gives `user` all that extraction needs."""
    return f"GRANT REPLICATION SLAVE, REPLICATION CLIENT, SELECT ON *.* TO '{user}'@'%'"


def _tls(endpoint: MySQLEndpoint) -> ssl.SSLContext | None:
    if endpoint.ssl_mode == "disabled":
        return None
    trusting = endpoint.ssl_mode in ("preferred", "required") and not endpoint.ssl_ca
    try:
        # To read the system's authorities takes as long as to read megabytes of log.
        context = (
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            if trusting
            else ssl.create_default_context(cafile=endpoint.ssl_ca)
        )
        if endpoint.ssl_cert:
            context.load_cert_chain(endpoint.ssl_cert, endpoint.ssl_key)
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(filter(None, (endpoint.ssl_ca, endpoint.ssl_cert, endpoint.ssl_key)))
        raise ConfigurationError(
            f"cannot load the TLS files of MySQL at {endpoint} ({files}): {error}; give readable PEM files"
        ) from None
    # MySQL makes its own certificates in a form that strict checking, Python's default since 3.13, refuses.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.check_hostname = endpoint.ssl_mode == "verify_identity"
    context.verify_mode = ssl.CERT_NONE if trusting else ssl.CERT_REQUIRED
    return context


def _tls_error(endpoint: MySQLEndpoint, error: ssl.SSLError) -> TungstenError:
    if isinstance(error, ssl.SSLCertVerificationError):
        mend = "check that ssl_ca is the authority of this server's certificate"
        if endpoint.ssl_mode == "verify_identity":
            mend += " and that the certificate names the host, or use ssl_mode verify_ca"
        return PreflightError(
            f"MySQL at {endpoint}", [f"its certificate is refused ({error.verify_message}): {mend}"]
        )
    mend = "switch TLS on there, or allow plain text with ssl_mode disabled"
    return PreflightError(f"MySQL at {endpoint}", [f"TLS failed ({error.args[-1]}): {mend}"])
