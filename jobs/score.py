"""Two masks in; lesions found, missed and spurious out, by a named definition. No store, no study, no network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jobs.definitions import load_definition, show_definitions
from jobs.door import console, run_alone
from jobs.scored import as_json, show, write_lesions
from lesionlab.errors import InputError
from lesionlab.evaluation.lesionwise import score as score_masks
from lesionlab.imaging.placement import SAME_PLACE_MM, corner_gap_mm
from lesionlab.imaging.resample import turned
from lesionlab.imaging.volume import Volume, read_mask
from storage_schemas.definitions import DEFINITIONS


def on_one_grid(reference: Volume, prediction: Volume, name: Path) -> Volume:
    """The prediction with its axes in the reference's order. Raises InputError where it lies on another grid."""
    placed = turned(prediction, reference.grid)
    same_shape = placed.voxels.shape == reference.voxels.shape
    if same_shape and corner_gap_mm(placed.affine, reference.affine, reference.grid.shape) <= SAME_PLACE_MM:
        return placed
    raise InputError(
        f"{name}: its grid is {_grid(prediction)}, that of the reference {_grid(reference)}"
        f"{' at another place' if same_shape else ''}; score masks on one grid: bring it onto the reference's, "
        "for example with nilearn.image.resample_to_img(…, interpolation='nearest')"
    )


def _grid(volume: Volume) -> str:
    shape = " × ".join(map(str, volume.voxels.shape))
    return f"{shape} voxels of {' × '.join(f'{mm:.4g}' for mm in volume.spacing_mm)} mm"


def score(
    reference: Annotated[Path, typer.Argument(metavar="REFERENCE", help="Mask to be found (.nii or .nii.gz).")],
    prediction: Annotated[
        Path, typer.Argument(metavar="PREDICTION", help="Mask that was predicted, on the same grid.")
    ],
    definition: Annotated[
        str,
        typer.Option(metavar="NAME|FILE", help=f"What counts: {', '.join(DEFINITIONS)}; or your own, as a YAML file."),
    ] = "paper",
    for_programs: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
    lesions: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write every lesion of both masks there, as CSV.")
    ] = None,
    definitions: Annotated[
        bool,
        typer.Option("--definitions", callback=show_definitions, is_eager=True, help="Say what each counts, and stop."),
    ] = False,
) -> None:
    """Score any two masks on one grid: lesions found, missed and spurious, and detection by lesion volume.

    Example: lesionlab score reference.nii.gz prediction.nii.gz --definition msseg-2
    """
    by = load_definition(definition)
    drawn = read_mask(reference)
    result = score_masks(drawn.voxels, on_one_grid(drawn, read_mask(prediction), prediction).voxels, drawn.affine, by)
    if lesions:
        write_lesions(lesions, result)
    if for_programs:
        console.print(as_json(result, by), markup=False)
    else:
        show(result, by)


if __name__ == "__main__":
    run_alone(score)
