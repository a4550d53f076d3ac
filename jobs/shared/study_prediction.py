"""Segment the images of one study into a mask; probabilities and pictures are written beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from jobs.shared.console import console, notes
from jobs.shared.folder_prediction import PredictOptions
from jobs.shared.output_file import fault_of_output, refuse_existing, refuse_inputs, save_output
from lesionlab.errors import InputError, StudyRefused
from lesionlab.evaluation.derivatives import lesions_of
from lesionlab.imaging.lesions import voxel_volume_mm3
from lesionlab.imaging.volume import Volume, matrix_of, write_volume
from storage_schemas.models import ModelCard


@dataclass(frozen=True)
class Outputs:
    """Files of one study: the mask, and others of its name beside it."""

    mask: Path
    picture: bool
    """Whether pictures were asked for; that of a doubtful registration is always written."""

    @property
    def probability(self) -> Path:
        """The probability map, compressed as the mask is."""
        return self._beside(f"probability{'.nii.gz' if self.mask.name.endswith('.nii.gz') else '.nii'}")

    @property
    def lesions(self) -> Path:
        """The picture of the lesions on the image."""
        return self._beside("lesions.png")

    def registration(self, role: str) -> Path:
        """The picture of the registration of this image, or of the brain for the role `brain`."""
        return self._beside("brain.png" if role == "brain" else f"registration-{role}.png")

    def refuse(self, inputs: Sequence[tuple[str, Path]], *, probability: bool, force: bool) -> None:
        """Call before computing. Raises InputError if a file would replace an input or, without `force`, anything."""
        if not self.mask.name.endswith((".nii", ".nii.gz")):
            raise InputError(f"--out {self.mask}: wanted a file name that ends in .nii or .nii.gz")
        if fault := fault_of_output(self.mask):
            raise InputError(f"--out {self.mask}: {fault}")
        files = [self.mask, *([self.probability] if probability else [])]
        files += [self.lesions, self.registration("brain")] if self.picture else []
        files += [self.registration(role) for role, _ in inputs if role]
        for file in files:
            refuse_inputs("--out", file, [path for _, path in inputs])
            if not force:
                refuse_existing("--out", file)

    def _beside(self, what: str) -> Path:
        stem = self.mask.name.removesuffix(".gz").removesuffix(".nii")
        return self.mask.with_name(f"{stem}_{what}")


def predict_study(
    scans: Mapping[str, Volume], network: nn.Module, card: ModelCard, outputs: Outputs, options: PredictOptions
) -> None:
    """Segment the images of one study. Raises StudyRefused, after the pictures of its registrations are written."""
    try:
        result = options.segment(scans, network, card)
    except StudyRefused as refusal:
        _save_pictures(refusal.pictures, refusal.pictures, outputs)
        raise
    doubted = [finding.place for finding in result.prepared.findings]
    for finding in result.prepared.findings:
        notes.print(finding.text(), style="yellow")
    pictures = result.prepared.pictures
    _save_pictures(pictures, pictures if outputs.picture else doubted, outputs)
    if outputs.picture:
        save_output("--out", outputs.lesions, result.picture())
    affine, mask_ijk = matrix_of(result.native), result.prediction.mask_ijk
    if options.probability:
        write_volume(outputs.probability, Volume(result.prediction.probability_ijk, affine))
    write_volume(outputs.mask, Volume(mask_ijk, affine))
    volume_ml = float(mask_ijk.sum()) * voxel_volume_mm3(affine) / 1000
    lesions = len(lesions_of(mask_ijk, result.native))
    console.print(f"{outputs.mask}: {lesions} lesions, {volume_ml:.2f} ml, by {card.full_name}")


def _save_pictures(pictures: Mapping[str, bytes], wanted: Iterable[str], outputs: Outputs) -> None:
    for role in wanted:
        if role in pictures:
            save_output("--out", outputs.registration(role), pictures[role])
            notes.print(f"picture: {outputs.registration(role)}")
