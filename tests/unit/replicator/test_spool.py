"""Fragments wait in order, whether in memory or on disk."""

from __future__ import annotations

import pytest

from airflow_provider_tungsten.replicator.spool import Fragment, Spool, TableKey
from airflow_provider_tungsten.replicator.thl.event import Kind

FRAGMENTS = [
    Fragment(Kind.DDL, TableKey("s", "t", None), 0, "CREATE TABLE t (ü int)".encode(), {"effect": "create"}),
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


def test_a_cleared_spool_is_as_new() -> None:
    spool = Spool(1)
    for fragment in FRAGMENTS:
        spool.add(fragment)
    spool.clear()
    assert (len(spool), list(spool), spool.on_disk) == (0, [], False)
    spool.add(FRAGMENTS[3])
    assert list(spool) == [FRAGMENTS[3]]
