"""Lay out the paper's Tables 1 and 2 (Wahlig et al. 2023) from the facts on studies.

A group is a column: all studies, those of a site, a subset of the split. Unknown values are counted, never left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import mean, median, stdev

from lesionlab.analysis.sheets.sheet import Sheet, columns
from lesionlab.analysis.words import tables as words
from lesionlab.analysis.words.numbers import NONE
from storage_schemas.facts import StudyFacts
from storage_schemas.splits import Split
from storage_schemas.tasks import Visit

NOMINAL_FIELDS_T = (0.064, 0.2, 0.3, 0.5, 0.55, 1.0, 1.5, 3.0, 4.7, 7.0)
"""Scanners report the measured field: 2.89 T is a 3 T scanner."""
SAME_FIELD = 0.06
"""Largest relative deviation from the nominal field."""

Group = Sequence[StudyFacts]


@dataclass(frozen=True)
class Row:
    """One line: a characteristic, one of its values, and the text of each column."""

    subject: str
    level: str
    cells: tuple[str, ...]


def cohort_tables(facts: Sequence[StudyFacts], about: str, split: Split | None = None) -> dict[str, Sheet]:
    """Lay out both tables, by file name: by site, and by the subsets of a split if there is one."""
    return {
        f"{table}-{by}": make(groups, f"{about}: {title}")
        for by, groups in _groupings(facts, split).items()
        for table, title, make in (
            ("characteristics", words.CHARACTERISTICS, characteristics),
            ("scanners", words.SCANNERS, scanners),
        )
    }


def groups_of(facts: Iterable[StudyFacts], members: Mapping[str, Collection[str]]) -> dict[str, Group]:
    """Return all studies, then each group of studies, in this order."""
    studies = sorted(facts, key=lambda study: study.study)
    named = {name: [study for study in studies if study.study in names] for name, names in members.items()}
    return {words.ALL: studies, **named}


def groups_by_site(facts: Sequence[StudyFacts]) -> dict[str, Group]:
    """Return all studies, then those of each site, in the order of the sites' names, if there are several."""
    sites = sorted({study.site for study in facts})
    members = {site: {study.study for study in facts if study.site == site} for site in sites}
    return groups_of(facts, members if len(sites) > 1 else {})


def characteristics(groups: Mapping[str, Group], title: str) -> Sheet:
    """Lay out Table 1: sex and age of the patients, field strength, echo and repetition time, 2-D or 3-D acquisition.

    A patient with several studies counts once, with the first of them by name. For studies of two visits, each visit
    has its own field strength, times and acquisition.
    """
    studies = [_at(group, "this") for group in groups.values()]
    patients = [_patients(group) for group in studies]
    rows = [
        Row(words.STUDIES, "", tuple(str(len(group)) for group in studies)),
        Row(words.PATIENTS, "", tuple(str(len(group)) for group in patients)),
        *_counted(words.SEX, patients, lambda study: words.SEXES.get(study.sex or ""), tuple(words.SEXES.values())),
        *_measured(words.AGE, patients, lambda study: study.age_years, _mean_sd_range),
    ]
    for name, visits in _visits(groups).items():
        rows += _counted(f"{words.FIELD}{name}", visits, field_name)
        rows += _measured(f"{words.ECHO}{name}", visits, lambda visit: visit.echo_time_ms, _median_range)
        rows += _measured(f"{words.REPETITION}{name}", visits, lambda visit: visit.repetition_time_ms, _median_range)
        rows += _counted(f"{words.ACQUISITION}{name}", visits, lambda visit: visit.acquisition, ("3D", "2D"))
    return _sheet(title, groups, rows)


def scanners(groups: Mapping[str, Group], title: str) -> Sheet:
    """Lay out Table 2: how many studies come from which scanner, each visit on its own."""
    rows: list[Row] = []
    for name, visits in _visits(groups).items():
        makers = sorted({visit.manufacturer for group in visits for visit in group if visit.manufacturer})
        totals = [len(group) for group in visits]
        for maker in makers:
            of_maker = [[visit for visit in group if visit.manufacturer == maker] for group in visits]
            rows += _counted(f"{maker}{name}", of_maker, lambda visit: visit.model, totals=totals)
        without = [[visit for visit in group if visit.manufacturer is None] for group in visits]
        rows += _counted(f"{words.SCANNER}{name}", without, lambda visit: visit.model, totals=totals)
    return _sheet(title, groups, rows)


def _at(group: Group, visit: Visit) -> Group:
    return [facts for facts in group if facts.visit == visit]


def _visits(groups: Mapping[str, Group]) -> dict[str, list[Group]]:
    """Return the groups at each visit, by the suffix of a characteristic: empty if studies have one visit only."""
    names: dict[str, Visit] = {"": "this"}
    if any(_at(group, "initial") for group in groups.values()):
        names = {words.INITIAL: "initial", words.FOLLOW_UP: "this"}
    return {name: [_at(group, visit) for group in groups.values()] for name, visit in names.items()}


def _groupings(facts: Sequence[StudyFacts], split: Split | None) -> dict[str, dict[str, Group]]:
    groupings = {"by-site": groups_by_site(facts)}
    if split:
        first, *others = split.subsets
        subsets = {words.SUBSET.format(number): studies for number, studies in enumerate(split.subsets, start=1)}
        groupings["by-subset"] = groups_of(facts, subsets | ({words.UNUSED: split.unused} if split.unused else {}))
        if split.target.design == "rotation":
            groupings["train-test"] = groups_of(facts, {words.TRAINING: set(chain(*others)), words.TESTING: first})
    return groupings


def _sheet(title: str, groups: Mapping[str, Group], rows: Sequence[Row]) -> Sheet:
    texts = tuple((row.subject, row.level, *row.cells) for row in rows)
    return Sheet(title, columns(*words.COHORT_COLUMNS, *groups), texts, heads=2)


def _patients(group: Group) -> Group:
    """Return one study for each patient; a label is one person of the cohort, at whatever site."""
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
    """Count each value that occurs, in `order` or else the most frequent first, then those not known.

    Percentages are of `totals`, or of the groups themselves.
    """
    counts = [Counter(value(study) for study in group) for group in groups]
    whole = sum(counts, Counter[str | None]())
    found = [level for level in whole if level is not None]
    known = [level for level in order if level in found] or sorted(found, key=lambda level: (-whole[level], level))
    levels = [*known, *[None] * (None in whole)]
    sizes = totals if totals is not None else [len(group) for group in groups]
    return [
        Row(
            subject,
            words.UNKNOWN if level is None else level,
            tuple(_share(count[level], size) for count, size in zip(counts, sizes, strict=True)),
        )
        for level in levels
    ]


def _measured(
    subject: str,
    groups: Sequence[Group],
    value: Callable[[StudyFacts], float | None],
    summarised: Callable[[Sequence[float]], str],
) -> list[Row]:
    """Summarise the known values, if any, in one row and count the unknown ones in another."""
    known = [[number for study in group if (number := value(study)) is not None] for group in groups]
    missing = [len(group) - len(numbers) for group, numbers in zip(groups, known, strict=True)]
    rows = (
        [Row(subject, "", tuple(summarised(numbers) if numbers else NONE for numbers in known))] if any(known) else []
    )
    if any(missing):
        shares = tuple(_share(count, len(group)) for count, group in zip(missing, groups, strict=True))
        rows.append(Row(subject, words.UNKNOWN, shares))
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


def field_name(study: StudyFacts) -> str | None:
    """`3 T`: the nominal field of the measured one; None: unknown."""
    field = study.field_strength_t
    if field is None:
        return None
    nominal = min(NOMINAL_FIELDS_T, key=lambda known: abs(known - field))
    return f"{nominal if abs(nominal - field) <= SAME_FIELD * nominal else field:g} T"
