"""A service's steps one after the other in one process, without Airflow: extract, plan, batch, upload, load.

The steps are the engine's; their order and their limits are those of the DAG.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from airflow_provider_tungsten.replicator import targets
from airflow_provider_tungsten.replicator.batch.apply import LoadResult
from airflow_provider_tungsten.replicator.batch.manifest import Plan
from airflow_provider_tungsten.replicator.batch.planning import due
from airflow_provider_tungsten.replicator.batch.upload import upload_batch
from airflow_provider_tungsten.replicator.batch.writer import write_batch
from airflow_provider_tungsten.replicator.branch import Branch, StoreOpener, open_branch
from airflow_provider_tungsten.replicator.custom.settings import check_target
from airflow_provider_tungsten.replicator.extraction import ExtractResult, Progress
from airflow_provider_tungsten.replicator.extractor import extract
from airflow_provider_tungsten.replicator.service import Service
from airflow_provider_tungsten.replicator.source.connection import MySQLEndpoint

STEPS = ("extract", "plan", "batch", "upload", "load")


@dataclass(frozen=True)
class Connections:
    """What turns the names of connections in a service into live ones."""

    mysql: Callable[[str], MySQLEndpoint]
    store: StoreOpener
    redshift: targets.RedshiftConnector


@dataclass(frozen=True)
class Applied:
    """What one pass did for one applier.

    :param planned: micro-batches that were due; ``written``: of these, batches that are there now; ``rows``: in them.
    :param load: None: nothing was to be loaded.
    """

    applier: str
    planned: int
    written: int
    rows: int
    load: LoadResult | None


@dataclass(frozen=True)
class Pass:
    """What one pass did.

    :param extract: None: the step was not asked for.
    :param appliers: none where only that step was.
    :param stopped: it ended early, since it was asked to.
    """

    extract: ExtractResult | None
    appliers: tuple[Applied, ...]
    stopped: bool

    @property
    def idle(self) -> bool:
        """Nothing was new, anywhere, but for the heartbeat with which each extraction begins."""
        extract = self.extract
        extracted = extract is not None and (extract.rows > 0 or extract.reason != "head")
        return not extracted and not any(one.planned for one in self.appliers)


class _StoppedError(Exception):
    """Somebody asked for the end; what is begun is not finished, what is finished stays."""


class Runner:
    """
    :param steps: which of :data:`STEPS` to take.
    :param appliers: names; their own order.
    :param token: signs what is written.
    :param tell: called with what is being done, e.g. ``load redshift: seqno 17``.
    :param stop: asked often; True: end behind the transaction, the batch's part or the batch that is at work.
    """

    def __init__(
        self,
        service: Service,
        connections: Connections,
        *,
        steps: Sequence[str] = STEPS,
        appliers: Sequence[str],
        token: str,
        tell: Callable[[str], None] = lambda text: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._service = service
        self._connections = connections
        self._steps = steps
        self._appliers = appliers
        self._token = token
        self._tell = tell
        self._stop = stop

    def once(self) -> Pass:
        """One pass over all steps, in the DAG's limits.

        :raises ConfigurationError: no such applier, or one whose class does not fit; nothing is written.
        :raises TungstenError: of a step; what was done before it stays done.
        """
        branches = [open_branch(self._service, name, self._connections.store) for name in self._appliers]
        for branch in branches:
            check_target(branch.applier)
        extracted = self._extract() if "extract" in self._steps else None
        applied: list[Applied] = []
        for branch in branches if {*self._steps} != {"extract"} else ():
            if self._stop():
                break
            applied.append(self._apply(branch))
        return Pass(extracted, tuple(applied), self._stop())

    def _extract(self) -> ExtractResult:
        def told(done: Progress) -> None:
            self._tell(
                f"extract: {done.transactions:,} transactions, {done.rows:,} rows, at {done.event_id.partition(';')[0]}"
            )

        self._tell("extract")
        return extract(
            self._service,
            self._connections.mysql(self._service.source.connection),
            self._connections.store(self._service.thl),
            token=self._token,
            progress=told,
            stop=self._stop,
        )

    def _apply(self, branch: Branch) -> Applied:
        plans = self._plans(branch)
        written: list[Plan] = []
        load = None
        try:
            for plan in self._written(branch, plans):
                written.append(plan)
            if "load" in self._steps and plans:
                load = self._load(branch, plans[-1].last)
        except _StoppedError:
            pass
        return Applied(branch.name, len(plans), len(written), sum(plan.rows for plan in written), load)

    def _plans(self, branch: Branch) -> list[Plan]:
        self._tell(f"plan {branch.name}")
        position = targets.known_seqno(branch)
        if "plan" in self._steps:
            return due(branch.chain, position, per_run=branch.applier.batches.per_run, token=self._token)
        return list(islice(branch.chain.pending(position), branch.applier.batches.per_run))

    def _written(self, branch: Branch, plans: list[Plan]) -> Iterator[Plan]:
        for number, plan in enumerate(plans, 1):
            self._check()
            what = f"{branch.name} {number}/{len(plans)}: seqno {plan.first:,} to {plan.last:,}"
            if "batch" in self._steps:
                self._tell(f"batch {what}")
                write_batch(
                    branch.log,
                    plan,
                    self._service,
                    branch.name,
                    branch.writes_to,
                    token=self._token,
                    progress=lambda *_: self._check(),
                )
            if "upload" in self._steps and branch.staging is not None:
                self._tell(f"upload {what}")
                is_feed = branch.applier.is_feed
                upload_batch(branch.staging, branch.folder, plan, token=self._token, is_feed=is_feed)
            if "batch" in self._steps or "upload" in self._steps:
                yield plan

    def _load(self, branch: Branch, through: int) -> LoadResult:
        def loaded(seqno: int, rows: int, **_: int) -> None:
            self._tell(f"load {branch.name}: seqno {seqno:,} of {through:,}, {rows:,} rows")
            self._check()

        self._tell(f"load {branch.name}")
        return targets.load(
            branch, self._connections.redshift, through=through, token=self._token, progress=loaded
        )

    def _check(self) -> None:
        if self._stop():
            raise _StoppedError
