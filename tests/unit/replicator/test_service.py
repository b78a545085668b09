"""The service's configuration: defaults, and what is said of wrong fields."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from airflow_provider_tungsten.replicator.errors import ConfigurationError
from airflow_provider_tungsten.replicator.service import Start, load_service, parse_service

EXAMPLE = Path(__file__).parents[3] / "dags" / "services" / "shop.yaml"
MINIMAL: dict[str, Any] = {
    "service": "shop",
    "source": {"connection": "mysql_shop", "server_id": 5},
    "thl": {"url": "s3://bucket/thl"},
    "appliers": {"redshift": {"files": {"url": "s3://bucket/files"}}},
}
LAKE = {"type": "s3", "files": {"url": "s3://lake/feed"}}


def changed(path: str, value: Any) -> dict[str, Any]:
    """MINIMAL with one field set."""
    data = copy.deepcopy(MINIMAL)
    *parents, last = path.split(".")
    place = data
    for name in parents:
        place = place.setdefault(name, {})
    place[last] = value
    return data


def test_the_example_is_valid() -> None:
    assert load_service(EXAMPLE).service == "shop"


def test_what_is_not_given_has_a_default() -> None:
    service = parse_service(MINIMAL)
    assert service.source.start == Start(at="now")
    assert service.applier("redshift").csv.header == ("opcode", "seqno", "row_id", "commit_timestamp")


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("service", "Shop!", "service: String should match pattern"),
        ("sources", {}, "sources: Extra inputs are not permitted; there are: appliers, filters, schedule, "),
        (
            "thl.retention",
            {"age": "7d"},
            "thl.retention.age: Extra inputs are not permitted; there are: max_age, max_",
        ),
        (
            "filters",
            [{"filter": "mask", "nul": 1}],
            "mask.nul: Extra inputs are not permitted; there are: columns, ",
        ),
        ("filters", [{"columns": "a.b.c"}], "filters.0: it lacks 'filter'"),
        (
            "appliers.files",
            {**LAKE, "x": 1},
            "appliers.files.x: Extra inputs are not permitted; there are: batches",
        ),
        (
            "appliers.lake",
            {**LAKE, "iam_role": "x"},
            "filters, include, key_template, metadata, partition_by, ",
        ),
        ("source.server_id", 0, "source.server_id: Input should be greater than or equal to 1 (given: 0)"),
        ("source.start", "yesterday", "source.start.at: Input should be 'earliest' or 'now'"),
        ("source.start", {"at": "now", "gtid_set": "x"}, "source.start: give exactly one of"),
        ("source.start", {"event_id": "here"}, "source.start.event_id: not an event id"),
        ("source.include", ["shop"], "source.include.0: String should match pattern"),
        ("thl.url", "folder", "thl.url: give s3://bucket/prefix or an absolute folder"),
        ("thl.encryption", {"sse": "AES256", "kms_key_id": "k"}, "kms_key_id needs sse: aws:kms"),
        ("appliers", {}, "should have at least 1 item"),
        ("appliers.redshift.files.url", "/tmp/x", "COPY reads from s3:// only"),
        ("appliers.redshift.iam_role", "x'; DROP", "appliers.redshift.iam_role: String should match pattern"),
        ("appliers.redshift.csv", {"header": ["seqno"]}, "the merge needs opcode, row_id too"),
        ("appliers.redshift.type", "snowflake", "appliers.redshift: Input tag 'snowflake' found"),
        ("appliers.redshift.metadata", {"url": "/x"}, "appliers.redshift.metadata: Extra inputs"),
        ("appliers.lake", {"type": "s3"}, "appliers.lake.files: Field required"),
        ("appliers.lake", {**LAKE, "key_template": "{table}.csv"}, "two files would have one name"),
        ("appliers.lake", {**LAKE, "partition_format": "%b"}, "appliers.lake.partition_format: "),
    ],
)
def test_a_wrong_field_is_named_with_what_is_allowed(path: str, value: Any, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_service(changed(path, value), "shop.yaml")
    assert str(caught.value).startswith("shop.yaml is not a valid service")
    assert said in str(caught.value)


def test_an_applier_that_does_not_say_its_type_is_redshifts_and_all_survive_a_dump() -> None:
    service = parse_service(changed("appliers.lake", LAKE))
    assert {name: applier.type for name, applier in service.appliers.items()} == {
        "redshift": "redshift",
        "lake": "s3",
    }
    assert parse_service(service.model_dump(mode="json", exclude_defaults=True)) == service


def test_all_wrong_fields_are_named_at_once() -> None:
    data = changed("source.server_id", "many") | {"schedul": None}
    with pytest.raises(ConfigurationError, match=r"(?s)source\.server_id.*schedul"):
        parse_service(data)


@pytest.mark.parametrize(
    ("content", "said"), [("a: [", "is not YAML"), ("- a", "give a mapping with service")]
)
def test_a_file_that_holds_no_service_is_named(content: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match=f"{path}.*{said}"):
        load_service(path)


def test_a_service_file_reads_as_its_mapping(tmp_path: Path) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text(yaml.safe_dump(MINIMAL))
    assert load_service(path) == parse_service(MINIMAL)


def test_an_unknown_applier_names_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match="no applier 'snowflake'; it has: redshift"):
        parse_service(MINIMAL).applier("snowflake")


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("now", Start(at="now")),
        ("mysql-bin.000002:134613", Start(event_id="mysql-bin.000002:134613")),
        (
            "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5",
            Start(gtid_set="3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5"),
        ),
    ],
)
def test_a_start_is_told_from_its_text(text: str, start: Start) -> None:
    assert Start.parse(text) == start


def test_a_text_that_is_no_start_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="'tomorrow' is none of: now, earliest"):
        Start.parse("tomorrow")
