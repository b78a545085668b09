"""A feed for each test; none may leave a session in a transaction."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.redshift_applier.shop import Shop
from tests.stack.redshift import Redshift
from tests.stack.s3 import S3


@pytest.fixture
def shop(redshift: Redshift, s3: S3, bucket: str) -> Shop:
    return Shop(redshift, s3, bucket)


@pytest.fixture(autouse=True)
def _no_session_is_left(redshift: Redshift) -> Iterator[None]:
    yield
    open_transactions = "SELECT COUNT(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
    assert redshift.execute(open_transactions) == ((0,),)
