"""Score one predicted mask against one reference mask."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jobs.shared.console import console
from jobs.shared.definitions import load_definition, show_definitions
from jobs.shared.entry_points import run_as_module
from jobs.shared.mask_files import MaskFile, read_both, read_levels
from jobs.shared.output_file import refuse_inputs
from jobs.shared.score_output import as_json, show, write_lesions
from lesionlab.errors import InputError
from lesionlab.evaluation.lesionwise import score as score_masks
from lesionlab.evaluation.operating import operating_points
from storage_schemas.definitions import DEFINITIONS


def score(
    reference: Annotated[Path, typer.Argument(metavar="REFERENCE", help="Reference mask (.nii or .nii.gz).")],
    prediction: Annotated[
        Path, typer.Argument(metavar="PREDICTION", help="Predicted mask, on the grid of the reference.")
    ],
    definition: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE",
            help=f"Definition of lesion and hit: {', '.join(DEFINITIONS)}; or your own (YAML file).",
        ),
    ] = "paper",
    threshold: Annotated[
        float | None,
        typer.Option(metavar="T", min=0.01, help="Treat PREDICTION as a probability map; voxels ≥ T are lesion."),
    ] = None,
    label: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Treat PREDICTION as a label map; voxels = N are lesion.")
    ] = None,
    reference_label: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Treat REFERENCE as a label map; voxels = N are lesion.")
    ] = None,
    same_voxels: Annotated[
        bool,
        typer.Option(
            "--same-voxels",
            help="Accept a PREDICTION that lies on the REFERENCE's other form (qform instead of sform): SPM moves the "
            "sform, ITK and ANTs may write the qform. Compares voxel by voxel.",
        ),
    ] = False,
    for_programs: Annotated[
        bool, typer.Option("--json", help="Print JSON; with --threshold also the counts at 21 other thresholds.")
    ] = False,
    lesions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Save all lesions of both masks as CSV; centroids in NIfTI world mm (RAS+: x to the patient's right, "
            "y to the front, z upwards); with --threshold also its highest probability.",
        ),
    ] = None,
    definitions: Annotated[
        bool,
        typer.Option("--definitions", callback=show_definitions, is_eager=True, help="Explain the definitions, exit."),
    ] = False,
) -> None:
    """Score a predicted mask: true-positive, missed and false-positive lesions, and detection by lesion volume.

    Example: lesionlab score reference.nii.gz prediction.nii.gz --definition msseg-2
    """
    if label is not None and threshold is not None:
        raise InputError("--label and --threshold: a prediction is a label map or a probability map; give one of them")
    if lesions:
        refuse_inputs("--lesions", lesions, [reference, prediction, Path(definition)])
    by = load_definition(definition)
    predicted = MaskFile(prediction, "--label N or --threshold T", label, threshold)
    reference_mask, predicted_mask = read_both(
        MaskFile(reference, "--reference-label N", reference_label), predicted, same_voxels=same_voxels
    )
    levels_ijk = (
        None if threshold is None else read_levels(reference_mask, predicted, reference, same_voxels=same_voxels)
    )
    result = score_masks(reference_mask.voxels, predicted_mask.voxels, reference_mask.affine, by, levels_ijk)
    points = (
        operating_points(reference_mask.voxels, levels_ijk, reference_mask.affine, by)
        if for_programs and levels_ijk is not None
        else ()
    )
    if lesions:
        write_lesions(lesions, result, by)
    if for_programs:
        console.print(as_json(result, by, points))
    else:
        show(result, by)


if __name__ == "__main__":
    run_as_module(score)
