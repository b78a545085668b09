"""Long values are worked through in steps: how long these are makes no difference to the text, nor to what is refused."""

from __future__ import annotations

import zlib
from array import array
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_tungsten.replicator.batch.presets import PRESETS, Csv
from airflow_provider_tungsten.replicator.binlog._spooled import SpooledBuffer
from airflow_provider_tungsten.replicator.binlog.constants import ColumnType
from airflow_provider_tungsten.replicator.binlog.definition import Column
from airflow_provider_tungsten.replicator.binlog.output import DropOnValue, Output, OutputColumn, Transform
from airflow_provider_tungsten.replicator.binlog.rows import KINDS, CsvEncoder, ValueRefused, Workspace
from airflow_provider_tungsten.replicator.errors import CorruptLogError
from tests.unit.replicator.binlog.partial_rows import binary
from tests.unit.replicator.binlog.test_rows import INT, image, long, number, table

STEPS = (2, 3, 5, 64)
SALT = b"0123456789abcdef"
BLOB = Column("v", "longblob", ColumnType.BLOB, 4)
JSON = Column("v", "json", ColumnType.JSON, 4)
SPOT = Column("v", "geometry", ColumnType.GEOMETRY, 4)
PACKED = Column("v", "text", ColumnType.BLOB_COMPRESSED, 4, charset="utf8mb4")
CHARSETS = {
    "utf8mb4": "utf-8",
    "latin1": "cp1252",
    "utf16": "utf-16-be",
    "utf32": "utf-32-be",
    "sjis": "shift_jis",
    "gb18030": "gb18030",
}


def text_in(charset: str) -> Column:
    return Column("v", "longtext", ColumnType.BLOB, 4, charset=charset)


TEXTS = st.text(st.sampled_from("ab ,;'\"\\\n\r\t\0\x01é日😀\N{CYRILLIC SMALL LETTER ZHE}"), max_size=60)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**31), 2**31 - 1) | TEXTS.filter(lambda t: len(t) < 30),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(TEXTS, inside, max_size=3),
    max_leaves=12,
)


def opaque(raw: bytes) -> bytes:
    """A JSON value that is no JSON type, as base64."""
    return b"\x0f\xfc" + bytes([len(raw) & 127 | 128, len(raw) >> 7]) + raw


def packed(raw: bytes) -> bytes:
    return b"\x84" + len(raw).to_bytes(4, "big") + zlib.compress(raw)


VALUES = {
    **{
        text_in(charset): TEXTS.map(lambda found, codec=codec: found.encode(codec, "ignore"))  # type: ignore[misc]
        for charset, codec in CHARSETS.items()
    },
    BLOB: st.binary(max_size=80),
    JSON: DOCUMENTS.map(binary) | st.binary(max_size=300).map(opaque),
    SPOT: st.binary(min_size=0, max_size=40).map(lambda rest: b"\1\0\0\0\1\1\0\0\0" + rest),
    PACKED: TEXTS.map(lambda found: packed(found.encode())),
}
DIALECTS = [
    Csv(**given).dialect  # type: ignore[arg-type]
    for given in (
        *({"preset": preset} for preset in PRESETS),
        {"suppressed_characters": "\t;\0"},
        {"preset": "hive", "suppressed_characters": ";\t"},
        {"preset": "redshift", "suppressed_characters": '"'},
    )
]
TRANSFORMS: list[tuple[Transform, ...]] = [
    (),
    (),
    (),
    (Transform("sha256", unit="characters", salt=SALT),),
    (Transform("sha256", unit="hexadecimal", salt=SALT),),
    (Transform("truncate", count=7),),
    (Transform("truncate", count=7, unit="bytes"),),
    (Transform("keep_last", count=5),),
    (Transform("cast", "varchar(9)"),),
    (Transform("null"),),
]


@dataclass(frozen=True)
class Case:
    """Events of one table, and how they become lines."""

    column: Column
    values: list[list[bytes | None]]
    kinds: list[int]
    options: dict[str, Any]

    def lines(self, step: int | None, handed_over: bool) -> object:
        """All that comes out: lines and counts, or the refusal."""
        images = [
            b"".join(
                image(number(7), None if value is None else long(value))
                for value in event * (1 + (kind == 1))
            )
            for kind, event in zip(self.kinds, self.values, strict=True)
        ]
        spooled = SpooledBuffer()
        offsets = [0]
        for each in images:
            spooled.append(each)
            offsets.append(len(spooled))
        columns = (
            ("seqnos", "q", range(len(images))),
            ("commits", "q", [0] * len(images)),
            ("kinds", "B", self.kinds),
            ("counts", "i", map(len, self.values)),
            ("offsets", "i", offsets),
            ("places", "Q", range(len(images))),
        )
        run = SimpleNamespace(
            payload=memoryview(spooled),
            spooled=spooled,
            event_ids=[],
            gtids=[],
            **{name: memoryview(array(code, values)) for name, code, values in columns},
        )
        encoder = CsvEncoder(
            table(INT, self.column),
            ["seqno", "row_id", "primary_key"],
            workspace=None if step is None else Workspace(step=step),
            refuse_zero_dates=False,
            **self.options,
        )
        taken: list[bytes] = []
        try:
            encoded, _ = encoder.encode_run(
                run,
                0,
                row_id=1,
                limit=1 << 30,
                sink=(lambda csv: taken.append(bytes(csv))) if handed_over else None,
            )
        except (ValueRefused, CorruptLogError) as error:
            return type(error), str(error)
        assert bool(taken) <= handed_over
        return b"".join((*taken, bytes(encoded.csv))), *encoded[1:]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    column = draw(st.sampled_from([*VALUES]))
    value = st.none() | VALUES[column] | VALUES[column] | VALUES[column] | st.binary(max_size=9)
    values = draw(st.lists(st.lists(value, min_size=1, max_size=3), min_size=1, max_size=3))
    dialect = draw(st.sampled_from(DIALECTS))
    transforms = draw(st.sampled_from(TRANSFORMS))
    rules = draw(st.sampled_from([(), (), (DropOnValue(1, ("ab", "6162", "")),)]))
    return Case(
        column,
        values,
        [draw(st.integers(0, len(KINDS) - 1)) for _ in values],
        {
            "dialect": dialect,
            "key": draw(st.sampled_from([[0], [1], [0, 1], [1, 0]])),
            "output": Output(
                (OutputColumn(), OutputColumn(draw(st.booleans()) or bool(transforms), transforms)),
                rules=rules,
            ),
            "update_opcode": draw(st.booleans()),
            "refuse_nul": draw(st.booleans()),
            "max_text_bytes": draw(st.sampled_from([None, None, 40])),
            "max_binary_bytes": draw(st.sampled_from([None, None, 40])),
        },
    )


@settings(max_examples=600)
@given(cases())
def test_the_length_of_a_step_makes_no_difference(case: Case) -> None:
    expected = case.lines(None, False)
    for step in STEPS:
        assert case.lines(step, True) == expected, step
    assert case.lines(2, False) == expected


def test_a_long_text_is_that_of_its_steps() -> None:
    """Of the length that steps have in earnest."""
    value = ('say "é",\n\\N中😀' * 600_000).encode()[: (9 << 20) + 3]
    while True:
        try:
            value.decode()
            break
        except UnicodeDecodeError:
            value = value[:-1]
    options: dict[str, Any] = {"key": [0], "max_text_bytes": None, "refuse_nul": False}
    case = Case(text_in("utf8mb4"), [[value]], [0], options)
    found = case.lines(None, True)
    assert isinstance(found, tuple)
    assert found == case.lines(1 << 30, False)
    assert found[0].endswith('"{}"\n'.format(value.decode().replace('"', '""')).encode())


@pytest.mark.parametrize("step", [0, 1])
def test_there_are_no_steps_of_nothing(step: int) -> None:
    with pytest.raises(ValueError, match="two bytes"):
        Workspace(step=step)
