"""Whether a service's filters fit the tables that the source has: all findings at once. The questions are preflight's.

A name that is nowhere is a finding, since it is a slip of the pen or a table that was dropped, and what it was to hide
would be shown; a pattern that matches nothing is a warning.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from airflow_provider_tungsten.replicator.binlog.definition import TableDefinition
from airflow_provider_tungsten.replicator.errors import TerminalError
from airflow_provider_tungsten.replicator.filters import files, names, pipeline, settings, structure
from airflow_provider_tungsten.replicator.filters.draft import Draft
from airflow_provider_tungsten.replicator.filters.names import Table, is_pattern, matches
from airflow_provider_tungsten.replicator.filters.settings import Filter, Filters
from airflow_provider_tungsten.replicator.filters.tables import TableFilter

Reference = tuple[str, ...]  # schema, schema and table, or schema, table and column
Unique = Mapping[Table, Sequence[Collection[str]]]


@dataclass
class Examined:
    """:param keyed: tables that every applier has a key for, whether or not the source has."""

    findings: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    keyed: set[Table] = field(default_factory=set)


@dataclass(frozen=True)
class Chain:
    """The filters of one applier.

    :param place: where they stand in the service file, one for each.
    :param tables: the applier's own rules; what they leave out is not filtered.
    """

    filters: Filters
    places: tuple[str, ...]
    tables: TableFilter


def check(
    chains: Collection[Chain], tables: Collection[TableDefinition], included: TableFilter, unique: Unique
) -> Examined:
    """
    :param tables: all of the source, without the columns that it keeps out of the log.
    :param included: what the source lets into the log.
    :param unique: columns of the unique indexes, none of which may be NULL.
    """
    examined = Examined()
    drafts: dict[Table, list[Draft]] = {}
    for chain in chains:
        try:
            whole = files.complete(chain.filters)
            pipeline.fingerprint(whole)
        except TerminalError as error:
            examined.findings.append(str(error))
            continue
        _check_names(whole, chain.places, tables, examined)
        for draft in _drafts(whole, chain, tables, included, examined):
            drafts.setdefault((draft.logged.schema, draft.logged.table), []).append(draft)
    examined.keyed = {table for table, found in drafts.items() if all(draft.key for draft in found)}
    for found in drafts.values():
        examined.warnings += [text for draft in found if (text := _loose_key(draft, unique))]
    examined.findings = list(dict.fromkeys(examined.findings))
    examined.warnings = list(dict.fromkeys(examined.warnings))
    return examined


def _drafts(
    filters: Filters,
    chain: Chain,
    tables: Collection[TableDefinition],
    included: TableFilter,
    examined: Examined,
) -> Iterator[Draft]:
    """The tables that the applier takes, behind its filters."""
    targets = names.Names(filters)
    taken: dict[Table, str] = {}
    for table in tables:
        name = (table.schema, table.table)
        target = targets.target(*name)
        if target is None or not (included.includes(*name) and chain.tables.includes(*name)):
            continue
        other = taken.setdefault(target, table.name)
        if other != table.name:
            examined.findings.append(
                f"{other} and {table.name} both become {'.'.join(target)}: give one of them another name in filter rename"
            )
        hidden = chain.tables.excluded_columns(*name, [column.name for column in table.columns])
        try:
            draft = pipeline.apply(filters, table, hidden)
            draft.definition()
        except TerminalError as error:
            examined.findings.append(str(error))
            continue
        if draft.lost_key and not draft.key:
            examined.findings.append(
                f"{table.name}: a filter takes away {', '.join(draft.lost_key)} of the key: keep the column, or give another key "
                "(filter custompkey)"
            )
        yield draft


def _loose_key(draft: Draft, unique: Unique) -> str | None:
    """What happens to a key that the source does not keep unique."""
    key = {draft.logged.columns[each.index].name for each in draft.key if each.index is not None}
    if not key or key >= set(draft.logged.primary_key or ("",)):
        return None
    if any(key >= set(columns) for columns in unique.get((draft.logged.schema, draft.logged.table), ())):
        return None
    return (
        f"{draft.logged.name}: no unique index without NULL holds the key of filter custompkey ({', '.join(sorted(key))}); of rows "
        "with equal values the target keeps the one that was changed last"
    )


def _check_names(
    filters: Filters, places: Sequence[str], tables: Collection[TableDefinition], examined: Examined
) -> None:
    """What each filter names must be there when its turn comes, under the names that the filters before it gave."""
    wanted = [list(_references(each)) for each in filters]
    met: list[set[Reference]] = [set() for _ in filters]
    for table in tables:
        draft = Draft.of(table)
        for each, references, found in zip(filters, wanted, met, strict=True):
            found.update(reference for reference in references if _is_met(reference, draft))
            if isinstance(each, settings.Replicate) and not names.replicates(each, draft.schema, draft.table):
                break
            if isinstance(each, _NAMING):
                structure.apply(each, draft)
    for each, place, references, found in zip(filters, places, wanted, met, strict=True):
        for reference in references:
            if reference in found:
                continue
            text = f"{place} ({each.filter}): the source has no {_WHAT[len(reference)]} {'.'.join(reference)} at that place"
            if any(map(is_pattern, reference)):
                examined.warnings.append(f"{text}; the pattern matches nothing")
            else:
                examined.findings.append(f"{text}: correct the name, or take it out")


_WHAT = {1: "schema", 2: "table", 3: "column"}
# Those that change what later ones see; the others cannot fail here.
_NAMING = (
    settings.Rename,
    settings.CaseTransform,
    settings.DropColumn,
    settings.ReplicateColumns,
    settings.RowAddDbName,
    settings.CustomCdc,
)


def _is_met(reference: Reference, draft: Draft) -> bool:
    place = (draft.schema, draft.table)[: len(reference)]
    if not all(matches(pattern, name) for pattern, name in zip(reference, place, strict=False)):
        return False
    return len(reference) < 3 or any(matches(reference[2], each.name) for each in draft.fields)


def _references(each: Filter) -> Iterator[Reference]:
    """What a filter names; what it takes for granted (all columns, all tables) is nothing named."""
    if isinstance(each, settings.Replicate | settings.ReplicateColumns):
        yield from (_parts(text) for text in (*each.do, *each.ignore))
    elif isinstance(each, settings.DropColumn | settings.CustomPkey):
        for listed in each.definitions:
            yield from ((listed.schema_, listed.table, column) for column in listed.columns)
    elif isinstance(each, settings.Rename):
        for request in each.definitions:
            place: Reference = (request.schema_, request.table, request.column)
            while place[-1] == "*":
                place = place[:-1]
            yield place
    elif isinstance(each, settings.SkipEventByType):
        yield from ((schema, table) for schema, found in each.definitions.items() for table in found)
    elif isinstance(each, settings.DropOnValueFilter):
        yield from ((entry.schema_, entry.table, entry.column) for entry in each.definitions)
    else:
        given = each.model_fields_set
        for field_ in ("tables", "columns"):
            if field_ in given:
                yield from (_parts(text) for text in getattr(each, field_))


def _parts(text: str) -> Reference:
    return tuple(text.split("."))
