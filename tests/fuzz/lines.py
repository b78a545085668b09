"""Row images through lines of any kind: dialects, outputs and headers by the dice; what comes is read back and must be what
`RowReader` and a model of the transforms, written here, say."""

from __future__ import annotations

import contextlib
import hashlib
import random
from array import array
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from airflow_provider_tungsten.replicator.batch.presets import PRESETS, Csv
from airflow_provider_tungsten.replicator.binlog.definition import TableDefinition
from airflow_provider_tungsten.replicator.binlog.dialect import NULL_CANDIDATES, Dialect
from airflow_provider_tungsten.replicator.binlog.output import (
    DropOnValue,
    HeaderValue,
    Output,
    OutputColumn,
    Transform,
)
from airflow_provider_tungsten.replicator.binlog.rows import (
    KINDS,
    CsvEncoder,
    Encoded,
    RowLayout,
    RowReader,
    Workspace,
)
from airflow_provider_tungsten.replicator.errors import CorruptLogError, TungstenError
from tests.unit.replicator.binlog.dialect_reader import read

HEADER = ("opcode", "seqno", "row_id", "primary_key", "commit_timestamp", "service", "event_id", "gtid")
TYPES = ("smallint", "int", "bigint", "double", "boolean", "date", "datetime", "datetime(6)", "varchar(1)")
TYPES += ("varchar(60)", "decimal(38,0)", "decimal(38,37)", "decimal(4,2)")
TEXTS = ("", "null", "\\N", "a,b", '"', "\\", "\x01", "é€𝄞", " x", "\r\n", "0000-00-00", "x" * 300)
CALLS = (lambda given: given, lambda _: None, lambda given: (given or "") * 3 + "é", lambda given: given[1:])
LONGEST = 4000
ANYTHING = object()
# Those of few bytes a step read and write every value as if it were large.
_SHARED = (Workspace(), Workspace(2), Workspace(7))
_PRESETS = tuple(Csv(preset=name).dialect for name in PRESETS)  # type: ignore[arg-type]

Text = str | None


def dialect(dice: random.Random) -> Dialect:
    if dice.random() < 0.4:
        return dice.choice(_PRESETS)
    marks = ",;\t|\x01\"'\\~\n"
    while True:
        try:
            return Dialect(
                field_separator=dice.choice(marks),
                record_separator=dice.choice(("\n", "\r\n", "\x02", "|")),
                quote=dice.choice("\"'~"),
                use_quotes=dice.choice(("always", "needed", "never")),
                escape=dice.choice("\"'\\~"),
                escaped_characters="".join(dice.sample(marks + "\r", dice.choice((0, 0, 2, 6)))),
                suppressed_characters="".join(dice.sample(marks + "\r\0", dice.choice((0, 0, 1, 4)))),
                null=dice.choice((None, "", "\\N", "null", "NULL" * 400)),
            )
        except ValueError:
            continue


def _transform(dice: random.Random) -> Transform:
    kind = dice.choice(
        ("null", "constant", "keep_last", "sha256", "truncate", "zero_date_null", "number", "cast", "python")
    )
    return Transform(
        kind,
        dice.choice(TYPES if kind == "cast" else TEXTS),
        count=dice.choice((1, 2, 3, 10, 60_000)),
        unit=dice.choice(
            ("characters", "bytes", "hexadecimal") if kind == "sha256" else ("characters", "bytes")
        ),
        salt=bytes(dice.randrange(130)),
        call=dice.choice(CALLS),
    )


def output(width: int, values: Sequence[Text], dice: random.Random) -> Output:
    """:param values: some of the rows, for rules to meet."""
    columns = tuple(
        OutputColumn(
            dice.random() < 0.9,
            tuple(_transform(dice) for _ in range(dice.choice((0, 0, 0, 1, 1, 2, 4)))),
        )
        for _ in range(width)
    )
    added = (*HeaderValue, None, *TEXTS)
    known = [value for value in values if value is not None] or [""]
    return Output(
        columns if dice.random() < 0.8 else (),
        front=tuple(dice.choices(added, k=dice.choice((0, 0, 1, 9)))),
        back=tuple(dice.choices(added, k=dice.choice((0, 0, 1, 9)))),
        skip=frozenset(dice.sample(KINDS, dice.choice((0, 0, 0, 0, 1)))),
        rules=tuple(
            DropOnValue(dice.randrange(width), (dice.choice(known), dice.choice(TEXTS)))
            for _ in range(dice.choice((0, 0, 1, 3)))
        ),
    )


def _modelled(step: Transform, text: Any) -> Any:
    """What a transform makes of a text; ANYTHING where the model does not say."""
    if step.kind in ("null", "constant"):
        return step.text if step.kind == "constant" else None
    if text is ANYTHING or step.kind in ("cast", "zero_date_null"):
        return ANYTHING
    if step.kind == "number":
        return text
    if step.kind == "python":
        assert step.call
        return step.call(text)
    if text is None:
        return None
    if step.kind == "keep_last":
        return text[-step.count :]
    if step.kind == "truncate" and step.unit == "bytes":
        return text.encode()[: step.count].decode(errors="ignore")
    if step.kind == "truncate":
        return text[: step.count]
    raw = bytes.fromhex(text) if step.unit == "hexadecimal" else text.encode()
    return hashlib.sha256(step.salt + raw).hexdigest()


def check_lines(definition: TableDefinition, kind: str, payload: bytes, dice: random.Random) -> None:
    if not definition.columns:
        return
    rows = _rows(definition, kind, payload, ())
    shaped = output(len(definition.columns), [value for row in rows or () for value in row], dice)
    numbers = _numbers(definition, shaped)
    rows = _rows(definition, kind, payload, numbers) if numbers else rows
    _Lines(definition, kind, shaped, dice).check(payload, rows)


def _numbers(definition: TableDefinition, shaped: Output) -> tuple[str, ...]:
    return tuple(
        column.name
        for column, made in zip(definition.columns, shaped.columns, strict=False)
        if any(step.kind == "number" for step in made.transforms)
    )


def _rows(
    definition: TableDefinition, kind: str, payload: bytes, numbers: Sequence[str]
) -> list[tuple[Text, ...]] | None:
    try:
        found = list(RowReader(definition, numbers=numbers).images(payload))
        return None if kind == "update" and len(found) % 2 else found
    except TungstenError:
        return None


class _Lines:
    """One event's lines."""

    def __init__(self, definition: TableDefinition, kind: str, shaped: Output, dice: random.Random) -> None:
        self.kind, self.output, self.dialect = kind, shaped, dialect(dice)
        self.header = tuple(dice.sample(HEADER, dice.randrange(9)))
        names = [column.name for column in definition.columns]
        self.key = dice.sample(range(len(names)), min(len(names), dice.choice((0, 1, 1, 2, 3))))
        self.parts: list[int | str] = list(self.key)
        for text in dice.choices(TEXTS, k=dice.choice((0, 0, 0, 1, 2))):
            self.parts.insert(dice.randrange(len(self.parts) + 1), text)
        self.merges = dice.random() < 0.3
        self.distinguishes = dice.random() < 0.3
        self.null = dice.choice(NULL_CANDIDATES[:2]) if self.dialect.null is None else self.dialect.null
        self.made = shaped.columns or tuple(OutputColumn() for _ in names)
        self.arguments: dict[str, Any] = {
            "dialect": self.dialect,
            "output": shaped,
            "null": self.null,
            "service": dice.choice(TEXTS),
            "key": self.parts,
            "timestamp_digits": dice.randrange(7),
            "distinguish_updates": self.distinguishes,
            "update_opcode": self.merges,
            "max_text_bytes": dice.choice((None, 65535, 400)),
            "refuse_nul": False,
            "refuse_zero_dates": False,
            "workspace": dice.choice((None, *_SHARED)),
        }
        self.definition = definition

    def check(self, payload: bytes, rows: list[tuple[Text, ...]] | None) -> None:
        try:
            encoder = CsvEncoder(self.definition, self.header, **self.arguments)
            encoded = encoder.encode(
                payload, self.kind, seqno=1, row_id=5, commit_ts=0, event_id="a,b", gtid='"'
            )
        except TungstenError:
            return
        self._check_run(encoder, payload, encoded)
        self._check_titles(encoder)
        count = sum(encoded.opcodes.values())
        assert encoded.next_row_id == 5 + count
        if rows is None or len(encoded.csv) > LONGEST:
            encoded.csv.decode()
            return
        wanted = self._wanted(rows)
        found = read(encoded.csv.decode(), self.dialect, self.null)
        assert len(found) == count
        if len(found) != len(wanted):
            # Keys of other bytes and the same text.
            assert self.merges
            assert self.kind == "update"
            assert len(rows) // 2 <= len(found) <= len(rows)
            return
        for line, fields in zip(found, wanted, strict=True):
            assert len(line) == len(fields), f"{len(line)} fields, not {len(fields)}"
            for at, (field, want) in enumerate(zip(line, fields, strict=True)):
                assert want is ANYTHING or field == self._kept(want), f"field {at} differs"

    def _check_run(self, encoder: CsvEncoder, payload: bytes, alone: Encoded) -> None:
        """The event twice, with something between that is another table's: what it is alone."""
        count = RowLayout(self.definition).count(payload, 2 if self.kind == "update" else 1)
        kind, size = KINDS.index(self.kind), len(payload)
        run = SimpleNamespace(
            seqnos=memoryview(array("q", [1, 9, 1])),
            commits=memoryview(array("q", [0, 9, 0])),
            kinds=memoryview(array("B", [kind, 9, kind])),
            counts=memoryview(array("i", [count, 9, count])),
            offsets=memoryview(array("i", [1, 1 + size, 4 + size, 4 + 2 * size])),
            payload=memoryview(b"?" + payload + b"???" + payload),
            places=memoryview(array("Q", [0, 2])),
            event_ids=["a,b", "?", "a,b"],
            gtids=['"', "?", '"'],
            spooled=None,
        )
        first, events = encoder.encode_run(run, 0, row_id=5, limit=1)
        assert events == (1 if alone.csv else 2)
        assert first == alone if alone.csv else not first.csv
        both, events = encoder.encode_run(run, 0, row_id=5, limit=1 << 30)
        assert events == 2
        second = encoder.encode(
            payload, self.kind, seqno=1, row_id=alone.next_row_id, commit_ts=0, event_id="a,b", gtid='"'
        )
        assert both.csv == alone.csv + second.csv
        assert both.next_row_id == second.next_row_id
        run.counts = memoryview(array("i", [count, 9, count + 1]))
        with contextlib.suppress(CorruptLogError):
            encoder.encode_run(run, 1, row_id=5, limit=1)
            assert self.kind in self.output.skip, "an event's count of rows was not looked at"

    def _check_titles(self, encoder: CsvEncoder) -> None:
        names = [*self.header, *(column.name for column in self.definition.columns)]
        try:
            line = encoder.titles(names)
        except TungstenError:
            return
        assert read(line.decode(), self.dialect, self.null) == [[self._kept(name) for name in names]]

    def _kept(self, text: Text) -> Text:
        gone = str.maketrans("", "", self.dialect.suppressed_characters)
        return None if text is None else text.translate(gone)

    def _wanted(self, rows: list[tuple[Text, ...]]) -> list[list[Any]]:
        if self.kind in self.output.skip:
            return []
        if self.kind == "insert":
            images = [("I", row) for row in rows if not self._dropped(row)]
        elif self.kind == "delete":
            images = [("D", row) for row in rows]
        else:
            images = [image for at in range(0, len(rows), 2) for image in self._update(*rows[at : at + 2])]
        return [self._line(opcode, row, 5 + at) for at, (opcode, row) in enumerate(images)]

    def _dropped(self, row: tuple[Text, ...]) -> bool:
        return any(row[rule.column] in rule.texts for rule in self.output.rules)

    def _update(self, old: tuple[Text, ...], new: tuple[Text, ...]) -> list[tuple[str, tuple[Text, ...]]]:
        if self.merges and self.key and all(old[at] == new[at] for at in self.key):
            return [("U", new)]
        return [("UD", old), ("UI", new)] if self.distinguishes else [("D", old), ("I", new)]

    def _line(self, opcode: str, row: tuple[Text, ...], number: int) -> list[Any]:
        known = {
            "opcode": opcode,
            "seqno": "1",
            "row_id": str(number),
            "commit_timestamp": ANYTHING,
            "service": self.arguments["service"],
            "event_id": "a,b",
            "gtid": '"',
        }
        cells = [self._cell(at, value) for at, value in enumerate(row)]
        return [
            *(self._joined(cells) if name == "primary_key" else known[name] for name in self.header),
            *map(self._added, self.output.front),
            *(cell for cell, made in zip(cells, self.made, strict=True) if made.keep),
            *map(self._added, self.output.back),
        ]

    def _added(self, value: str | HeaderValue | None) -> Any:
        known = {HeaderValue.OPERATION: self.kind[0].upper(), HeaderValue.SEQNO: "1"}
        return known.get(value, ANYTHING) if isinstance(value, HeaderValue) else value

    def _cell(self, at: int, value: Any) -> Any:
        for step in self.made[at].transforms if self.made[at].keep else ():
            value = _modelled(step, value)
        return value

    def _joined(self, cells: list[Any]) -> Any:
        if not self.key:
            return None
        values = [cells[part] if isinstance(part, int) else part for part in self.parts]
        if len(values) < 2:
            return values[0]
        if ANYTHING in values:
            return ANYTHING
        escaped = (
            "\\N" if value is None else value.replace("\\", "\\\\").replace(",", "\\,") for value in values
        )
        return ",".join(escaped)
