"""Narrow rows to what may leave: no number that is computed from them describes fewer patients than the smallest count.

Everything that a shared report says is computed from narrowed rows alone. Within a table all models have values of the
same patients, so that means cannot be subtracted from each other; a metric of a model whose patients are too few, or
too unlike those of the other models, has no values.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from lesionlab.analysis.methods.suppression import shown_cells
from lesionlab.analysis.statistics.conditions import Condition, condition_of, conditions, groups, value_of
from lesionlab.analysis.statistics.external import TableRow
from lesionlab.analysis.statistics.rows import Row
from storage_schemas.axes import Axes
from storage_schemas.base import digest_of
from storage_schemas.experiments import Undefined
from storage_schemas.metrics import METRICS, Metric
from storage_schemas.sites import SMALLEST_COUNT
from storage_schemas.splits import ALL_SITES, OTHER_SITES

Level = Literal["site", "consortium", "public"]
"""site: all of it, for the hospitals whose patients they are. consortium: aggregates for its members. public: the same
for everybody, with letters for the sites."""

Patients = frozenset[str]

_ALIKE = 0.5
"""Part of the patients of a table that a model must share with the others, else it leaves the table."""


@dataclass(frozen=True)
class Share:
    """Who a report is for, and how few patients a number in it may describe."""

    level: Level = "site"
    smallest: int = SMALLEST_COUNT


class SharedRow(TableRow):
    """A narrowed row. What it lacks stays undefined: F1 does not follow from the other metrics."""

    def measured(self, metric: Metric) -> float | None:
        """Its value of a metric."""
        value: float | None = getattr(self, metric)
        return value


@dataclass(frozen=True)
class Narrowed:
    """The rows that may be analysed, and what was left out."""

    rows: tuple[SharedRow, ...]
    sites: tuple[str, ...]
    """Those, by their shown names, that tables may show by themselves."""
    by_site: tuple[Condition, ...]
    """The models that tables by site may have."""
    left_out: tuple[Condition, ...]
    """Models without any value that may be shown."""
    site_names: Mapping[str, str]
    """How each site is called."""
    patients: Patients
    """Those that numbers are of, by their own labels: for the table of patients, never to be shown."""

    def renamed(self, axes: Mapping[str, Any]) -> dict[str, Any]:
        """Values of axes with the sites by their shown names."""
        names = {name: axes[name] for name in ("site", "train_site", "test_site") if axes.get(name) is not None}
        return dict(axes) | {name: self.site_names.get(site, site) for name, site in names.items()}


def narrow(rows: Sequence[Row], undefined: Undefined, share: Share, sites: Iterable[str] = ()) -> Narrowed:
    """Narrow the rows; without any row if nothing may be shown. `sites`: those of the design, tested yet or not."""
    values = _values(rows, undefined)
    kept: dict[tuple[Condition, Metric], Patients] = {}
    for metric in METRICS:
        own = {c: who for c in values if (who := _patients(values[c], metric))}
        kept |= {(condition, metric): who for condition, who in _alike(own, share.smallest).items()}
    models = [c for c in conditions(rows) if any((c, metric) in kept for metric in METRICS)]
    names = site_names({row.site for row in rows} | {*sites}, share)
    site_of = {row.patient: row.site for row in rows}
    trained = {who for (condition, _), who in kept.items() if condition.trained} or set(kept.values())
    large = _shown_sites(trained, site_of, share.smallest)
    people = {one: f"{number:05d}" for number, one in enumerate(sorted({row.patient for row in rows}))}
    studies = {one: f"{number:05d}" for number, one in enumerate(sorted({row.study for row in rows}))}
    shown = Narrowed(
        rows=(),
        sites=tuple(sorted(names[site] for site in large)),
        by_site=tuple(c for c in models if all(kept[c, m] in trained for m in METRICS if (c, m) in kept)),
        left_out=tuple(c for c in conditions(rows) if c not in models),
        site_names=names,
        patients=frozenset().union(*kept.values()) if kept else frozenset(),
    )
    narrowed = []
    for row in rows:
        condition = condition_of(row)
        values_kept: dict[str, Any] = {
            metric: value_of(row, metric, undefined)
            for metric in METRICS
            if row.patient in kept.get((condition, metric), ())
        }
        if values_kept:
            axes = {name: getattr(row, name) for name in Axes.model_fields} | {"site": row.site}
            labels = {"study": studies[row.study], "patient": people[row.patient], "position": row.position}
            # Not validated again: the values were, and external tables may have any site names.
            narrowed.append(SharedRow.model_construct(**(shown.renamed(axes) | labels | values_kept)))
    return replace(shown, rows=tuple(narrowed))


def site_names(sites: Iterable[str], share: Share) -> dict[str, str]:
    """How each site is called: by its name within the consortium, by a letter in public, in an order that tells
    nothing."""
    every = sorted(sites, key=digest_of)
    return {site: _letter(place) if share.level == "public" else site for place, site in enumerate(every)}


def _letter(place: int) -> str:
    """`site-A`, …, `site-Z`, `site-A2`."""
    again, place = divmod(place, 26)
    return f"site-{chr(ord('A') + place)}{again + 1 if again else ''}"


Defined = Mapping[str, Mapping[Metric, Mapping[str, bool]]]
"""By patient, metric and study: whether there is a value."""


def _values(rows: Sequence[Row], undefined: Undefined) -> dict[Condition, Defined]:
    found: dict[Condition, dict[str, dict[Metric, dict[str, bool]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(dict))
    )
    for row in rows:
        own = found[condition_of(row)][row.patient]
        for metric in METRICS:
            there = value_of(row, metric, undefined) is not None
            own[metric][row.study] = own[metric].get(row.study, False) or there
    return dict(found)


def _patients(defined: Defined, metric: Metric) -> Patients:
    """Those with a value in every study."""
    return frozenset(patient for patient, own in defined.items() if all(own[metric].values()))


def _alike(own: Mapping[Condition, Patients], smallest: int) -> dict[Condition, Patients]:
    """The patients whose values each model keeps: the same for all trained models of a table."""
    of_table: dict[tuple[Condition, ...], Patients] = {}
    for trained in _tables(own):
        members: list[Condition] = []
        common = Patients()
        for condition in sorted(trained, key=lambda c: -len(own[c])):
            both = own[condition] & common if members else own[condition]
            if len(both) >= max(smallest, _ALIKE * len(common)):
                members, common = [*members, condition], both
        if members:
            of_table[tuple(members)] = common
    others = {c: who for c, who in own.items() if not c.trained}
    before: object = None
    while before != (before := (of_table, others)):
        others = {c: who for c, who in others.items() if _overlaps(who, of_table.values(), smallest)}
        of_table = {c: _apart(who, others.values(), smallest) for c, who in of_table.items()}
        others = {c: _apart(who, of_table.values(), smallest) for c, who in others.items()}
    kept = {c: who for members, who in of_table.items() for c in members} | others
    return {c: who for c, who in kept.items() if len(who) >= smallest}


def _overlaps(who: Patients, tables: Iterable[Patients], smallest: int) -> bool:
    """Whether an untrained model has enough patients, alone and together with the trained ones."""
    return len(who) >= smallest and not any(0 < len(who & table) < smallest for table in tables)


def _apart(who: Patients, others: Iterable[Patients], smallest: int) -> Patients:
    """Fewer patients, so that there is no difference of a few to another group."""
    for other in others:
        if 0 < len(who - other) < smallest:
            who = who & other
    return who


def _tables(own: Iterable[Condition]) -> list[list[Condition]]:
    """The trained models that are compared with each other: of a stratum or, in cross-site, of every training site."""
    every = [condition for condition in own if condition.trained]
    together = any(condition.train_site in (ALL_SITES, OTHER_SITES) for condition in every)
    plain = {c: c.model_copy(update={"train_site": None}) if together else c for c in every}
    return [[c for c in every if plain[c] in group.trained] for group in groups(plain.values())]


def _shown_sites(families: Iterable[Patients], site_of: Mapping[str, str], smallest: int) -> set[str]:
    """The sites that tables of each family of patients may show beside its total without giving another one away."""
    every = sorted(families, key=lambda who: (len(who), sorted(who)))
    shown = set(site_of.values())
    before: set[str] | None = None
    while before != shown:
        before = shown
        for who in every:
            leaves: dict[str | None, int] = {site: sum(site_of[one] == site for one in who) for site in sorted(shown)}
            leaves[None] = len(who) - sum(leaves.values())
            cells: dict[str | None, set[str | None]] = {site: {site} for site in leaves if site is not None}
            cells[None] = set(leaves)
            shown = {site for site in shown_cells(cells, leaves, smallest, margins=[None]) if site is not None}
    return shown
