from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_tungsten.replicator.binlog.gtid import GtidSet, read_varlen
from airflow_provider_tungsten.replicator.errors import CorruptLogError

A = "43b90d6a-e531-11f1-9726-02fc00000001"
B = "55778904-0299-11f1-b1b8-4ef0c4956feb"


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("", ""),
        (f"{A}:1-5", f"{A}:1-5"),
        (f"{A}:1-5:6:8-9", f"{A}:1-6:8-9"),
        (f"{A}:7:1-3:2-5", f"{A}:1-5:7"),
        (f"{B}:1,\n{A}:2", f"{A}:2,{B}:1"),
        (f"{A.upper()}:MyTag:1-3", f"{A}:mytag:1-3"),
        (f"{A}:tag:5,{A}:1-2,{A}:another:9", f"{A}:1-2:another:9:tag:5"),
        (f"{A}:1-112:mytag:1:3:_t2:7", f"{A}:1-112:_t2:7:mytag:1:3"),
    ],
)
def test_text_as_the_server_writes_it(text: str, normal: str) -> None:
    assert str(GtidSet.parse(text)) == normal
    assert GtidSet.parse(normal) == GtidSet.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "x",
        A,
        f"{A}:",
        f"{A}:0",
        f"{A}:5-4",
        f"{A}:tag",
        f"{A}:1:tag",
        f"{A}:t:a:1",
        f"{A}:1-2-3",
        "1-5",
        f"{A}:-1",
    ],
)
def test_what_is_no_gtid_set_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="GTID|tag"):
        GtidSet.parse(text)


def test_adding_joins_intervals() -> None:
    gtids = GtidSet()
    for gno in (1, 2, 3, 7, 5, 6, 4, 4, 9):
        gtids.add(A, gno)
    gtids.add(A, 1, "tag")
    assert str(gtids) == f"{A}:1-7:9:tag:1"


def test_contains() -> None:
    whole = GtidSet.parse(f"{A}:1-10:20-30:tag:1-5")
    for part in ("", f"{A}:1-10", f"{A}:5", f"{A}:20-25:tag:2-3", str(whole)):
        assert whole.contains(GtidSet.parse(part))
    for other in (f"{A}:11", f"{A}:10-20", f"{A}:tag:6", f"{A}:other:1", f"{B}:1", f"{A}:1-31"):
        assert not whole.contains(GtidSet.parse(other))


def test_a_copy_is_its_own() -> None:
    gtids = GtidSet.parse(f"{A}:1")
    copy = gtids.copy()
    copy.add(A, 2)
    assert (str(gtids), str(copy)) == (f"{A}:1", f"{A}:1-2")
    assert not GtidSet()
    assert gtids


def test_untagged_sets_have_the_form_that_older_servers_know() -> None:
    encoded = GtidSet.parse(f"{A}:1-75").encode()
    assert encoded.hex() == (
        "010000000000000043b90d6ae53111f1972602fc00000001010000000000000001000000000000004c00000000000000"
    )


def test_tagged_sets_have_the_form_of_mysql_8_3() -> None:
    # The PREVIOUS_GTIDS event of a MySQL 9.7.4.
    body = bytes.fromhex(
        "0102000000000001"
        "43b90d6ae53111f1972602fc00000001"
        "00"
        "0100000000000000"
        "0100000000000000"
        "4b00000000000000"
        "43b90d6ae53111f1972602fc00000001"
        "0a6d79746167"
        "0100000000000000"
        "0100000000000000"
        "0200000000000000"
    )
    gtids = GtidSet.decode(body)
    assert str(gtids) == f"{A}:1-74:mytag:1"
    assert gtids.encode() == body


_sources = st.tuples(st.sampled_from([A, B]), st.sampled_from(["", "tag", "_other"]))


@given(st.lists(st.tuples(_sources, st.integers(1, 40))))
def test_any_set_is_what_was_added(added: list[tuple[tuple[str, str], int]]) -> None:
    gtids = GtidSet()
    for (source, tag), gno in added:
        gtids.add(source, gno, tag)
    assert GtidSet.parse(str(gtids)) == gtids
    assert GtidSet.decode(gtids.encode()) == gtids
    for source in (A, B):
        for tag in ("", "tag", "_other"):
            for gno in range(1, 41):
                one = GtidSet()
                one.add(source, gno, tag)
                assert gtids.contains(one) == (((source, tag), gno) in added)


@given(*[st.lists(st.tuples(_sources, st.integers(1, 12), st.integers(0, 5)), max_size=6)] * 2)
def test_what_one_set_has_and_another_lacks(
    ours: list[tuple[tuple[str, str], int, int]], theirs: list[tuple[tuple[str, str], int, int]]
) -> None:
    def singles(added: list[tuple[tuple[str, str], int, int]]) -> set[tuple[str, int, str]]:
        return {
            (source, gno, tag) for (source, tag), first, more in added for gno in range(first, first + more)
        }

    def made(members: set[tuple[str, int, str]]) -> GtidSet:
        gtids = GtidSet()
        for member in members:
            gtids.add(*member)
        return gtids

    one, other = singles(ours), singles(theirs)
    assert made(one).minus(made(other)) == made(one - other)


@given(st.binary(max_size=80))
def test_any_bytes_are_a_set_or_corrupt(body: bytes) -> None:
    try:
        GtidSet.decode(body)
    except CorruptLogError:
        pass


@given(st.integers(0, 2**64 - 1))
def test_numbers_of_variable_length(value: int) -> None:
    more = next(extra for extra in range(9) if extra == 8 or value < 1 << 7 * (extra + 1))
    if more == 8:
        encoded = b"\xff" + value.to_bytes(8, "little")
    else:
        encoded = (value << (more + 1) | (1 << more) - 1).to_bytes(more + 1, "little")
    assert read_varlen(encoded + b"x", 0) == (value, len(encoded))
