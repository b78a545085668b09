"""Where one micro-batch ends and the next begins: pure rules over the log's transactions. Writing plans is the chain's."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from airflow_provider_tungsten.replicator.batch.spans import Mark, Span
from airflow_provider_tungsten.replicator.errors import GapError, TerminalError
from airflow_provider_tungsten.replicator.settings import Batches

# A piece with nothing to load grows no further than this, so that neither planning nor retention falls behind on a
# source of which this applier takes nothing.
MAX_SPAN = 1_000_000
# … nor longer than this, in microseconds, where the source is idle but for its heartbeat: every planning would read it all.
MAX_QUIET = 3600 * 1_000_000


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
    tail: bool = False

    def take(self, span: Span, begin: int, end: int) -> None:
        """What lies between two places."""
        if begin == end:
            return
        self.last = span.first + end - 1
        self.event_id = span.event_ids[end - 1].as_py()
        self.watermark = span.watermarks[end - 1]
        self.transactions += span.transactions[end] - span.transactions[begin]
        self.rows += span.rows[end] - span.rows[begin]
        self.image_bytes += span.image_bytes[end] - span.image_bytes[begin]
        if self.transactions:
            self.effect = "rows"


def _gap_error(seqno: int, options: dict[str, str]) -> GapError:
    missing = ", ".join(f"{name}={value}" for name, value in sorted(options.items()))
    return GapError(
        f"seqno {seqno} is a gap record: the log lacks the transactions before it ({missing or 'no details'}). Bring "
        "the target's tables to the state from which the log goes on, then trigger the DAG with its parameter `acknowledge_gap` set to "
        f"{seqno}. Nothing behind it is applied before that"
    )


def _obstacle(
    seqno: int, mark: Mark, *, rows: bool, gap_acknowledged: Callable[[int], bool]
) -> TerminalError | None:
    if mark.gap is not None and not gap_acknowledged(seqno):
        return _gap_error(seqno, mark.gap)
    return mark.refusal or (mark.with_rows if rows else None)


def _end(piece: Piece, span: Span, place: int, stop: int, limits: Batches) -> int:
    """The place in front of which a piece that goes on at ``place`` is full; ``stop + 1``: it takes all up to ``stop``."""
    transactions = span.transactions
    before = transactions[place] - piece.transactions
    full = min(
        stop + 1,
        piece.first + MAX_SPAN - span.first,
        bisect_left(transactions, before + limits.max_transactions, place + 1, stop + 1),
    )
    for sums, taken, most in (
        (span.rows, piece.rows, limits.max_rows),
        (span.image_bytes, piece.image_bytes, limits.max_bytes),
    ):
        limit = sums[place] - taken + most
        end = bisect_left(sums, limit, place + 1, stop + 1)
        # What is beyond the limit is left to the next one, unless it is all there is.
        full = min(full, end - (end <= stop and sums[end] > limit and transactions[end - 1] > before))
    quiet = bisect_left(span.watermarks, piece.since + MAX_QUIET, place, stop) + 1
    return quiet if quiet < full and transactions[quiet] == before else full


def pieces(
    source: Iterable[Span], limits: Batches, gap_acknowledged: Callable[[int], bool]
) -> Iterator[Piece]:
    """Cuts the log, behind the chain's end, into micro-batches; the last one is marked as tail unless it is full.

    Where a cut lies depends on the log from the piece's first seqno on and on nothing else.

    :raises GapError: behind the pieces before an unacknowledged gap.
    :raises UnsupportedError: behind the pieces before a transaction that the applier refuses.
    """
    piece: Piece | None = None
    for span in source:
        for place, stop, mark in span.stretches():
            rows = span.transactions[place + 1] > span.transactions[place]
            if error := _obstacle(span.first + place, mark, rows=rows, gap_acknowledged=gap_acknowledged):
                yield from _closed(piece)
                raise error
            if piece is not None and piece.first <= mark.parts:
                yield piece
                piece = None
            while place < stop:
                piece = piece or Piece(span.first + place, span.first + place, span.epochs[place])
                piece.since = piece.since or span.known_watermark(place)
                end = _end(piece, span, place, stop, limits)
                piece.take(span, place, min(end, stop))
                if mark.statement and not piece.transactions:
                    piece.effect, piece.transactions = mark.statement, 1
                if end <= stop or mark.statement:
                    yield piece
                    piece = None
                place = min(end, stop)
    if piece is not None:
        piece.tail = True
        yield piece


def _closed(piece: Piece | None) -> Iterator[Piece]:
    """What waits before an obstacle: cut, so that it is not held up; with nothing to load it may as well wait."""
    if piece is not None:
        piece.tail = piece.effect == "records"
        yield piece
