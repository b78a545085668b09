"""docs/command-line.md: the commands and options that it names exist, and those that exist are named."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from airflow_provider_tungsten.replicator.cli import output
from airflow_provider_tungsten.replicator.cli.lazy import LazyGroup
from airflow_provider_tungsten.replicator.cli.main import app

DOCS = Path(__file__).parents[4] / "docs"
TEXT = (DOCS / "command-line.md").read_text(encoding="utf-8")
# Said once for all commands.
COMMON = {"--help", "--json", "-json", "--thl", "--service", "--config", "--yes"}


def commands(group: Any, *names: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    context = typer.Context(group)
    for name in group.list_commands(context):
        command = group.imported(name) if isinstance(group, LazyGroup) else group.get_command(context, name)
        if hasattr(command, "list_commands"):
            yield from commands(command, *names, name)
        else:
            yield (*names, name), command


KNOWN = dict(commands(typer.main.get_command(app)))


def options(command: Any) -> set[str]:
    return {text for param in command.params for text in (*param.opts, *param.secondary_opts)} | {"--help"}


def examples() -> list[str]:
    lines = re.findall(r"^\$ (tungsten .*)", TEXT, re.MULTILINE)
    return [line.partition(" #")[0] for line in lines]


@pytest.mark.parametrize("example", examples())
def test_an_example_is_a_command_with_its_options(example: str) -> None:
    words = shlex.split(example.split(" | ")[0])[1:]
    name = next((tuple(words[:count]) for count in (2, 1) if tuple(words[:count]) in KNOWN), None)
    assert name is not None, f"there is no such command: {example}"
    given = {word.partition("=")[0] for word in words[len(name) :] if re.match(r"-{1,2}[a-z]", word)}
    assert given <= options(KNOWN[name])


@pytest.mark.parametrize("name", KNOWN, ids=" ".join)
def test_a_command_is_documented_with_all_its_options(name: tuple[str, ...]) -> None:
    if name == ("extract",):
        text = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    else:
        heading = f"### `{' '.join(name)}`"
        assert heading in TEXT, f"docs/command-line.md has no section {heading}"
        text = re.split(r"\n##+ ", TEXT.split(heading)[1])[0]
        if name in (("thl", "tail"),):
            text += TEXT.split("### `thl list`")[1].split("\n### ")[0]
    for param in KNOWN[name].params:
        names = {*param.opts, *param.secondary_opts}
        assert names & COMMON or any(re.search(rf"{re.escape(text_)}\b", text) for text_ in names), names


def test_the_exit_statuses_are_those_of_the_code() -> None:
    table = set(map(int, re.findall(r"^\| (\d+) \|", TEXT, re.MULTILINE)))
    assert table == {
        0,
        output.NOT_AGREED,
        output.WRONG_ARGUMENTS,
        output.NEEDS_A_PERSON,
        output.TRY_AGAIN,
        output.INTERRUPTED,
        output.NOBODY_READS,
    }
    assert table == set(map(int, re.findall(r"(\d+) ", output.STATUSES)))
