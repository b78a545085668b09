"""Whatever stands in a statement, the catalog takes it in or loses its tables: it never fails, and stays readable."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_tungsten.replicator.schema.catalog import Catalog
from airflow_provider_tungsten.replicator.schema.session import Session
from tests.integration.ddl_statements import STATEMENTS

WORDS = sorted({word for statement in STATEMENTS for word in re.findall(r"\w+|[^\w\s]", statement)})


@st.composite
def broken(draw: st.DrawFn) -> str:
    """A statement with words taken out, put in, and another's end."""
    words = re.findall(r"\w+|[^\w\s]", draw(st.sampled_from(STATEMENTS)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(words)))
        if draw(st.booleans()):
            del words[at : at + draw(st.integers(1, 3))]
        else:
            words.insert(at, draw(st.sampled_from(WORDS)))
    return " ".join(words)


@settings(max_examples=300)
@given(history=st.lists(broken(), min_size=1, max_size=6), sql_mode=st.sampled_from([0, 4, 1 << 20]))
def test_no_statement_makes_the_catalog_fail(history: list[str], sql_mode: int) -> None:
    catalog = Catalog({"shop": "utf8mb4"}, {}, whole=True)
    for statement in history:
        catalog.apply(statement, Session("shop", sql_mode), "mysql-bin.000001:4")
    raw = catalog.to_bytes()
    assert Catalog.from_bytes(raw).to_bytes() == raw
