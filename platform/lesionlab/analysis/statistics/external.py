"""Read an external table of results, for the same statistics; report every fault with its line.

One line for each study and the model it was tested with, as CSV in UTF-8 (commas, or semicolons with decimal commas),
columns in any order:

    study,patient,site,arm,training_size,fold,sensitivity,ppv
    sub-01,p01,north,Default,0,1,0.35,0.95
    sub-01,p01,north,FT,10,1,0.55,0.66
    sub-01,p01,north,DN,10,1,0.48,
    sub-11,p11,south,FT,10,2,0.61,0.70
    sub-11,p11,south,DN,10,2,0.52,0.31

Any other name in `arm` is a model from elsewhere (`nnU-Net`), with or without a training size.

An empty value (or `NA`, `n/a`, `nan`, `null`) is undefined, such as PPV without a predicted lesion. `55%` is 0.55.
Further columns are ignored.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from lesionlab.analysis.statistics.comparisons import Unit
from lesionlab.analysis.statistics.conditions import condition_of
from lesionlab.analysis.statistics.external_cells import Fault, said_once, value_in
from lesionlab.delimited import Delimited, read_delimited
from lesionlab.errors import InputError
from storage_schemas.axes import Arm, Axes
from storage_schemas.base import Sha256
from storage_schemas.definitions import MetricDefinition
from storage_schemas.metrics import PRIMARY, Measured

ARMS: dict[str, Arm] = {
    "fine-tuned": "fine-tuned",
    "ft": "fine-tuned",
    "de-novo": "de-novo",
    "de novo": "de-novo",
    "dn": "de-novo",
    "default": "default",
    "rater": "rater",
    "rater 2": "rater",
    "grader": "rater",
    "grader 2": "rater",
}
"""Our names and the paper's, in whatever case."""

_LIKE_AN_ARM = 0.75
"""Similarity from which a name is taken for a misspelt arm."""

Line = tuple[int, "TableRow"]


def _arm(written: object) -> Arm:
    """The arm of a cell; what is no arm is the name of a model from elsewhere.

    A name that looks like a misspelt arm is refused: it would silently take the model out of its arm.
    """
    name = str(written).strip().lower()
    meant = get_close_matches(name, ARMS, n=1, cutoff=_LIKE_AN_ARM)
    if name not in ARMS and (meant or not name):
        raise ValueError(
            "wanted fine-tuned (FT), de-novo (DN), default, rater (Grader 2) or the name of another model"
            + "".join(f"; if {ARMS[one]} is meant, write it so, else take a name less like it" for one in meant)
        )
    return ARMS.get(name, "other")


def _word(text: str) -> str:
    if not text.strip():
        raise ValueError("wanted a name")
    return text.strip()


Name = Annotated[str, AfterValidator(_word)]


class TableRow(Measured, Axes):
    """One line; fields as in StudyRow. What has a default here may be absent from the table."""

    study: Name
    patient: Name
    site: Name
    arm: Annotated[Arm, BeforeValidator(_arm)]
    training_size: Annotated[int, Field(ge=0)] = 0
    source: str | None = None
    """Default model; needed only where there are several. Of a model from elsewhere its name, from the column `arm`."""
    seed: int = 0
    position: Annotated[int, Field(ge=1)] = 1
    """Place in the test subset; what a study is called says nothing about it, so without it no test rests on places."""
    train_site: str | None = None
    """Only where networks were trained on one site each."""
    test_site: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _name_the_model(cls, given: dict[str, Any]) -> dict[str, Any]:
        """A model from elsewhere is named by the column `arm`; it has no default model."""
        name = str(given.get("arm", "other")).strip()
        if name.lower() in (*ARMS, "other"):
            return given
        if given.get("source") is not None:
            raise ValueError(f"source: wanted none for {name}, found {given['source']!r}")
        return given | {"source": name}

    @model_validator(mode="after")
    def _holds_together(self) -> TableRow:
        if self.arm != "other" and (self.arm in ("fine-tuned", "de-novo")) != (self.training_size > 0):
            wanted = "0" if self.arm in ("default", "rater") else "1 at least"
            raise ValueError(f"training_size: wanted {wanted} for {self.arm}, found {self.training_size}")
        if self.arm == "other" and not self.source:
            raise ValueError("source: wanted the model's name")
        if self.arm in ("de-novo", "rater") and self.source is not None:
            raise ValueError(f"source: wanted none for {self.arm}, found {self.source!r}")
        return self


REQUIRED = ("study", "patient", "site", "arm", "training_size", "fold", *PRIMARY)
OPTIONAL = tuple(name for name in TableRow.model_fields if name not in REQUIRED)


@dataclass(frozen=True)
class Scored:
    """How the rows of models from elsewhere were made here, from their masks."""

    definition: MetricDefinition
    cohort: str
    empty: tuple[tuple[str, str], ...]
    """Model and study of every missing mask that counts as nothing found."""


@dataclass(frozen=True)
class Table:
    """A table as it was read, or as it was made by scoring masks."""

    name: str
    """Of the file, without its folder, or of the comparison."""
    sha256: Sha256
    """Of the file, or of the same rows as CSV."""
    columns: tuple[str, ...]
    """Those that were read: the required ones, then the others."""
    rows: tuple[TableRow, ...]
    scored: Scored | None = None
    """None: the table was made elsewhere."""


def read_table(path: Path) -> Table:
    """Read the table. Raises InputError with every fault in it, each with its line."""
    content = read_delimited(path)
    records = _records(path, content)
    wrong: list[Fault] = []
    lines = [
        (number, row) for number, record in records if (row := _row(number, record, content.divider, wrong)) is not None
    ]
    columns = tuple(name for name in (*REQUIRED, *OPTIONAL) if name in records[0][1])
    faults = said_once(wrong)
    faults += [*_twice(lines), *_two_owners(lines), *(_two_at_one_place(lines) if "position" in columns else ())]
    if faults:
        raise InputError(*(f"{path}, {fault}" for fault in faults))
    return Table(path.name, sha256(path.read_bytes()).hexdigest(), columns, tuple(row for _, row in lines))


def unit_of(table: Table, wanted: Unit | None) -> Unit:
    """The unit of the unpaired tests: as wanted; where nothing is, the paper's if the table is a rotation with places.

    Raises InputError where fold-averaged is wanted and the table has no places to average.
    """
    reason = "; ".join(_no_places(table))
    if wanted == "fold-averaged" and reason:
        raise InputError(
            f"{table.name}: --unit fold-averaged averages places in the test subset over the folds; {reason}"
        )
    return wanted or ("per-study" if reason else "fold-averaged")


def _no_places(table: Table) -> Iterable[str]:
    """Why a position in the test subset would mean nothing here; nothing where it means something."""
    if "position" not in table.columns:
        yield "add the column position (from 1 in each fold, drawn by chance), or take --unit per-study"
        return
    folds, places = defaultdict(set), defaultdict(set)
    for row in table.rows:
        folds[row.study].add(row.fold)
        places[row.fold].add(row.position)
    moved = [study for study, found in folds.items() if len(found) > 1]
    if moved:
        yield (
            f"wanted a rotation, which tests a study in one fold; {moved[0]} is in folds "
            f"{', '.join(map(str, sorted(folds[moved[0]])))}: take --unit per-study"
        )
    everywhere = set[int]().union(*places.values())
    for fold, found in sorted(places.items()):
        if lacking := sorted(everywhere - found):
            yield (
                f"wanted the same places in every fold; fold {fold} lacks {', '.join(map(str, lacking))} (a study "
                "without values has a line too, with empty ones): add it, or take --unit per-study"
            )


def _records(path: Path, content: Delimited) -> list[tuple[int, Mapping[str, str]]]:
    """Every line with its number, by column. Raises InputError if the file is no table with the columns wanted."""
    if not content.columns:
        raise InputError(f"{path}: wanted a line with the names of the columns, found an empty file")
    names = [name.lower() for name in content.columns]
    faults = [f"{path}, {fault}" for fault in _header_faults(names)]
    if not faults and not content.rows:
        faults = [f"{path}: wanted a line for each tested study, found column names only"]
    odd = [Fault(number, "", _width_fault(names, cells)) for number, cells in content.rows if len(cells) != len(names)]
    faults += [f"{path}, {fault}" for fault in said_once(odd)]
    if faults:
        raise InputError(*faults)
    return [(number, dict(zip(names, cells, strict=True))) for number, cells in content.rows]


def _width_fault(names: Sequence[str], cells: Sequence[str]) -> str:
    more = "; if numbers have decimal commas, separate the columns by semicolons" if len(cells) > len(names) else ""
    return f"wanted {len(names)} fields as in line 1, found {len(cells)}{more}"


def _header_faults(names: Sequence[str]) -> Iterable[str]:
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        alone = "; separate the cells by commas, semicolons or tabs" if len(names) == 1 else ""
        yield f"line 1: wanted the columns {', '.join(REQUIRED)}; missing are {', '.join(missing)}{alone}"
    for name, count in sorted(Counter(names).items()):
        if count > 1:
            yield f"line 1: column {name!r} is there {count} times"
    absent = [name for name in OPTIONAL if name not in names]
    for name in names:
        meant = get_close_matches(name, absent, n=1, cutoff=0.8)
        if meant and name not in TableRow.model_fields:
            yield f"line 1: column {name!r} is not known; if {meant[0]!r} is meant, call it that"


def _row(number: int, record: Mapping[str, str], divider: str, faults: list[Fault]) -> TableRow | None:
    """The row, or None and its faults."""
    cells = {name: cell for name, cell in record.items() if name in TableRow.model_fields}
    given: dict[str, Any] = {
        name: value for name, cell in cells.items() if (value := value_in(name, cell, divider)) is not None
    }
    try:
        return TableRow.model_validate(given)
    except ValidationError as error:
        for fault in error.errors():
            column = str(fault["loc"][0]) if fault["loc"] else ""
            written = cells.get(column, "").strip()
            found = (repr(written) if written else "nothing") if column else ""
            faults.append(Fault(number, column, _in_words(fault["type"], fault["msg"]), found))
        return None


def _in_words(kind: str, message: str) -> str:
    return _WORDS.get(kind, message.removeprefix("Value error, "))


_WORDS = {
    "missing": "wanted a value",
    "float_parsing": "wanted a number, or an empty cell if it is undefined",
    "int_parsing": "wanted a whole number",
    "int_from_float": "wanted a whole number",
}


def _twice(lines: Sequence[Line]) -> Iterable[str]:
    """A study is tested once under each model."""
    first: dict[tuple[object, ...], Line] = {}
    for number, row in lines:
        condition = condition_of(row)
        earlier = first.setdefault((condition, row.seed, row.study), (number, row))
        if earlier[0] != number:
            yield (
                f"line {number}: {row.study} is tested under {row.arm}, training_size {row.training_size}, fold "
                f"{row.fold}, and already on line {earlier[0]}, fold {earlier[1].fold}; wanted each study once under a "
                "model (networks trained on one site each: give the column train_site; repeated trainings: give the "
                "column seed)"
            )


def _two_owners(lines: Sequence[Line]) -> Iterable[str]:
    """A study has one patient and one site."""
    for column in ("patient", "site"):
        first: dict[str, tuple[int, str]] = {}
        for number, row in lines:
            owner = getattr(row, column)
            line, name = first.setdefault(row.study, (number, owner))
            if name != owner:
                yield f"line {number}, {column}: {row.study} belongs to {owner!r} here and to {name!r} on line {line}"


def _two_at_one_place(lines: Sequence[Line]) -> Iterable[str]:
    """Within a fold every study has one position, and no two have the same."""
    place_of: dict[tuple[int, str], tuple[int, int]] = {}
    study_at: dict[tuple[int, int], tuple[int, str]] = {}
    for number, row in lines:
        line, position = place_of.setdefault((row.fold, row.study), (number, row.position))
        if position != row.position:
            yield (
                f"line {number}, position: {row.study} of fold {row.fold} is at {row.position} here and at {position} "
                f"on line {line}"
            )
            continue
        line, study = study_at.setdefault((row.fold, row.position), (number, row.study))
        if study != row.study:
            yield (
                f"line {number}, position: {row.study} of fold {row.fold} is at {row.position}, where {study} is on "
                f"line {line}"
            )
