"""The README's table of events is what the code does with them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from airflow_provider_tungsten.replicator.binlog.constants import (
    SKIPPABLE,
    EventFlag,
    EventType,
    is_skippable,
)
from airflow_provider_tungsten.replicator.errors import TungstenError, UnsupportedError
from tests.unit.replicator.events import Events
from tests.unit.replicator.test_assembler import assembled, assembler

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


# Of MySQL 9.7 (`Log_event_type`; those of 3 to 5.0 are never written) and of MariaDB 10.11.
SERVERS = {*range(43), *range(160, 172)}


@pytest.mark.parametrize("flags", [0, EventFlag.IGNORABLE])
def test_each_of_all_the_type_codes_is_handled_or_passed_over_with_a_reason_or_refused(flags: int) -> None:
    assert set(EventType) == SERVERS
    handled = assembler()._handlers.keys()
    assert not handled & SKIPPABLE.keys()
    for kind in range(256):
        made = Events()
        log = [*made.begin(), made.event(kind, b"", flags=flags)]
        if kind in handled:
            continue
        if kind in SKIPPABLE or (kind not in SERVERS and flags):
            assembled(log)
            continue
        with pytest.raises(UnsupportedError, match=rf"\({kind}\)|type {kind}: it is not understood"):
            assembled(log)


def test_any_other_event_is_refused_unless_it_is_marked() -> None:
    unknown = next(kind for kind in range(256) if kind not in set(EventType))
    assert not is_skippable(unknown, 0)
    assert is_skippable(unknown, EventFlag.IGNORABLE)
