"""A BIDS dataset and a task in; its study volumes and one manifest in the store out, or every fault at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from lesionlab.errors import DatasetError, InputError
from lesionlab.preprocessing.bids import find_studies
from lesionlab.preprocessing.files import StudyFiles
from lesionlab.preprocessing.study import preprocess_study, store_study, stored_entry, study_digest
from lesionlab.store.documents import create_document, move_pointer
from lesionlab.store.objects import Store
from storage_schemas.base import Digest, Slug
from storage_schemas.keys import CURRENT_MANIFEST, MANIFEST
from storage_schemas.manifests import Exclusion, Manifest, ManifestEntry
from storage_schemas.tasks import Task
from storage_schemas.verdicts import Finding


def preprocess_cohort(
    store: Store,
    root: Path,
    *,
    task: Task,
    cohort: Slug,
    spacing_mm: float,
    code_version: Digest,
    site: Slug | None = None,
    exclude_faulty: bool = False,
    progress: Callable[[int, int, str], None] = lambda done, total, study: None,
) -> Manifest:
    """Bring every study of a dataset into the store, write the manifest and make it the cohort's current one.

    A faulty study never stops the others. Volumes that lie in the store already, from the same files by the same
    code, are not made again. With `exclude_faulty` the manifest names the faulty studies and does without them;
    without it any fault raises DatasetError with all faults, and no manifest is written (volumes of sound studies
    stay in the store, where nothing refers to them, and are found again at the next attempt). Raises DatasetError also
    where no study is left.
    """
    dataset = find_studies(root, task, site)
    entries: list[ManifestEntry] = []
    excluded = list(dataset.faulty)
    for done, files in enumerate(dataset.studies, start=1):
        try:
            entries.append(_bring_in(store, files, task, spacing_mm, code_version))
        except InputError as error:
            found = tuple(
                Finding(code="unreadable", place=place, what=what)
                for place, _, what in (str(fault).partition(": ") for fault in error.args)
            )
            excluded.append(Exclusion(study=files.study, findings=found))
        progress(done, len(dataset.studies), files.study)
    copies = same_images(entries)
    excluded = sorted([*excluded, *copies], key=lambda exclusion: exclusion.study)
    sound = tuple(entry for entry in entries if entry.study not in {copy.study for copy in copies})
    if not sound:
        raise DatasetError(*fault_lines(excluded), f"{root}: no study is without fault; correct them")
    if excluded and not exclude_faulty:
        raise DatasetError(*fault_lines(excluded), "correct these studies, or go on without them: --exclude-faulty")
    manifest = Manifest(cohort=cohort, task=task.name, spacing_mm=spacing_mm, studies=sound, excluded=tuple(excluded))
    create_document(store, MANIFEST.build(cohort=cohort, digest=manifest.digest()), manifest)
    move_pointer(store, CURRENT_MANIFEST.build(cohort=cohort), manifest.digest())
    return manifest


def plan_cohort(
    store: Store, root: Path, *, task: Task, spacing_mm: float, code_version: Digest, site: Slug | None = None
) -> list[str]:
    """What `preprocess_cohort` would do, one line a study; no image is decoded and nothing is written."""
    dataset = find_studies(root, task, site)
    lines = fault_lines(dataset.faulty)
    for files in dataset.studies:
        stored = stored_entry(store, files, study_digest(files, task, spacing_mm, code_version))
        lines.append(f"{files.study}: {'in the store already' if stored else 'to be done'}, site {files.site}")
    return sorted(lines)


def same_images(entries: Sequence[ManifestEntry]) -> list[Exclusion]:
    """All studies whose image is also that of another study: nobody knows whose it is, and a split would leak it."""
    by_image: dict[str, list[str]] = defaultdict(list)
    for entry in entries:
        by_image[entry.image_sha256].append(entry.study)
    return [
        Exclusion(
            study=study,
            findings=(
                Finding(
                    code="duplicate-image",
                    place="image",
                    what=f"also that of {', '.join(other for other in studies if other != study)}; keep one",
                ),
            ),
        )
        for studies in by_image.values()
        if len(studies) > 1
        for study in studies
    ]


def fault_lines(exclusions: Sequence[Exclusion]) -> list[str]:
    """One line for every fault of every study."""
    return [f"{exclusion.study} {fault}" for exclusion in exclusions for fault in exclusion.faults]


def _bring_in(store: Store, files: StudyFiles, task: Task, spacing_mm: float, code_version: Digest) -> ManifestEntry:
    stored = stored_entry(store, files, study_digest(files, task, spacing_mm, code_version))
    return stored or store_study(store, preprocess_study(files, task, spacing_mm, code_version))
