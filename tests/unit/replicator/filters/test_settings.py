"""Filters in a service file and in files of their own: what is taken, and what is said of what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_tungsten.replicator.errors import ConfigurationError
from airflow_provider_tungsten.replicator.service import parse_service
from tests.unit.replicator.filters.tables import columns, filtered, parsed
from tests.unit.replicator.test_service import MINIMAL


@pytest.mark.parametrize(
    ("each", "said"),
    [
        ({"filter": "nix"}, "does not match any of the expected tags"),
        ({"filter": "replicate", "only": "a"}, "Extra inputs are not permitted"),
        ({"filter": "replicate", "do": "a.b.c"}, "'a.b.c' is no pattern of schema or schema.table"),
        ({"filter": "replicatecolumns", "do": "a.b"}, "'a.b' is no pattern of schema.table.column"),
        ({"filter": "rename"}, "give either definitions or definitions_file"),
        ({"filter": "rename", "definitions_file": "r.csv"}, "give an absolute path"),
        ({"filter": "mask", "columns": "a.b.c"}, "give exactly one of: to_null"),
        (
            {"filter": "mask", "columns": "a.b.c", "to_null": True, "keep_last": 3},
            "give exactly one of: to_null",
        ),
        ({"filter": "mask", "columns": "a.b.c", "sha256": {}}, "give exactly one of: env, file"),
        ({"filter": "mask", "columns": "a.b.c", "sha256": "pepper"}, "valid dictionary"),
        ({"filter": "cast", "columns": "a.b.c", "type": "text"}, "'text' is none of: smallint, int"),
        ({"filter": "cast", "columns": "a.b.c", "type": "decimal(39,2)"}, "precision"),
        ({"filter": "python", "callable": "x.y"}, "give either tables"),
        ({"filter": "python", "callable": "x y", "tables": "a"}, "String should match pattern"),
        ({"filter": "truncatetext", "length": 0}, "greater than or equal to 1"),
        (
            {"filter": "skipeventbytype", "definitions": {"a": {"b": {"UPSERT": "deny"}}}},
            "'INSERT', 'UPDATE' or 'DELETE'",
        ),
    ],
)
def test_wrong_filters_are_named(each: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_service({**MINIMAL, "filters": [each]})
    assert said in str(caught.value)
    assert "filters.0" in str(caught.value)


def test_a_salt_in_the_service_file_is_not_repeated() -> None:
    mask = {"filter": "mask", "columns": "a.b.c", "sha256": {"salt": "pepperpepperpepper"}}
    with pytest.raises(ConfigurationError) as caught:
        parse_service({**MINIMAL, "filters": [mask]})
    assert "pepper" not in str(caught.value)


def test_the_services_replicate_holds_for_extraction_until_something_is_renamed() -> None:
    moved = {"filter": "rename", "definitions": [{"schema": "b", "new_schema": "c"}]}
    service = parse_service(
        {
            **MINIMAL,
            "source": {**MINIMAL["source"], "exclude": ["a.x"]},
            "filters": [
                {"filter": "replicate", "ignore": "tmp"},
                moved,
                {"filter": "replicate", "ignore": "c"},
            ],
        }
    )
    tables = service.extracted_tables()
    found = {name: tables.includes(*name.split(".")) for name in ("a.t", "a.x", "tmp.t", "b.t", "c.t")}
    assert found == {"a.t": True, "a.x": False, "tmp.t": False, "b.t": True, "c.t": True}
    assert not tables.touches("tmp", "")


RENAMES = """# origSchema,origTable,origCol,newSchema,newTable,newCol

shop,customers,*,crm,people,-
*,*,"name",-,-,full_name  # a comment
"""


def test_rename_reads_tungstens_csv(tmp_path: Path) -> None:
    file = tmp_path / "rename.csv"
    file.write_text(RENAMES)
    draft = filtered({"filter": "rename", "definitions_file": str(file)})
    assert (draft.definition().name, columns(draft)[1]) == ("crm.people", "full_name")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("shop,customers,*,crm,people", "5 columns, not the 6"),
        ("-,customers,*,crm,people,-", "- stands on the left"),
        ("shop,customers,*,*,people,-", r"\* stands on the right"),
        ("shop,cust*,*,crm,-,-", r"a name with \* in it"),
        ("shop,customers,*,-,-,-", "nothing is renamed"),
        ("shop,customers,*,shop,people,-", "renamed to itself"),
        ("shop,customers,name,-,people,x", "cannot move to another table"),
        ("shop,customers,*,-,-,x", "new_column without a column"),
        ("*,customers,*,x,-,-", "new_schema for every schema"),
        ("shop,*,*,-,x,-", "new_table for every table"),
        ("*,*,name,-,-,other", r"\*.\*.name is renamed by 4 already"),
        ('shop,"x,*,-,-,-', "unexpected end"),
    ],
)
def test_a_wrong_request_is_named_with_its_line(tmp_path: Path, line: str, said: str) -> None:
    file = tmp_path / "rename.csv"
    file.write_text(RENAMES + line + "\n")
    with pytest.raises(ConfigurationError, match=rf"rename.csv, line 5: .*{said}"):
        parsed({"filter": "rename", "definitions_file": str(file)})


def test_two_requests_for_one_name_are_refused_in_the_service_file_too() -> None:
    twice = [{"schema": "a", "new_schema": "b"}, {"schema": "a", "new_schema": "c"}]
    with pytest.raises(ConfigurationError, match=r"filter rename, line 2: a\.\*\.\* is renamed by 1 already"):
        parsed({"filter": "rename", "definitions": twice})


def test_lists_may_stand_in_yaml_or_json_files(tmp_path: Path) -> None:
    entries = [{"schema": "shop", "table": "*", "columns": ["name", "email"]}]
    inline = parsed({"filter": "dropcolumn", "definitions": entries})
    for name, text in (
        ("d.json", json.dumps(entries, indent="\t")),
        ("d.yaml", '- schema: shop\n  table: "*"\n  columns: [name, email]\n'),
    ):
        file = tmp_path / name
        file.write_text(text)
        assert parsed({"filter": "dropcolumn", "definitions_file": str(file)}) == inline


def test_skipeventbytype_reads_tungstens_json(tmp_path: Path) -> None:
    file = tmp_path / "skip.json"
    file.write_text('{"__default": "allow",\n "shop": {"customers": {"DELETE": "deny"}}}')
    draft = filtered({"filter": "skipeventbytype", "definitions_file": str(file)})
    assert draft.output().skip == {"delete"}


@pytest.mark.parametrize(
    ("filter_", "text", "said"),
    [
        (
            "dropcolumn",
            "- schema: a\n  table: b\n  columns: [c]\n- schema: a\n  columns: [c]\n",
            "line 4: table: Field required",
        ),
        ("dropcolumn", "- schema: [", "line 1: "),
        ("dropcolumn", "schema: a", "line 1: a list of definitions is needed"),
        ("dropcolumn", "", "line 1: there is nothing in it"),
        ("custompkey", "\n- {schema: a, table: b, columns: []}", "line 2: columns: .*at least 1 item"),
        (
            "droponvalue",
            "- {schema: a, table: b, column: c, values: [1]}",
            "line 1: values.0: .*valid string",
        ),
        ("skipeventbytype", "__default: allow\nshop: {t: {DELETE: no}}", "line 2: definitions.shop.t.DELETE"),
        ("skipeventbytype", "- a", "line 1: a mapping of schemas is needed"),
    ],
)
def test_a_malformed_file_is_named_with_line_and_reason(
    tmp_path: Path, filter_: str, text: str, said: str
) -> None:
    file = tmp_path / "d.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=f"d.yaml, {said}"):
        parsed({"filter": filter_, "definitions_file": str(file)})


def test_a_missing_file_is_named() -> None:
    with pytest.raises(
        ConfigurationError, match="filter dropcolumn: cannot read /nowhere/x.json: No such file"
    ):
        parsed({"filter": "dropcolumn", "definitions_file": "/nowhere/x.json"})
