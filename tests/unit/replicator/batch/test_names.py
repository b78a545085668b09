"""Key templates: every file has a name of its own, in its table's folder, or the settings are refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_tungsten.replicator.batch.names import (
    PARTITION_FORMAT,
    PARTITIONED,
    PLACEHOLDERS,
    PLAIN,
    FileNames,
    check_partition_format,
    check_template,
    encoded,
)

HOUR = 3_600_000_000
SHA = "0123456789abcdef" * 4
OWN = "lake/{service}/db={schema}/{table}/{partition}/{hash}{part}-{from}.{applier}.{extension}"


def names(template: str = PLAIN, partition_format: str | None = None) -> FileNames:
    return FileNames(template, partition_format, service="shop", applier="lake", compression="zstd")


def test_a_file_is_named_after_its_table_range_and_content() -> None:
    assert (
        names().key(("shop", "orders"), "", (7, 12), 3, SHA)
        == "shop/orders/0000000000000000007-0000000000000000012.0003-0123456789abcdef.csv.zst"
    )


def test_a_partition_is_the_commit_time_in_utc() -> None:
    partitioned = names(PARTITIONED, PARTITION_FORMAT)
    partition = partitioned.partition(490_000 * HOUR + HOUR - 1)
    assert partition == "commit_hour=2025-11-24-16"
    assert partitioned.partition(490_001 * HOUR) == "commit_hour=2025-11-24-17"
    assert partitioned.key(("a", "b"), partition, (0, 0), 0, SHA).startswith(
        "a/b/commit_hour=2025-11-24-16/0"
    )


def test_names_are_percent_encoded_and_never_lead_elsewhere() -> None:
    assert [encoded(name) for name in ("a/b", "ü x", "..", ".hidden", "_batches", "a_b")] == [
        "a%2Fb",
        "%C3%BC%20x",
        "%2E.",
        "%2Ehidden",
        "%5Fbatches",
        "a_b",
    ]


@pytest.mark.parametrize(
    ("template", "partitioned"),
    [
        (PLAIN, False),
        (PARTITIONED, True),
        (OWN, True),
        ("{table}/db={schema}/x-{from}+{part}_{hash}.{extension}", False),
    ],
)
def test_templates_that_tell_files_apart_are_taken(template: str, partitioned: bool) -> None:
    check_template(template, partitioned=partitioned)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{schema}/{table}/{from}-{part}.{extension}", r"one name: \{hash\} is missing"),
        ("{schema}/{table}/{hash}.{extension}", r"\{from\}, \{part\} is missing"),
        ("{schema}-{table}/{from}.{part}-{hash}.{extension}", r"\{schema\} must stand once"),
        ("{schema}/{table}-{from}.{part}-{hash}.{extension}", r"\{table\} must stand once"),
        ("{schema}/{table}/{table}/{from}.{part}-{hash}.{extension}", r"\{table\} must stand once"),
        ("_batches/{schema}/{table}/{from}.{part}-{hash}.{extension}", "underscore"),
        ("_{schema}/{table}/{from}.{part}-{hash}.{extension}", "underscore"),
        ("../{schema}/{table}/{from}.{part}-{hash}.{extension}", "dot"),
        ("/{schema}/{table}/{from}.{part}-{hash}.{extension}", "without a name"),
        ("{schema}//{table}/{from}.{part}-{hash}.{extension}", "without a name"),
        ("{schema}/{table}/{from}.{part}-{hash}", "put {extension} there"),
        (
            "{schema}/{table}/{seqno}.{from}.{part}-{hash}.{extension}",
            r"\{seqno\} is no placeholder: \{schema\}",
        ),
        ("{schema.x}/{table}/{from}.{part}-{hash}.{extension}", "is no placeholder"),
        ("{schema}/{table}/{from:x}.{part}-{hash}.{extension}", r"\{from\} stands alone in its braces"),
        ("{schema}/{table}/{from.{part}-{hash}.{extension}", "not a template|no placeholder"),
        ("{schema}/{table}/a b{from}.{part}-{hash}.{extension}", "letters, digits"),
        ("{schema}/{table}/{partition}/{from}.{part}-{hash}.{extension}", "needs partition_by"),
    ],
)
def test_a_template_that_does_not_is_refused(template: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_template(template, partitioned=False)


@pytest.mark.parametrize(
    "template",
    [
        "{partition}/{schema}/{table}/{from}.{part}-{hash}.{extension}",
        "{schema}/{partition}/{table}/{from}.{part}-{hash}.{extension}",
        "{schema}/{table}/{partition}-{from}.{part}-{hash}.{extension}",
    ],
)
def test_partitions_are_folders_below_the_tables(template: str) -> None:
    with pytest.raises(ValueError, match="folders below the table's"):
        check_template(template, partitioned=True)


@pytest.mark.parametrize("text", ["", "hour", "%Y-%b", "%", "%Y/../%m", "_p=%Y", "%Y//%m", "/%Y", "%Y %m"])
def test_a_partition_format_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        check_partition_format(text)


NAME = st.text(min_size=1, max_size=8)
FILE = st.tuples(
    st.tuples(NAME, NAME),
    st.integers(0, 2**40).map(lambda hours: hours % 10**6 * HOUR),
    st.tuples(st.integers(0, 10**6), st.just(10**7)),
    st.integers(0, 99999),
    st.sampled_from([SHA, SHA[::-1]]),
)


@given(FILE, FILE, st.sampled_from([PARTITIONED, OWN]))
@settings(max_examples=200)
def test_two_files_never_have_one_name_nor_two_tables_one_folder(a: tuple, b: tuple, template: str) -> None:
    partitioned = names(template, "commit_hour=%Y/%m-%d-%H")

    def key(file: tuple) -> str:
        table, commit_ts, span, part, sha256 = file
        return partitioned.key(table, partitioned.partition(commit_ts), span, part, sha256)

    assert (key(a) == key(b)) == (a == b)
    folders = [key(file).rpartition("/commit_hour=")[0] + "/" for file in (a, b)]
    if a[0] != b[0]:
        assert not folders[0].startswith(folders[1])
        assert not folders[1].startswith(folders[0])


def test_the_documentation_has_every_placeholder() -> None:
    text = (Path(__file__).parents[4] / "docs" / "s3.md").read_text()
    documented = dict(re.findall(r"^\| `\{(\w+)\}` \| (.*) \|$", text, re.MULTILINE))
    assert documented == PLACEHOLDERS
