"""Screen a dataset for information that could identify a patient, and pseudonymise its names.

There are two safeguards. First, only a closed list enters the store: voxels, affines, sha256 digests, the numbers and
listed words of `facts`, and the names of studies, patients and sites. Headers, sidecars, tables and file names are
never copied, so they cannot enter the store by mistake. Second, this module screens the dataset before: it tells a site
which identifiers its files contain, so that nobody shares the files unaware, and refuses names that would become keys.

No finding repeats the identifier that it reports.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lesionlab.errors import InputError
from lesionlab.preprocessing.files import Dataset, Incomplete, Parts, StudyFiles
from lesionlab.preprocessing.headers import header_signs
from lesionlab.preprocessing.identifiers import (
    is_absent,
    is_identifying_column,
    is_identifying_key,
    quotable,
    sign_in,
    sign_in_label,
    sign_in_value,
)
from lesionlab.preprocessing.layouts.tabular import read_table
from lesionlab.preprocessing.paths import hidden
from storage_schemas.tasks import Task
from storage_schemas.verdicts import Finding

SALT_VARIABLE = "LESIONLAB_ID_SALT"
"""Environment variable of the salt; not an option, because command lines are visible to others and kept in logs."""
LEAST_SALT_CHARACTERS = 16

# Program versions contain dates: ConversionSoftwareVersion v1.0.20210317, ConsistencyInfo N4_VE11C_LATEST_20160120.
_DATED_PROGRAMS = frozenset({"ConversionSoftwareVersion", "SoftwareVersions", "ConsistencyInfo", "GeneratedBy"})
_LABEL = re.compile(r"(?<![A-Za-z0-9])(sub|ses)-([A-Za-z0-9+]+)")
_WORD = re.compile(r"[A-Za-z0-9+]+")
_ORDINAL = re.compile(r"\d{1,3}")
# The values of these columns become names and are checked as such: see refuse_identifying_names.
_NAMING = frozenset({"participant_id", "study", "patient"})
# Entries of the consortium's patient register leave the site as tokens only: see contribution.
_TOKENS = frozenset({"register_id"})
# Columns of measurements, whose digits are not record numbers.
_MEASURE = re.compile(r"volume|mm3|vox|count|icv|tiv", re.IGNORECASE)
_PATH = re.compile(r"[.](nii|nii[.]gz|txt)$")


def screen_study(files: StudyFiles, task: Task) -> list[Finding]:
    """Find possible identifiers in headers, sidecars and file names of one study.

    Findings that are `repaired` need not exclude the study: processing histories, which are never stored.
    """
    return screen_parts(files.parts(task))


def screen_parts(parts: Parts) -> list[Finding]:
    """As `screen_study`, of the files that there are."""
    volumes = {**parts.images, **{place: mask.mask for place, mask in parts.masks.items()}}
    transforms = {f"{place}'s transform": mask.transform for place, mask in parts.masks.items() if mask.transform}
    findings = []
    for place, path in (volumes | transforms).items():
        # Subject and session labels are checked with the names: see refuse_identifying_names.
        if kind := sign_in(_LABEL.sub("", path.name)):
            findings.append(_finding(f"{place} file name", kind))
    for place, path in volumes.items():
        findings += [_finding(f"{place} {sign.place}", sign.what, sign.harmless) for sign in header_signs(path)]
    for place, sidecar in parts.sidecars.items():
        findings += _sidecar_findings(sidecar, place)
    return findings


def screen_dataset(path: Path) -> list[Finding]:
    """Find possible identifiers in the columns of participants.tsv in this folder, or of this table of paths.

    Raises DatasetError if the table cannot be read.
    """
    table = path if path.is_file() else path / "participants.tsv"
    if not table.is_file():
        return []
    place = "participants.tsv" if table.name == "participants.tsv" else "table"
    content = read_table(table)
    rows, findings = content.records(), []
    for name in dict.fromkeys(content.columns):
        values = [cell for row in rows if not is_absent(cell := row.get(name, ""))]
        if values and is_identifying_column(name):
            kinds = {"information that identifies a patient"}
        elif name in _NAMING | _TOKENS or _MEASURE.search(name):
            kinds = set()
        else:
            kinds = {kind for cell in values if not _PATH.search(cell) and (kind := sign_in(cell))}
        findings += [_finding(f"{place} column {quotable(name)}", kind) for kind in sorted(kinds)]
    return findings


def scrubbed(findings: Iterable[Finding]) -> list[Finding]:
    """Mark findings as harmless because what they report is never stored; they no longer exclude the study."""
    return [
        finding
        if finding.repaired
        else finding.model_copy(update={"repaired": True, "what": f"{finding.what.partition(';')[0]}; never stored"})
        for finding in findings
    ]


def refuse_identifying_names(dataset: Dataset, task: Task) -> Dataset:
    """Move every study whose name could identify the patient to the faulty ones, with its name masked.

    Names become keys, so scrubbing cannot remove them: rename the dataset or use `pseudonymised` first.
    """
    studies, refused = [], []
    for files in dataset.studies:
        if findings := _name_findings(files):
            refused.append(Incomplete(_hide_labels(files.study), findings, files.parts(task), files.site))
        else:
            studies.append(files)
    faulty = [
        replace(one, study=_hide_labels(one.study), findings=tuple(map(_hide_in_finding, one.findings)))
        for one in dataset.faulty
    ]
    return Dataset(
        tuple(studies),
        tuple(sorted([*faulty, *refused], key=lambda one: one.study)),
        tuple(map(_hide_labels, dataset.notes)),
        dataset.site,
    )


def id_salt(environment: Mapping[str, str]) -> str:
    """Salt for `pseudonymised`. Raises InputError if it is missing or short enough to be guessed."""
    return checked_salt(environment.get(SALT_VARIABLE, ""), SALT_VARIABLE)


def checked_salt(salt: str, where: str) -> str:
    """The salt found there. Raises InputError, without repeating it, if it is missing or short enough to be guessed."""
    if len(salt) < LEAST_SALT_CHARACTERS:
        raise InputError(
            f"{where}: wanted a secret of at least {LEAST_SALT_CHARACTERS} characters to hash names with, "
            f"found {len(salt)}; make one (openssl rand -hex 32), keep it where the dataset is kept, and never share it"
        )
    return salt


def pseudonymised(dataset: Dataset, salt: str) -> Dataset:
    """Replace the names of a dataset by pseudonyms: `sub-<12 hexadecimal digits>`, numbered sessions.

    A patient's pseudonym is an HMAC-SHA256 of the label with the salt: the same at each visit, in each cohort and in
    each run. Without the salt nobody can test which label it comes from. Numeric session labels stay; otherwise a
    patient's sessions become 01, 02, … in the order of their labels, counted over the sessions in this dataset.
    Raises InputError as `id_salt`.
    """
    salt = id_salt({SALT_VARIABLE: salt})
    sessions: dict[str, set[str]] = {}
    for study in [*(files.study for files in dataset.studies), *(one.study for one in dataset.faulty)]:
        patient, session = _labels(study)
        sessions.setdefault(patient, set()).update({session} if session else ())
    ordinals = {patient: _ordinals(labels) for patient, labels in sessions.items()}

    def renamed(study: str) -> str:
        patient, session = _labels(study)
        return f"sub-{_pseudonym(patient, salt)}" + (f"_ses-{ordinals[patient][session]}" if session else "")

    def in_text(label: re.Match[str]) -> str:
        return f"sub-{_pseudonym(label[2], salt)}" if label[1] == "sub" else hidden(label[0])

    def in_finding(finding: Finding) -> Finding:
        return _hide_in_finding(finding.model_copy(update={"what": _LABEL.sub(in_text, finding.what)}))

    studies = [
        replace(files, study=renamed(files.study), patient=_pseudonym(files.patient, salt)) for files in dataset.studies
    ]
    faulty = [
        replace(one, study=renamed(one.study), findings=tuple(map(in_finding, one.findings))) for one in dataset.faulty
    ]
    return Dataset(
        tuple(sorted(studies, key=lambda files: files.study)),
        tuple(sorted(faulty, key=lambda one: one.study)),
        tuple(_LABEL.sub(in_text, note) for note in dataset.notes),
        dataset.site,
    )


def _finding(place: str, kind: str, harmless: bool = False) -> Finding:
    finding = Finding(
        code="identifier",
        place=place,
        what=f"contains {kind}; remove it, or continue with --scrub (it is never stored)",
    )
    return scrubbed([finding])[0] if harmless else finding


def _sidecar_findings(sidecar: Mapping[str, Any], place: str) -> list[Finding]:
    findings = []
    for path, value in _leaves(sidecar):
        if is_absent(value):
            continue
        kind = "identifying information" if any(map(is_identifying_key, path)) else None
        if kind is None and not _DATED_PROGRAMS & set(path):
            kind = sign_in_value(value)
        if kind:
            findings.append(_finding(f"{place} sidecar key {'.'.join(map(quotable, path))}", kind))
    return list(dict.fromkeys(findings))


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value that is not a container, with the path of its keys."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, (*path, str(key)))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for inner in value:
            yield from _leaves(inner, path)
    else:
        yield path, value


def _name_findings(files: StudyFiles) -> tuple[Finding, ...]:
    patient, session = _labels(files.study)
    labels = {"subject label": patient, "patient label": files.patient, "session label": session or ""}
    remedy = "rename it, or hash the names: --hash-ids"
    found = {place: kind for place, label in labels.items() if (kind := sign_in_label(label))}
    if "subject label" in found:
        found.pop("patient label", None)
    return tuple(
        Finding(code="identifier", place=place, what=f"looks like {kind}; {remedy}") for place, kind in found.items()
    )


def _labels(study: str) -> tuple[str, str | None]:
    """Subject and session label of a study name; an invalid name counts as a subject label as a whole."""
    subject, _, session = study.partition("_ses-")
    return subject.removeprefix("sub-"), session or None


def _ordinals(sessions: set[str]) -> dict[str, str]:
    if all(_ORDINAL.fullmatch(session) for session in sessions):
        return {session: session for session in sessions}
    return {session: f"{number:02d}" for number, session in enumerate(sorted(sessions), start=1)}


def _pseudonym(label: str, salt: str) -> str:
    """12 hexadecimal digits, the first a letter, so that no pseudonym looks like a date or a record number."""
    digits = hmac.new(salt.encode(), label.encode(), hashlib.sha256).hexdigest()
    return digits.lstrip("0123456789")[:12]


def _hide_labels(text: str) -> str:
    """Mask each subject or session label in the text that could identify a patient."""
    return _LABEL.sub(lambda label: label[0] if not sign_in_label(label[2]) else f"{label[1]}-{hidden(label[2])}", text)


def _hide_in_finding(finding: Finding) -> Finding:
    what = _WORD.sub(lambda word: hidden(word[0]) if sign_in(word[0]) else word[0], _hide_labels(finding.what))
    return finding.model_copy(update={"what": what})
