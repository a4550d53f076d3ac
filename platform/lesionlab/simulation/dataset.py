"""Scans, masks and participants in; the files of a BIDS dataset and of its mask derivative out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lesionlab.imaging.volume import Volume, write_volume
from lesionlab.simulation.patient import MaskName, Visit
from lesionlab.simulation.sites import Site
from storage_schemas.cohorts import CohortPlan

BIDS_VERSION = "1.10.0"
MASKS = Path("derivatives") / "manual"
MASK_MEANING: dict[MaskName, str] = {
    "label-lesion": "Voxels of which lesion fills at least half: all abnormality that FLAIR shows.",
    "label-enhancing": "Voxels of which lesion that takes up contrast fills at least half.",
    "space-ses01_label-newlesion": "Lesions of ses-02 that ses-01 lacks, on the grid of the ses-01 images.",
}


@dataclass(frozen=True)
class Participant:
    """One line of participants.tsv."""

    label: str
    age: int
    sex: str
    site: str


def write_visit(root: Path, label: str, session: str, visit: Visit, site: Site, spacing_mm: float | None) -> None:
    """Images with sidecars under `root`, masks with sidecars under its derivatives."""
    name, folder = f"sub-{label}_{session}", Path(f"sub-{label}") / session / "anat"
    for contrast, image in visit.images.items():
        _write_image(
            root / folder / f"{name}_{contrast}", Volume(image, visit.affine), site.sidecar(contrast, spacing_mm)
        )
    for mask_name, mask in visit.masks.items():
        meaning = {"Type": "Lesion", "Manual": False, "Description": f"Simulated. {MASK_MEANING[mask_name]}"}
        source = "T1w" if mask_name == "label-enhancing" else "FLAIR"
        contrast = "ce-gadolinium_T1w" if mask_name == "label-enhancing" else next(iter(visit.images))
        meaning["Sources"] = [f"bids::{folder}/{name}_{contrast}.nii.gz"]
        if mask_name.startswith("space-"):
            first = str(folder / f"{name}_{contrast}.nii.gz").replace(session, "ses-01")
            meaning["SpatialReference"] = f"bids::{first}"
        _write_image(root / MASKS / folder / f"{name}_{mask_name}_mask", Volume(mask, visit.affine), meaning)


def write_descriptions(root: Path, plan: CohortPlan, participants: Sequence[Participant]) -> None:
    """What a BIDS dataset says of itself, and who is in it."""
    pathologies = plan.pathology if isinstance(plan.pathology, tuple) else (plan.pathology,)
    about = {
        "Name": f"Simulated brain MRI: {', '.join(pathologies)}",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "raw",
        "License": "CC0",
        "Authors": ["lesionlab"],
        "GeneratedBy": [{"Name": "lesionlab simulate", "Description": f"plan {plan.canonical_json()}"}],
    }
    _write_json(root / "dataset_description.json", about)
    masks = {
        **about,
        "Name": f"{about['Name']} - lesion masks",
        "DatasetType": "derivative",
        "SourceDatasets": [{"URL": "bids::"}],
    }
    _write_json(root / MASKS / "dataset_description.json", masks)
    (root / "README").write_text(README, encoding="utf-8")
    (root / MASKS / "README").write_text(README, encoding="utf-8")
    rows = [f"sub-{p.label}\t{p.age}\t{p.sex}\t{p.site}\n" for p in participants]
    (root / "participants.tsv").write_text("participant_id\tage\tsex\tsite\n" + "".join(rows), encoding="utf-8")
    _write_json(root / "participants.json", PARTICIPANT_COLUMNS)


README = """Simulated brain MRI with lesion masks; no scan of a person is in it.

The anatomy is the ICBM152 2009a template (Fonov et al. 2009 and 2011), bent anew for each subject; lesions, contrasts and
scanner effects are computed. The masks under derivatives/manual say in which voxels the simulated lesions lie. The plan in
dataset_description.json makes the same files again.
"""

PARTICIPANT_COLUMNS = {
    "age": {"Description": "age at the first session", "Units": "year"},
    "sex": {"Description": "sex", "Levels": {"F": "female", "M": "male"}},
    "site": {"Description": "built-in site whose scanner and protocol are simulated"},
}


def _write_image(stem: Path, volume: Volume, sidecar: dict[str, object]) -> None:
    stem.parent.mkdir(parents=True, exist_ok=True)
    write_volume(stem.with_name(f"{stem.name}.nii.gz"), volume)
    _write_json(stem.with_name(f"{stem.name}.json"), sidecar)


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
