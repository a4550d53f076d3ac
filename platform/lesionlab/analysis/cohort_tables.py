"""Facts on studies, and groups of them, in; the paper's Tables 1 and 2 (Wahlig et al. 2023) as text, CSV and HTML out.

A group is a column: all studies, those of a site, a subset of the split. What is not known is counted, never left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from statistics import mean, median, stdev

from lesionlab.analysis.tables import csv_text
from storage_schemas.facts import StudyFacts

ALL = "all"
UNKNOWN = "not known"
NONE = "–"

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


@dataclass(frozen=True)
class CohortTable:
    """A table with a column for each group."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


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


def characteristics(groups: Mapping[str, Group], title: str) -> CohortTable:
    """Table 1: sex and age of the patients, field strength, echo and repetition time and 2-D or 3-D of the studies.

    A patient with several studies counts once, with the first of them by name.
    """
    studies, patients = list(groups.values()), [_patients(group) for group in groups.values()]
    rows = [
        Row("Studies", "", tuple(str(len(group)) for group in studies)),
        Row("Patients", "", tuple(str(len(group)) for group in patients)),
        *_counted("Sex", patients, lambda study: _SEXES.get(study.sex or ""), tuple(_SEXES.values())),
        *_measured("Age (years)", patients, lambda study: study.age_years, _mean_sd_range),
        *_counted("Field strength", studies, _field),
        *_measured("TE (ms)", studies, lambda study: study.echo_time_ms, _median_range),
        *_measured("TR (ms)", studies, lambda study: study.repetition_time_ms, _median_range),
        *_counted("Acquisition", studies, lambda study: study.acquisition, ("3D", "2D")),
    ]
    return CohortTable(title, tuple(groups), tuple(rows))


def scanners(groups: Mapping[str, Group], title: str) -> CohortTable:
    """Table 2: how many studies come from which scanner."""
    studies = list(groups.values())
    makers = sorted({study.manufacturer for group in studies for study in group if study.manufacturer})
    rows: list[Row] = []
    for maker in makers:
        of_maker = [[study for study in group if study.manufacturer == maker] for group in studies]
        rows += _counted(maker, of_maker, lambda study: study.model, totals=[len(group) for group in studies])
    without = [[study for study in group if study.manufacturer is None] for group in studies]
    rows += _counted("Scanner", without, lambda study: study.model, totals=[len(group) for group in studies])
    return CohortTable(title, tuple(groups), tuple(rows))


def as_markdown(table: CohortTable) -> str:
    """Columns of equal width, so that it is read as easily on a screen."""
    lines = [["", "", *table.columns], *([row.subject, row.level, *row.cells] for row in _told_once(table.rows))]
    escaped = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    widths = [max(3, *(len(cell) for cell in column)) for column in zip(*escaped, strict=True)]

    def line_of(cells: Sequence[str]) -> str:
        texts = [
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(texts)} |"

    rule = [("-" * width) if column < 2 else ("-" * (width - 1) + ":") for column, width in enumerate(widths)]
    return "\n".join([table.title, "", line_of(escaped[0]), line_of(rule), *map(line_of, escaped[1:]), ""])


def as_csv(table: CohortTable) -> str:
    """One line a row, every cell as it is shown."""
    return csv_text(
        [
            {"subject": row.subject, "level": row.level, **dict(zip(table.columns, row.cells, strict=True))}
            for row in table.rows
        ]
    )


def as_html(table: CohortTable) -> str:
    """A `<table>` on its own, to be put into a page."""

    def line_of(cells: Sequence[str], heads: int) -> str:
        tags = ["th" if column < heads else "td" for column in range(len(cells))]
        return "<tr>" + "".join(f"<{t}>{escape(c)}</{t}>" for t, c in zip(tags, cells, strict=True)) + "</tr>"

    head = ["", "", *table.columns]
    body = [line_of([row.subject, row.level, *row.cells], 2) for row in _told_once(table.rows)]
    return "\n".join(
        [
            "<table>",
            f"<caption>{escape(table.title)}</caption>",
            f"<thead>{line_of(head, len(head))}</thead>",
            "<tbody>",
            *body,
            "</tbody>",
            "</table>",
            "",
        ]
    )


_SEXES = {"F": "female", "M": "male", "O": "other"}


def _patients(group: Group) -> Group:
    """One study for each patient."""
    first: dict[tuple[str, str], StudyFacts] = {}
    for study in group:
        first.setdefault((study.site, study.patient), study)
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


def _told_once(rows: Sequence[Row]) -> list[Row]:
    """The subject stands on the first of its rows only."""
    subjects = [row.subject for row in rows]
    return [
        Row("" if index and subjects[index - 1] == row.subject else row.subject, row.level, row.cells)
        for index, row in enumerate(rows)
    ]
