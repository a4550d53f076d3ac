"""Facts on studies, and groups of them, in; the paper's Tables 1 and 2 (Wahlig et al. 2023) out.

A group is a column: all studies, those of a site, a subset of the split. What is not known is counted, never left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import mean, median, stdev

from lesionlab.analysis.sheets.sheet import NONE, Sheet, columns
from storage_schemas.facts import StudyFacts
from storage_schemas.splits import Split
from storage_schemas.tasks import Visit

ALL = "all"
UNKNOWN = "not known"

NOMINAL_FIELDS_T = (0.064, 0.2, 0.3, 0.5, 0.55, 1.0, 1.5, 3.0, 4.7, 7.0)
"""Scanners state what they measure: 2.89 T is a 3 T machine."""
SAME_FIELD = 0.06
"""Largest relative distance from the nominal field."""

Group = Sequence[StudyFacts]


@dataclass(frozen=True)
class Row:
    """One line: what it is about, which of its values, and the text of each column."""

    subject: str
    level: str
    cells: tuple[str, ...]


def cohort_tables(facts: Sequence[StudyFacts], about: str, split: Split | None = None) -> dict[str, Sheet]:
    """Both tables by file name: by site, and by the subsets of a split where there is one."""
    return {
        f"{table}-{by}": make(groups, f"{about}: {title}")
        for by, groups in _groupings(facts, split).items()
        for table, title, make in (
            ("characteristics", "patients and acquisition", characteristics),
            ("scanners", "scanner models", scanners),
        )
    }


def groups_of(facts: Iterable[StudyFacts], members: Mapping[str, Collection[str]]) -> dict[str, Group]:
    """All studies, then each group by the names of its studies, in this order."""
    studies = sorted(facts, key=lambda study: study.study)
    named = {name: [study for study in studies if study.study in names] for name, names in members.items()}
    return {ALL: studies, **named}


def groups_by_site(facts: Sequence[StudyFacts]) -> dict[str, Group]:
    """All studies, then those of each site, in the order of the sites' names, where there are several."""
    sites = sorted({study.site for study in facts})
    members = {site: {study.study for study in facts if study.site == site} for site in sites}
    return groups_of(facts, members if len(sites) > 1 else {})


def characteristics(groups: Mapping[str, Group], title: str) -> Sheet:
    """Table 1: sex and age of the patients, field strength, echo and repetition time and 2-D or 3-D of the studies.

    A patient with several studies counts once, with the first of them by name. Of studies of two visits, each visit has
    its own field strength, times and acquisition.
    """
    studies = [_at(group, "this") for group in groups.values()]
    patients = [_patients(group) for group in studies]
    rows = [
        Row("Studies", "", tuple(str(len(group)) for group in studies)),
        Row("Patients", "", tuple(str(len(group)) for group in patients)),
        *_counted("Sex", patients, lambda study: _SEXES.get(study.sex or ""), tuple(_SEXES.values())),
        *_measured("Age (years)", patients, lambda study: study.age_years, _mean_sd_range),
    ]
    for name, visits in _visits(groups).items():
        rows += _counted(f"Field strength{name}", visits, _field)
        rows += _measured(f"TE (ms){name}", visits, lambda visit: visit.echo_time_ms, _median_range)
        rows += _measured(f"TR (ms){name}", visits, lambda visit: visit.repetition_time_ms, _median_range)
        rows += _counted(f"Acquisition{name}", visits, lambda visit: visit.acquisition, ("3D", "2D"))
    return _sheet(title, groups, rows)


def scanners(groups: Mapping[str, Group], title: str) -> Sheet:
    """Table 2: how many studies come from which scanner, each visit on its own."""
    rows: list[Row] = []
    for name, visits in _visits(groups).items():
        makers = sorted({visit.manufacturer for group in visits for visit in group if visit.manufacturer})
        totals = [len(group) for group in visits]
        for maker in makers:
            of_maker = [[visit for visit in group if visit.manufacturer == maker] for group in visits]
            rows += _counted(f"{maker}{name}", of_maker, lambda visit: visit.model, totals=totals)
        without = [[visit for visit in group if visit.manufacturer is None] for group in visits]
        rows += _counted(f"Scanner{name}", without, lambda visit: visit.model, totals=totals)
    return _sheet(title, groups, rows)


def _at(group: Group, visit: Visit) -> Group:
    return [facts for facts in group if facts.visit == visit]


def _visits(groups: Mapping[str, Group]) -> dict[str, list[Group]]:
    """The groups at each visit, by what stands behind a subject: nothing where studies have one visit only."""
    names: dict[str, Visit] = {"": "this"}
    if any(_at(group, "initial") for group in groups.values()):
        names = {", initial": "initial", ", follow-up": "this"}
    return {name: [_at(group, visit) for group in groups.values()] for name, visit in names.items()}


def _groupings(facts: Sequence[StudyFacts], split: Split | None) -> dict[str, dict[str, Group]]:
    groupings = {"by-site": groups_by_site(facts)}
    if split:
        first, *others = split.subsets
        subsets = {f"subset {number}": studies for number, studies in enumerate(split.subsets, start=1)}
        groupings["by-subset"] = groups_of(facts, subsets | ({"unused": split.unused} if split.unused else {}))
        if split.target.design == "rotation":
            groupings["train-test"] = groups_of(facts, {"training": set(chain(*others)), "testing (subset 1)": first})
    return groupings


def _sheet(title: str, groups: Mapping[str, Group], rows: Sequence[Row]) -> Sheet:
    texts = tuple((row.subject, row.level, *row.cells) for row in rows)
    return Sheet(title, columns("Characteristic", "Value", *groups), texts, heads=2)


_SEXES = {"F": "female", "M": "male", "O": "other"}


def _patients(group: Group) -> Group:
    """One study for each patient: a label is one person of the cohort, at whatever site."""
    first: dict[str, StudyFacts] = {}
    for study in group:
        first.setdefault(study.patient, study)
    return list(first.values())


def _counted(
    subject: str,
    groups: Sequence[Group],
    value: Callable[[StudyFacts], str | None],
    order: Sequence[str] = (),
    totals: Sequence[int] | None = None,
) -> list[Row]:
    """A row for each value that occurs, in `order` or else the most frequent first, then one for those not known.

    Shares are of `totals`, or of the groups themselves.
    """
    counts = [Counter(value(study) or UNKNOWN for study in group) for group in groups]
    whole = sum(counts, Counter[str]())
    found = [level for level in whole if level != UNKNOWN]
    levels = [level for level in order if level in found] or sorted(found, key=lambda level: (-whole[level], level))
    if UNKNOWN in whole:
        levels.append(UNKNOWN)
    sizes = totals if totals is not None else [len(group) for group in groups]
    return [
        Row(subject, level, tuple(_share(count[level], size) for count, size in zip(counts, sizes, strict=True)))
        for level in levels
    ]


def _measured(
    subject: str,
    groups: Sequence[Group],
    value: Callable[[StudyFacts], float | None],
    told: Callable[[Sequence[float]], str],
) -> list[Row]:
    """A row of what is known, where anything is, and one that counts what is not."""
    known = [[number for study in group if (number := value(study)) is not None] for group in groups]
    missing = [len(group) - len(numbers) for group, numbers in zip(groups, known, strict=True)]
    rows = [Row(subject, "", tuple(told(numbers) if numbers else NONE for numbers in known))] if any(known) else []
    if any(missing):
        shares = tuple(_share(count, len(group)) for count, group in zip(missing, groups, strict=True))
        rows.append(Row(subject, UNKNOWN, shares))
    return rows


def _share(count: int, size: int) -> str:
    if not size:
        return NONE
    return f"{count} ({count / size:.0%})" if count else "0"


def _mean_sd_range(numbers: Sequence[float]) -> str:
    spread = f" ± {stdev(numbers):.0f}" if len(numbers) > 1 else ""
    return f"{mean(numbers):.0f}{spread} ({min(numbers):.0f}–{max(numbers):.0f})"


def _median_range(numbers: Sequence[float]) -> str:
    return f"{_rounded(median(numbers))} ({_rounded(min(numbers))}–{_rounded(max(numbers))})"


def _rounded(number: float) -> str:
    return f"{number:,.0f}" if number >= 20 else f"{number:.1f}"


def _field(study: StudyFacts) -> str | None:
    field = study.field_strength_t
    if field is None:
        return None
    nominal = min(NOMINAL_FIELDS_T, key=lambda known: abs(known - field))
    return f"{nominal if abs(nominal - field) <= SAME_FIELD * nominal else field:g} T"
