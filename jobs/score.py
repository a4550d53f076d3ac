"""Two masks in; lesions found, missed and spurious out, by a named definition. No store, no study, no network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from jobs.shared.command_line import console, run_alone
from jobs.shared.definitions import load_definition, show_definitions
from jobs.shared.output_file import refuse_inputs
from jobs.shared.score_output import as_json, show, write_lesions
from lesionlab.errors import ImageError, InputError
from lesionlab.evaluation.lesionwise import score as score_masks
from lesionlab.imaging.placement import SAME_PLACE_MM, corner_gap_mm
from lesionlab.imaging.resample import reoriented
from lesionlab.imaging.volume import MASK_ROUNDING, Volume, read_mask, read_volume
from storage_schemas.definitions import DEFINITIONS


@dataclass(frozen=True)
class MaskFile:
    """A file, and which of its values are lesion: those of a label, or from a threshold on, or those of a mask."""

    path: Path
    options: str
    """Those that say so, for messages."""
    label: int | None = None
    threshold: float | None = None

    def read(self) -> Volume:
        """The mask as uint8, 0 and 1. Raises ImageError with every fault."""
        if not self.path.is_file():
            raise ImageError(f"{self.path}: there is no such file; check the path", code="missing-file")
        if self.threshold is not None:
            image = read_volume(self.path)
            return Volume((image.voxels >= self.threshold).astype(np.uint8), image.affine)
        return self._mask() if self.label is None else self._labelled(self.label)

    def _mask(self) -> Volume:
        try:
            return read_mask(self.path)
        except ImageError as error:
            if error.code != "mask-not-binary":
                raise
            raise ImageError(*(f"{fault}, or say what is lesion: {self.options}" for fault in error.args)) from error

    def _labelled(self, label: int) -> Volume:
        image = read_volume(self.path)
        labels = np.rint(image.voxels)
        between = image.voxels[np.abs(image.voxels - labels) > MASK_ROUNDING]
        if between.size:
            raise ImageError(f"{self.path}: wanted labels, found the value {between[0]:g}; give a map of whole numbers")
        return Volume((labels == label).astype(np.uint8), image.affine)


def read_both(reference: MaskFile, prediction: MaskFile) -> tuple[Volume, Volume]:
    """Both masks on the reference's grid. Raises InputError with every fault of both files."""
    masks: list[Volume] = []
    faults: list[str] = []
    for file in (reference, prediction):
        try:
            masks.append(file.read())
        except ImageError as error:
            faults.extend(error.args)
    if faults:
        raise InputError(*faults)
    drawn, predicted = masks
    return drawn, on_one_grid(drawn, predicted, prediction.path)


def on_one_grid(reference: Volume, prediction: Volume, name: Path) -> Volume:
    """The prediction with its axes in the reference's order. Raises InputError where it lies on another grid."""
    placed = reoriented(prediction, reference.grid)
    where = ""
    if placed.voxels.shape == reference.voxels.shape:
        gap_mm = corner_gap_mm(placed.affine, reference.affine, reference.grid.shape)
        if gap_mm <= SAME_PLACE_MM:
            return placed
        where = f" at another place, its corners up to {gap_mm:.2g} mm away"
    raise InputError(
        f"{name}: its grid is {_grid(prediction)}, that of the reference {_grid(reference)}{where}; "
        "score masks on one grid: bring it onto the reference's, "
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
    threshold: Annotated[
        float | None,
        typer.Option(
            metavar="T", min=0.01, help="Of a probability map as PREDICTION: value from which a voxel is lesion."
        ),
    ] = None,
    label: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Of a label map as PREDICTION: the value that is lesion.")
    ] = None,
    reference_label: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Of a label map as REFERENCE: the value that is lesion.")
    ] = None,
    for_programs: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
    lesions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write every lesion of both masks there, as CSV; centroids in world mm as in NIfTI (RAS+: x grows to "
            "the patient's right, y to the front, z upwards).",
        ),
    ] = None,
    definitions: Annotated[
        bool,
        typer.Option("--definitions", callback=show_definitions, is_eager=True, help="Say what each counts, and stop."),
    ] = False,
) -> None:
    """Score any two masks on one grid: lesions found, missed and spurious, and detection by lesion volume.

    Example: lesionlab score reference.nii.gz prediction.nii.gz --definition msseg-2
    """
    if label is not None and threshold is not None:
        raise InputError("--label and --threshold: a prediction is a label map or a probability map; give one of them")
    if lesions:
        refuse_inputs("--lesions", lesions, [reference, prediction, Path(definition)])
    by = load_definition(definition)
    drawn, predicted = read_both(
        MaskFile(reference, "--reference-label N", reference_label),
        MaskFile(prediction, "--label N or --threshold T", label, threshold),
    )
    result = score_masks(drawn.voxels, predicted.voxels, drawn.affine, by)
    if lesions:
        write_lesions(lesions, result, by)
    if for_programs:
        console.print(as_json(result, by))
    else:
        show(result, by)


if __name__ == "__main__":
    run_alone(score)
