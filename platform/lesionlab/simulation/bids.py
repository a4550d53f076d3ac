"""Write a simulated patient as BIDS files: images, masks and sidecars, byte for byte the same each time."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from lesionlab.simulation.frames import Grid
from lesionlab.simulation.sites import Range, Site
from lesionlab.simulation.study import Patient, Visit
from storage_schemas.cohorts import CohortPlan, Contrast

_BIDS_VERSION = "1.10.0"
_MASKS = Path("derivatives") / "manual"


@dataclass(frozen=True)
class Participant:
    """One row of participants.tsv."""

    participant_id: str
    age: int
    sex: str
    site: str
    pathology: str


def write_patient(name: str, patient: Patient, rng: np.random.Generator, root: Path) -> Participant:
    """Write all sessions of one patient below `root`; `rng` draws the sequence times."""
    for number, visit in enumerate(patient.visits, start=1):
        session = f"ses-{number:02d}"
        stem = f"{name}_{session}"
        images, masks = (base / name / session / "anat" for base in (root, root / _MASKS))
        for contrast, voxels in visit.images.items():
            write_nifti(images / f"{stem}_{contrast}.nii.gz", voxels, visit.grid)
            _write_json(images / f"{stem}_{contrast}.json", _sidecar(contrast, patient.site, visit.grid, rng))
        source = f"bids::{name}/{session}/anat/{stem}"
        if "FLAIR" in visit.images:
            _write_mask(masks / f"{stem}_label-lesion_mask", visit.lesion, visit.grid, f"{source}_FLAIR.nii.gz")
        if "ce-gadolinium_T1w" in visit.images:
            reference = f"{source}_ce-gadolinium_T1w.nii.gz"
            _write_mask(masks / f"{stem}_label-enhancing_mask", visit.enhancing, visit.grid, reference)
    if patient.new_lesion is not None:
        _write_new_lesions(name, patient.new_lesion, patient.visits[0], root)
    return Participant(name, patient.age, patient.sex, patient.site.name, patient.pathology)


def _write_new_lesions(name: str, mask: NDArray[np.bool_], first: Visit, root: Path) -> None:
    """Write the mask of lesions that are new at the second visit, on the grid of the first."""
    reference = "FLAIR" if "FLAIR" in first.images else next(iter(first.images))
    stem = root / _MASKS / name / "ses-02" / "anat" / f"{name}_ses-02_space-ses01_label-newlesion_mask"
    _write_mask(stem, mask, first.grid, f"bids::{name}/ses-01/anat/{name}_ses-01_{reference}.nii.gz")


def write_dataset_files(plan: CohortPlan, participants: list[Participant], root: Path) -> None:
    """Write the files that describe the whole dataset: descriptions, README and participants table."""
    pathologies = (plan.pathology,) if isinstance(plan.pathology, str) else plan.pathology
    title = f"Simulated cohort: {', '.join(pathologies)}"
    maker = {"Name": "lesionlab simulate", "Description": f"Plan: {plan.canonical_json()}"}
    common = {"BIDSVersion": _BIDS_VERSION, "License": "CC0", "Authors": ["lesionlab"], "GeneratedBy": [maker]}
    _write_json(root / "dataset_description.json", {"Name": title, "DatasetType": "raw", **common})
    masks = {"Name": f"{title}, reference masks", "DatasetType": "derivative", **common}
    _write_json(root / _MASKS / "dataset_description.json", {**masks, "SourceDatasets": [{"URL": "bids::"}]})
    readme = (
        f"{title}\n\nNo patient was scanned: heads, lesions and images are randomly generated from the ICBM152 2009a\n"
        "template (Fonov et al. 2011, doi:10.1016/j.neuroimage.2010.07.033).\n"
        "Reference masks are under derivatives/manual, on the grid of the image they belong to.\n"
    )
    (root / "README").write_text(readme, encoding="utf-8")
    (root / _MASKS / "README").write_text(readme, encoding="utf-8")
    rows = [f"{p.participant_id}\t{p.age}\t{p.sex}\t{p.site}\t{p.pathology}\n" for p in participants]
    table = "participant_id\tage\tsex\tsite\tpathology\n" + "".join(rows)
    (root / "participants.tsv").write_text(table, encoding="utf-8")
    _write_json(
        root / "participants.json",
        {
            "age": {"Description": "Age at the first visit", "Units": "year"},
            "sex": {"Description": "Sex", "Levels": {"F": "female", "M": "male"}},
            "site": {"Description": "Imaging site, named after its scanner"},
            "pathology": {"Description": "Simulated disease"},
        },
    )


def write_nifti(path: Path, voxels_IJK: NDArray[np.int16] | NDArray[np.uint8], grid: Grid) -> None:
    """Write a .nii.gz whose bytes depend only on its content."""
    image = nib.Nifti1Image(voxels_IJK, grid.affine_IJK_to_W)
    image.set_qform(grid.affine_IJK_to_W, code=1)
    image.set_sform(grid.affine_IJK_to_W, code=1)
    image.header.set_xyzt_units("mm", "sec")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(image.to_bytes(), compresslevel=4, mtime=0))


def _write_mask(stem: Path, mask_IJK: NDArray[np.bool_], grid: Grid, reference: str) -> None:
    write_nifti(stem.with_name(stem.name + ".nii.gz"), mask_IJK.astype(np.uint8), grid)
    sidecar = {
        "Type": "Lesion",
        "Manual": False,
        "Description": "Ground truth of the simulation: voxels that are at least half lesion",
        "SpatialReference": reference,
    }
    _write_json(stem.with_name(stem.name + ".json"), sidecar)


def _sidecar(contrast: Contrast, site: Site, grid: Grid, rng: np.random.Generator) -> dict[str, Any]:
    sequence = site.flair if contrast == "FLAIR" else site.t1
    slice_axis = 2 if site.acquisition == "2D" else int(np.argmax(grid.spacing_mm))
    sidecar = {
        "Modality": "MR",
        "Manufacturer": site.manufacturer,
        "ManufacturersModelName": site.model,
        "MagneticFieldStrength": site.field_T,
        "MRAcquisitionType": site.acquisition,
        "SliceThickness": round(float(grid.spacing_mm[slice_axis]), 3),
        "EchoTime": _drawn(sequence.echo_s, rng),
        "RepetitionTime": _drawn(sequence.repetition_s, rng),
        "SkullStripped": site.skull_stripped,
    }
    if sequence.inversion_s is not None:
        sidecar["InversionTime"] = _drawn(sequence.inversion_s, rng)
    if contrast == "ce-gadolinium_T1w":
        sidecar["ContrastBolusIngredient"] = "GADOLINIUM"
    return sidecar


def _drawn(between: Range, rng: np.random.Generator) -> float:
    return round(float(rng.uniform(*between)), 4)


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
