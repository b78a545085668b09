"""One client's session: its messages, in order, onto one backend connection. COPY and TRUNCATE are run here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from redshift_gateway import wire
from redshift_gateway.backend import Backend, BackendError
from redshift_gateway.client import Client
from redshift_gateway.copy_load import Load
from redshift_gateway.copy_statement import CopyStatement
from redshift_gateway.ddl import ALTER_COLUMN
from redshift_gateway.errors import SqlError
from redshift_gateway.objects import Objects
from redshift_gateway.replies import Replies, Request, RowShape, redshift_error
from redshift_gateway.rewrite import Forward, Plan, Resize, Special, Truncate, plan
from redshift_gateway.tokens import literal

_ABORT = "DO $$ BEGIN RAISE EXCEPTION 'a statement was refused by the gateway'; END $$"
_NO_PARAMETERS = wire.message(b"t", b"\0\0")
_NO_DATA = wire.message(b"n")


@dataclass
class _Prepared:
    plan: Plan | None
    shape: RowShape = field(default_factory=RowShape)


class Session:
    """Serves ``client`` until it leaves.

    ``connect`` opens a further backend connection; ``need_domains`` makes the VARBYTE domains a statement uses.
    """

    def __init__(
        self,
        client: Client,
        backend: Backend,
        objects: Objects,
        connect: Callable[[], Backend],
        need_domains: Callable[[Iterable[int]], None],
        hex_twice: bool,
    ) -> None:
        self._client = client
        self._backend = backend
        self._objects = objects
        self._connect = connect
        self._need_domains = need_domains
        self._replies = Replies(backend, client, hex_twice)
        self._statements: dict[str, _Prepared] = {}
        self._portals: dict[str, tuple[_Prepared, tuple[int, ...]]] = {}
        self._to_backend = bytearray()
        self._skipping = False

    def run(self) -> None:
        """Handle messages until Terminate. Raises ClientGone or BackendLost when a side disappears."""
        while True:
            while not self._client.wait(self._backend):
                self._replies.unasked()
            kind, body = self._client.read()
            if kind == b"X":
                return
            self._handle(kind, body)

    def _handle(self, kind: bytes, body: bytes) -> None:
        if kind == b"Q":
            self._simple(wire.read_cstring(body)[0])
        elif kind == b"S":
            self._sync()
        elif kind == b"H":
            # redshift_connector flushes after every message; only one that the client waits on needs an answer now.
            if not self._client.has_more():
                self._settle()
                self._replies.flush()
        elif not self._skipping:
            handlers = {
                b"P": self._parse,
                b"B": self._bind,
                b"D": self._describe,
                b"E": self._execute,
                b"C": self._close,
            }
            if kind in handlers:
                handlers[kind](body)

    # simple protocol

    def _simple(self, sql: str) -> None:
        try:
            plans = plan(sql)
            if all(isinstance(one, Forward) for one in plans):
                plans = [_together(plans, sql)]
            for one in plans:
                if not self._simple_one(one):
                    break
        except SqlError as error:
            self._fail(error)
        self._replies.ready()

    def _simple_one(self, one: Plan) -> bool:
        if not isinstance(one, Forward):
            return self._special(one)
        self._check(one)
        self._backend.send(wire.query(one.sql))
        return self._replies.until_ready(pass_ready=False)

    def _check(self, one: Forward) -> None:
        if one.alone is not None and self._backend.status == b"T":
            raise SqlError("25001", f"{one.alone} cannot run inside a transaction block")
        self._need_domains(one.domains)

    # what the gateway runs itself

    def _special(self, one: Special) -> bool:
        try:
            if isinstance(one, CopyStatement):
                rows = Load(one, self._backend, self._objects, self._connect).run()
                text = f"Load into table '{one.table_name}' completed, {rows} record(s) loaded successfully."
                self._replies.add(wire.notice(text) + wire.command_complete("COPY"))
            elif isinstance(one, Truncate):
                self._truncate(one)
            else:
                self._resize(one)
        except SqlError as error:
            self._fail(error)
            return False
        except BackendError as error:
            self._replies.add(wire.error_from(redshift_error(error.fields)))
            return False
        return True

    def _truncate(self, one: Truncate) -> None:
        """TRUNCATE commits everything before it and itself (Database Developer Guide, TRUNCATE)."""
        self._backend.query(f"TRUNCATE {one.table}")
        if self._backend.status == b"T":
            self._backend.query("COMMIT")
        self._replies.add(wire.command_complete("TRUNCATE TABLE"))

    def _resize(self, one: Resize) -> None:
        """Redshift resizes VARCHAR columns only, and only to another size (Database Developer Guide, ALTER TABLE)."""
        if self._backend.status == b"T":
            raise SqlError("25001", f"{ALTER_COLUMN} cannot run inside a transaction block")
        found = self._backend.query(
            "SELECT base_type, max_length FROM redshift_gateway.column_types"
            f" WHERE table_id = {literal(one.table)}::regclass AND column_name = {literal(one.column)}"
        )
        if found and found[0][0] != "varchar":
            raise SqlError(
                "0A000", f'cannot alter type of column "{one.column}": only VARCHAR can be resized'
            )
        if found and found[0][1] == str(one.length):
            raise SqlError(
                "0A000", f'cannot alter column "{one.column}": target column size should be different'
            )
        self._backend.query(one.sql)
        self._replies.add(wire.command_complete("ALTER TABLE"))

    def _fail(self, error: SqlError) -> None:
        """Tell the client, and put an open transaction into the failed state as a real error would."""
        if self._backend.status == b"T":
            try:
                self._backend.query(_ABORT)
            except BackendError:
                pass
        self._replies.add(wire.error(error.code, error.message, error.detail))

    # extended protocol

    def _forward(self, kind: bytes, body: bytes, request: Request) -> None:
        self._to_backend += wire.message(kind, body)
        self._replies.expect(request)

    def _settle(self) -> bool:
        """Get the answers to what was sent so far of an extended batch; False if it failed."""
        if self._to_backend or self._replies.outstanding:
            self._backend.send(self._to_backend + wire.message(b"H"))
            self._to_backend.clear()
            if not self._replies.settle():
                self._skipping = True
                self._replies.flush()
        return not self._skipping

    def _sync(self) -> None:
        self._backend.send(self._to_backend + wire.message(b"S"))
        self._to_backend.clear()
        self._replies.until_ready()
        self._skipping = False

    def _refuse(self, error: SqlError) -> None:
        if self._settle():
            self._fail(error)
            self._skipping = True

    def _parse(self, body: bytes) -> None:
        name, offset = wire.read_cstring(body)
        sql, offset = wire.read_cstring(body, offset)
        try:
            plans = plan(sql)
            if len(plans) > 1:
                raise SqlError("42601", "cannot insert multiple commands into a prepared statement")
            one = plans[0] if plans else None
            if isinstance(one, Forward):
                self._check(one)
        except SqlError as error:
            self._refuse(error)
            return
        self._statements[name] = prepared = _Prepared(one)
        if one is None or isinstance(one, Forward):
            text = sql if one is None else one.sql
            self._to_backend += wire.parse(name, text, body[offset:])
            self._replies.expect(Request(b"P", prepared.shape))
        elif self._settle():
            self._replies.add(wire.message(b"1"))

    def _bind(self, body: bytes) -> None:
        portal, offset = wire.read_cstring(body)
        name, offset = wire.read_cstring(body, offset)
        prepared = self._statements.get(name, _Prepared(None))
        if isinstance(prepared.plan, Forward) and prepared.plan.alone and self._backend.status == b"T":
            self._refuse(SqlError("25001", f"{prepared.plan.alone} cannot run inside a transaction block"))
            return
        self._portals[portal] = prepared, _result_formats(body, offset)
        if not _is_special(prepared):
            self._forward(b"B", body, Request(b"B", prepared.shape))
        elif self._settle():
            self._replies.add(wire.message(b"2"))

    def _describe(self, body: bytes) -> None:
        name = wire.read_cstring(body, 1)[0]
        of_statement = body[:1] == b"S"
        prepared = self._statements.get(name) if of_statement else self._portals.get(name, (None, ()))[0]
        if prepared is None or not _is_special(prepared):
            shape = prepared.shape if prepared is not None else RowShape()
            self._forward(b"D", body, Request(b"D", shape))
        elif self._settle():
            self._replies.add(_NO_PARAMETERS + _NO_DATA if of_statement else _NO_DATA)

    def _execute(self, body: bytes) -> None:
        prepared, formats = self._portals.get(wire.read_cstring(body)[0], (_Prepared(None), ()))
        if not _is_special(prepared):
            self._forward(b"E", body, Request(b"E", prepared.shape, formats))
        elif self._settle():
            assert isinstance(prepared.plan, Special)
            self._skipping = not self._special(prepared.plan)

    def _close(self, body: bytes) -> None:
        name = wire.read_cstring(body, 1)[0]
        if body[:1] == b"S":
            self._statements.pop(name, None)
        else:
            self._portals.pop(name, None)
        # PostgreSQL answers CloseComplete also for a name it never knew, as those of COPY are.
        self._forward(b"C", body, Request(b"C", RowShape()))


def _is_special(prepared: _Prepared) -> bool:
    return prepared.plan is not None and not isinstance(prepared.plan, Forward)


def _together(plans: list[Plan], sql: str) -> Forward:
    """Several plain statements as one text, so that PostgreSQL runs them as one implicit transaction."""
    forwards = [one for one in plans if isinstance(one, Forward)]
    if not forwards:
        return Forward(sql)
    domains = frozenset(length for one in forwards for length in one.domains)
    alone = next((one.alone for one in forwards if one.alone), None)
    return Forward("; ".join(one.sql for one in forwards), domains, alone)


def _result_formats(body: bytes, offset: int) -> tuple[int, ...]:
    """The result format codes at the end of a Bind message; ``offset`` is behind the two names."""
    offset += 2 + 2 * int.from_bytes(body[offset : offset + 2])
    parameters = int.from_bytes(body[offset : offset + 2])
    offset += 2
    for _ in range(parameters):
        offset += 4 + max(0, int.from_bytes(body[offset : offset + 4], signed=True))
    count = int.from_bytes(body[offset : offset + 2])
    start = offset + 2
    return tuple(int.from_bytes(body[at : at + 2]) for at in range(start, start + 2 * count, 2))
