"""Row images of every type with bytes changed, cut short: only our own errors, or another value."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest

from airflow_provider_tungsten.replicator.binlog.constants import ColumnType
from airflow_provider_tungsten.replicator.binlog.definition import Column
from airflow_provider_tungsten.replicator.errors import CorruptLogError, DataError
from tests.unit.replicator.binlog.test_rows import csv, image, number, table
from tests.unit.replicator.binlog.witnesses import VARIANTS, WITNESSES


@pytest.mark.parametrize("kind", sorted(WITNESSES | VARIANTS))
def test_a_damaged_value_is_refused_or_another_value(kind: str) -> None:
    column, value = (WITNESSES | VARIANTS)[kind]
    definition = table(Column("id", "int", ColumnType.LONG), column)
    dice = random.Random(kind)
    for _ in range(300):
        damaged = bytearray(image(number(1), value))
        for _ in range(dice.randint(1, 4)):
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        del damaged[dice.choice([len(damaged), dice.randrange(len(damaged))]) :]
        with suppress(CorruptLogError, DataError):
            assert csv(definition, bytes(damaged)).count("\n") >= bool(damaged)
