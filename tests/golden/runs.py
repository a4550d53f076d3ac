"""Run each stage that determines results once on tiny fixed inputs and return all of its outputs.

Inputs are drawn here from fixed seeds and formulas, so that a golden run depends only on its stage and on the stages
that it imports. Axes: C channel, I J K voxels of the model grid, i j k native voxels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lesionlab.evaluation.predict import predict_native
from lesionlab.evaluation.study import rows_of
from lesionlab.experiments.run_checkpoints import RunCheckpoints
from lesionlab.imaging.volume import Volume
from lesionlab.model.transfer import random_start
from lesionlab.model.unet import UNet, build_unet
from lesionlab.preprocessing.study import StudyVolume, preprocess_study
from lesionlab.store.objects import open_store
from lesionlab.training.augmented import open_augmented
from lesionlab.training.copies import Copies, epoch_patches
from lesionlab.training.feed import load
from lesionlab.training.loop import SoloWorker, TrainingOutcome, train
from lesionlab.training.schedule import learning_rate, length_of
from storage_schemas.base import Document
from storage_schemas.definitions import DEFINITIONS
from storage_schemas.models import Architecture, InferenceConfig
from storage_schemas.results import StudyColumns
from storage_schemas.runs import Cell, RunSpec
from storage_schemas.tasks import TASKS
from storage_schemas.volumes import Grid
from tests.preprocessing.drawn import OBLIQUE, head, lesions
from tests.preprocessing.pairs import gadolinium, new_lesions, write_study
from tests.training.drawn import DrawnStudy, draw_study, make_run

Arrays = dict[str, NDArray[Any]]
CPU = SoloWorker(torch.device("cpu"))


def preprocessing(folder: Path) -> Arrays:
    """An anisotropic oblique FLAIR at 2 mm, and a rigidly registered pair of T1 images at 6 mm."""
    for name in ("single", "pair"):
        (folder / name).mkdir(parents=True)
    single = write_study(
        folder / "single", {"flair": Volume(head(0).astype(np.float32), OBLIQUE)}, Volume(lesions(), OBLIQUE)
    )
    pair = write_study(folder / "pair", gadolinium(), new_lesions())
    found = _volume("single", preprocess_study(single, TASKS["flair-single"], 2.0))
    return found | _volume("pair", preprocess_study(pair, TASKS["enhancing"], 6.0))


def _volume(name: str, volume: StudyVolume) -> Arrays:
    scales = [[scale.mean, scale.sd] for scale in volume.card.normalisation]
    return {
        f"{name}.image_CIJK": volume.image_CIJK,
        f"{name}.label_IJK": volume.label_IJK,
        f"{name}.native_label_ijk": volume.native_label_ijk,
        f"{name}.scales": np.array(scales),
        f"{name}.model_affine": np.array(volume.card.model_grid.affine),
        f"{name}.counts": np.array([volume.entry.lesions, volume.entry.lesion_volume_ml]),
    }


def augmentation(folder: Path) -> Arrays:
    """A deformed copy as training reads it from the node's cache."""
    study = draw_study(1)
    run = make_run([study])
    copy = open_augmented(study, study.entry.volume, 1, run.training, seed=3, cache=folder)
    return {
        "image_CIJK": np.array(copy.image_CIJK),
        "label_IJK": np.array(copy.label_IJK),
        "lesions_V4": copy.places.lesions_V4,
        "exclusive_S3": copy.places.exclusive_S3,
        "crowded": np.array(copy.places.crowded),
        **_every_patch(study, folder),
    }


def _every_patch(study: DrawnStudy, folder: Path) -> Arrays:
    """A batch of patches that are deformed one by one."""
    run = make_run([study], augmentation="every-patch")
    image_BCIJK, label_BIJK = load(epoch_patches(run, 1, Copies(run, [study], folder))[:2], run.training, CPU.device)
    return {"every-patch.image_BCIJK": image_BCIJK.numpy(), "every-patch.label_BIJK": label_BIJK.numpy()}


def training(folder: Path) -> Arrays:
    """Weights, draws, learning rates and length of a run whose epochs do not divide into full batches; its loss in
    bf16, too."""
    studies = [draw_study(1), draw_study(2)]
    run = make_run(studies, patches_per_study=6, augmentations=1, batch_size=8, warmup_steps=3)
    network, outcome = _trained(run, studies, folder)
    in_bf16 = run.changed(training=run.training.model_copy(update={"precision": "bf16"}))
    copies = Copies(run, studies, folder)
    patches = [patch for epoch in (0, 1) for patch in epoch_patches(run, epoch, copies)]
    rates = [learning_rate(run.training, step) for step in range(length_of(run).steps)]
    return {
        "draws": np.array([(int(patch.volume.study[4:]), *patch.start) for patch in patches]),
        "steps": np.array([outcome.epochs, outcome.steps]),
        "rates": np.array(rates),
        "loss": np.array(outcome.final_loss),
        **{f"weights.{name}": tensor.numpy() for name, tensor in network.state_dict().items()},
        "bf16.loss": np.array(_trained(in_bf16, studies, folder)[1].final_loss),
    }


def _trained(run: RunSpec, studies: Sequence[DrawnStudy], folder: Path) -> tuple[UNet, TrainingOutcome]:
    network = build_unet(run.architecture, channels=1, seed=run.seed)
    checkpoints = RunCheckpoints(open_store("memory://"), run.run_id, "001-golden")
    outcome = train(run, network, random_start(network), studies, checkpoints, CPU, folder)
    assert outcome.final_loss is not None
    return network, outcome


def inference(folder: Path) -> Arrays:
    """Probability and mask on an oblique native grid, from a network with weights from a formula."""
    study = draw_study(1)
    network = by_formula(build_unet(Architecture(depth=1, base_channels=2), channels=1, seed=0))
    native = Grid(shape=(28, 30, 14), affine=tuple(tuple(row) for row in (OBLIQUE + _shift(26, 24, 20)).tolist()))
    prediction = predict_native(
        network, study.image_CIJK, study.card.model_grid, native, InferenceConfig(step_voxels=8), 16, CPU.device
    )
    return {"probability_ijk": prediction.probability_ijk, "mask_ijk": prediction.mask_ijk}


def _shift(*mm: float) -> NDArray[np.float64]:
    matrix = np.zeros((4, 4))
    matrix[:3, 3] = mm
    return matrix


def by_formula(network: UNet) -> UNet:
    """Set all weights by a formula, without a random generator."""
    with torch.no_grad():
        for number, tensor in enumerate(network.state_dict().values()):
            steps = torch.arange(tensor.numel(), dtype=torch.float64).reshape(tensor.shape)
            tensor.copy_(torch.sin(1.7 * steps + number) * 0.4)
    return network


def evaluation(folder: Path) -> Arrays:
    """Counts, ratios and lesions of hand-drawn masks by each built-in definition; undefined values are NaN."""
    reference, prediction = np.zeros((24, 24, 12), np.uint8), np.zeros((24, 24, 12), np.uint8)
    for corner, edge in (((2, 2, 2), 4), ((12, 3, 4), 2), ((3, 15, 6), 3), ((18, 18, 2), 1), ((19, 19, 3), 1)):
        reference[tuple(slice(first, first + edge) for first in corner)] = 1
    for corner, edge in (((4, 3, 2), 4), ((12, 4, 4), 3), ((8, 10, 8), 2), ((19, 19, 3), 1)):
        prediction[tuple(slice(first, first + edge) for first in corner)] = 1
    grid = Grid(shape=reference.shape, affine=tuple(tuple(row) for row in OBLIQUE.tolist()))
    study = draw_study(1)
    cell = Cell(arm="de-novo", source=None, training_size=1, fold=1, seed=0)
    columns = make_run([study]).changed(cell=cell).columns().model_dump()
    found: Arrays = {}
    for name, definition in DEFINITIONS.items():
        tested = {"study": "sub-001", "patient": "001", "site": "drawn", "position": 1, "definition": "drawn"}
        row, own = rows_of(
            StudyColumns.model_validate(columns | tested), reference, prediction, grid, definition, inference_s=0.0
        )
        found[f"{name}.study"] = _numbers([row], STUDY_NUMBERS)
        found[f"{name}.surface"] = _numbers([row], SURFACE_NUMBERS)
        found[f"{name}.lesions"] = _numbers(own, LESION_NUMBERS)
        found[f"{name}.outcomes"] = np.array([f"{lesion.side} {lesion.outcome}" for lesion in own])
    return found


STUDY_NUMBERS = (
    *("reference_lesions", "predicted_lesions", "true_positives", "false_positives", "sensitivity", "ppv", "dice"),
    *("reference_ml", "predicted_ml"),
)
SURFACE_NUMBERS = ("f1", "assd_mm", "hd95_mm")
"""Measured in addition since the file of version 2 was written."""
LESION_NUMBERS = ("lesion", "volume_mm3", "x_mm", "y_mm", "z_mm", "overlap", "matched")


def _numbers(rows: Iterable[Document], names: Sequence[str]) -> NDArray[np.float64]:
    return np.array([[np.nan if (x := getattr(row, name)) is None else x for name in names] for row in rows])


GOLDEN: dict[str, Callable[[Path], Arrays]] = {
    "preprocessing": preprocessing,
    "augmentation": augmentation,
    "training": training,
    "inference": inference,
    "evaluation": evaluation,
}
"""By the stage's name in ResultVersions."""

BOUNDS: dict[str, dict[str, float]] = {
    # ANTs registration rounds differently on other processors; float16 has a step of 0.002 at 4 SD.
    # The axes of an oblique model grid come from a singular value decomposition, whose last digits differ too.
    "preprocessing": {
        "single.image_CIJK": 2e-3,
        "single.scales": 1e-5,
        "single.model_affine": 1e-9,
        "pair.image_CIJK": 0.1,
        "pair.scales": 1e-4,
        "pair.model_affine": 1e-9,
    },
    "augmentation": {"image_CIJK": 4e-3, "every-patch.image_BCIJK": 1e-4},
    # Adam divides by the gradient's size, so rounding of 1e-7 may change a weight by a part of a step (rate 1e-3).
    # In bf16 the loss comes within 2e-5 of float32's; single weights after Adam differ by whole steps.
    "training": {"loss": 1e-4, "weights": 5e-4, "bf16": 1e-4},
    "inference": {"probability_ijk": 1e-5},
    "evaluation": {f"{name}.{kind}": 1e-9 for name in DEFINITIONS for kind in ("study", "lesions", "surface")},
}
"""Largest difference by array between processors and torch versions (2.11 to 2.13); all other arrays are exact."""


def bound_of(stage: str, name: str) -> float:
    """Largest allowed difference of an array; 0: exact."""
    own = BOUNDS.get(stage, {})
    return own.get(name, own.get(name.partition(".")[0], 0.0))
