"""Events that are too large to be held: what the commands make of them in pieces is what they would make at once, and takes
little memory."""

from __future__ import annotations

import json
import os
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from airflow_provider_tungsten.replicator.binlog.constants import ColumnType
from airflow_provider_tungsten.replicator.binlog.definition import Column, TableDefinition
from airflow_provider_tungsten.replicator.cli import files, listing
from airflow_provider_tungsten.replicator.cli.main import app
from airflow_provider_tungsten.replicator.cli.output import NEEDS_A_PERSON
from airflow_provider_tungsten.replicator.spool import Fragment, TableKey
from airflow_provider_tungsten.replicator.storage import new_token
from airflow_provider_tungsten.replicator.thl.event import Kind, Resume
from airflow_provider_tungsten.replicator.thl.pieces import in_pieces
from tests.unit.replicator.batch.logs import Logbook, events
from tests.unit.replicator.binlog.test_large_values import BLOB, LATIN, TEXT, document
from tests.unit.replicator.binlog.test_rows import INT, JSON, SPOT, image, long, number, table
from tests.unit.replicator.cli.commands import Shop
from tests.unit.replicator.test_memory import MIB, measured

PACKED = Column("p", "longtext", ColumnType.BLOB_COMPRESSED, 4, charset="utf8mb4")
FIXED = Column("n", "int", ColumnType.LONG)
ALL = table(INT, TEXT, BLOB, LATIN, JSON, SPOT, FIXED, PACKED)
PLAIN = table(INT, BLOB, TEXT)
MUCH = MIB + 300_000
MOST = 140 * MIB  # a hundred of it for what reads the log; with one of the values it would be more
FORMS = ((), ("--json",), ("--sql",))
TARGETS = ("all.jsonl", "all.arrow", "things.jsonl", "things.arrow")


def geometry(points: int, srid: int = 4326) -> bytes:
    head = struct.pack("<IBII", srid, 1, 4, points)  # MULTIPOINT
    return head + struct.pack("<BIdd", 1, 1, 1.5, -2) * points


def packed(raw: bytes, *, deflated: bool) -> bytes:
    return b"\x84" + len(raw).to_bytes(4, "big") + zlib.compress(raw) if deflated else b"\0" + raw


def row(key: int, seed: int, *sizes: int) -> bytes:
    """Values of about so many bytes."""
    text, blob, latin, points = (
        "x" * seed + 'say "é",\t\n\\N中😀\x1a\'',
        bytes(range(256)),
        bytes(range(1, 128)),
        21,
    )
    return image(
        number(key),
        long(text.encode() * (sizes[0] // 26 + 1)),
        long(blob * (sizes[1] // 256 + 1)),
        long(latin * (sizes[2] // 127 + 1)),
        long(document(sizes[3])),
        long(geometry(sizes[4] // points + 1, srid=4326 * (seed % 2))),
        number(seed),
        long(packed(text.encode() * (sizes[5] // 26 + 1), deflated=seed % 2 == 0)),
    )


def event(kind: Kind, payload: bytes, rows: int, definition: TableDefinition = ALL) -> list[Fragment]:
    """In records as extraction makes them."""
    key = TableKey(definition.schema, definition.table, definition.json)
    return [*in_pieces(Fragment(kind, key, rows, payload))]


def add(book: Logbook, *transactions: list[Fragment]) -> None:
    head = book.log.head()
    assert head is not None
    writer = book.log.writer(head, token=new_token(), segment_bytes=1 << 30, segment_events=1000)
    with writer:
        for fragments in transactions:
            seqno = writer.next_seqno
            found = [
                {
                    "kind": fragment.kind,
                    "schema_name": fragment.table.schema,
                    "table_name": fragment.table.table,
                    "definition": fragment.table.definition,
                    "rows": fragment.rows,
                    "payload": fragment.payload,
                }
                for fragment in fragments
            ]
            made = zip(fragments, events(seqno, found, 0), strict=True)
            writer.add([event._replace(payload_bytes=of.whole or len(of.payload)) for of, event in made])
            writer.commit(Resume("uuid", "bin.000001", 100 + seqno, watermark=seqno * 1_000_000))


SIZES = [[MUCH if at == large else 20_000 for at in range(6)] for large in range(6)]
SMALL = row(1, 1, *[30] * 6)
NULLS = image(number(2), *[None] * 7)
LARGE = [row(3, seed, *sizes) for seed, sizes in enumerate(SIZES)]
CHANGES = [
    event(Kind.INSERT, SMALL + b"".join(LARGE) + NULLS + SMALL, 9),
    event(Kind.UPDATE, LARGE[0] + LARGE[1] + SMALL + NULLS + LARGE[2] + LARGE[2] + NULLS + LARGE[3], 4),
    event(Kind.DELETE, LARGE[4] + SMALL, 2),
]


def outputs(shop: Shop, folder: Path) -> list[Any]:
    """What all commands say that show values."""
    found: list[Any] = [shop("list", "-low", 1, *form).stdout for form in FORMS]
    found += [shop("export", "-low", 1, *table).stdout for table in ((), ("--table", "shop.things"))]
    for name in TARGETS:
        chosen = ("--table", "shop.things") if name.startswith("things") else ()
        assert shop("export", "-low", 1, *chosen, "--to", folder / name).exit_code == 0
        if name.endswith("jsonl"):
            found.append((folder / name).read_bytes())
            continue
        with pa.OSFile(str(folder / name)) as file:
            read = pa.ipc.open_file(file).read_all()
        read.validate(full=True)
        found.append((read.schema, read.to_pylist()))
    return found


def test_a_large_event_is_shown_as_it_would_be_at_once(
    book: Logbook, shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "_LARGE_EVENT", MIB)
    add(book, *CHANGES)
    found = outputs(shop, tmp_path)
    for module in (listing, files):
        monkeypatch.setattr(module, "is_large", lambda event: False)
    same = [piecewise == whole for piecewise, whole in zip(found, outputs(shop, tmp_path), strict=True)]
    assert same == [True] * 9
    [insert, _, _] = map(json.loads, found[1].splitlines())
    assert insert["rows"][2]["row"]["b"] == (bytes(range(256)) * (MUCH // 256 + 1)).hex()
    assert found[2].count("\n/* nothing of `shop`.`things` */\n") == 1


def test_of_a_large_event_with_a_wrong_value_nothing_is_shown(
    book: Logbook, shop: Shop, tmp_path: Path
) -> None:
    right, wrong = long("é".encode() * MUCH), long("é".encode() * MUCH + b"\xe9")
    rows = [image(number(key), long(bytes(2 * MIB)), text) for key, text in ((1, right), (2, wrong))]
    add(book, event(Kind.INSERT, b"".join(rows), 2, PLAIN))
    for command, *form in (("list",), ("list", "--json"), ("list", "--sql"), ("export",)):
        result = shop(command, "-low", 1, *form)
        assert result.exit_code == NEEDS_A_PERSON
        said = (
            "seqno 1, shop.things: column t holds bytes that are no character of the column's character set"
        )
        assert said in (json.loads(result.stdout)["message"] if form == ["--json"] else result.stderr)
        if command == "list" and not form:
            assert result.stdout == ""
    assert shop("export", "--to", tmp_path / "x.arrow").exit_code == NEEDS_A_PERSON
    assert not list(tmp_path.glob("x.arrow*"))


@pytest.fixture(scope="module")
def much(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """An update with values of 75 MiB."""
    folder = tmp_path_factory.mktemp("much")
    text = long("naïve 中 ".encode() * (75 * MIB // 14))
    rows = [image(number(1), long(os.urandom(75 * MIB)), text if key else None) for key in range(2)]
    add(Logbook(folder), event(Kind.UPDATE, b"".join(rows), 1, PLAIN))
    return Shop(folder / "thl")


@pytest.mark.parametrize(
    ("command", "least"),
    [
        (("list", "--json"), 340),
        (("list", "--sql"), 200),
        (("export", "--to", "{}/all.jsonl"), 340),
        (("export", "--to", "{}/all.arrow"), 340),
        (("export", "--table", "shop.things", "--to", "{}/things.arrow"), 200),
    ],
)
def test_what_a_large_event_takes_in_memory(
    much: Shop, tmp_path: Path, command: tuple[str, ...], least: int
) -> None:
    to = tmp_path / "out"
    arguments = [argument.format(tmp_path) for argument in command]

    def work() -> object:
        with to.open("w") as sys.stdout:
            return app(["thl", *arguments, "-low", "1", *map(str, much.place)], standalone_mode=False)

    found, grown = measured(work)
    assert not found, found
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) > least * MIB
    assert grown < MOST, grown
