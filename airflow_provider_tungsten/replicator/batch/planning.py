"""Which micro-batches a run takes: by hand, by interval, or what is due; and how they are dealt out to tasks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from airflow_provider_tungsten.replicator.batch.chain import Chain, check_range
from airflow_provider_tungsten.replicator.batch.manifest import Plan

NO_LIMIT = 2**31


def due(chain: Chain, position: int, *, per_run: int, token: str) -> list[Plan]:
    """The next micro-batches behind what is applied, planned now where they are not yet; at most ``per_run``.

    :param position: last seqno known to be applied, -1 when none is.
    """
    plans = list(islice(chain.pending(position), per_run))
    room = per_run - len(plans)
    if room and chain.extend(token=token, limit=room, waiting=bool(plans)):
        plans = list(islice(chain.pending(position), per_run))
    return plans


def by_range(chain: Chain, position: int, first: int | None, last: int | None, *, token: str) -> list[Plan]:
    """The micro-batches that hold ``first`` to ``last``, and before them all that is not applied.

    :param first, last: seqnos; None: from what is not applied, to the log's end.
    :raises RangeError: the range does not exist.
    """
    check_range(chain.log, first, last)
    head = chain.log.head()
    assert head is not None
    last = head.last if last is None else last
    chain.extend(token=token, limit=NO_LIMIT, waiting=False, through=last)
    behind = min(position + 1, last)
    return list(chain.locate(behind if first is None else min(first, behind), last))


def by_interval(chain: Chain, position: int, after_us: int, until_us: int, *, token: str) -> list[Plan]:
    """The micro-batches whose watermark lies in (after, until], microseconds, and before them all that is not applied."""
    seqnos = chain.log.seqnos_between(after_us, until_us)
    if seqnos is None:
        return []
    chain.extend(token=token, limit=NO_LIMIT, waiting=False, through=seqnos[1])
    selected = chain.plans_in_interval(after_us, until_us)
    return [] if selected is None else list(chain.locate(min(selected[0], position + 1), selected[1]))


def dealt(plans: Sequence[Plan], *, per_task: int, max_tasks: int) -> list[tuple[int, int]]:
    """First and last seqno for each task: ``per_task`` adjacent micro-batches, more where ``max_tasks`` asks for it."""
    size = max(per_task, -(-len(plans) // max_tasks))
    parts = [plans[begin : begin + size] for begin in range(0, len(plans), size)]
    return [(part[0].first, part[-1].last) for part in parts]
