"""Runs a table's Python filters of rows: from row images to Python texts, through the callables, and back to row images, in
which every column is a text. What comes then (other filters, lines) takes those as it takes any."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from airflow_provider_tungsten.replicator.binlog.constants import ColumnType
from airflow_provider_tungsten.replicator.binlog.definition import Column, TableDefinition
from airflow_provider_tungsten.replicator.binlog.output import Output
from airflow_provider_tungsten.replicator.binlog.refusals import WrongAnswer, described
from airflow_provider_tungsten.replicator.binlog.rows import KINDS, RowLayout, RowReader, numbered
from airflow_provider_tungsten.replicator.errors import DataError
from airflow_provider_tungsten.replicator.filters.python import Change, RowStep, Texts
from airflow_provider_tungsten.replicator.filters.values import BINARIES
from airflow_provider_tungsten.replicator.thl.runs import RowRun

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
        images: list[bytes] = []
        size = place = 0
        offsets, counts = array("i", [0]) * (len(run.kinds) + 1), array("i", run.counts)
        for number in run.places:
            self.failed = number
            changed = list(self._event(run, number))
            counts[number] = len(changed)
            images += changed
            offsets[place : number + 1] = array("i", [size]) * (number + 1 - place)
            size += sum(map(len, changed))
            place = number + 1
        offsets[place:] = array("i", [size]) * (len(offsets) - place)
        payload = memoryview(b"".join(images))
        return replace(run, counts=memoryview(counts), offsets=memoryview(offsets), payload=payload)

    def _event(self, run: RowRun, number: int) -> Iterator[bytes]:
        """Of every row that is left its image, of an update both."""
        kind = KINDS[run.kinds[number]]
        payload = run.payload[run.offsets[number] : run.offsets[number + 1]]
        if self._layout is not None:
            rows = run.counts[number] * (2 if kind == "update" else 1)
            payload = memoryview(self._layout.drop(payload, rows, self._shown))
        texts = self._reader.rows(payload, kind)
        nothing: list[Row | None] = [None] * len(texts)
        pairs = {
            "insert": zip(nothing, texts, strict=True),
            "delete": zip(texts, nothing, strict=True),
            "update": zip(texts[::2], texts[1::2], strict=True),
        }[kind]
        for before, after in pairs:
            images = self._changed(kind, run.seqnos[number], run.commits[number], before, after)
            if images is not None:
                yield b"".join(self._image(row) for row in images if row is not None)

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

    def _image(self, row: Mapping[int, str | None]) -> bytes:
        bitmap = bytearray((self._count + 7) // 8)
        fields = []
        for index in range(self._count):
            text = row.get(index)
            if text is None:
                bitmap[index >> 3] |= 1 << (index & 7)
                continue
            raw = bytes.fromhex(text) if self._binary[index] else text.encode()
            fields += [len(raw).to_bytes(4, "little"), raw]
        return b"".join((bitmap, *fields))


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
