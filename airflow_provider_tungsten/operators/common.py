"""What the operators share: a service in any form, one applier's place in it, errors as Airflow knows them, progress.

Modules of the engine are imported by the operators that use them, when they run: a DAG is parsed before each of its tasks.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowNotFoundException
from airflow.sdk import Context

from airflow_provider_tungsten.replicator.custom.settings import check_target
from airflow_provider_tungsten.replicator.errors import ConfigurationError, RangeError, TerminalError
from airflow_provider_tungsten.replicator.service import Service, load_service, parse_service

if TYPE_CHECKING:
    from airflow_provider_tungsten.replicator.batch.chain import Chain
    from airflow_provider_tungsten.replicator.batch.manifest import Plan
    from airflow_provider_tungsten.replicator.branch import Branch

ServiceLike = Service | Mapping[str, Any] | str | Path
PROGRESS_SECONDS = 10
MAX_OBJECTS = 50


def read_service(service: ServiceLike) -> Service:
    """A service from itself, a mapping, or the path of a service file.

    :raises ConfigurationError: see :func:`parse_service`, :func:`load_service`.
    """
    if isinstance(service, Service):
        return service
    return parse_service(service) if isinstance(service, Mapping) else load_service(service)


def writer_token(context: Context) -> str:
    """Tells this attempt of this task instance from every other writer; error messages of others show it."""
    from airflow_provider_tungsten.replicator.storage import new_token

    ti = context["ti"]
    index = "" if ti.map_index < 0 else f"[{ti.map_index}]"
    return new_token(f"{ti.dag_id}/{ti.run_id}/{ti.task_id}{index}/try {ti.try_number}")


def seqno(value: int | str | None, name: str) -> int | None:
    """A seqno as an operator gets it: a number, its text (out of a template), or nothing (None or '').

    :raises ConfigurationError: anything else.
    """
    if value is None or value == "":
        return None
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ConfigurationError(
            f"{name}: {value!r} is not a seqno; give a whole number from 0 on, or nothing"
        )
    return value


@contextmanager
def engine_errors() -> Iterator[None]:
    """A terminal error, or a connection that does not exist, fails the task at once; any other is left to its retries.

    The reason then stands in the task's log once, at the head of the whole traceback.
    """
    try:
        yield
    except TerminalError as error:
        raise _final(error, f"{type(error).__name__}: {error}") from error.__cause__
    except AirflowNotFoundException as error:
        mend = "Add the connection to Airflow, or name another one in the service"
        raise _final(error, f"{error}. {mend}") from error.__cause__


def _final(error: Exception, reason: str) -> Exception:
    final: Exception = AirflowFailException(reason)
    return final.with_traceback(error.__traceback__)


def open_branch(service: Service, name: str | None) -> Branch:
    """An applier's place, by Airflow's connections; see :func:`.branch.open_branch`.

    :raises ConfigurationError: its target does not fit, so that nothing may be written for it.
    """
    from airflow_provider_tungsten.hooks.storage import open_store
    from airflow_provider_tungsten.replicator import branch

    found = branch.open_branch(service, name, open_store)
    check_target(found.applier)
    return found


def planned(chain: Chain, first: int, last: int) -> list[Plan]:
    """The micro-batches that make up ``first`` to ``last``.

    :raises RangeError: not all of the range is planned.
    """
    plans = list(chain.locate(first, last))
    if first > last or not plans or plans[0].first > first or plans[-1].last < last:
        raise RangeError(
            f"seqnos {first} to {last} are not planned as micro-batches: the plans reach from 0 to {chain.end()}. "
            "Plan first (PlanBatchesOperator), which takes the same range"
        )
    return plans


class Progress:
    """Adds up what the engine reports and logs it, with its rate, at most once every ten seconds.

    :param unit: what is counted, e.g. ``rows``.
    """

    def __init__(self, log: Any, event: str, unit: str) -> None:
        self._log = log
        self._event = event
        self._unit = unit
        self._started = self._logged = time.monotonic()
        self.done = 0

    def __call__(self, **figures: Any) -> None:
        """What is done so far, the unit's figure among it."""
        if time.monotonic() - self._logged >= PROGRESS_SECONDS:
            self._logged = time.monotonic()
            self._log.info(self._event, **figures | self.rate(figures[self._unit]))

    def add(self, count: int, **figures: Any) -> None:
        """So many more are done."""
        self.done += count
        self(**{self._unit: self.done}, **figures)

    def within(self, count: int, *_: Any) -> None:
        """So many are done of a piece that is still to be added as a whole."""
        self(**{self._unit: self.done + count})

    def rate(self, count: int) -> dict[str, float]:
        """Seconds since the beginning, and ``count`` per second."""
        seconds = max(time.monotonic() - self._started, 1e-6)
        return {"seconds": round(seconds, 2), f"{self._unit}_per_second": round(count / seconds, 1)}
