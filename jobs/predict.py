"""Segment your own images with a registered model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jobs.shared.console import console, notes
from jobs.shared.dataset_options import RegisteredOption
from jobs.shared.entry_points import run_as_module
from jobs.shared.image_arguments import images_by_role, note_unlike, read_images, role_and_path
from jobs.shared.options import ModelOption, StoreOption, connect_to_read
from jobs.shared.output_file import refuse_existing, refuse_inputs
from lesionlab.errors import InputError
from lesionlab.evaluation.predict import predict_native
from lesionlab.evaluation.registered_network import registered_network
from lesionlab.evaluation.study import export_prediction
from lesionlab.imaging.lesions import label_lesions, voxel_volume_mm3
from lesionlab.model.devices import best_device
from lesionlab.preprocessing.channels import prepare_images


def predict(
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="[ROLE=]IMAGE...",
            help="NIfTI images (.nii or .nii.gz) in any orientation; with ROLE= if the model reads several images.",
        ),
    ],
    store: StoreOption,
    model: ModelOption,
    out: Annotated[
        Path,
        typer.Option(metavar="FILE", help="Predicted mask (.nii or .nii.gz), on the grid of the task's native image."),
    ],
    threshold: Annotated[
        float | None,
        typer.Option(min=0.01, max=0.99, help="Lesion probability threshold; by default the model's own."),
    ] = None,
    registered: RegisteredOption = False,
    accept: Annotated[
        bool, typer.Option("--accept", help="Accept a registration that the checks doubt, after you have looked at it.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite an existing mask; input images are never overwritten.")
    ] = False,
) -> None:
    """Segment your own images with a registered model, in native space; several images are registered first.

    Example: lesionlab predict FLAIR.nii.gz --model demo-glioma --out mask.nii.gz

    Example: lesionlab predict initial=a.nii.gz follow-up=b.nii.gz --model new-lesions --out new.nii.gz
    """
    if not out.name.endswith((".nii", ".nii.gz")):
        raise InputError(f"--out {out}: wanted a file name that ends in .nii or .nii.gz")
    named = [role_and_path(image) for image in images]
    refuse_inputs("--out", out, [path for _, path in named])
    if not force:
        refuse_existing("--out", out)
    given = read_images(named)
    network, card = registered_network(connect_to_read(store), model)
    scans = images_by_role(given, card.task)
    note_unlike(named, scans, card.task)
    native = scans[card.task.native].grid
    prepared = prepare_images(scans, card.task, card.spacing_mm, registered=registered, accepted=accept)
    for finding in prepared.findings:
        notes.print(finding.text(), style="yellow")
    inference = card.inference if threshold is None else card.inference.model_copy(update={"threshold": threshold})
    prediction = predict_native(
        network, prepared.image_CIJK, prepared.model_grid, native, inference, card.patch_voxels, best_device()
    )
    export_prediction(out, prediction.mask_ijk, native)
    lesions = label_lesions(prediction.mask_ijk).count
    volume_ml = float(prediction.mask_ijk.sum()) * voxel_volume_mm3(native.affine) / 1000
    console.print(f"{out}: {lesions} lesions, {volume_ml:.2f} ml, by {card.name}@{card.version}")


if __name__ == "__main__":
    run_as_module(predict)
