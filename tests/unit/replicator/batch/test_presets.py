from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from airflow_provider_tungsten.replicator.batch.presets import PRESETS, Csv, RedshiftCsv, S3Csv

DOCUMENT = Path(__file__).parents[4] / "docs" / "csv.md"


def test_javas_escapes_are_understood() -> None:
    settings = Csv(
        preset="custom",
        field_separator=r"\u0001",
        record_separator=r"\r\n",
        use_quotes="never",
        escape="\\",
        escaped_characters=r"\u0001\n\r\\",
        null_value=r"\N",
    )
    assert settings.dialect.field_separator == "\x01"
    assert settings.dialect.record_separator == "\r\n"
    assert settings.dialect.escaped_characters == "\x01\n\r\\"
    assert settings.dialect.null == "\\N"
    assert Csv(preset="mysql", field_separator="\\t").dialect.field_separator == "\t"


def test_tungstens_true_and_false_for_quotes() -> None:
    quotes: Any = True
    assert Csv(preset="hive", use_quotes=quotes, quote='"').dialect.use_quotes == "always"


@pytest.mark.parametrize("preset", [*PRESETS])
def test_every_property_of_a_preset_can_be_overridden(preset: Any) -> None:
    given: dict[str, Any] = {
        "field_separator": ";",
        "record_separator": "\r\n",
        "use_quotes": "always",
        "quote": "'",
        "escape": "^",
        "escaped_characters": ";",
        "suppressed_characters": "\t",
        "null_policy": "null_value",
        "null_value": "none",
        "use_headers": True,
    }
    settings = Csv(preset=preset, **given)
    assert {name: settings.effective(name) for name in given} == given


IMPOSSIBLE: list[tuple[dict[str, Any], str]] = [
    ({"preset": "excel"}, "'default', 'hive', 'mysql', 'oracle', 'vertica', 'redshift' or 'custom'"),
    ({"delimiter": ","}, "no property delimiter; there are: preset, field_separator, "),
    ({"field_separator": '"'}, "quote and field_separator are alike .*write another quote"),
    ({"quote": "''"}, "quote: \"''\" are 2 characters; write one"),
    ({"quote": ""}, "quote: it is empty; write one"),
    ({"field_separator": "||"}, "field_separator: '\\|\\|' are 2 characters"),
    ({"field_separator": "é"}, "not ASCII; write another, like ',' or"),
    ({"field_separator": "-"}, "sign of numbers"),
    ({"field_separator": "a"}, "letter"),
    ({"record_separator": "\n\r"}, r"write one \(or \\r\\n\)"),
    ({"record_separator": ","}, "field_separator and record_separator are alike"),
    ({"preset": "hive", "escape": "\x01"}, "escape and field_separator are alike"),
    ({"preset": "hive", "escape": ""}, "escape: it is empty"),
    ({"escaped_characters": ","}, r"can only double the quote; .*another escape, like \\"),
    ({"preset": "mysql", "escaped_characters": "n"}, "'n' is a letter"),
    ({"preset": "hive", "suppressed_characters": "\n"}, "decide for one"),
    ({"null_value": "a,b"}, "contains ',', which separates"),
    ({"null_value": "\n"}, "separates"),
    ({"preset": "hive", "null_value": "0"}, r"may be a number.*like \\N"),
    ({"preset": "hive", "null_value": "\\\\"}, "would escape the separator"),
    ({"preset": "hive", "null_value": r"\\\\x"}, "what a text becomes when it is escaped"),
    ({"null_value": " null"}, "begins or ends with a blank"),
    ({"preset": "vertica", "null_value": "x"}, "goes with null_policy: null_value, which is skip here"),
    ({"preset": "vertica", "null_policy": "null_value"}, "needs a null_value"),
    ({"null_policy": "sentinel", "null_value": None}, "a sentinel needs use_quotes: needed"),
    ({"collapse_field_separators": True}, "empty values would vanish: leave it out"),
    ({"header": ("opcode", "opcode")}, "stands twice"),
]


@pytest.mark.parametrize(("given", "message"), IMPOSSIBLE)
def test_what_cannot_be_is_refused_with_the_way_out(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Csv(**given)


def test_copy_is_told_to_read_the_redshift_preset() -> None:
    assert RedshiftCsv(compression="bzip2", update_opcode=True).dialect == Csv(preset="redshift").dialect
    changes: list[tuple[dict[str, Any], str]] = [
        ({"field_separator": "|"}, "leave field_separator out"),
        ({"use_headers": True}, "leave use_headers out"),
        ({"preset": "default"}, "'redshift'"),
        ({"header": ("opcode",)}, "the merge needs row_id, seqno too"),
    ]
    for given, message in changes:
        with pytest.raises(ValidationError, match=message):
            RedshiftCsv(**given)


def test_the_feeds_own_defaults() -> None:
    assert S3Csv().header_names == tuple(
        f"tungsten_{name}" for name in ("opcode", "seqno", "primary_key", "commit_timestamp")
    )
    assert S3Csv().timestamp_digits == 3


def test_the_document_has_every_preset_and_property() -> None:
    found = {}
    for line in DOCUMENT.read_text().splitlines():
        cells = [cell.strip().strip("`") for cell in line.strip("| ").split(" | ")]
        if cells[0] == "property":
            presets = cells[1:]
        elif cells[0] in PRESETS["default"]:
            found[cells[0]] = dict(zip(presets, cells[1:], strict=True))
    assert set(presets) == set(PRESETS) - {"custom"}
    assert set(found) == set(PRESETS["default"])
    for name, values in found.items():
        for preset, shown in values.items():
            assert shown == _shown(PRESETS[preset][name]), (name, preset)


def _shown(value: Any) -> str:
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    return re.sub(
        r"[\x00-\x1f]", lambda c: {"\n": r"\n", "\r": r"\r"}.get(c[0], rf"\u{ord(c[0]):04x}"), value
    )
