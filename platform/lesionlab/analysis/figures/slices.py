"""Read the slices of the paper's Figures 3B to 5B: image, reference and predictions of representative studies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lesionlab.analysis.figures.planes import Outline, Picture, Plane, fullest_plane
from lesionlab.analysis.statistics.conditions import Condition, rows_of
from lesionlab.analysis.words import captions as words
from lesionlab.experiments.ledger import attempt_of
from lesionlab.store.arrays import group_exists, read_array
from lesionlab.store.documents import read_card
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.manifests import ManifestEntry
from storage_schemas.results import StudyRow
from storage_schemas.volumes import ATTRIBUTE, StudyVolumeCard


@dataclass(frozen=True, eq=False)
class Panel:
    """One model on one slice: its mask, if there is one, and what it detected in the whole study."""

    condition: Condition
    mask: Outline | None
    caption: str


@dataclass(frozen=True, eq=False)
class StudySlice:
    """One axial native slice, as displayed."""

    study: str
    caption: str
    image: str
    """What the image is."""
    picture: Picture
    reference: Outline
    spacing_mm: tuple[float, float]
    """Of rows and columns."""
    panels: tuple[Panel, ...]


@dataclass(frozen=True, eq=False)
class ShownVolume:
    """The parts of a study volume that are shown: the image on which lesions are seen, and the reference mask."""

    card: StudyVolumeCard
    image_IJK: Picture
    reference_ijk: NDArray[np.uint8]

    @property
    def image_title(self) -> str:
        """What the image is."""
        return words.CHANNELS.get(self.card.channels[-1], self.card.channels[-1])


def read_volume(store: Store, entry: ManifestEntry) -> ShownVolume:
    """Read the volume that a manifest lists. Raises MissingObject if it is not in the store."""
    key = entry.volume_key
    card = read_card(store, key, ATTRIBUTE, StudyVolumeCard)
    image_IJK = read_array(store, key, "image")[-1].astype(np.float32)
    return ShownVolume(card, image_IJK, read_array(store, key, "native_label"))


def shown_models(models: Sequence[Condition]) -> tuple[Condition, ...]:
    """Choose every untrained model, then de novo and fine-tuned at the smallest and at the largest size."""
    sizes = [model.training_size for model in models if model.trained]
    ends = {min(sizes), max(sizes)} if sizes else set()
    chosen = [model for model in models if not model.trained or model.training_size in ends]
    return tuple(sorted(chosen, key=lambda model: (model.training_size, model.arm)))


def representative_studies(rows: Sequence[StudyRow], models: Sequence[Condition]) -> tuple[str, ...]:
    """Choose the studies with the smallest, median and largest reference volume, of those most models were tested on.

    The choice depends on the reference only, never on a prediction; it takes the lower median, and breaks ties by
    name. Studies without a reference lesion have no slice to show.
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
    """Read the axial slice of one study with the largest area of reference lesion, and every model's prediction."""
    volume = read_volume(store, entry)
    plane = fullest_plane(volume.reference_ijk, volume.card.native_grid)
    own = [row for row in rows if row.study == entry.study]
    return StudySlice(
        study=entry.study,
        caption=words.slice_of(own[0].reference_lesions, own[0].reference_ml, plane.z_mm),
        image=volume.image_title,
        picture=plane.picture(volume.image_IJK, volume.card.model_grid),
        reference=plane.cut(volume.reference_ijk),
        spacing_mm=plane.spacing_mm,
        panels=tuple(_panel(store, rows_of(model, own), model, plane) for model in models),
    )


def _panel(store: Store, rows: Sequence[StudyRow], model: Condition, plane: Plane) -> Panel:
    """`rows` are those of this model and study, one per seed; the lowest seed is shown, and named."""
    if not rows:
        return Panel(model, None, words.NOT_TESTED)
    row = min(rows, key=lambda row: row.seed)
    mask_ijk = read_prediction(store, row)
    if mask_ijk is None:
        return Panel(model, None, words.NO_PREDICTION)
    counts = words.counts_of(row.true_positives, row.reference_lesions, row.false_positives)
    return Panel(model, plane.cut(mask_ijk), counts + (words.seed_of(row.seed, len(rows)) if len(rows) > 1 else ""))


def read_prediction(store: Store, row: StudyRow) -> NDArray[np.uint8] | None:
    """Read the native mask that a run predicted for a study, (i, j, k); None if the store has none."""
    key = keys.prediction_key(row.run_id, row.study, attempt_of(store, row.run_id))
    return read_array(store, key, "mask") if group_exists(store, key) else None
