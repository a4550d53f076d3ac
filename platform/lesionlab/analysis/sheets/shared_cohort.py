"""Lay out the tested patients for a shared report: how many have which sex, age and scanner, at which site.

Counts of few patients are withheld, and others with them, so that none follows from the margins.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

from lesionlab.analysis.methods.suppression import shown_cells
from lesionlab.analysis.sheets.cohort_tables import field_name
from lesionlab.analysis.sheets.sheet import Sheet, columns
from lesionlab.analysis.statistics.sharing import Narrowed, Share
from lesionlab.analysis.words import sharing as words
from lesionlab.analysis.words import tables as table_words
from storage_schemas.facts import StudyFacts

Cell = tuple[str | None, str | None]
"""A value and a site; None: all of them."""

_UNKNOWN = table_words.UNKNOWN

CHARACTERISTICS: Mapping[str, Callable[[StudyFacts], str | None]] = {
    table_words.SEX: lambda facts: table_words.SEXES.get(facts.sex or ""),
    table_words.AGE: lambda facts: None if facts.age_years is None else words.age_band(facts.age_years),
    table_words.FIELD: field_name,
    table_words.ACQUISITION: lambda facts: facts.acquisition,
    words.SCANNER: lambda facts: " ".join(filter(None, (facts.manufacturer, facts.model))) or None,
}


def shared_cohort_sheet(facts: Sequence[StudyFacts], narrowed: Narrowed, share: Share) -> Sheet | None:
    """One line per value of each characteristic, one column per site that may be shown; None without known patients.

    A patient counts once, with the first study by name.
    """
    first: dict[str, StudyFacts] = {}
    for own in sorted(facts, key=lambda one: one.study):
        if own.visit == "this" and own.patient in narrowed.patients:
            first.setdefault(own.patient, own)
    people = list(first.values())
    if len(people) < share.smallest:
        return None
    site_of = {one.patient: narrowed.site_names.get(one.site, one.site) for one in people}
    by_site = Counter(site_of.values())
    sites = _shown_sites(by_site, narrowed.sites, share.smallest)
    lines: list[tuple[str, ...]] = [(words.PATIENTS, "", str(len(people)), *(str(by_site[site]) for site in sites))]
    for characteristic, value in CHARACTERISTICS.items():
        levels = _levels({one.patient: value(one) or _UNKNOWN for one in people}, share.smallest)
        if set(levels.values()) != {_UNKNOWN}:
            lines += _lines(characteristic, levels, site_of, sites, share.smallest)
    return Sheet(
        words.COHORT,
        (*columns(*words.COHORT_COLUMNS), *columns(words.ALL, *sites, group=words.COHORT)),
        tuple(lines),
        heads=2,
        notes=(words.cohort_note(share),),
    )


def _shown_sites(by_site: Counter[str], sites: Collection[str], smallest: int) -> list[str]:
    leaves: dict[str | None, int] = {site: count for site, count in by_site.items() if site in sites}
    leaves[None] = sum(count for site, count in by_site.items() if site not in sites)
    cells: dict[str | None, set[str | None]] = {site: {site} for site in leaves if site is not None}
    cells[None] = set(leaves)
    shown = shown_cells(cells, leaves, smallest, margins=[None])
    return sorted(site for site in shown if site is not None)


def _levels(levels: Mapping[str, str], smallest: int) -> dict[str, str]:
    """Put the values of few patients together: that a value occurs at all would tell of them."""
    counts = Counter(levels.values())
    return {patient: level if counts[level] >= smallest else words.OTHER_VALUES for patient, level in levels.items()}


def _lines(
    characteristic: str, level_of: Mapping[str, str], site_of: Mapping[str, str], sites: Sequence[str], smallest: int
) -> list[tuple[str, ...]]:
    """The counts that may be shown; no line where the margins alone would give a few patients away."""
    counts = Counter((level_of[patient], site_of[patient]) for patient in level_of)
    levels = sorted({level for level, _ in counts}, key=lambda level: (level in (words.OTHER_VALUES, _UNKNOWN), level))
    every = {site for _, site in counts}
    leaves = {(level, site): counts[level, site] for level in levels for site in every}
    cells: dict[Cell, set[tuple[str, str]]] = {(None, None): set(leaves)}
    cells |= {(None, site): {(level, site) for level in levels} for site in sites}
    cells |= {(level, None): {(level, site) for site in every} for level in levels}
    cells |= {(level, site): {(level, site)} for level in levels for site in sites}
    totals: list[Cell] = [(None, None), *((None, site) for site in sites)]
    shown = shown_cells(cells, leaves, smallest, margins=totals)
    if not shown >= set(totals):
        return []
    of_site = {site: sum(leaves[leaf] for leaf in cells[None, site]) for site in (None, *sites)}
    return [
        (
            characteristic,
            level,
            *(
                _share(sum(leaves[leaf] for leaf in cells[level, site]), of_site[site])
                if (level, site) in shown
                else words.WITHHELD
                for site in (None, *sites)
            ),
        )
        for level in levels
    ]


def _share(count: int, of: int) -> str:
    return f"{count} ({count / of:.0%})" if count else "0"
