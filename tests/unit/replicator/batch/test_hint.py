"""The mirrored position."""

from __future__ import annotations

from pathlib import Path

from airflow_provider_tungsten.replicator.batch.hint import KEY, Hint, read_hint, write_hint
from airflow_provider_tungsten.replicator.storage import open_storage


def test_the_last_hint_is_read_back_and_an_unreadable_one_is_none(tmp_path: Path) -> None:
    store = open_storage(str(tmp_path))
    assert read_hint(store) is None
    for seqno in (3, 7):
        write_hint(store, Hint(seqno, 0, "bin.000001:4;-1", "uuid"))
    assert read_hint(store) == Hint(7, 0, "bin.000001:4;-1", "uuid")
    store.put(KEY, b'{"another": "version"}')
    assert read_hint(store) is None
