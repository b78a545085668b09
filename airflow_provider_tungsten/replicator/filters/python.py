"""Filters of one's own: callables named by dotted path, for rows or for single values.

A callable for rows takes a `Change` and gives the same one, another made of it (``change.replace(note=None)``), or None: the
row is not written. It is called once a row of the log; of an update it sees both images. A callable for values takes a text or
None (NULL) and gives a text or None. Both must be pure: a batch that is written anew must become the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

from airflow_provider_tungsten.replicator.errors import ConfigurationError

Texts = Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Change:
    """One row's change. Names are those at the filter's place; texts are canonical (README, "Values"), None is NULL.

    :param schema, table: names at the filter's place.
    :param kind: ``insert``, ``update`` or ``delete``.
    :param seqno: of its transaction.
    :param commit_ts: microseconds since 1970 UTC.
    :param before: the old row; None for an insert.
    :param after: the new row; None for a delete.
    """

    schema: str
    table: str
    kind: str
    seqno: int
    commit_ts: int
    before: Texts | None
    after: Texts | None

    def replace(self, **texts: str | None) -> Change:
        """The same change with these columns' texts in the images it has."""
        before, after = (None if image is None else {**image, **texts} for image in (self.before, self.after))
        return replace(self, before=before, after=after)


RowCallable = Callable[[Change], Change | None]
ValueCallable = Callable[[str | None], str | None]


def imported(path: str) -> Callable[..., Any]:
    """
    :raises ConfigurationError: no such module or name, or it cannot be called.
    """
    module, _, name = path.rpartition(".")
    try:
        found: object = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"filter python: {path} cannot be imported: {error}") from error
    if not callable(found):
        raise ConfigurationError(f"filter python: {path} is no callable but a {type(found).__name__}")
    return found


@dataclass(frozen=True)
class RowStep:
    """A callable for rows, as one table's draft met it.

    :param columns: index among the logged columns and name at the filter's place.
    """

    path: str
    call: RowCallable
    schema: str
    table: str
    columns: tuple[tuple[int, str], ...]
