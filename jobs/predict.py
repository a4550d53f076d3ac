"""Segment your own images with a registered model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jobs.shared.console import notes
from jobs.shared.dataset_options import RegisteredOption
from jobs.shared.decisions_output import note_origin, why_in_use
from jobs.shared.entry_points import run_as_module
from jobs.shared.folder_prediction import PredictOptions, predict_folder
from jobs.shared.image_arguments import images_by_role, note_unlike, read_images, read_transforms, role_and_path
from jobs.shared.options import ModelOption, StoreOption, connect_to_read
from jobs.shared.stripping import stripper_for
from jobs.shared.study_prediction import Outputs, predict_study
from lesionlab.errors import InputError
from lesionlab.evaluation.registered_network import registered_network


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
    transform: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROLE=FILE",
            help="Your own registration of one study: the ITK affine (.mat, .txt, .tfm) that brings the image of this "
            "role to the one that it is registered to, as given to antsApplyTransforms. It is checked like ours.",
        ),
    ] = None,
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
    picture: Annotated[
        bool,
        typer.Option(
            "--picture",
            help="Also write PNGs beside the mask of one study: the lesions on the image, and each registration. Where "
            "a registration is doubted or refused its picture is always written.",
        ),
    ] = False,
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
        given = read_images(named)
        outputs = Outputs(out, picture)
        outputs.refuse(named, probability=probability, force=force)
    elif transform:
        raise InputError("--transform: wanted the images of one study, found a folder; predict the study alone")
    place = connect_to_read(store)
    network, card = registered_network(place, model)
    if why := why_in_use(place, model, card):
        notes.print(why)
    note_origin(place, card)
    own = read_transforms(transform or (), card.task)
    options = PredictOptions(threshold, registered, accept, probability, force, stripper_for(card, strip), own)
    if folders:
        predict_folder(Path(folders[0]), out, network, card, options)
    else:
        scans = images_by_role(given, card.task)
        note_unlike(named, scans, card.task, card.strip, stripping=options.strip is not None)
        predict_study(scans, network, card, outputs, options)


if __name__ == "__main__":
    run_as_module(predict)
