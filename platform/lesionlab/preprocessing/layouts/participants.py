"""Read participants.tsv of a BIDS dataset and match its rows with the dataset's subjects.

A row that matches nobody would leave a patient without site, age and sex. Labels that are only spelled differently
(`sub-1`, `01` or `Sub-01` for `sub-01`), and a table that matches no subject at all, are faults. Single surplus or
missing rows are noted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lesionlab.errors import DatasetError
from lesionlab.preprocessing.facts import unread_notes
from lesionlab.preprocessing.identifiers import sign_in_label
from lesionlab.preprocessing.layouts.bids_tree import LISTED, BidsTree
from lesionlab.preprocessing.layouts.tabular import Table, label_spelling, read_table, site_notes, width_fault
from lesionlab.preprocessing.paths import fault_of_file, hidden, is_study_id

PARTICIPANTS = "participants.tsv"
KEY = "participant_id"
_ONCE = {KEY, "site", "age", "sex"}
_OTHER_KEY = re.compile(r"(participant|subject|patient|sub)s?[\s_-]*(id|label)?|id", re.IGNORECASE)


_OTHER_TABLE = re.compile(r"participants?\.(tsv|csv|txt|xlsx?|ods)", re.IGNORECASE)


@dataclass(frozen=True)
class Participants:
    """Rows by subject (`sub-01`), and notes on subjects without a row and rows without a subject."""

    rows: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_participants(tree: BidsTree, subjects: Collection[str], default_site: str) -> Participants:
    """Read the table, if there is one. Raises DatasetError with every fault in it."""
    path = tree.root / PARTICIPANTS
    if PARTICIPANTS not in (names := tree.names(Path())):
        others = [name for name in names if _OTHER_TABLE.fullmatch(name)]
        return Participants(notes=tuple(_note_on_other_table(name, default_site) for name in others))
    if fault := fault_of_file(path, tree.resolved):
        raise DatasetError(f"{path} {fault}")
    table = read_table(path)
    if not table.columns:
        raise DatasetError(f"{path}: wanted a line with the names of the columns, found an empty file")
    faults = [*_column_faults(table), *_row_faults(table)]
    if faults:
        raise DatasetError(*(f"{path}: {fault}" for fault in faults))
    rows = {record[KEY]: record for record in table.records()}
    surplus = [label for label in rows if label not in subjects]
    without = [subject for subject in subjects if subject not in rows]
    if fault := _mismatch(surplus, without, matched=len(surplus) < len(rows)):
        raise DatasetError(f"{path}: {fault}")
    notes = (
        *_notes(surplus, without, default_site),
        *site_notes(PARTICIPANTS, table, default_site),
        *unread_notes(PARTICIPANTS, table.records()),
    )
    return Participants(rows, notes)


def _column_faults(table: Table) -> Iterable[str]:
    if KEY not in table.columns:
        near = next((column for column in table.columns if _OTHER_KEY.fullmatch(column)), None)
        found = f"found {near}; rename it" if near else "found none; add it"
        if any(KEY in column for column in table.columns):
            found = "its names are not separated by tabs; save the table with tabs"
        if any(KEY in cells for _, cells in table.rows[:1]):
            found = "it is in the line below; remove what stands before it"
        yield f"line 1: there is no column {KEY}, {found}"
    names = Counter(column.lower() for column in table.columns)
    yield from (f"line 1: wanted one column {name}, found several; keep one" for name in _ONCE if names[name] > 1)


def _row_faults(table: Table) -> Iterable[str]:
    if KEY not in table.columns:
        return  # each line would have the faults of the first
    yield from (f"line {line}: {fault}" for line, cells in table.rows if (fault := width_fault(table, cells)))
    count = Counter(record.get(KEY, "") for record in table.records())
    twice = [label for label in count if count[label] > 1]
    if twice:
        yield f"wanted one row per patient, found several for {listed(twice)}; keep one"


def _mismatch(surplus: Sequence[str], without: Sequence[str], *, matched: bool) -> str | None:
    """The fault if labels are only spelled differently, or no row matches."""
    by_spelling = {label_spelling(subject): subject for subject in without}
    near = {label: by_spelling[label_spelling(label)] for label in surplus if label_spelling(label) in by_spelling}
    if not surplus or not without or (matched and not near):
        return None
    pairs = [f"{_quotable(subject)} for {_quotable(label)}" for label, subject in near.items()]
    remedy = f"write {_first(pairs)}" if pairs else "write each label as its folder is called"
    return f"{_count(surplus, 'row')} {_verb(surplus, 'match', 'matches')} no subject ({listed(surplus)}) and " + (
        f"{_count(without, 'subject')} {_verb(without, 'have', 'has')} no row ({listed(without)}); {remedy}"
    )


def _note_on_other_table(name: str, default_site: str) -> str:
    remedy = f"save it as {PARTICIPANTS}, with tabs"
    return f"{name} is not read, so all are counted at {default_site}, without age and sex; {remedy}"


def _notes(surplus: Sequence[str], without: Sequence[str], default_site: str) -> Iterable[str]:
    if surplus:
        found = f"{_count(surplus, 'row')} {_verb(surplus, 'match', 'matches')} no subject ({listed(surplus)})"
        yield f"{PARTICIPANTS}: {found}; not used"
    if without:
        found = f"{_count(without, 'subject')} {_verb(without, 'have', 'has')} no row ({listed(without)})"
        yield f"{PARTICIPANTS}: {found}; counted at {default_site}, without age and sex; add the rows"


def _quotable(label: str) -> str:
    """The label for a message; one that may be a patient's name is masked."""
    if not label:
        return "(empty)"
    return label if is_study_id(f"sub-{_bare(label)}") and not sign_in_label(_bare(label)) else hidden(label)


def _bare(label: str) -> str:
    return re.sub(r"^sub-", "", label, flags=re.IGNORECASE)


def listed(labels: Sequence[str]) -> str:
    """The first labels for a message, those masked that may be a patient's name."""
    return _first([_quotable(label) for label in labels])


def _first(texts: Sequence[str]) -> str:
    return ", ".join(texts[:LISTED]) + (f" and {len(texts) - LISTED} more" if len(texts) > LISTED else "")


def _count(labels: Sequence[str], what: str) -> str:
    return f"{len(labels)} {what}{'s' * (len(labels) != 1)}"


def _verb(labels: Sequence[str], several: str, one: str) -> str:
    return one if len(labels) == 1 else several
