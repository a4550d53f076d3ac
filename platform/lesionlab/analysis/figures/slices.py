"""Rows, volumes and predictions of a study in the store in; the paper's Figures 3B to 5B out: what each arm sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lesionlab.analysis.figures.planes import Outline, Picture, Plane, fullest_plane
from lesionlab.analysis.statistics.conditions import Condition, rows_of
from lesionlab.store.arrays import group_exists, read_array
from lesionlab.store.documents import read_card
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.manifests import ManifestEntry
from storage_schemas.results import StudyRow
from storage_schemas.volumes import ATTRIBUTE, StudyVolumeCard

CHOICE = (
    "of the test studies that most of these models were tested on, those with the smallest, the median and the largest "
    "volume of reference lesions"
)
"""What `representative_studies` does, in words."""

MODELS = "every untrained model, and of the trained ones the smallest and the largest training size"
"""What `shown_models` does, in words."""

CHANNEL_TITLES = {
    "flair": "FLAIR",
    "subtraction": "Follow-up − initial",
    "follow-up": "FLAIR, follow-up",
    "after": "T1 with gadolinium",
    "enhancement": "T1, after − before",
}
"""Of each task the last channel: what the lesions are seen on."""


@dataclass(frozen=True, eq=False)
class Panel:
    """One model on one slice: its mask, or why there is none; and what it counted in the whole study."""

    condition: Condition
    mask: Outline | None
    caption: str


@dataclass(frozen=True, eq=False)
class StudySlice:
    """One axial native slice, displayed."""

    study: str
    caption: str
    image: str
    """What the picture is of."""
    picture: Picture
    reference: Outline
    spacing_mm: tuple[float, float]
    """Of rows and columns."""
    panels: tuple[Panel, ...]


@dataclass(frozen=True, eq=False)
class ShownVolume:
    """What of a study volume is shown: the image that its lesions are seen on, and the reference mask."""

    card: StudyVolumeCard
    image_IJK: Picture
    reference_ijk: NDArray[np.uint8]

    @property
    def image_title(self) -> str:
        """What the image is."""
        return CHANNEL_TITLES.get(self.card.channels[-1], self.card.channels[-1])


def read_volume(store: Store, entry: ManifestEntry) -> ShownVolume:
    """The volume that a manifest lists. Raises MissingObject where it is not in the store."""
    key = keys.STUDY_VOLUME.build(site=entry.site, study=entry.study, digest=entry.volume)
    card = read_card(store, key, ATTRIBUTE, StudyVolumeCard)
    image_IJK = read_array(store, key, "image")[-1].astype(np.float32)
    return ShownVolume(card, image_IJK, read_array(store, key, "native_label"))


def shown_models(models: Sequence[Condition]) -> tuple[Condition, ...]:
    """Every untrained model, then de novo and fine-tuned at the smallest and at the largest size."""
    sizes = [model.training_size for model in models if model.trained]
    ends = {min(sizes), max(sizes)} if sizes else set()
    chosen = [model for model in models if not model.trained or model.training_size in ends]
    return tuple(sorted(chosen, key=lambda model: (model.training_size, model.arm)))


def representative_studies(rows: Sequence[StudyRow], models: Sequence[Condition]) -> tuple[str, ...]:
    """Smallest, median and largest reference volume of the studies that most of these models were tested on.

    The choice looks at the reference alone, never at a prediction; the lower median is taken, ties go by name. Studies
    without a reference lesion have no slice to show.
    """
    tested: dict[tuple[float, str], int] = {}
    for model in models:
        for load, study in {(row.reference_ml, row.study) for row in rows_of(model, rows) if row.reference_ml > 0}:
            tested[load, study] = tested.get((load, study), 0) + 1
    most = max(tested.values(), default=0)
    by_load = [study for (_, study), models_tested in sorted(tested.items()) if models_tested == most]
    if not by_load:
        return ()
    return tuple(dict.fromkeys((by_load[0], by_load[(len(by_load) - 1) // 2], by_load[-1])))


def read_slice(store: Store, entry: ManifestEntry, rows: Sequence[StudyRow], models: Sequence[Condition]) -> StudySlice:
    """The axial slice with the most reference lesion of one study, with every model's prediction on it."""
    volume = read_volume(store, entry)
    plane = fullest_plane(volume.reference_ijk, volume.card.native_grid)
    own = [row for row in rows if row.study == entry.study]
    return StudySlice(
        study=entry.study,
        caption=f"{own[0].reference_lesions} lesions, {own[0].reference_ml:.1f} ml\nslice at z = {plane.z_mm:.0f} mm",
        image=volume.image_title,
        picture=plane.picture(volume.image_IJK, volume.card.model_grid),
        reference=plane.cut(volume.reference_ijk),
        spacing_mm=plane.spacing_mm,
        panels=tuple(_panel(store, rows_of(model, own), model, plane) for model in models),
    )


def _panel(store: Store, rows: Sequence[StudyRow], model: Condition, plane: Plane) -> Panel:
    """`rows` are those of this model and study: one per seed, of which the lowest is shown, and named."""
    if not rows:
        return Panel(model, None, "not tested\non this study")
    row = min(rows, key=lambda row: row.seed)
    mask_ijk = read_prediction(store, row)
    if mask_ijk is None:
        return Panel(model, None, "no prediction\nin the store")
    seed = f"\nseed {row.seed}, of {len(rows)} seeds" if len(rows) > 1 else ""
    caption = f"found {row.true_positives} of {row.reference_lesions}\nspurious {row.false_positives}{seed}"
    return Panel(model, plane.cut(mask_ijk), caption)


def read_prediction(store: Store, row: StudyRow) -> NDArray[np.uint8] | None:
    """The native mask that a run predicted for a study, (i, j, k); None where the store has none."""
    key = keys.PREDICTION.build(run_id=row.run_id, study=row.study)
    return read_array(store, key, "mask") if group_exists(store, key) else None
