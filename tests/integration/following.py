"""A service that follows a server of its own, transaction by transaction, for the tests of restarts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.integration.extraction import Extraction
from tests.stack.mysql import MySQL

DATABASE = "shop"
TABLE = f"{DATABASE}.t"


def prepare(server: MySQL) -> None:
    server.execute(
        f"CREATE DATABASE {DATABASE}", f"CREATE TABLE {TABLE} (id INT AUTO_INCREMENT PRIMARY KEY, v INT)"
    )


def reset(server: MySQL) -> None:
    server.execute("RESET BINARY LOGS AND GTIDS")


def purge(server: MySQL) -> None:
    """All files but a new one, as soon as no session reads them any more."""
    server.execute("FLUSH BINARY LOGS")
    while len(files := server.execute("SHOW BINARY LOGS")) > 1:
        server.execute(f"PURGE BINARY LOGS TO '{files[-1][0]}'")


def following(server: MySQL, folder: Path, **source: Any) -> Extraction:
    """A service that has begun its log at the server's present end."""
    extraction = Extraction(server, folder / "thl", **source)
    extraction.run()
    return extraction


def insert(server: MySQL, count: int = 1) -> None:
    server.execute(*[f"INSERT INTO {TABLE} (v) VALUES (1)"] * count)


def check_gapless(extraction: Extraction, transactions: int) -> None:
    """Every transaction is there once and in order."""
    events = [event for event in extraction.events(1) if event.kind == "insert"]
    assert len(events) == len({event.event_id for event in events}) == transactions
    everything = extraction.events()
    assert [event.seqno for event in everything] == list(range(len(everything)))
    assert [event.event_id for event in events] == sorted(event.event_id for event in events)
