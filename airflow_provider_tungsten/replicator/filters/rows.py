"""Runs a table's Python filters of rows: from row images to Python texts, through the callables, and back to row images, in
which every column is a text. What comes then (other filters, lines) takes those as it takes any."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from typing_extensions import Buffer

from airflow_provider_tungsten.replicator.binlog._spooled import SpooledBuffer
from airflow_provider_tungsten.replicator.binlog.constants import ColumnType
from airflow_provider_tungsten.replicator.binlog.definition import Column, TableDefinition
from airflow_provider_tungsten.replicator.binlog.output import Output
from airflow_provider_tungsten.replicator.binlog.refusals import WrongAnswer, described
from airflow_provider_tungsten.replicator.binlog.rows import KINDS, RowLayout, RowReader, numbered
from airflow_provider_tungsten.replicator.errors import DataError
from airflow_provider_tungsten.replicator.filters.python import Change, RowStep, Texts
from airflow_provider_tungsten.replicator.filters.values import BINARIES
from airflow_provider_tungsten.replicator.thl.runs import RowRun

_LARGE = 1024 * 1024
_MOST_BYTES = 0x7FFFFFFF  # of a run's payload
Row = Sequence[str | None]
Image = dict[int, str | None] | None  # by index among the logged columns


class RowFilters:
    """The callables of one table.

    :param output: what follows; numbers of ENUM and SET are read here already.
    """

    def __init__(self, logged: TableDefinition, output: Output, steps: Sequence[RowStep]) -> None:
        self._steps = steps
        self._count = len(logged.columns)
        self._visible = [index for index, _ in steps[0].columns]
        shown = [index in self._visible for index in range(self._count)]
        hidden = {column.name for column, keep in zip(logged.columns, shown, strict=True) if not keep}
        self._layout = RowLayout(logged) if hidden else None
        self._shown = tuple(shown)
        numbers = numbered(logged, output)
        self._reader = RowReader(logged.without(hidden), numbers=numbers)
        self._binary = [column.type in BINARIES for column in logged.columns]
        self._name = logged.name
        self.failed = 0
        """Where it raises: place of the event among the run's columns."""
        self.definition = replace(logged, columns=tuple(map(_as_text, logged.columns)))
        """Of the row images that come out."""

    def filtered(self, run: RowRun) -> RowRun:
        """
        :raises DataError: a callable failed, or gave what is no change of these columns; names it, table and seqno.
        :raises ValueRefused, CorruptLogError: the row images cannot be read.
        """
        images = SpooledBuffer()
        place = 0
        offsets, counts = array("i", [0]) * (len(run.kinds) + 1), array("i", run.counts)
        for number in run.places:
            self.failed = number
            offsets[place : number + 1] = array("i", [len(images)]) * (number + 1 - place)
            place = number + 1
            counts[number] = self._event(run, number, images)
            if len(images) > _MOST_BYTES:
                raise DataError(
                    f"{self._name}, seqno {run.seqnos[number]}: filter python made {len(images)} bytes of rows, and no more than "
                    f"{_MOST_BYTES} can be taken at once; let it shorten the values"
                )
        offsets[place:] = array("i", [len(images)]) * (len(offsets) - place)
        spooled = images if images.is_paged else None
        images.page_out()
        return replace(
            run,
            counts=memoryview(counts),
            offsets=memoryview(offsets),
            payload=memoryview(images),
            spooled=spooled,
        )

    def _event(self, run: RowRun, number: int, images: SpooledBuffer) -> int:
        """Appends the images of every row that is left, of an update both; how many rows."""
        kind, rows = KINDS[run.kinds[number]], 0
        found = run.payload if run.spooled is None else memoryview(run.spooled)
        payload: Buffer = found[run.offsets[number] : run.offsets[number + 1]]
        if self._layout is not None:
            count = run.counts[number] * (2 if kind == "update" else 1)
            payload = self._layout.drop(payload, count, self._shown)
        for before, after in self._reader.changes(payload, kind):
            changed = self._changed(kind, run.seqnos[number], run.commits[number], before, after)
            if changed is not None:
                rows += 1
                for row in changed:
                    if row is not None:
                        self._append(row, run.seqnos[number], images)
        return rows

    def _changed(
        self, kind: str, seqno: int, commit_ts: int, before: Row | None, after: Row | None
    ) -> tuple[Image, Image] | None:
        """The images; None: the row is not written."""
        images = self._by_index(before), self._by_index(after)
        for step in self._steps:
            given = _by_name(step, images[0]), _by_name(step, images[1])
            change = Change(step.schema, step.table, kind, seqno, commit_ts, *given)
            try:
                result = step.call(change)
                if result is None:
                    return None
                if not isinstance(result, Change):
                    raise WrongAnswer(f"gave {type(result).__name__}, not a Change or None")
                for image, found in zip(images, (result.before, result.after), strict=True):
                    _take(step, image, found)
            except Exception as error:
                # Its own words may hold the row.
                raise DataError(
                    f"{self._name}, seqno {seqno}: filter python failed: {described(step.path, error)}"
                ) from None
        return images

    def _by_index(self, row: Row | None) -> Image:
        return None if row is None else dict(zip(self._visible, row, strict=True))

    def _append(self, row: Mapping[int, str | None], seqno: int, images: SpooledBuffer) -> None:
        bitmap = bytearray((self._count + 7) // 8)
        fields: list[bytes | tuple[int, str]] = []
        index = 0
        try:
            for index in range(self._count):
                text = row.get(index)
                if text is None:
                    bitmap[index >> 3] |= 1 << (index & 7)
                elif len(text) > _LARGE:
                    fields.append((index, text))
                else:
                    raw = bytes.fromhex(text) if self._binary[index] else text.encode()
                    fields += [len(raw).to_bytes(4, "little"), raw]
            for field in (bitmap, *fields):
                if isinstance(field, tuple):
                    index, text = field
                    for piece in _large_field(text, self._binary[index]):
                        images.append(piece)
                else:
                    images.append(field)
        except ValueError:
            column = self.definition.columns[index].name
            what = "hexadecimal" if self._binary[index] else "text in UTF-8"
            raise DataError(
                f"{self._name}.{column}, seqno {seqno}: filter python gave for it what is no {what}"
            ) from None


def _large_field(text: str, binary: bool) -> Iterator[bytes]:
    """Its length and its bytes, those of a text in pieces."""
    if binary:
        raw = bytes.fromhex(text)
        yield from (len(raw).to_bytes(4, "little"), raw)
        return
    starts = range(0, len(text), _LARGE)
    size = sum(len(text[start : start + _LARGE].encode()) for start in starts)
    yield size.to_bytes(4, "little")
    yield from (text[start : start + _LARGE].encode() for start in starts)


def _by_name(step: RowStep, image: Image) -> Texts | None:
    return None if image is None else {name: image[index] for index, name in step.columns}


def _take(step: RowStep, image: Image, found: Texts | None) -> None:
    if (image is None) != (found is None):
        raise WrongAnswer("gave a row more or less: an image came or went")
    if image is None or found is None:
        return
    if set(found) != {name for _, name in step.columns}:
        raise WrongAnswer("gave other columns: none can come or go")
    for index, name in step.columns:
        text = image[index] = found[name]
        if text is not None and not isinstance(text, str):
            raise WrongAnswer(f"gave {type(text).__name__} for {name}, not a text or None")


def _as_text(column: Column) -> Column:
    if column.type in BINARIES:
        return Column(column.name, "longblob", ColumnType.BLOB, 4)
    return Column(column.name, "longtext", ColumnType.BLOB, 4, charset="utf8mb4")
