"""A batch comes out the same whoever writes it, in how many attempts and threads, and of what there is already."""

from __future__ import annotations

import bz2
import gzip
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from airflow_provider_tungsten.replicator.batch import parts, writer
from airflow_provider_tungsten.replicator.batch.files import manifest_key, missing_files
from airflow_provider_tungsten.replicator.binlog.definition import TableDefinition
from airflow_provider_tungsten.replicator.errors import (
    ConfigurationError,
    DataError,
    StorageError,
)
from airflow_provider_tungsten.replicator.storage import Storage
from airflow_provider_tungsten.replicator.storage.base import Group
from airflow_provider_tungsten.replicator.thl import runs
from tests.unit.replicator.batch.logs import (
    ITEMS,
    ORDERS,
    WIDER,
    Logbook,
    rows,
)
from tests.unit.replicator.batch.writing import cells, contents, plans, text, write
from tests.unit.replicator.durability import Disk


@pytest.fixture
def hasty() -> Iterator[None]:
    """Threads take turns all the time."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_a_table_that_is_written_anew_leaves_no_part_of_its_first_writing(book: Logbook) -> None:
    values = [(number, None if number == 7 else f"{number:0200d}") for number in range(6000)]
    book.add(rows(ORDERS, *values), rows(ORDERS, (6001, "x")), rows(ORDERS, (6002, "\\N")))
    settings = {"batches": {"part_bytes": 1 << 20}}
    (table,) = write(book, plans(book, **settings)[0], **settings).tables
    assert (table.null != "\\N", len(table.parts)) == (True, 2)
    stored = {info.key for info in book.store.list("shop/")}
    assert stored == {*(part.key for part in table.parts), table.copy_manifest}


def test_of_attempts_at_once_each_may_remove_parts_of_a_first_writing(
    book: Logbook, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = [(number, None if number == 7 else f"{number:0200d}") for number in range(6000)]
    book.add(rows(ORDERS, *values), rows(ORDERS, (6001, "\\N")))
    settings = {"batches": {"part_bytes": 1 << 20}}
    (plan,) = plans(book, **settings)
    group = type(book.store).group
    attempts: list[Group] = []

    def grouped(store: Storage, token: str) -> Group:
        made = group(store, token)
        finish = made.finish

        def finished() -> list[str]:
            met = finish()
            if len(attempts) < 3:
                assert write(book, plan, **settings).total_rows == 6001
            return met

        monkeypatch.setattr(made, "finish", finished)
        attempts.append(made)
        return made

    monkeypatch.setattr(type(book.store), "group", grouped)
    (table,) = write(book, plan, **settings).tables
    assert len(attempts) == 3
    assert {info.key for info in book.store.list("shop/")} == set(table.keys)


@pytest.mark.parametrize("compression", ["zstd", "gzip", "bzip2", "none"])
def test_the_same_range_and_settings_give_the_same_names_and_bytes(book: Logbook, compression: str) -> None:
    settings = {"csv": {"compression": compression}}
    book.add(rows(ORDERS, (1, "a"), (2, None)), rows(ITEMS))
    plan = plans(book, **settings)[0]
    first = write(book, plan, **settings)
    once = contents(book.store)
    book.store.delete(manifest_key(plan.first, plan.last))
    assert write(book, plan, **settings) == first
    for key in contents(book.store):
        book.store.delete(key)
    assert write(book, plan, **settings) == first
    assert contents(book.store) == once
    stored = book.store.read(first.tables[1].parts[0].key)
    plain = {
        "zstd": lambda data: text(book.store, first.tables[1]).encode(),
        "gzip": gzip.decompress,
        "bzip2": bz2.decompress,
        "none": bytes,
    }
    assert plain[compression](stored).endswith(b",2,\\N\n")


@pytest.mark.parametrize("compression", ["zstd", "none"])
def test_how_much_is_read_and_kept_at_a_time_makes_no_difference_to_names_and_bytes(
    book: Logbook, compression: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"csv": {"compression": compression}}
    monkeypatch.setattr(parts, "CHUNK", 3000)
    for segment in range(6):
        changes = [(number, f"{segment}x{number}") for number in range(20)]
        book.add(*[rows(definition, *changes) for definition in (ORDERS, ITEMS, ORDERS) * 4])
    plan = plans(book, **settings)[0]
    first = write(book, plan, **settings)
    once = contents(book.store)
    assert all(table.parts[0].csv_bytes > 2 * parts.CHUNK for table in first.tables)
    for limits in ({"RUN_BYTES": 0}, {"WINDOW_BYTES": 5000}):
        for name, value in limits.items():
            monkeypatch.setattr(runs, name, value)
        for streams, held, packed in ((0, 2**20, 2**20), (1, 500, 0), (0, 500, 2000), (2, 500, 2**20)):
            monkeypatch.setattr(parts, "_STREAMS", streams)
            monkeypatch.setattr(parts, "_HELD", held)
            monkeypatch.setattr(parts, "_PACKED", packed)
            for key in once:
                book.store.delete(key)
            assert write(book, plan, **settings) == first
            assert contents(book.store) == once


def many_tables() -> list[TableDefinition]:
    return [replace(ORDERS, table=f"t{number:02}") for number in range(20)]


def threads(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_MOST_THREADS", number)
    monkeypatch.setattr(writer.os, "sched_getaffinity", lambda _: range(number))


@pytest.mark.usefixtures("hasty")
def test_how_many_threads_write_makes_no_difference_to_names_and_bytes(
    book: Logbook, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"batches": {"part_bytes": 1 << 20}}
    for segment in range(10):
        changes = [(number, f"{number:0{number % 150}}") for number in range(segment, 300)]
        book.add(*[rows(definition, *changes) for definition in many_tables()])
    # Some tables are written anew, with another text for NULL.
    book.add(*[rows(definition, (1, "\\N"), (2, None)) for definition in many_tables()[::3]])
    (plan,) = plans(book, **settings)
    threads(1, monkeypatch)
    monkeypatch.setattr(runs, "WINDOW_BYTES", 300_000)
    first = write(book, plan, **settings)
    once = contents(book.store)
    assert [len(cells(book.store, table)) for table in first.tables] == [
        2955 + 2 * (number % 3 == 0) for number in range(20)
    ]
    for chunk, most in ((parts.CHUNK, 2**25), (3000, 10_000)):
        monkeypatch.setattr(parts, "CHUNK", chunk)
        for name in ("_HELD", "_PACKED", "_AHEAD"):
            monkeypatch.setattr(parts, name, most)
        written = []
        for number in (1, 2, 5):
            threads(number, monkeypatch)
            for key in contents(book.store):
                book.store.delete(key)
            written.append(write(book, plan, **settings))
            if chunk > 3000:
                assert contents(book.store) == once
        assert written == written[:1] * 3
    assert [(table.rows, table.null) for table in written[0].tables] == [
        (table.rows, table.null) for table in first.tables
    ]


def test_a_table_that_cannot_be_written_ends_what_other_threads_do(
    book: Logbook, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads(4, monkeypatch)
    for wrong in (0, 7, 19):
        book.add(
            *[
                rows(table, (1, "a\0b" if number == wrong else "a"))
                for number, table in enumerate(many_tables())
            ]
        )
        plan = plans(book)[-1]
        with pytest.raises(
            DataError, match=rf"^shop\.t{wrong:02}\.note, seqno \d+: a text with a NUL character"
        ):
            write(book, plan)
        assert not book.store.exists(manifest_key(plan.first, plan.last))


@pytest.mark.usefixtures("hasty")
def test_two_definitions_of_a_table_are_never_written_at_the_same_time(
    book: Logbook, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads(2, monkeypatch)
    many = rows(ORDERS, *[(number, "x" * 100) for number in range(1000)])
    book.add(*[many] * 50, rows(WIDER, count=1), rows(ITEMS))
    (plan,) = plans(book, exclude=["shop.orders"])
    with pytest.raises(ConfigurationError, match="shop.orders changes its definition at seqno 51,"):
        write(book, plan)


def test_a_batch_that_exists_is_adopted_and_a_lost_part_is_made_anew(book: Logbook) -> None:
    book.add(rows(), rows(ITEMS))
    plan = plans(book)[0]
    manifest = write(book, plan)
    once = contents(book.store)
    book.store.delete(manifest.tables[0].parts[0].key)
    book.store.delete(manifest.tables[1].copy_manifest)
    assert len(list(missing_files(book.store, manifest))) == 2
    assert write(book, plan) == manifest
    assert contents(book.store) == once


def test_all_that_the_batch_manifest_names_is_durable_before_it_is(
    book: Logbook, monkeypatch: pytest.MonkeyPatch
) -> None:
    book.add(rows(ORDERS, (1, "a")), rows(ITEMS, (1, "b")))
    plan = plans(book)[0]
    root = Path(book.store.url)
    seen: list[dict[str, bool]] = []

    def look(disk: Disk, path: Path) -> None:
        if path == root / manifest_key(plan.first, plan.last):
            stored = [info.key for info in book.store.list() if not info.key.startswith("_")]
            seen.append({key: disk.survives(root / key) for key in stored})

    disk = Disk(root, monkeypatch, look)
    manifest = write(book, plan)
    named = [key for table in manifest.tables for key in (table.parts[0].key, table.copy_manifest)]
    assert seen == [dict.fromkeys(sorted(named), True)]
    assert disk.survives(root / manifest_key(plan.first, plan.last))


def test_a_part_of_another_size_under_its_name_is_refused(book: Logbook) -> None:
    book.add(rows())
    plan = plans(book)[0]
    key = write(book, plan).tables[0].parts[0].key
    book.store.put(key, b"short")
    with pytest.raises(StorageError, match="remove it"):
        write(book, plan)


def test_lost_parts_that_the_present_settings_do_not_make_are_refused(book: Logbook) -> None:
    book.add(rows(), rows(ITEMS))
    plan = plans(book)[0]
    book.store.delete(write(book, plan).tables[0].parts[0].key)
    with pytest.raises(StorageError, match="not made anew under the present settings"):
        write(book, plan, exclude=["shop.items"])
