"""Rows, lesions, volumes and predictions of a study in the store in; one page a tested study out, with every mistake.

A page shows the slices through the lesions that some models missed, and through what they found that is none.
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
    count_of,
    groups,
    rows_by_condition,
    rows_of,
)
from lesionlab.store.objects import Store
from storage_schemas.base import Digest
from storage_schemas.experiments import Plan
from storage_schemas.manifests import ManifestEntry
from storage_schemas.results import LesionRow, StudyRow

MOST_MODELS = 6
"""Shown on a page."""
MOST_LESIONS = 80
"""Missed and spurious ones of one model that are shown on a page; a network that failed has thousands."""


_MISTAKES = ("missed", "false-positive")


@dataclass(frozen=True)
class Mistake:
    """One lesion that a model missed, or found where there is none."""

    picture: Markup
    model: Condition
    lesion: LesionRow


@dataclass(frozen=True)
class StudyPage:
    """What is shown of one study."""

    entry: ManifestEntry
    rows: tuple[StudyRow, ...]
    """Under every model that it was tested under."""
    shown: tuple[tuple[Condition, StudyRow], ...]
    """The models whose mistakes are shown, and what they counted."""
    mistakes: tuple[Mistake, ...]
    left_out: int
    """Mistakes of these models beyond MOST_LESIONS, all smaller than those shown."""
    without_prediction: tuple[Condition, ...]
    """Models whose predicted mask is not in the store."""
    limits: tuple[str, ...]
    """Which models and seeds are shown and which are not, a sentence each; none where all are."""

    @property
    def file(self) -> str:
        """Name of the page."""
        return f"{self.entry.study}.html"


def models_on_pages(plan: Plan, rows: Sequence[StudyRow]) -> tuple[Condition, ...]:
    """The trained models of the study's main depth at its largest size, of those that have rows.

    Where none of that depth has any, those of another stratum; where nothing trained has, what is tested untrained.
    """
    return _candidates(plan, rows)[0][:MOST_MODELS]


def limits_of_pages(plan: Plan, rows: Sequence[StudyRow]) -> tuple[str, ...]:
    """What of the tested models `models_on_pages` leaves out, and of their seeds; a sentence each."""
    candidates, which = _candidates(plan, rows)
    shown, every = candidates[:MOST_MODELS], conditions(rows)
    seeds = sorted({row.seed for row in rows if row.arm in ("fine-tuned", "de-novo")})
    limits = []
    if len(shown) < len(every):
        first = f", the first {len(shown)} of {len(candidates)}" if len(shown) < len(candidates) else ""
        number = "1 is" if len(shown) == 1 else f"{len(shown)} are"
        limits.append(f"Of {len(every)} models that were tested, {number} shown: those {which}{first}.")
    if len(seeds) > 1:
        told = ", ".join(map(str, seeds))
        limits.append(f"Of several seeds ({told}), the lowest that has results for a study is shown.")
    return tuple(limits)


def _candidates(plan: Plan, rows: Sequence[StudyRow]) -> tuple[tuple[Condition, ...], str]:
    """The models that belong on the pages, however many, and which they are in words."""
    by_depth = sorted(
        groups(rows_by_condition(rows)), key=lambda group: group.conditions[-1].depth != plan.spec.main_depth
    )
    group = next((group for group in by_depth if group.trained), None)
    if group is None:
        return conditions(rows), "that are not trained on the target"
    largest = max(model.training_size for model in group.trained)
    stratum = f" ({group.stratum})" if group.stratum else ""
    which = f"trained on {count_of(largest, 'study')}{stratum}"
    return tuple(model for model in group.trained if model.training_size == largest), which


def study_pages(
    store: Store,
    plan: Plan,
    rows: Sequence[StudyRow],
    lesions: Mapping[Digest, Sequence[LesionRow]],
    models: Sequence[Condition],
) -> Iterator[StudyPage]:
    """One page for each tested study that has results, by name; `lesions` are those of each run."""
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
            picture = thumbnails.at(place_mm, mask_ijk, f"{lesion.outcome}, {lesion.volume_mm3:.0f} mm³")
            mistakes.append(Mistake(picture, model, lesion))
    return StudyPage(entry, tuple(rows), tuple(shown), tuple(mistakes), left_out, tuple(unseen), limits)
