"""Segment your own images with a registered model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from torch import nn

from jobs.shared.console import console, notes
from jobs.shared.dataset_options import RegisteredOption
from jobs.shared.entry_points import run_as_module
from jobs.shared.folder_prediction import PredictOptions, predict_folder
from jobs.shared.image_arguments import images_by_role, note_unlike, read_images, role_and_path
from jobs.shared.options import ModelOption, StoreOption, connect_to_read
from jobs.shared.output_file import refuse_existing, refuse_inputs
from jobs.shared.stripping import stripper_for
from lesionlab.errors import InputError
from lesionlab.evaluation.derivatives import lesions_of
from lesionlab.evaluation.registered_network import registered_network
from lesionlab.imaging.lesions import voxel_volume_mm3
from lesionlab.imaging.volume import Volume, matrix_of, write_volume
from storage_schemas.models import ModelCard


def predict(
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="FOLDER|[ROLE=]IMAGE...",
            help="A BIDS dataset or a folder of NIfTI files; or the images of one study (.nii or .nii.gz) in any "
            "orientation, with ROLE= if the model reads several images.",
        ),
    ],
    store: StoreOption,
    model: ModelOption,
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE|FOLDER",
            help="Of one study: the mask (.nii or .nii.gz), on the grid of the task's native image. Of a folder: a "
            "BIDS-derivatives dataset with all masks, tables and pictures.",
        ),
    ],
    threshold: Annotated[
        float | None,
        typer.Option(min=0.01, max=0.99, help="Lesion probability threshold; by default the model's own."),
    ] = None,
    probability: Annotated[
        bool,
        typer.Option(
            "--probability", help="Also write the probability map; of one study beside the mask, as *_probability."
        ),
    ] = False,
    registered: RegisteredOption = False,
    accept: Annotated[
        bool,
        typer.Option("--accept", help="Accept registrations that the checks doubt, after you have looked at them."),
    ] = False,
    strip: Annotated[
        bool | None,
        typer.Option(
            "--strip/--no-strip",
            help="Remove the skull first, by deepbet. By default if that was done with the model's training images.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Overwrite existing masks, predict all scans again; inputs are never overwritten."
        ),
    ] = False,
) -> None:
    """Segment your own images with a registered model, in native space; several images are registered first.

    A folder can be stopped and called again: scans that are done are skipped. A
    scan that fails does not stop the others; exit code 1 says that one did.

    Example: lesionlab predict FLAIR.nii.gz --model demo-glioma --out mask.nii.gz

    Example: lesionlab predict ./ms --model demo-glioma --out ./ms/derivatives/lesionlab

    Example: lesionlab predict initial=a.nii.gz follow-up=b.nii.gz --model new-lesions --out new.nii.gz
    """
    folders = [image for image in images if Path(image).is_dir()]
    if folders and len(images) > 1:
        raise InputError(f"{', '.join(folders)}: wanted one folder, or the images of one study; found {len(images)}")
    if not folders:
        named = [role_and_path(image) for image in images]
        map_out = _refuse_outputs(out, [path for _, path in named], probability=probability, force=force)
        given = read_images(named)
    network, card = registered_network(connect_to_read(store), model)
    options = PredictOptions(threshold, registered, accept, probability, force, stripper_for(card, strip))
    if folders:
        predict_folder(Path(folders[0]), out, network, card, options)
    else:
        scans = images_by_role(given, card.task)
        note_unlike(named, scans, card.task)
        _predict_study(scans, network, card, out, map_out, options)


def _refuse_outputs(out: Path, inputs: list[Path], *, probability: bool, force: bool) -> Path:
    """Check the files to write for one study, before anything is computed; return that of the probability map."""
    if not out.name.endswith((".nii", ".nii.gz")):
        raise InputError(f"--out {out}: wanted a file name that ends in .nii or .nii.gz")
    ending = ".nii.gz" if out.name.endswith(".nii.gz") else ".nii"
    map_out = out.with_name(f"{out.name.removesuffix(ending)}_probability{ending}")
    for file in (out, map_out) if probability else (out,):
        refuse_inputs("--out", file, inputs)
        if not force:
            refuse_existing("--out", file)
    return map_out


def _predict_study(
    scans: Mapping[str, Volume], network: nn.Module, card: ModelCard, out: Path, map_out: Path, options: PredictOptions
) -> None:
    """Segment the images of one study into one file, and its probabilities into another if asked for."""
    result = options.segment(scans, network, card)
    for finding in result.prepared.findings:
        notes.print(finding.text(), style="yellow")
    affine, mask_ijk = matrix_of(result.native), result.prediction.mask_ijk
    if options.probability:
        write_volume(map_out, Volume(result.prediction.probability_ijk, affine))
    write_volume(out, Volume(mask_ijk, affine))
    volume_ml = float(mask_ijk.sum()) * voxel_volume_mm3(affine) / 1000
    lesions = len(lesions_of(mask_ijk, result.native))
    console.print(f"{out}: {lesions} lesions, {volume_ml:.2f} ml, by {card.full_name}")


if __name__ == "__main__":
    run_as_module(predict)
