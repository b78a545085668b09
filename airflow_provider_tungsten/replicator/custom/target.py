"""A user's class as a target: found by its dotted path, checked, made, and its errors named.

The steps are those of :class:`BatchApplier`; docs/hooks.md tells users about them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from airflow_provider_tungsten.replicator.batch.apply import BatchApplier
from airflow_provider_tungsten.replicator.batch.manifest import BatchManifest, TableBatch
from airflow_provider_tungsten.replicator.batch.position import Position
from airflow_provider_tungsten.replicator.batch.presets import Csv
from airflow_provider_tungsten.replicator.custom.files import BatchFiles
from airflow_provider_tungsten.replicator.errors import (
    ConfigurationError,
    TargetError,
    TargetUnavailableError,
    TungstenError,
)

# The arguments of each step, by the names that the documentation gives them.
STEPS = {"prepare": (), "begin": ("batch",), "apply": ("table",), "commit": ("position",), "release": ()}


@dataclass(frozen=True)
class ApplierContext:
    """What a class is made with.

    :param service, applier: their names.
    :param options: as the settings have them.
    :param csv: the settings of the files' text; ``csv.dialect`` has separators, quotes and escapes.
    :param files: the files that batches name.
    """

    service: str
    applier: str
    options: Mapping[str, Any]
    csv: Csv
    files: BatchFiles


def load_class(path: str) -> Callable[[ApplierContext], BatchApplier]:
    """The class at a dotted path, if it has the five steps.

    :raises ConfigurationError: it cannot be imported, or does not fit; says all that is wrong with it.
    """
    module, _, name = path.rpartition(".")
    try:
        found = getattr(import_module(module), name, None)
    except Exception as error:  # a module may do anything while it is imported
        raise ConfigurationError(
            f"class {path}: {module} cannot be imported ({type(error).__name__}: {error}); it must be on the Python path "
            "wherever tasks run and DAGs are parsed"
        ) from error
    if not isinstance(found, type):
        what = "is not there" if found is None else f"is no class but a {type(found).__name__}"
        raise ConfigurationError(f"class {path}: {name} {what} in {inspect.getfile(import_module(module))}")
    if findings := list(_misfits(found)):
        raise ConfigurationError(f"class {path} is no applier: {'; '.join(findings)}")
    return found


def _misfits(found: type) -> Iterator[str]:
    if not _takes(found, "context"):
        yield "its constructor must take one argument, the ApplierContext"
    for step, arguments in STEPS.items():
        call = f"{step}({', '.join(('self', *arguments))})"
        method = getattr(found, step, None)
        if not inspect.isroutine(method):
            yield f"it has no method {call}"
        elif inspect.iscoroutinefunction(method):
            yield f"{step} is asynchronous; give a plain {call}"
        elif not _takes(method, "self", *arguments):
            yield f"{step}{inspect.signature(method)} must be {call}"


def _takes(call: Callable[..., Any], *arguments: str) -> bool:
    try:
        inspect.signature(call).bind(*arguments)
    except (TypeError, ValueError):
        return False
    return True


class CustomTarget:
    """A :class:`BatchApplier` around a user's object: whatever goes wrong in a step says which step of which class."""

    def __init__(self, path: str, context: ApplierContext) -> None:
        self._path = path
        self._at = f"applier {context.applier}"
        made = load_class(path)
        with self._named("the constructor"):
            self._inner = made(context)

    def prepare(self) -> Position:
        with self._named("prepare"):
            return self._position("prepare", self._inner.prepare())

    def begin(self, batch: BatchManifest) -> Position | None:
        self._at = f"batch {batch.plan.first}-{batch.plan.last}"
        with self._named("begin"):
            current = self._inner.begin(batch)
            return None if current is None else self._position("begin", current)

    def apply(self, table: TableBatch) -> None:
        with self._named("apply", f", {table.schema}.{table.table}"):
            self._inner.apply(table)

    def commit(self, position: Position) -> Position:
        with self._named("commit"):
            return self._position("commit", self._inner.commit(position))

    def release(self) -> None:
        with self._named("release"):
            self._inner.release()

    @contextmanager
    def _named(self, step: str, where: str = "") -> Iterator[None]:
        """:raises TargetUnavailableError: a later attempt may do better; only the class could know, and it may say so."""
        try:
            yield
        except TungstenError:
            raise
        except Exception as error:
            raise TargetUnavailableError(
                f"{self._path}: {step} failed ({self._at}{where}): {type(error).__name__}: {error}"
            ) from error

    def _position(self, step: str, answer: Any) -> Position:
        if not isinstance(answer, Position):
            raise TargetError(f"{self._path}: {step} must return a Position, not {type(answer).__name__}")
        return answer
