"""Preprocess the studies of a dataset: write their volumes, one manifest and two tables, or report every fault.

The caller decides how the work is distributed: `each` is `map` or a parallel equivalent.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from lesionlab.errors import DatasetError
from lesionlab.imaging.likeness import CopyOf, find_copies
from lesionlab.preprocessing.files import DEFAULT_SITE, Dataset, StudyFiles
from lesionlab.preprocessing.ingest import Recipe, StudyOutcome, ingest_study, plan_study
from lesionlab.store.documents import create_named, move_pointer
from lesionlab.store.objects import Store
from lesionlab.store.tables import write_rows
from storage_schemas.base import Slug
from storage_schemas.facts import StudyFacts
from storage_schemas.keys import CURRENT_MANIFEST, FACTS, MANIFEST, VERDICTS
from storage_schemas.manifests import Exclusion, Manifest
from storage_schemas.verdicts import Finding, StudyVerdict, Verdict, VerdictRow

Work = Callable[[StudyFiles], StudyOutcome]
Each = Callable[[Work, Sequence[StudyFiles]], Iterable[StudyOutcome]]
"""`map`, or an equivalent that yields one result per study in any order."""
Progress = Callable[[int, int, str], None]
"""Called with the number of finished studies, the number of all studies and the last finished study."""


@dataclass(frozen=True)
class Ingested:
    """Result for one dataset; the tables are stored next to the manifest."""

    manifest: Manifest
    verdicts: tuple[StudyVerdict, ...]
    """One per study of the dataset, sorted by name."""


def preprocess_cohort(
    store: Store,
    dataset: Dataset,
    recipe: Recipe,
    *,
    cohort: Slug,
    exclude_faulty: bool = False,
    each: Each = map,
    progress: Progress = lambda done, total, study: None,
) -> Ingested:
    """Preprocess every study of a dataset into the store, write the manifest and make it the cohort's current one.

    A faulty study never stops the others. Volumes and refusals that are already stored for the same files and the same
    preprocessing are not computed again. With `exclude_faulty` the manifest lists the quarantined studies as excluded.
    Without it, any quarantined study raises DatasetError with all faults and no manifest is written; the volumes of
    valid studies stay in the store and are found again in the next attempt. Raises DatasetError also if no study
    passes, and StoreError if the store fails.
    """
    work = partial(ingest_study, recipe=recipe, store_uri=store.uri)
    outcomes = judge(dataset, work, each, progress)
    verdicts = tuple(outcome.verdict for outcome in outcomes)
    excluded = tuple(
        Exclusion(study=verdict.study, findings=verdict.findings)
        for verdict in verdicts
        if verdict.verdict == "quarantined"
    )
    entries = tuple(outcome.entry for outcome in outcomes if outcome.entry)
    if not entries:
        raise DatasetError(*fault_lines(excluded), f"{tally(verdicts)}: no study passed; correct the studies")
    if excluded and not exclude_faulty:
        remedy = "correct these studies, or continue without them: --exclude-faulty"
        raise DatasetError(*fault_lines(excluded), f"{tally(verdicts)}; {remedy}")
    manifest = Manifest.named(
        cohort=cohort,
        task=recipe.task,
        spacing_mm=recipe.spacing_mm,
        studies=entries,
        excluded=excluded,
        strip=recipe.strip,
    )
    place = {"cohort": cohort, "digest": manifest.id}
    facts = [visit for outcome in outcomes for visit in outcome.facts]
    write_rows(store, VERDICTS.build(**place), [row for verdict in verdicts for row in verdict.rows()], VerdictRow)
    write_rows(store, FACTS.build(**place), facts, StudyFacts)
    create_named(store, MANIFEST.build(**place), manifest)
    move_pointer(store, CURRENT_MANIFEST.build(cohort=cohort), manifest.id)
    return Ingested(manifest, verdicts)


def judge(dataset: Dataset, work: Work, each: Each, progress: Progress) -> tuple[StudyOutcome, ...]:
    """Process every study of the dataset; outcomes are sorted by name, whichever study finishes first."""
    outcomes = [_without_files(exclusion, dataset) for exclusion in dataset.faulty]
    progress(0, len(dataset.studies), "")
    for done, outcome in enumerate(each(work, dataset.studies), start=1):
        outcomes.append(outcome)
        progress(done, len(dataset.studies), outcome.verdict.study)
    return without_copies(sorted(outcomes, key=lambda outcome: outcome.verdict.study))


def without_copies(outcomes: Sequence[StudyOutcome]) -> tuple[StudyOutcome, ...]:
    """Quarantine studies that share an image with another patient: its owner is unknown and it would be a leak.

    The same image is certain; a likely copy of an image or a mask is quarantined too, until somebody has looked.
    """
    certain, likely = _same_images(outcomes), _likely_copies(outcomes)
    return tuple(
        _quarantined(outcome, certain[place], likely[place]) if certain[place] or likely[place] else outcome
        for place, outcome in enumerate(outcomes)
    )


def _same_images(outcomes: Sequence[StudyOutcome]) -> list[set[str]]:
    """For each study, the studies of other patients that share an image."""
    holders: dict[str, list[StudyVerdict]] = defaultdict(list)
    for outcome in outcomes:
        for image in outcome.images:
            holders[image].append(outcome.verdict)

    def others(outcome: StudyOutcome) -> set[str]:
        found = (verdict for image in outcome.images for verdict in holders[image])
        return {verdict.study for verdict in found if verdict.patient != outcome.verdict.patient}

    return [others(outcome) for outcome in outcomes]


def _likely_copies(outcomes: Sequence[StudyOutcome]) -> list[dict[CopyOf, set[str]]]:
    """For each study, the studies of other patients with a likely copy of its image or mask."""
    likenesses = [outcome.likeness for outcome in outcomes]
    found: list[dict[CopyOf, set[str]]] = [defaultdict(set) for _ in outcomes]
    for copy in find_copies(likenesses, likenesses):
        one, other = outcomes[copy.first].verdict, outcomes[copy.second].verdict
        if one.patient != other.patient:
            found[copy.first][copy.of].add(other.study)
    return found


def tally(verdicts: Iterable[StudyVerdict]) -> str:
    """`12 passed, 1 repaired, 2 quarantined`."""
    counts = Counter(verdict.verdict for verdict in verdicts)
    words: dict[Verdict, str] = {"pass": "passed", "repaired": "repaired", "quarantined": "quarantined"}
    return ", ".join(f"{counts[verdict]} {word}" for verdict, word in words.items())


def plan_cohort(store: Store, dataset: Dataset, recipe: Recipe) -> list[str]:
    """Say what `preprocess_cohort` would do, one line per study; decodes no image and writes nothing."""
    lines = [f"{files.study}: {plan_study(files, recipe, store)}, site {files.site}" for files in dataset.studies]
    return sorted([*fault_lines(dataset.faulty), *lines])


def fault_lines(exclusions: Iterable[Exclusion]) -> list[str]:
    """One line per fault of each study."""
    return [f"{exclusion.study} {fault}" for exclusion in exclusions for fault in exclusion.faults]


def _quarantined(outcome: StudyOutcome, same: set[str], likely: Mapping[CopyOf, set[str]]) -> StudyOutcome:
    """The study with a finding for the same images and one for each kind of likely copy that it is not certain of."""
    findings = []
    if same:
        what = f"wanted an image of this patient only, found the same image in {_names(same)}; keep one of them"
        findings.append(Finding(code="duplicate-image", place="image", what=what))
    for of, studies in likely.items():
        if others := studies - same:
            what = (
                f"wanted {'an image' if of == 'image' else 'a mask'} of this patient only, found a likely copy in "
                f"{_names(others)}; compare them and remove the copy, or give both the same patient label if they are "
                "one patient"
            )
            findings.append(Finding(code="likely-duplicate", place=of, what=what))
    verdict = outcome.verdict.model_copy(update={"findings": (*outcome.verdict.findings, *findings)})
    return StudyOutcome(verdict)


def _names(studies: Iterable[str]) -> str:
    return ", ".join(sorted(studies))


def _without_files(exclusion: Exclusion, dataset: Dataset) -> StudyOutcome:
    """Outcome of a study with missing files; its site is that of the patient's other studies, if any."""
    patient = exclusion.study.partition("_")[0].removeprefix("sub-")
    sites = {files.patient: files.site for files in dataset.studies}
    site = sites.get(patient, DEFAULT_SITE)
    return StudyOutcome(StudyVerdict(study=exclusion.study, patient=patient, site=site, findings=exclusion.findings))
