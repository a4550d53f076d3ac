"""One's own image and a registered model in; a lesion mask in the image's native space out. No study, no BIDS."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from jobs.door import StoreOption, connect, console, run_alone
from jobs.network import registered_network
from lesionlab.errors import InputError
from lesionlab.evaluation.predict import predict_native
from lesionlab.evaluation.study import export_prediction
from lesionlab.imaging.lesions import label_lesions, voxel_volume_mm3
from lesionlab.imaging.volume import read_volume
from lesionlab.preprocessing.study import prepare_image
from lesionlab.training.loop import best_device


def predict(
    flair: Annotated[Path, typer.Argument(metavar="FLAIR", help="NIfTI image (.nii or .nii.gz), any orientation.")],
    store: StoreOption,
    model: Annotated[str, typer.Option(metavar="NAME", help="Registered model: NAME (its champion) or NAME@VERSION.")],
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="Mask to write (.nii or .nii.gz), on the image's own grid.")
    ],
    threshold: Annotated[
        float | None,
        typer.Option(min=0.01, max=0.99, help="Probability from which a voxel is lesion, not the model's own."),
    ] = None,
) -> None:
    """Segment your own image with a registered model, in native space.

    Example: lesionlab predict FLAIR.nii.gz --model demo-glioma --out mask.nii.gz
    """
    if not out.name.endswith((".nii", ".nii.gz")):
        raise InputError(f"--out {out}: wanted a file name that ends in .nii or .nii.gz")
    scan = read_volume(flair)
    network, card = registered_network(connect(store), model)
    if len(card.channels) != 1:
        raise InputError(
            f"model {model} wants {len(card.channels)} images ({', '.join(card.channels)}); predict takes one"
        )
    image = prepare_image(scan, card.spacing_mm)
    prediction = predict_native(
        network,
        image.image_IJK[np.newaxis],
        image.study_grid,
        scan.grid,
        card.inference if threshold is None else card.inference.model_copy(update={"threshold": threshold}),
        card.patch_voxels,
        best_device(),
    )
    export_prediction(out, prediction.mask_ijk, scan.grid)
    lesions = label_lesions(prediction.mask_ijk).count
    volume_ml = float(prediction.mask_ijk.sum()) * voxel_volume_mm3(scan.affine) / 1000
    console.print(f"{out}: {lesions} lesions, {volume_ml:.2f} ml, by {card.name}@{card.version}", markup=False)


if __name__ == "__main__":
    run_alone(predict)
