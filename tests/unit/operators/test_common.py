from __future__ import annotations

import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
import yaml
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowNotFoundException

from airflow_provider_tungsten.operators import common
from airflow_provider_tungsten.operators.common import (
    Progress,
    engine_errors,
    open_branch,
    read_service,
    seqno,
    writer_token,
)
from airflow_provider_tungsten.replicator.errors import (
    ConfigurationError,
    RangeError,
    SourceUnavailableError,
)
from airflow_provider_tungsten.replicator.service import parse_service

REDSHIFT = {"files": {"url": "s3://lake/batches"}}
FIELDS: dict[str, Any] = {
    "service": "shop",
    "source": {"connection": "mysql_shop", "server_id": 7},
    "thl": {"url": "/var/thl"},
    "appliers": {"redshift": REDSHIFT},
}


def test_a_service_may_be_given_in_three_forms(tmp_path: Path) -> None:
    service = parse_service(FIELDS)
    path = tmp_path / "shop.yaml"
    path.write_text(yaml.safe_dump(FIELDS))
    assert read_service(service) == read_service(FIELDS) == read_service(str(path)) == service


@pytest.mark.parametrize(("given", "meant"), [(None, None), ("", None), (0, 0), (7, 7), ("12", 12)])
def test_a_seqno_may_come_as_a_number_or_out_of_a_template(
    given: int | str | None, meant: int | None
) -> None:
    assert seqno(given, "from_seqno") == meant


@pytest.mark.parametrize("given", [-1, "-1", "None", "1.5", True, 1.5])
def test_anything_else_is_no_seqno(given: Any) -> None:
    with pytest.raises(ConfigurationError, match="to_seqno.*is not a seqno"):
        seqno(given, "to_seqno")


def test_a_terminal_error_is_not_retried_and_a_transient_one_is() -> None:
    with pytest.raises(AirflowFailException, match="RangeError: no such range"), engine_errors():
        raise RangeError("no such range")
    with pytest.raises(SourceUnavailableError), engine_errors():
        raise SourceUnavailableError("down")


def test_the_reason_stands_once_above_the_whole_traceback() -> None:
    cause = OSError("disk on fire")
    with pytest.raises(AirflowFailException) as caught, engine_errors():
        raise RangeError("no such range") from cause
    assert caught.value.__cause__ is cause
    assert "in test_the_reason_stands" in str(traceback.format_tb(caught.tb))


def test_a_connection_that_does_not_exist_is_not_retried() -> None:
    with (
        pytest.raises(AirflowFailException, match="`lake` isn't defined.*Add the connection"),
        engine_errors(),
    ):
        raise AirflowNotFoundException("The conn_id `lake` isn't defined")


def test_the_only_applier_needs_no_name_one_of_several_does() -> None:
    assert open_branch(parse_service(FIELDS), None).name == "redshift"
    several = parse_service(FIELDS | {"appliers": {"east": REDSHIFT, "west": REDSHIFT}})
    with pytest.raises(ConfigurationError, match="east, west"):
        open_branch(several, None)
    assert open_branch(several, "west").folder.url == "s3://lake/batches/shop/west"


def test_a_batch_is_written_to_the_staging_folder_where_there_is_one(tmp_path: Path) -> None:
    staged = FIELDS | {"appliers": {"redshift": REDSHIFT | {"staging_folder": str(tmp_path)}}}
    assert open_branch(parse_service(FIELDS), None).writes_to.url == "s3://lake/batches/shop/redshift"
    assert open_branch(parse_service(staged), None).writes_to.url == f"{tmp_path}/shop/redshift"


def test_every_attempt_signs_with_a_token_of_its_own() -> None:
    ti = SimpleNamespace(dag_id="d", run_id="r", task_id="batch", map_index=3, try_number=2)
    one, two = writer_token({"ti": ti}), writer_token({"ti": ti})
    assert one.startswith("d/r/batch[3]/try 2")
    assert one != two


def test_progress_is_told_every_ten_seconds_with_its_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(common.time, "monotonic", lambda: now)
    log = MagicMock()
    progress = Progress(log, "writing", "rows")
    for second in range(25):
        now = float(second)
        progress.add(100, seqno=second)
    assert [call.kwargs["seqno"] for call in log.info.call_args_list] == [10, 20]
    assert log.info.call_args.kwargs == {"rows": 2100, "seqno": 20, "seconds": 20.0, "rows_per_second": 105.0}
