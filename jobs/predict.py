"""One's own images and a registered model in; a lesion mask in native space out. No study, no BIDS."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from jobs.door import StoreOption, connect, console, run_alone
from jobs.network import registered_network
from lesionlab.errors import InputError
from lesionlab.evaluation.predict import predict_native
from lesionlab.evaluation.study import export_prediction
from lesionlab.imaging.lesions import label_lesions, voxel_volume_mm3
from lesionlab.imaging.volume import read_volume
from lesionlab.preprocessing.channels import prepare_images
from lesionlab.training.loop import best_device
from storage_schemas.tasks import TASKS, Task


def predict(
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="[ROLE=]IMAGE...",
            help="NIfTI images (.nii or .nii.gz), any orientation; with their roles where the task reads several.",
        ),
    ],
    store: StoreOption,
    model: Annotated[str, typer.Option(metavar="NAME", help="Registered model: NAME (its champion) or NAME@VERSION.")],
    out: Annotated[
        Path,
        typer.Option(metavar="FILE", help="Mask to write (.nii or .nii.gz), on the grid of the task's native image."),
    ],
    threshold: Annotated[
        float | None,
        typer.Option(min=0.01, max=0.99, help="Probability from which a voxel is lesion, not the model's own."),
    ] = None,
) -> None:
    """Segment your own images with a registered model, in native space; several are registered first.

    Example: lesionlab predict FLAIR.nii.gz --model demo-glioma --out mask.nii.gz

    Example: lesionlab predict initial=a.nii.gz follow-up=b.nii.gz --model new-lesions --out new.nii.gz
    """
    if not out.name.endswith((".nii", ".nii.gz")):
        raise InputError(f"--out {out}: wanted a file name that ends in .nii or .nii.gz")
    network, card = registered_network(connect(store), model)
    task = TASKS[card.task]
    scans = {role: read_volume(path) for role, path in by_role(images, task).items()}
    native = scans[task.native].grid
    prepared = prepare_images(scans, task, card.spacing_mm)
    prediction = predict_native(
        network,
        prepared.image_CIJK,
        prepared.study_grid,
        native,
        card.inference if threshold is None else card.inference.model_copy(update={"threshold": threshold}),
        card.patch_voxels,
        best_device(),
    )
    export_prediction(out, prediction.mask_ijk, native)
    lesions = label_lesions(prediction.mask_ijk).count
    volume_ml = float(prediction.mask_ijk.sum()) * voxel_volume_mm3(native.affine) / 1000
    console.print(f"{out}: {lesions} lesions, {volume_ml:.2f} ml, by {card.name}@{card.version}", markup=False)


def by_role(images: Sequence[str], task: Task) -> dict[str, Path]:
    """`ROLE=PATH` taken apart, in the task's order; a single bare path will do where the task reads one image.

    Raises InputError with every role that is missing, named twice, or none of the task's.
    """
    if len(task.roles) == len(images) == 1:
        return {task.native: Path(images[0].removeprefix(f"{task.native}="))}
    pairs = [image.partition("=") for image in images]
    named = [role for role, equals, _ in pairs if equals]
    wanted = " ".join(f"{role}=IMAGE" for role in task.roles)
    faults = [f"image {role}: wanted a role before it, as in {wanted}" for role, equals, _ in pairs if not equals]
    faults += [
        f"{role}: task {task.name} reads no such image; wanted {wanted}" for role in named if role not in task.roles
    ]
    faults += [f"{role}: wanted one image, found {named.count(role)}" for role in task.roles if named.count(role) > 1]
    faults += [
        f"{role}: wanted by task {task.name}, not found; add {role}=IMAGE" for role in task.roles if role not in named
    ]
    if faults:
        raise InputError(*faults)
    paths = {role: Path(path) for role, _, path in pairs}
    return {role: paths[role] for role in task.roles}


if __name__ == "__main__":
    run_alone(predict)
