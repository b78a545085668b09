"""Fragments wait in order, whether in memory or on disk."""

from __future__ import annotations

import resource

import pytest

from airflow_provider_tungsten.replicator.errors import StorageError
from airflow_provider_tungsten.replicator.spool import Fragment, Spool, TableKey
from airflow_provider_tungsten.replicator.thl.event import Kind

FRAGMENTS = [
    Fragment(Kind.DDL, TableKey("s", "t", None), 0, "CREATE TABLE t (ü int)".encode(), {"effect": "create"}),
    Fragment(Kind.DELETE, TableKey("s", "t", "{}"), 1, b"one", whole=1 << 40),
    *(
        Fragment(kind, TableKey("s", table, f'{{"table":"{table}"}}'), number, bytes([number]) * number * 100)
        for number, (kind, table) in enumerate(
            [(Kind.INSERT, "t"), (Kind.UPDATE, "u"), (Kind.DELETE, "t"), (Kind.INSERT, "u")] * 5
        )
    ),
]


@pytest.mark.parametrize(("limit", "on_disk"), [(1_000_000, False), (3000, True), (1, True)])
def test_fragments_come_back_as_they_went_in(limit: int, on_disk: bool) -> None:
    spool = Spool(limit)
    for fragment in FRAGMENTS:
        spool.add(fragment)
    assert (len(spool), spool.on_disk) == (len(FRAGMENTS), on_disk)
    assert list(spool) == FRAGMENTS


def fill(spool: Spool) -> None:
    for _ in range(40):
        spool.add(Fragment(Kind.INSERT, TableKey("s", "t", "{}"), 1, bytes(100_000)))


def test_a_disk_that_is_full_is_named_with_the_way_out() -> None:
    spool = Spool(1_000_000)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, before[1]))
    try:
        with pytest.raises(StorageError, match=r"larger than 1000000 bytes .* File too large; .* set TMPDIR"):
            fill(spool)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    spool.clear()


def test_a_cleared_spool_is_as_new() -> None:
    spool = Spool(1)
    for fragment in FRAGMENTS:
        spool.add(fragment)
    spool.clear()
    assert (len(spool), list(spool), spool.on_disk) == (0, [], False)
    spool.add(FRAGMENTS[4])
    assert list(spool) == [FRAGMENTS[4]]
