"""One's own images and a registered model in; a lesion mask in native space out. No study, no BIDS."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from jobs.shared.command_line import StoreOption, connect, console, run_alone
from jobs.shared.output_file import refuse_existing, refuse_inputs
from lesionlab.errors import InputError
from lesionlab.evaluation.predict import predict_native
from lesionlab.evaluation.registered_network import registered_network
from lesionlab.evaluation.study import export_prediction
from lesionlab.imaging.lesions import label_lesions, voxel_volume_mm3
from lesionlab.imaging.volume import Volume, read_volume
from lesionlab.model.devices import best_device
from lesionlab.preprocessing.channels import prepare_images
from storage_schemas.tasks import Task


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
    force: Annotated[
        bool, typer.Option("--force", help="Replace the mask where its file exists; never one of the images.")
    ] = False,
) -> None:
    """Segment your own images with a registered model, in native space; several are registered first.

    Example: lesionlab predict FLAIR.nii.gz --model demo-glioma --out mask.nii.gz

    Example: lesionlab predict initial=a.nii.gz follow-up=b.nii.gz --model new-lesions --out new.nii.gz
    """
    if not out.name.endswith((".nii", ".nii.gz")):
        raise InputError(f"--out {out}: wanted a file name that ends in .nii or .nii.gz")
    named = [role_and_path(image) for image in images]
    refuse_inputs("--out", out, [path for _, path in named])
    if not force:
        refuse_existing("--out", out)
    given = [(role, read_volume(path)) for role, path in named]
    network, card = registered_network(connect(store), model)
    task = card.task
    scans = by_role(given, task)
    native = scans[task.native].grid
    prepared = prepare_images(scans, task, card.spacing_mm)
    prediction = predict_native(
        network,
        prepared.image_CIJK,
        prepared.model_grid,
        native,
        card.inference if threshold is None else card.inference.model_copy(update={"threshold": threshold}),
        card.patch_voxels,
        best_device(),
    )
    export_prediction(out, prediction.mask_ijk, native)
    lesions = label_lesions(prediction.mask_ijk).count
    volume_ml = float(prediction.mask_ijk.sum()) * voxel_volume_mm3(native.affine) / 1000
    console.print(f"{out}: {lesions} lesions, {volume_ml:.2f} ml, by {card.name}@{card.version}")


def role_and_path(image: str) -> tuple[str, Path]:
    """`ROLE=PATH` taken apart; the role of a bare path is empty."""
    role, equals, path = image.partition("=")
    return (role, Path(path)) if equals and not Path(image).exists() else ("", Path(image))


def by_role(given: Sequence[tuple[str, Volume]], task: Task) -> dict[str, Volume]:
    """The images in the task's order; one without a role will do where the task reads one image.

    Raises InputError with every role that is missing, named twice, or none of the task's.
    """
    if [role for role, _ in given] == [""] and len(task.roles) == 1:
        return {task.native: given[0][1]}
    found = [role for role, _ in given]
    wanted = f"task {task.name} wants {' '.join(f'{role}=IMAGE' for role in task.roles)}"
    faults = [f"{role or 'an image without a role'}: {wanted}" for role in found if role not in task.roles]
    faults += [
        f"{role}: {wanted}, found {found.count(role)} of this role" for role in task.roles if found.count(role) != 1
    ]
    if faults:
        raise InputError(*faults)
    images = dict(given)
    return {role: images[role] for role in task.roles}


if __name__ == "__main__":
    run_alone(predict)
