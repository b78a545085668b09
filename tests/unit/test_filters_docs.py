"""The table of filters in docs/filters.md names every filter with every parameter and its default."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import pytest

from airflow_provider_tungsten.replicator.filters import settings

DOCS = (Path(__file__).parents[2] / "docs" / "filters.md").read_text()
ROWS = dict(re.findall(r"^\| `(\w+)` \| (.*?) \| ", DOCS.partition("## `definitions_file`")[0], re.MULTILINE))
MODELS = {
    get_args(model.model_fields["filter"].annotation)[0]: model
    for model in get_args(get_args(settings.Filter)[0])
}


def parameters(model: type[settings.Model]) -> dict[str, Any]:
    return {
        field.alias or name: field.default for name, field in model.model_fields.items() if name != "filter"
    }


def test_every_filter_has_its_line() -> None:
    assert list(ROWS) == list(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_a_line_names_the_parameters_and_their_defaults(name: str) -> None:
    text = ROWS[name]
    wanted = parameters(MODELS[name])
    named = re.findall(r"`([a-z_0-9]+)`", text)
    inner = {
        "schema",
        "table",
        "column",
        "columns",
        "values",
        "new_schema",
        "new_table",
        "new_column",
        "allow",
        "deny",
    }
    assert set(wanted) <= set(named)
    assert set(named) - set(wanted) <= inner
    for parameter, default in re.findall(r"`([a-z_]+)` \(`?([^`;)]+)`?[;)]", text):
        if (
            parameter in wanted
            and wanted[parameter] is not None
            and "name" not in default
            and "pattern" not in default
        ):
            value = wanted[parameter]
            shown = (
                value[0]
                if isinstance(value, tuple)
                else str(value).lower()
                if isinstance(value, bool)
                else str(value)
            )
            assert default == shown
