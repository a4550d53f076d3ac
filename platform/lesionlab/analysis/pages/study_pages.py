"""Collect what the page of each tested study shows: slices through missed lesions and false positives.

Mistakes are shown for a few models only; the counts are shown for all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from lesionlab.analysis.figures.slices import read_prediction, read_volume
from lesionlab.analysis.figures.thumbnails import Thumbnails
from lesionlab.analysis.statistics.conditions import (
    Condition,
    conditions,
    groups,
    rows_by_condition,
    rows_of,
)
from lesionlab.analysis.words import pages as words
from lesionlab.store.objects import Store
from storage_schemas.base import Digest, file_stem
from storage_schemas.experiments import Plan
from storage_schemas.manifests import ManifestEntry
from storage_schemas.results import LesionRow, StudyRow

MOST_MODELS = 6
"""Models whose mistakes a page shows."""
MOST_LESIONS = 80
"""Mistakes of one model that a page shows; a network that failed has thousands."""


_MISTAKES = ("missed", "false-positive")


@dataclass(frozen=True)
class Mistake:
    """A missed lesion or a false positive of one model."""

    picture: Markup
    model: Condition
    lesion: LesionRow


@dataclass(frozen=True)
class StudyPage:
    """What is shown of one study."""

    entry: ManifestEntry
    rows: tuple[StudyRow, ...]
    """Of every model that was tested on it."""
    shown: tuple[tuple[Condition, StudyRow], ...]
    """The models whose mistakes are shown, and what they counted."""
    mistakes: tuple[Mistake, ...]
    left_out: int
    """Mistakes of these models beyond MOST_LESIONS, all smaller than those shown."""
    without_prediction: tuple[Condition, ...]
    """Models whose predicted mask is not in the store."""
    limits: tuple[str, ...]
    """Which models and seeds are shown, a sentence each; none if all are."""

    @property
    def file(self) -> str:
        """Name of the page."""
        return f"{file_stem(self.entry.study)}.html"


def models_on_pages(plan: Plan, rows: Sequence[StudyRow]) -> tuple[Condition, ...]:
    """Choose the trained models of the main depth at the largest size, among those that have rows.

    If none of that depth has any, those of another stratum; if no trained model has any, the untrained ones.
    """
    return _candidates(plan, rows)[0][:MOST_MODELS]


def limits_of_pages(plan: Plan, rows: Sequence[StudyRow]) -> tuple[str, ...]:
    """Write which models and seeds `models_on_pages` leaves out; a sentence each."""
    candidates, which = _candidates(plan, rows)
    shown, every = candidates[:MOST_MODELS], conditions(rows)
    seeds = sorted({row.seed for row in rows if row.arm in ("fine-tuned", "de-novo")})
    limits = []
    if len(shown) < len(every):
        limits.append(words.models_shown(len(shown), len(candidates), len(every), which))
    if len(seeds) > 1:
        limits.append(words.seeds_shown(seeds))
    return tuple(limits)


def _candidates(plan: Plan, rows: Sequence[StudyRow]) -> tuple[tuple[Condition, ...], str]:
    """Return the models that belong on the pages, however many, and how they are described."""
    by_depth = sorted(
        groups(rows_by_condition(rows)), key=lambda group: group.conditions[-1].depth != plan.spec.main_depth
    )
    group = next((group for group in by_depth if group.trained), None)
    if group is None:
        return conditions(rows), words.UNTRAINED
    largest = max(model.training_size for model in group.trained)
    candidates = tuple(model for model in group.trained if model.training_size == largest)
    return candidates, words.trained_on(largest, group.stratum)


def study_pages(
    store: Store,
    plan: Plan,
    rows: Sequence[StudyRow],
    lesions: Mapping[Digest, Sequence[LesionRow]],
    models: Sequence[Condition],
) -> Iterator[StudyPage]:
    """Yield one page for each tested study that has results, by name; `lesions` are those of each run."""
    entries = {entry.study: entry for run in plan.runs for entry in run.test}
    limits = limits_of_pages(plan, rows)
    own: dict[str, list[StudyRow]] = defaultdict(list)
    for row in rows:
        own[row.study].append(row)
    for study in sorted(own):
        yield _page(store, entries[study], own[study], models, lesions, limits)


def _page(
    store: Store,
    entry: ManifestEntry,
    rows: Sequence[StudyRow],
    models: Sequence[Condition],
    lesions: Mapping[Digest, Sequence[LesionRow]],
    limits: tuple[str, ...],
) -> StudyPage:
    shown = [(model, min(own, key=lambda row: row.seed)) for model in models if (own := rows_of(model, rows))]
    thumbnails = Thumbnails(read_volume(store, entry))
    mistakes: list[Mistake] = []
    unseen, left_out = [], 0
    for model, row in shown:
        mask_ijk = read_prediction(store, row)
        if mask_ijk is None:
            unseen.append(model)
            continue
        wrong = [one for one in lesions.get(row.run_id, ()) if one.study == row.study and one.outcome in _MISTAKES]
        largest_first = sorted(wrong, key=lambda lesion: (-lesion.volume_mm3, lesion.side, lesion.lesion))
        left_out += max(0, len(largest_first) - MOST_LESIONS)
        for lesion in largest_first[:MOST_LESIONS]:
            place_mm = (lesion.x_mm, lesion.y_mm, lesion.z_mm)
            picture = thumbnails.at(place_mm, mask_ijk, words.picture(lesion.outcome, lesion.volume_mm3))
            mistakes.append(Mistake(picture, model, lesion))
    return StudyPage(entry, tuple(rows), tuple(shown), tuple(mistakes), left_out, tuple(unseen), limits)
