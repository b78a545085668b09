"""A user's class: found, checked, made; and what its errors look like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_tungsten.replicator.batch.manifest import TableBatch
from airflow_provider_tungsten.replicator.batch.position import Position
from airflow_provider_tungsten.replicator.custom.files import BatchFiles
from airflow_provider_tungsten.replicator.custom.settings import CustomCsv
from airflow_provider_tungsten.replicator.custom.target import ApplierContext, CustomTarget, load_class
from airflow_provider_tungsten.replicator.errors import (
    ConfigurationError,
    DataError,
    TargetError,
    TargetUnavailableError,
)
from airflow_provider_tungsten.replicator.service import parse_service
from airflow_provider_tungsten.replicator.storage import open_storage

TABLE = TableBatch("shop", "orders", "{}", {"I": 1}, "\\N", "")


class Fits:
    """The five steps; what each does is a test's."""

    def __init__(self, context: Any) -> None:
        self.answers: dict[str, Any] = context.options

    def _do(self, step: str) -> Any:
        answer = self.answers.get(step)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def prepare(self) -> Any:
        return self._do("prepare")

    def begin(self, batch: Any) -> Any:
        return self._do("begin")

    def apply(self, table: Any) -> None:
        self._do("apply")

    def commit(self, position: Any) -> Any:
        return self._do("commit")

    def release(self) -> None:
        self._do("release")


class NoArgument(Fits):
    def __init__(self) -> None:
        pass


class TwoTables(Fits):
    def apply(self, table: Any, other: Any) -> None:  # type: ignore[override]
        pass


class Later(Fits):
    async def commit(self, position: Any) -> Any:
        return position


class Nothing:
    pass


def test_a_class_with_the_five_steps_is_found() -> None:
    assert load_class(f"{__name__}.Fits") is Fits


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("no_such_module.Class", r"no_such_module cannot be imported \(ModuleNotFoundError.*wherever tasks run"),
        (f"{__name__}.Missing", "Missing is not there in .*test_target.py"),
        (f"{__name__}.TABLE", "TABLE is no class but a TableBatch"),
        (f"{__name__}.NoArgument", "its constructor must take one argument, the ApplierContext"),
        (f"{__name__}.TwoTables", r"apply\(self, table: 'Any', other: 'Any'\) -> 'None' must be apply\(self, table\)"),
        (f"{__name__}.Later", r"commit is asynchronous; give a plain commit\(self, position\)"),
        (f"{__name__}.Nothing", r"one argument.*no method prepare\(self\).*no method begin\(self, batch\).*no method release"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named_all_at_once(path: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load_class(path)


def test_a_module_that_fails_while_it_is_imported_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "breaks_when_imported.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigurationError, match=r"cannot be imported \(ZeroDivisionError"):
        load_class("breaks_when_imported.Class")


def target(tmp_path: Path, **answers: Any) -> CustomTarget:
    files = BatchFiles(open_storage(str(tmp_path)), CustomCsv())
    context = ApplierContext("shop", "mine", answers, CustomCsv(), files)
    return CustomTarget(f"{__name__}.Fits", context)


def test_an_error_of_the_class_says_where_and_may_be_tried_again(tmp_path: Path) -> None:
    with pytest.raises(
        TargetUnavailableError, match=r"Fits: apply failed \(applier mine, shop\.orders\): OSError: full"
    ):
        target(tmp_path, apply=OSError("full")).apply(TABLE)


def test_an_error_of_this_package_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="^too long$"):
        target(tmp_path, commit=DataError("too long")).commit(Position())


@pytest.mark.parametrize("step", ["prepare", "commit"])
def test_a_step_that_must_tell_the_position_and_does_not_is_an_error(tmp_path: Path, step: str) -> None:
    made = target(tmp_path, prepare=7, commit=None)
    with pytest.raises(TargetError, match=rf"Fits: {step} must return a Position, not (int|NoneType)"):
        getattr(made, step)(*([Position()] if step == "commit" else []))


def test_settings_name_the_class_and_its_options() -> None:
    applier = {
        "type": "custom",
        "class": "lake.Target",
        "options": {"path": "/x"},
        "files": {"url": "/var/files"},
    }
    fields = {"service": "shop", "source": {"connection": "m", "server_id": 7}, "thl": {"url": "/thl"}}
    service = parse_service(fields | {"appliers": {"mine": applier}})
    shown = service.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    assert shown["appliers"]["mine"] == applier
    assert parse_service(shown) == service
    with pytest.raises(ConfigurationError, match=r"appliers\.mine\.class: .*lake"):
        parse_service(fields | {"appliers": {"mine": applier | {"class": "lake"}}})
