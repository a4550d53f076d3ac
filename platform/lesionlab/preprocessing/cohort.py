"""Preprocess the studies of a dataset: write their volumes and each site's part, or report every fault.

The caller decides how the work is distributed: `each` is `map` or a parallel equivalent.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from types import MappingProxyType
from typing import TypeVar

from lesionlab.errors import Conflict, DatasetError
from lesionlab.experiments.manifests import union
from lesionlab.experiments.parts import ATTEMPTS, Second, combined, contended, current_part, move_part
from lesionlab.imaging.likeness import CopyOf, find_copies
from lesionlab.preprocessing.files import Dataset, Incomplete, StudyFiles
from lesionlab.preprocessing.ingest import Recipe, StudyOutcome, ingest_study, plan_study
from lesionlab.store.objects import Store
from lesionlab.store.tables import read_rows, write_rows
from storage_schemas.base import Sha256, Slug
from storage_schemas.facts import StudyFacts
from storage_schemas.keys import FACTS, VERDICTS, KeyPattern
from storage_schemas.manifests import Exclusion, Manifest
from storage_schemas.parts import Part
from storage_schemas.verdicts import Finding, StudyVerdict, Verdict, VerdictRow
from storage_schemas.versions import CURRENT

R = TypeVar("R", StudyFacts, VerdictRow)

Work = Callable[[StudyFiles | Incomplete], StudyOutcome]
Each = Callable[[Work, Sequence[StudyFiles | Incomplete]], Iterable[StudyOutcome]]
"""`map`, or an equivalent that yields one result per study in any order."""
Progress = Callable[[int, int, str], None]
"""Called with the number of finished studies, the number of all studies and the last finished study."""


@dataclass(frozen=True)
class Ingested:
    """Result for one dataset; the tables are stored next to the parts."""

    manifest: Manifest
    """The union of the parts, as if no other site had one."""
    parts: tuple[Part, ...]
    """One for each site of the dataset, sorted by site."""
    verdicts: tuple[StudyVerdict, ...]
    """One per study of the dataset, sorted by name."""


def preprocess_cohort(
    store: Store,
    dataset: Dataset,
    recipe: Recipe,
    *,
    cohort: Slug,
    exclude_faulty: bool = False,
    second: Second = "refuse",
    tokens: Mapping[str, Sha256] = MappingProxyType({}),
    each: Each = map,
    progress: Progress = lambda done, total, study: None,
) -> Ingested:
    """Preprocess every study of a dataset into the store, and make them the parts of their sites in the cohort.

    A faulty study never stops the others. Volumes and refusals that are already stored for the same files and the same
    preprocessing are not computed again. With `exclude_faulty` the parts list the quarantined studies as excluded.
    Without it, any quarantined study raises DatasetError with all faults and no part is written; the volumes of
    valid studies stay in the store and are found again in the next attempt. `second` says what a second dataset of a
    site does; parts of other sites stay. `tokens` has those of the patients' register entries.

    Raises DatasetError also if no study passes or the dataset does not fit what its sites have in the cohort, Conflict
    if others change a part all the time, and StoreError if the store fails.
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
    new = _parts(cohort, recipe, outcomes, tokens)
    for part in new:  # all of them before the first is written
        combined(current_part(store, part.site, cohort), part, second)
    facts = [visit for outcome in outcomes for visit in outcome.facts]
    rows = [row for verdict in verdicts for row in verdict.rows()]
    parts = tuple(_contributed(store, part, second, rows, facts) for part in new)
    return Ingested(union(cohort, parts), parts, verdicts)


def _parts(
    cohort: Slug, recipe: Recipe, outcomes: Sequence[StudyOutcome], tokens: Mapping[str, Sha256]
) -> tuple[Part, ...]:
    """What each site of the dataset contributes."""
    entries = [
        outcome.entry.model_copy(update={"register_token": tokens.get(outcome.entry.patient)})
        for outcome in outcomes
        if outcome.entry
    ]
    return tuple(
        Part.named(
            site=site,
            cohort=cohort,
            task=recipe.task,
            spacing_mm=recipe.spacing_mm,
            strip=recipe.strip,
            version=CURRENT.preprocessing,
            studies=tuple(entry for entry in entries if entry.site == site),
            excluded=tuple(
                Exclusion(study=outcome.verdict.study, findings=outcome.verdict.findings)
                for outcome in outcomes
                if outcome.verdict.verdict == "quarantined" and outcome.verdict.site == site
            ),
        )
        for site in sorted({outcome.verdict.site for outcome in outcomes})
    )


def _contributed(
    store: Store, new: Part, second: Second, verdicts: Sequence[VerdictRow], facts: Sequence[StudyFacts]
) -> Part:
    """Make this, or what it and the site's current part are together, the site's current part; write its tables."""
    for _ in range(ATTEMPTS):
        before = current_part(store, new.site, new.cohort)
        part = combined(before, new, second)
        place = {"site": part.site, "cohort": part.cohort, "digest": part.id}
        kept = {entry.study for entry in part.studies}
        told = kept | {exclusion.study for exclusion in part.excluded}
        write_rows(
            store, VERDICTS.build(**place), _merged(store, before, VERDICTS, verdicts, told, VerdictRow), VerdictRow
        )
        write_rows(store, FACTS.build(**place), _merged(store, before, FACTS, facts, kept, StudyFacts), StudyFacts)
        if before is not None and before.id == part.id:
            return part
        try:
            move_part(store, part, None if before is None else before.id)
        except Conflict:
            continue
        return part
    raise contended(new.site)


def _merged(
    store: Store, before: Part | None, kind: KeyPattern, rows: Sequence[R], wanted: Set[str], model: type[R]
) -> list[R]:
    """The rows of these studies of a part: the new ones, and of its other studies those of the part before it."""
    merged = [row for row in rows if row.study in wanted]
    left = wanted - {row.study for row in merged}
    if before is not None and left:
        key = kind.build(site=before.site, cohort=before.cohort, digest=before.id)
        merged += [row for row in (read_rows(store, [key], model) if store.exists(key) else ()) if row.study in left]
        merged.sort(key=attrgetter("study"))
    return merged


def judge(dataset: Dataset, work: Work, each: Each, progress: Progress) -> tuple[StudyOutcome, ...]:
    """Process every study of the dataset; outcomes are sorted by name, whichever study finishes first.

    The site of an incomplete study is that of the patient's other studies, if any.
    """
    sites = {files.patient: files.site for files in dataset.studies}
    incomplete = [replace(one, site=sites.get(one.patient, dataset.site)) for one in dataset.faulty]
    outcomes: list[StudyOutcome] = []
    every: list[StudyFiles | Incomplete] = [*incomplete, *dataset.studies]
    progress(0, len(every), "")
    for done, outcome in enumerate(each(work, every), start=1):
        outcomes.append(outcome)
        progress(done, len(every), outcome.verdict.study)
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


def fault_lines(exclusions: Iterable[Exclusion | Incomplete]) -> list[str]:
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
