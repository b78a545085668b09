"""Where one micro-batch ends and the next begins: pure rules over the log's transactions. Writing plans is the chain's."""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, field

from airflow_provider_tungsten.replicator.batch.tables import AppliedTables
from airflow_provider_tungsten.replicator.errors import GapError, TerminalError, UnsupportedError
from airflow_provider_tungsten.replicator.settings import Batches
from airflow_provider_tungsten.replicator.thl.event import ROW_KINDS, Kind, ThlEvent

# A piece with nothing to load grows no further than this, so that neither planning nor retention falls behind on a
# source of which this applier takes nothing.
MAX_SPAN = 1_000_000
# … nor longer than this, in microseconds, where the source is idle but for its heartbeat: every planning would read it all.
MAX_QUIET = 3600 * 1_000_000

_REFUSED = {
    "moves_rows": "a statement that removes or moves rows without row events",
    "rewrites": "a statement that rewrites existing values without row events",
    "dml": "a change of rows in statement format",
    "unknown": "a statement that could not be understood",
}


@dataclass(slots=True)
class Transaction:
    """One seqno as this applier sees it.

    :param effect: ``rows``, ``truncate``, ``ddl`` or ``records`` (nothing for this applier).
    :param definitions: JSON per included table with rows.
    :param alone: it must be the only one of its batch.
    :param gap: options of a gap record.
    :param refusal: what the applier cannot carry out.
    """

    seqno: int
    epoch_number: int
    event_id: str = ""
    watermark: int = 0
    effect: str = "records"
    rows: int = 0
    image_bytes: int = 0
    definitions: dict[tuple[str, str], str] = field(default_factory=dict)
    alone: bool = False
    gap: dict[str, str] | None = None
    refusal: UnsupportedError | None = None


@dataclass(slots=True)
class Piece:
    """A run of seqnos that becomes one micro-batch.

    :param since: the first watermark in it that is known; 0 until then.
    :param tail: it ends only because the log does; more log would have made it grow.
    """

    first: int
    last: int
    epoch_number: int
    event_id: str = ""
    watermark: int = 0
    since: int = 0
    effect: str = "records"
    transactions: int = 0
    rows: int = 0
    image_bytes: int = 0
    definitions: dict[tuple[str, str], str] = field(default_factory=dict)
    tail: bool = False

    def add(self, transaction: Transaction) -> None:
        self.last = transaction.seqno
        self.event_id = transaction.event_id
        self.watermark = transaction.watermark
        self.since = self.since or transaction.watermark
        if transaction.effect != "records":
            self.effect = transaction.effect
            self.transactions += 1
            self.rows += transaction.rows
            self.image_bytes += transaction.image_bytes
            self.definitions.update(transaction.definitions)


def statement_tables(event: ThlEvent) -> list[tuple[str, str]]:
    """The tables that a ddl or truncate event touches; '' stands for every table of its schema."""
    options = event.options or {}
    tables = [(schema, table) for schema, table in json.loads(options.get("tables", "[]"))]
    return tables or [(event.schema_name or options.get("schema", ""), event.table_name)]


def included_statement(event: ThlEvent, tables: AppliedTables) -> str | None:
    """What a ddl or truncate event means for this applier: ``truncate``, ``ddl``, or None for nothing.

    :raises UnsupportedError: it touches an included table in a way that is not carried out.
    """
    effect = "truncate" if event.kind == Kind.TRUNCATE else (event.options or {}).get("effect", "unknown")
    touched = [name for name in statement_tables(event) if tables.touches(*name)]
    if effect == "none" or not touched:
        return None
    if effect == "truncate":
        return "truncate"
    if effect in ("create", "schema"):
        return "ddl"
    schema, table = touched[0]
    raise UnsupportedError(
        f"seqno {event.seqno} ({event.event_id}): {_REFUSED.get(effect, _REFUSED['unknown'])} touches {schema}.{table} and is "
        f"not carried out at the target: exclude {schema}.{table or '*'} in the applier's rules, which works at once (the live "
        "table stays as it is), and load the table anew where it must go on being replicated"
    )


def transactions(
    events: Iterable[ThlEvent], tables: AppliedTables, skipped: Container[int] = ()
) -> Iterator[Transaction]:
    """The log's events, seqno by seqno. ``events`` may come without payloads.

    :param skipped: seqnos that hold nothing for this applier, whatever is in them.
    """
    current: Transaction | None = None
    for event in events:
        if current is None:
            current = Transaction(event.seqno, event.epoch_number)
        try:
            if event.seqno not in skipped:
                _take(current, event, tables)
        except UnsupportedError as error:
            current.refusal = current.refusal or error
        if event.last_frag:
            current.event_id = event.event_id
            current.watermark = event.watermark
            yield current
            current = None


def _take(transaction: Transaction, event: ThlEvent, tables: AppliedTables) -> None:
    if event.kind in ROW_KINDS:
        name = (event.schema_name, event.table_name)
        if tables.includes(*name):
            _take_rows(transaction, event, name, tables)
    elif event.kind in (Kind.DDL, Kind.TRUNCATE):
        effect = included_statement(event, tables)
        if effect is not None:
            if transaction.effect != "records":
                raise _mixed(event, transaction)
            transaction.alone = True
            transaction.effect = effect
    elif event.kind == Kind.GAP:
        transaction.gap = event.options or {}


def _take_rows(
    transaction: Transaction, event: ThlEvent, name: tuple[str, str], tables: AppliedTables
) -> None:
    definition = event.definition or ""
    if transaction.definitions.setdefault(name, definition) != definition or transaction.effect == "truncate":
        raise _mixed(event, transaction)
    try:
        tables.applied(definition)
    except UnsupportedError as error:
        raise UnsupportedError(f"seqno {event.seqno}: {error}") from error
    transaction.effect = "rows"
    transaction.rows += event.rows
    transaction.image_bytes += event.payload_bytes


def _mixed(event: ThlEvent, transaction: Transaction) -> UnsupportedError:
    """MySQL commits before such a statement (only CREATE TABLE … SELECT holds rows, behind it), so none is expected."""
    return UnsupportedError(
        f"seqno {transaction.seqno}: {event.schema_name}.{event.table_name} is changed or emptied by a statement in the middle of "
        "a transaction; exclude the table in the applier's rules, which works at once, and load it anew"
    )


def _gap_error(transaction: Transaction) -> GapError:
    missing = ", ".join(f"{name}={value}" for name, value in sorted((transaction.gap or {}).items()))
    return GapError(
        f"seqno {transaction.seqno} is a gap record: the log lacks the transactions before it ({missing or 'no details'}). Bring "
        "the target's tables to the state from which the log goes on, then trigger the DAG with its parameter `acknowledge_gap` set to "
        f"{transaction.seqno}. Nothing behind it is applied before that"
    )


def _must_part(piece: Piece, transaction: Transaction, limits: Batches) -> bool:
    if transaction.alone or transaction.gap is not None or transaction.epoch_number != piece.epoch_number:
        return True
    if transaction.effect == "records" or not piece.transactions:
        return False
    return (
        piece.rows + transaction.rows > limits.max_rows
        or piece.image_bytes + transaction.image_bytes > limits.max_bytes
        or any(piece.definitions.get(name, text) != text for name, text in transaction.definitions.items())
    )


def _is_full(piece: Piece, limits: Batches) -> bool:
    return (
        piece.transactions >= limits.max_transactions
        or piece.rows >= limits.max_rows
        or piece.image_bytes >= limits.max_bytes
        or piece.last - piece.first + 1 >= MAX_SPAN
        or (piece.effect == "records" and piece.watermark - piece.since >= MAX_QUIET)
    )


def pieces(
    source: Iterable[Transaction], limits: Batches, gap_acknowledged: Callable[[int], bool]
) -> Iterator[Piece]:
    """Cuts the log, behind the chain's end, into micro-batches; the last one is marked as tail unless it is full.

    Where a cut lies depends on the log from the piece's first seqno on and on nothing else.

    :raises GapError: behind the pieces before an unacknowledged gap.
    :raises UnsupportedError: behind the pieces before a transaction that the applier refuses.
    """
    piece: Piece | None = None
    for transaction in source:
        error: TerminalError | None = transaction.refusal
        if transaction.gap is not None and not gap_acknowledged(transaction.seqno):
            error = _gap_error(transaction)
        if error is not None:
            yield from _closed(piece)
            raise error
        if piece is not None and _must_part(piece, transaction, limits):
            yield piece
            piece = None
        if piece is None:
            piece = Piece(transaction.seqno, transaction.seqno, transaction.epoch_number)
        piece.add(transaction)
        if transaction.alone or _is_full(piece, limits):
            yield piece
            piece = None
    if piece is not None:
        piece.tail = True
        yield piece


def _closed(piece: Piece | None) -> Iterator[Piece]:
    """What waits before an obstacle: cut, so that it is not held up; with nothing to load it may as well wait."""
    if piece is not None:
        piece.tail = piece.effect == "records"
        yield piece
