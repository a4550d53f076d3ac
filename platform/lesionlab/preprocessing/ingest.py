"""Ingest one study: store its volume and its quality-control verdict, or say why it is refused. Runs in each worker.

Arguments and results are sent between processes. A problem with one study never leaves this module as an exception;
a failing store does, because it is not the study's fault.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from lesionlab.errors import (
    DamagedObject,
    ImageError,
    InputError,
    LesionlabError,
    MissingObject,
    StoreError,
    StudyRefused,
)
from lesionlab.imaging.likeness import describe
from lesionlab.preprocessing.facts import read_facts
from lesionlab.preprocessing.files import Incomplete, StudyFiles
from lesionlab.preprocessing.integrity import faults_of, read_scans
from lesionlab.preprocessing.privacy import screen_parts, screen_study, scrubbed
from lesionlab.preprocessing.study import (
    StudyVolume,
    preprocess_study,
    store_study,
    stored_entry,
    study_digest,
    voxels_sha256,
)
from lesionlab.store.documents import read_document, write_document
from lesionlab.store.objects import Store, open_store
from storage_schemas.base import Digest, Sha256, digest_of
from storage_schemas.cohorts import Stripper, Stripping
from storage_schemas.facts import StudyFacts
from storage_schemas.keys import STUDY_PICTURE, STUDY_VERDICT
from storage_schemas.manifests import Likeness, ManifestEntry
from storage_schemas.tasks import Task
from storage_schemas.verdicts import Code, Finding, StudyVerdict

T = TypeVar("T")
Findings = tuple[Finding, ...]

LOG = logging.getLogger(__name__)

QUALITY_CONTROL = 6
"""Version of quality control; raised when the same files get another verdict. Volumes stay valid."""

MAY_PASS_NEXT_TIME: frozenset[Code] = frozenset({"missing-file", "unreadable", "not-finished"})
"""The machine may cause these and not the file, so such verdicts are not stored but tried again the next time."""


@dataclass(frozen=True)
class Recipe:
    """Preprocessing settings that all studies of a cohort share."""

    task: Task
    spacing_mm: float
    """Spacing of the isotropic model grid."""
    scrub: bool = False
    """Identifiers outside the voxels, which never enter a volume, are reported but do not quarantine the study."""
    accept: frozenset[str] = frozenset()
    """Studies that somebody has looked at: what the platform only doubts does not quarantine them."""

    registered: bool = False
    """The images of each study are registered already and keep the places in their headers."""

    strip: Stripping | None = None
    """Remove the skull, or say that the images come without it."""

    @property
    def stripper(self) -> Stripper | None:
        """What removes the skull; None: nothing does."""
        return None if self.strip is None or self.strip == "already" else self.strip

    def digest(self, files: StudyFiles) -> Digest:
        """The digest of the study's volume by these settings. Raises ImageError if a file cannot be read."""
        return study_digest(files, self.task, self.spacing_mm, registered=self.registered, strip=self.stripper)

    def volume(self, files: StudyFiles) -> StudyVolume:
        """Preprocess one study by these settings. Raises StudyRefused with all findings."""
        return preprocess_study(
            files,
            self.task,
            self.spacing_mm,
            registered=self.registered,
            accepted=self.accepts(files),
            strip=self.stripper,
        )

    def accepts(self, files: StudyFiles) -> bool:
        """Whether somebody vouches for this study."""
        return files.study in self.accept


@dataclass(frozen=True)
class StudyOutcome:
    """Result for one study."""

    verdict: StudyVerdict
    entry: ManifestEntry | None = None
    """None: the study was refused."""
    facts: tuple[StudyFacts, ...] = ()
    """One per visit."""
    images: frozenset[Sha256] = frozenset()
    """`ManifestEntry.images`; empty if the study was refused."""
    likeness: Likeness = field(default_factory=Likeness)
    """Empty if the study was refused."""


@dataclass(frozen=True)
class Known:
    """What is known about a study before any image is decoded."""

    screened: Findings
    verdict_key: str
    verdict: StudyVerdict | None
    """None: these bytes were not checked yet by this version of quality control."""
    entry: ManifestEntry | None

    @property
    def settled(self) -> StudyVerdict | None:
        """The verdict, if nothing is left to do."""
        return self.verdict if self.entry or (self.verdict and self.verdict.verdict == "quarantined") else None


def ingest_study(files: StudyFiles | Incomplete, recipe: Recipe, store_uri: str) -> StudyOutcome:
    """Screen and preprocess one study; store its volume and, last, its verdict, or say why it is refused.

    A volume or a refusal that is already stored for the same bytes and versions is not computed again. Of an incomplete
    study nothing is stored. Raises StoreError.
    """
    if isinstance(files, Incomplete):
        return _of_incomplete(files, recipe)

    def stored() -> StudyOutcome:
        store = open_store(store_uri)
        known = look_up(store, files, recipe)
        if known.settled:
            return _outcome(files, recipe.task, known.settled.findings, known.entry)
        try:
            volume = recipe.volume(files)
        except InputError as refusal:
            if isinstance(refusal, StudyRefused):
                _store_pictures(store, files, recipe, refusal.pictures)
            findings, entry = known.screened + findings_of(refusal), None
        else:
            _store_pictures(store, files, recipe, volume.pictures)
            findings, entry = known.screened + volume.findings, store_study(store, volume)
        if not MAY_PASS_NEXT_TIME & {finding.code for finding in findings}:
            write_document(store, known.verdict_key, _verdict(files, findings))
        return _outcome(files, recipe.task, findings, entry)

    return _as_outcome(files, _all_at_once(files, recipe.task, attempt(files, stored)))


def _store_pictures(store: Store, files: StudyFiles, recipe: Recipe, pictures: Mapping[str, bytes]) -> None:
    """Store a picture of each registration, under the volume's digest, for people to look at."""
    digest = recipe.digest(files)
    for role, png in pictures.items():
        store.put(STUDY_PICTURE.build(site=files.site, study=files.study, digest=digest, role=role), png)


def check_study(files: StudyFiles | Incomplete, recipe: Recipe, *, registration: bool) -> StudyOutcome:
    """Return the verdict that `ingest_study` would give, without a store; skip registration if `registration` is False.

    The entry is None, because nothing is stored.
    """
    if isinstance(files, Incomplete):
        return _of_incomplete(files, recipe)

    def checked() -> StudyOutcome:
        screened = screened_study(files, recipe)
        if registration:
            volume = recipe.volume(files)
            verdict = _verdict(files, screened + volume.findings)
            return StudyOutcome(verdict, images=volume.entry.images, likeness=volume.entry.likeness)
        scans = read_scans(files, recipe.task, accepted=recipe.accepts(files))
        likeness = describe(scans.images, scans.heads, scans.reference)
        images = {voxels_sha256(image) for image in scans.images.values()} | {*likeness.canonical_sha256}
        return StudyOutcome(_verdict(files, screened + scans.findings), images=frozenset(images), likeness=likeness)

    return _as_outcome(files, _all_at_once(files, recipe.task, attempt(files, checked)))


def plan_study(files: StudyFiles, recipe: Recipe, store: Store) -> str:
    """Say what `ingest_study` would do; decodes no image and writes nothing. Raises StoreError."""
    known = attempt(files, lambda: look_up(store, files, recipe))
    if not isinstance(known, Known):
        return f"faulty: {'; '.join(finding.text() for finding in known)}"
    if not known.settled:
        return "to be preprocessed"
    return "already in the store" if known.entry else "already quarantined"


def lost(files: StudyFiles | Incomplete) -> StudyOutcome:
    """Outcome of a study whose process was killed in every attempt."""
    return _as_outcome(files, (_not_finished("its process was killed each time, probably for lack of memory"),))


def look_up(store: Store, files: StudyFiles, recipe: Recipe) -> Known:
    """Screen the study and look for it in the store. Raises StudyRefused if privacy screening refuses it."""
    screened = screened_study(files, recipe)
    volume = recipe.digest(files)
    # A verdict depends on everything that decides the volume, and on the metadata.
    decisive = {
        "volume": volume,
        "quality_control": QUALITY_CONTROL,
        "sidecars": {role: repr(sidecar) for role, sidecar in files.sidecars.items()},
        "participant": repr(files.participant),
        "screened": [finding.model_dump(mode="json") for finding in screened],
    } | ({"accepted": True} if recipe.accepts(files) else {})
    key = STUDY_VERDICT.build(site=files.site, study=files.study, digest=digest_of(decisive))
    try:
        verdict = read_document(store, key, StudyVerdict)
    except (MissingObject, DamagedObject):
        return Known(screened, key, None, None)
    # A volume may be stored that passed when the metadata was different.
    outside = verdict.verdict == "quarantined"
    return Known(screened, key, verdict, None if outside else stored_entry(store, files, volume))


def screened_study(files: StudyFiles, recipe: Recipe) -> Findings:
    """Findings of privacy screening that do not refuse the study. Raises StudyRefused if any does."""
    found = screen_study(files, recipe.task)
    findings = tuple(scrubbed(found) if recipe.scrub else found)
    if any(not finding.repaired for finding in findings):
        raise StudyRefused(findings)
    return findings


def attempt(files: StudyFiles | Incomplete, work: Callable[[], T]) -> T | Findings:
    """Run `work`; return its result or, if it fails for any reason, the findings. Raises StoreError."""
    if unseen := tuple(_unseen(name) for name, path in _paths(files) if not path.exists()):
        return unseen
    try:
        return work()
    except StoreError:
        raise
    except InputError as refusal:
        return findings_of(refusal)
    except LesionlabError as error:
        return (_not_finished(str(error)),)
    except Exception as error:
        # Without the error's message, which may quote a header or a table: a log must not identify a patient.
        name, trace = type(error).__name__, "".join(traceback.format_tb(error.__traceback__))
        LOG.error("%s was not finished: %s\n%s", files.study, name, trace)
        return (_not_finished(f"processing failed with {name} (see the log)"),)


def findings_of(refusal: InputError) -> Findings:
    """All faults of an error that one study caused."""
    if isinstance(refusal, StudyRefused):
        return refusal.findings
    code = refusal.code if isinstance(refusal, ImageError) else "unreadable"
    return tuple(Finding(code=code, place="study", what=str(fault)) for fault in refusal.args)


def _of_incomplete(files: Incomplete, recipe: Recipe) -> StudyOutcome:
    """The faults of its layout or name, and those of the files that there are: they are to be mended at once."""

    def read() -> Findings:
        found = screen_parts(files.parts)
        return (*(scrubbed(found) if recipe.scrub else found), *faults_of(files.parts))

    own = tuple(_without_paths(finding, files) for finding in attempt(files, read))
    findings = (*files.findings, *own)
    return StudyOutcome(StudyVerdict(study=files.study, patient=files.patient, site=files.site, findings=findings))


def _all_at_once(files: StudyFiles, task: Task, done: StudyOutcome | Findings) -> StudyOutcome | Findings:
    """Add the image faults of a study that privacy screening refused before its images were read."""
    if isinstance(done, StudyOutcome) or not any(f.code == "identifier" and not f.repaired for f in done):
        return done
    return done + attempt(files, lambda: read_scans(files, task).findings)


def _as_outcome(files: StudyFiles | Incomplete, done: StudyOutcome | Findings) -> StudyOutcome:
    return done if isinstance(done, StudyOutcome) else StudyOutcome(_verdict(files, done))


def _outcome(files: StudyFiles, task: Task, findings: Findings, entry: ManifestEntry | None) -> StudyOutcome:
    verdict = _verdict(files, findings)
    if entry is None:
        return StudyOutcome(verdict)
    return StudyOutcome(verdict, entry, read_facts(files, task), entry.images, entry.likeness)


def _verdict(files: StudyFiles | Incomplete, findings: Findings) -> StudyVerdict:
    pathless = tuple(_without_paths(finding, files) for finding in findings)
    return StudyVerdict(study=files.study, patient=files.patient, site=files.site, findings=pathless)


def _without_paths(finding: Finding, files: StudyFiles | Incomplete) -> Finding:
    """Replace paths and file names by roles; file names contain the labels that `--hash-ids` replaces."""
    what = finding.what
    for name, path in _paths(files):
        what = what.replace(str(path), name).replace(path.name, name)
    return finding.model_copy(update={"what": what})


def _not_finished(why: str) -> Finding:
    return Finding(code="not-finished", place="study", what=f"wanted a verdict, but {why}; run the command again")


def _unseen(name: str) -> Finding:
    return Finding(
        code="missing-file",
        place=name,
        what="wanted the file that was there when the dataset was opened, found none on this machine; in a cluster the "
        "dataset must have the same path on every machine (a shared file system)",
    )


def _paths(files: StudyFiles | Incomplete) -> Iterable[tuple[str, Path]]:
    """Every file of the study with its name in findings."""
    if isinstance(files, Incomplete):
        images, masks = files.parts.images, files.parts.masks
    else:
        images = files.images
        masks = {"mask": files.reference} | ({"second mask": files.second} if files.second else {})
    yield from images.items()
    for name, mask in masks.items():
        yield name, mask.mask
        if mask.transform:
            yield f"transform of the {name}", mask.transform
