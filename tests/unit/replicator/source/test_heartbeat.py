from __future__ import annotations

import pytest

from airflow_provider_tungsten.replicator.errors import CorruptLogError
from airflow_provider_tungsten.replicator.filters.tables import TableFilter
from airflow_provider_tungsten.replicator.source.heartbeat import heartbeat_lacks, heartbeat_name

TO = "TO `tungsten`@`%`"


@pytest.mark.parametrize(
    ("grants", "lacking"),
    [
        ([f"GRANT ALL PRIVILEGES ON *.* {TO}"], []),
        (
            [f"GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* {TO}"],
            ["INSERT", "UPDATE", "CREATE"],
        ),
        ([f"GRANT SELECT ON *.* {TO}", f"GRANT INSERT, UPDATE, CREATE ON `tungsten\\_shop`.* {TO}"], []),
        ([f"GRANT SELECT, INSERT, UPDATE, CREATE ON `tungsten%`.* {TO}"], []),
        (
            [f"GRANT SELECT, INSERT, UPDATE, CREATE ON `tungsten_other`.* {TO}"],
            ["SELECT", "INSERT", "UPDATE", "CREATE"],
        ),
        (
            [f"GRANT SELECT, INSERT, UPDATE ON `tungsten_shop`.`heartbeat` {TO}", f"GRANT USAGE ON *.* {TO}"],
            ["CREATE"],
        ),
        ([], ["SELECT", "INSERT", "UPDATE", "CREATE"]),
    ],
)
def test_grants_are_read_as_mysql_means_them(grants: list[str], lacking: list[str]) -> None:
    assert heartbeat_lacks(grants, "shop", exists=False) == lacking
    assert heartbeat_lacks(grants, "shop", exists=True) == [name for name in lacking if name != "CREATE"]


def image(name: str) -> bytes:
    text = name.encode()
    return b"\xf8\x01\0\0\0" + bytes(7) + len(text).to_bytes(2, "little") + text


def test_the_name_is_that_of_the_last_image() -> None:
    assert heartbeat_name(image("before") + image("after ☂")) == "after ☂"


@pytest.mark.parametrize("images", [image("x")[:-1], b"\xfa" + image("x")[1:], b"\xf8"])
def test_images_that_do_not_fit_are_damage(images: bytes) -> None:
    with pytest.raises(CorruptLogError):
        heartbeat_name(images)


def test_a_service_s_own_table_takes_part_only_where_its_schema_is_named() -> None:
    everything = TableFilter()
    assert not everything.includes("tungsten_shop", "heartbeat")
    assert not everything.touches("tungsten_shop", "heartbeat")
    assert everything.includes("tungsten_shop", "orders")
    assert everything.includes("shop", "heartbeat")
    assert TableFilter(["*.*", "tungsten_*.heartbeat"]).includes("tungsten_shop", "heartbeat")
    named = TableFilter(["tungsten_shop.*"], exclude=["*.heartbeat"])
    assert not named.includes("tungsten_shop", "heartbeat")
