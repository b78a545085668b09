"""Keeps what XA transactions have prepared until they are committed or rolled back, however late and by whichever task.

A transaction whose end comes before the log's next segment is published never leaves this process. Where the log moves
past a PREPARE, its rows lie in ``<service>/xa/``, and :class:`~.thl.event.Resume` names the object.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from itertools import count
from typing import IO, Any, NamedTuple, Protocol

import structlog

from airflow_provider_tungsten.replicator.errors import CorruptLogError, UnsupportedError
from airflow_provider_tungsten.replicator.spool import Fragment, TableKey
from airflow_provider_tungsten.replicator.storage import ObjectMissingError, Storage
from airflow_provider_tungsten.replicator.thl.event import Kind

log = structlog.get_logger(__name__)

FORMAT = 1
BEFORE_THE_LOG = (
    ""  # in place of an object's name: prepared before the log began, so that its rows are not there
)
_BEHIND_XA = (
    "start behind this place with the DAG's parameter `reposition`, and load the tables that it changed again"
)
_PENDING = 200
_SEQNO_DIGITS = 19
_LONGEST_HEAD = 1 << 26


class Fragments(Protocol):
    """A transaction's fragments, in order; a :class:`~.spool.Spool` is one."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Fragment]: ...

    @property
    def on_disk(self) -> bool: ...


class Prepared(NamedTuple):
    """A transaction that was prepared: what it will leave in the log when it is committed.

    :param event_id, gtid: of the PREPARE.
    """

    event_id: str
    gtid: str
    rows: int
    fragments: Fragments


class XaStore:
    """The transactions of one log that are prepared and undecided.

    :param storage: the folder of the objects; ``<service>/xa`` below the THL's store.
    :param held: of the log's newest segment: XID → object.
    :param token: of :func:`~.storage.new_token`: signs the objects, and keeps their names apart from another attempt's.
    :param memory: bytes of rows to keep in memory, all undecided transactions together.
    """

    def __init__(self, storage: Storage, held: Mapping[str, str], *, token: str, memory: int) -> None:
        self._storage = storage
        self._names = dict(held)
        self._token = token
        self._suffix = hashlib.sha256(token.encode()).hexdigest()[:12]
        self._memory = memory
        self._pending: dict[str, Prepared] = {}
        self._pending_bytes = 0
        self._numbers = count()

    @property
    def names(self) -> dict[str, str]:
        """XID → object, as a segment's footer keeps it. The objects are there after :meth:`store`."""
        return dict(self._names)

    def hold(self, xid: str, seqno: int, prepared: Prepared) -> None:
        """Keeps a transaction until it is decided.

        :param seqno: the next one of the log, which no object's name of an earlier segment has.
        """
        if xid in self._names:
            self._forget(xid)
        digest = hashlib.sha256(xid.encode()).hexdigest()[:16]
        self._names[xid] = f"{seqno:0{_SEQNO_DIGITS}d}-{digest}-{self._suffix}-{next(self._numbers)}"
        self._pending[xid] = prepared
        self._pending_bytes += _memory_of(prepared)
        if self._pending_bytes > self._memory or len(self._pending) > _PENDING:
            self.store()

    def discard(self, xid: str) -> None:
        """The transaction was rolled back; fine for one that is not known."""
        if xid in self._names:
            self._forget(xid)

    def take(self, xid: str, place: str) -> Prepared:
        """What an XA COMMIT enters into the log.

        :param place: of the XA COMMIT.
        :raises UnsupportedError: its PREPARE was not read.
        :raises CorruptLogError: what is kept is not whole.
        """
        name = self._names.get(xid)
        if name is None:
            raise UnsupportedError(
                f"{place}: XA COMMIT of {xid}, whose PREPARE was not read: it stands before the place where this log "
                f"began or was repositioned. Its rows are not there; {_BEHIND_XA}"
            )
        if name == BEFORE_THE_LOG:
            raise UnsupportedError(
                f"{place}: XA COMMIT of {xid}, which had been prepared before this log began, as its first record "
                f"says: its rows stand in the binlog before that. {_BEHIND_XA}"
            )
        prepared = self._pending.get(xid) or self._read(xid, name)
        self._forget(xid)
        return prepared

    def store(self) -> None:
        """Writes what is in memory only, so that the log may move past it."""
        for xid, prepared in self._pending.items():
            with tempfile.TemporaryFile(prefix="tungsten-xa-") as file:
                _write(file, xid, prepared)
                self._storage.create(self._names[xid], file, token=self._token)
            log.info("xa transaction kept", xid=xid, event_id=prepared.event_id, rows=prepared.rows)
        self._pending.clear()
        self._pending_bytes = 0

    def clean(self, last: int, held: Collection[str]) -> None:
        """Removes objects that the log no longer needs: decided ones, and those of attempts that came to nothing.

        :param last: the log's newest seqno; objects that were written for a later segment are left alone.
        :param held: names of the objects that its newest segment needs.
        """
        for key in [item.key for item in self._storage.list()]:
            seqno = key.partition("-")[0]
            if key not in held and seqno.isdigit() and int(seqno) <= last:
                self._storage.delete(key)

    def _forget(self, xid: str) -> None:
        del self._names[xid]
        pending = self._pending.pop(xid, None)
        if pending is not None:
            self._pending_bytes -= _memory_of(pending)

    def _read(self, xid: str, name: str) -> Prepared:
        place = f"{self._storage.url}/{name}"
        file = tempfile.TemporaryFile(prefix="tungsten-xa-")
        try:
            with self._storage.open(name) as stored:
                shutil.copyfileobj(stored, file, 1 << 20)
        except ObjectMissingError as error:
            raise CorruptLogError(
                f"{place} is missing: it holds the rows of the XA transaction {xid}; restore it from a copy, or start "
                "behind its XA COMMIT with the DAG's parameter `reposition` and load its tables again"
            ) from error
        head = _read_head(file, place, xid)
        fragments = _Stored(file, place, head["fragments"])
        deque(fragments, maxlen=0)  # whether it is whole, before it counts as read
        return Prepared(head["event_id"], head["gtid"], head["rows"], fragments)


def _memory_of(prepared: Prepared) -> int:
    if prepared.fragments.on_disk:
        return 0
    return sum(len(fragment.payload) + 256 for fragment in prepared.fragments)


# An object: a head in JSON, its length in front; then every fragment the same way, its payload behind. A table is given
# by its number where it has come before.


def _write(file: IO[bytes], xid: str, prepared: Prepared) -> None:
    fragments = prepared.fragments
    _write_head(
        file,
        {
            "format": FORMAT,
            "xid": xid,
            "event_id": prepared.event_id,
            "gtid": prepared.gtid,
            "rows": prepared.rows,
            "fragments": len(fragments),
        },
    )
    tables: dict[TableKey, int] = {}
    for kind, table, rows, payload, options, whole in fragments:
        known = tables.get(table)
        if known is None:
            tables[table] = len(tables)
        head: dict[str, Any] = {
            "kind": kind,
            "table": known if known is not None else table,
            "rows": rows,
            "size": len(payload),
        }
        head |= {"options": options} if options else {}
        _write_head(file, head | ({"whole": whole} if whole else {}))
        file.write(payload)


def _write_head(file: IO[bytes], head: dict[str, Any]) -> None:
    text = json.dumps(head).encode()
    file.write(len(text).to_bytes(4, "little"))
    file.write(text)


def _read_head(file: IO[bytes], place: str, xid: str) -> dict[str, Any]:
    file.seek(0)
    head = _next_head(file, place)
    if head.get("format") != FORMAT or head.get("xid") != xid:
        raise CorruptLogError(f"{place} holds no rows of {xid} in format {FORMAT}: restore it from a copy")
    return head


def _next_head(file: IO[bytes], place: str) -> dict[str, Any]:
    length = int.from_bytes(_exactly(file, 4, place), "little")
    if length > _LONGEST_HEAD:
        raise CorruptLogError(f"{place} is damaged: restore it from a copy")
    try:
        head: dict[str, Any] = json.loads(_exactly(file, length, place))
    except ValueError:
        raise CorruptLogError(f"{place} is damaged: restore it from a copy") from None
    return head


def _exactly(file: IO[bytes], size: int, place: str) -> bytes:
    content = file.read(size)
    if len(content) != size:
        raise CorruptLogError(f"{place} is cut short: restore it from a copy")
    return content


class _Stored:
    """Fragments out of an object's copy, from behind its head."""

    on_disk = True

    def __init__(self, file: IO[bytes], place: str, count: int) -> None:
        self._file = file
        self._place = place
        self._count = count
        self._begin = file.tell()

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Fragment]:
        self._file.seek(self._begin)
        tables: list[TableKey] = []
        for _ in range(self._count):
            head = _next_head(self._file, self._place)
            if not isinstance(head["table"], int):
                tables.append(TableKey(*head["table"]))
            table = tables[head["table"]] if isinstance(head["table"], int) else tables[-1]
            payload = _exactly(self._file, head["size"], self._place)
            yield Fragment(
                Kind(head["kind"]), table, head["rows"], payload, head.get("options"), head.get("whole", 0)
            )
