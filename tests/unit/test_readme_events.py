"""The README's table of events is what the code does with them."""

from __future__ import annotations

import re
from pathlib import Path

from airflow_provider_tungsten.replicator.binlog.constants import (
    SKIPPABLE,
    EventFlag,
    EventType,
    is_skippable,
)
from airflow_provider_tungsten.replicator.errors import TungstenError, UnsupportedError
from tests.unit.replicator.events import Events
from tests.unit.replicator.test_assembler import assembled

README = (Path(__file__).parents[2] / "README.md").read_text()
SECTION = README.split("## Events of the binary log\n")[1].split("\n## ")[0]


def rows() -> dict[EventType, str]:
    """Event → what the table says of it."""
    found: dict[EventType, str] = {}
    for names, text in re.findall(r"^\| (`.+?) \| (.+) \|$", SECTION, re.MULTILINE):
        for name in re.findall(r"`(\w+)`", names):
            assert EventType[name] not in found, f"{name} stands twice"
            found[EventType[name]] = text
    return found


def test_every_event_stands_in_the_table_once() -> None:
    assert rows().keys() == set(EventType)


def test_the_table_gives_the_code_s_reasons_for_passing_over() -> None:
    told = {kind: text for kind, text in rows().items() if text.startswith("passed over")}
    assert told == {kind: f"passed over: {reason}" for kind, reason in SKIPPABLE.items()}


def test_what_is_refused_and_what_is_taken_in_is_what_the_table_says() -> None:
    for kind, text in rows().items():
        made = Events()
        events = [*made.begin(), made.event(kind, b"")]
        try:
            assembled(events)
            outcome = "taken"
        except TungstenError as error:
            refused = isinstance(error, UnsupportedError) and "not understood, and nothing is skipped" in str(
                error
            )
            outcome = "refused" if refused else "taken"
            assert refused or not text.startswith("passed over"), kind
        assert text.startswith("refused") == (outcome == "refused"), kind


def test_any_other_event_is_refused_unless_it_is_marked() -> None:
    unknown = next(kind for kind in range(1, 256) if kind not in set(EventType))
    assert not is_skippable(unknown, 0)
    assert is_skippable(unknown, EventFlag.IGNORABLE)
