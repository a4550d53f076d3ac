"""Predictions in; a valid BIDS-derivatives dataset with masks, sidecars and two tables out.

    dataset_description.json  README  descriptions.tsv     what the dataset is; each `desc-` label in words
    sub-01/ses-01/anat/sub-01_ses-01_label-lesion_desc-demoGlioma_mask.nii.gz  .json
                       …_probseg.nii.gz  .json             if probability maps were asked for
    scans.csv  lesions.csv                                 one line per scan and per lesion of all models
    qc/                                                    pictures

The mask's sidecar is written last, so a mask with a sidecar is complete; the tables are made from the sidecars alone.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from lesionlab.atomic import write_atomically
from lesionlab.delimited import shown_as_text
from lesionlab.errors import InputError
from lesionlab.imaging.lesions import label_lesions, lesion_centroids_mm, lesion_volumes_mm3, voxel_volume_mm3
from lesionlab.imaging.volume import Image, Mask, Volume, matrix_of, write_volume
from storage_schemas.volumes import Grid

BIDS_VERSION = "1.10.0"
DESCRIPTION = "dataset_description.json"
TOOL = "lesionlab"
SOURCE = "source"
"""Name of the predicted dataset in BIDS URIs: `bids:source:sub-01/anat/sub-01_FLAIR.nii.gz`."""
PICTURES = "qc"
_IGNORED = f"*.csv\n{PICTURES}\n"
_README = """Predicted lesions

Masks and tables written by lesionlab. Each `desc-` label is explained in descriptions.tsv; the JSON file beside a mask
says which model made it, from which image and at which threshold. scans.csv has the number and volume of lesions of
each scan, lesions.csv each lesion, and qc/ a picture of each scan, if there is one. Not validated for clinical use.
"""


@dataclass(frozen=True)
class PredictedLesion:
    """A connected component (26-connectivity) of a predicted mask."""

    lesion: int
    volume_mm3: float
    x_mm: float
    y_mm: float
    z_mm: float
    """Centroid in the world, RAS+."""
    peak: float | None
    """Highest probability in it; None if the probabilities are not known."""


@dataclass(frozen=True)
class Maker:
    """What made a prediction: a model, or a cell of an experiment."""

    text: str
    """In words: `demo-glioma@0123456789abcdef`, `fine-tuned from glioma, 30 studies, fold 2`."""
    desc: str
    """Label of the BIDS entity `desc-`."""
    values: Mapping[str, str | int | float]
    """Columns that identify it in both tables: model and version, or experiment, arm, size, fold, …"""


@dataclass(frozen=True)
class Prediction:
    """One prediction to be written."""

    stem: str
    """Start of the file names: entities of the image, `sub-01_ses-01_acq-3D`."""
    study: str
    """`sub-01_ses-01`."""
    label: str
    """BIDS entity `label-` of the task's masks."""
    threshold: float
    native: Grid
    mask_ijk: Mask
    probability_ijk: Image | None = None
    """For the lesions' peaks."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """Images by role, as paths in the predicted dataset."""
    reference: str = ""
    """The one of them whose grid is native space."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What else decides the result; stored, and compared before a scan is taken for done."""
    notes: tuple[str, ...] = ()


def bids_label(text: str) -> str:
    """A text as a BIDS label, of letters and digits only: `fine-tuned, fold 2` is `fineTunedFold2`."""
    words: list[str] = re.findall(r"[A-Za-z0-9]+", text)
    return "".join(word if place == 0 else word[:1].upper() + word[1:] for place, word in enumerate(words))


def lesions_of(mask_ijk: Mask, native: Grid, probability_ijk: Image | None = None) -> tuple[PredictedLesion, ...]:
    """The lesions of a predicted mask, largest first."""
    lesions = label_lesions(mask_ijk)
    affine = matrix_of(native)
    volumes = lesion_volumes_mm3(lesions, voxel_volume_mm3(affine))
    centroids = lesion_centroids_mm(lesions, affine) if lesions.count else np.empty((0, 3))
    numbers = np.arange(1, lesions.count + 1)
    peaks = None if probability_ijk is None else ndimage.maximum(probability_ijk, lesions.ids_IJK, numbers)
    return tuple(
        PredictedLesion(
            lesion=place,
            volume_mm3=round(float(volumes[n]), 3),
            x_mm=round(float(centroids[n, 0]), 2),
            y_mm=round(float(centroids[n, 1]), 2),
            z_mm=round(float(centroids[n, 2]), 2),
            peak=None if peaks is None else round(float(peaks[n]), 4),
        )
        for place, n in enumerate(np.argsort(-volumes, kind="stable"), start=1)
    )


class PredictionDataset:
    """A BIDS-derivatives dataset of predictions, in a folder."""

    def __init__(self, root: Path, name: str, source: str | None = None) -> None:
        """Start the dataset, or go on with it. `source` is the path of the predicted dataset, from here.

        Raises InputError if the folder holds anything else, or cannot be written.
        """
        self.root = root
        links = {} if source is None else {"DatasetLinks": {SOURCE: source}, "SourceDatasets": [{"URL": source}]}
        own = {"Name": name, "BIDSVersion": BIDS_VERSION, "DatasetType": "derivative"} | links
        found = _existing(root, own)
        self._tool = {"Name": TOOL, "Version": version(TOOL)}
        self._linked = source is not None
        self._description = own | {"GeneratedBy": [self._tool]}
        try:
            root.mkdir(parents=True, exist_ok=True)
            if found != self._description:
                self._write_json(root / DESCRIPTION, self._description)
            write_atomically(root / "README", _README.encode())
            write_atomically(root / ".bidsignore", _IGNORED.encode())
        except OSError as error:
            raise InputError(f"{root}: cannot be written ({error.strerror}); choose another folder") from error

    def mask_path(self, stem: str, label: str, maker: Maker) -> Path:
        """`sub-01/ses-01/anat/sub-01_ses-01_label-lesion_desc-demoGlioma_mask.nii.gz`."""
        return self._anat(stem) / f"{stem}_label-{label}_desc-{maker.desc}_mask.nii.gz"

    def probability_path(self, stem: str, label: str, maker: Maker) -> Path:
        """Where the probability map of the mask lies."""
        return self._anat(stem) / f"{stem}_label-{label}_desc-{maker.desc}_probseg.nii.gz"

    def picture_path(self, stem: str, what: str) -> Path:
        """Where a picture of a scan lies."""
        return self.root / PICTURES / f"{stem}_{what}.png"

    def sidecar(self, stem: str, label: str, maker: Maker) -> dict[str, Any] | None:
        """What is known of a complete prediction; None if there is none."""
        path = _json_of(self.mask_path(stem, label, maker))
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        mask = self.mask_path(stem, label, maker)
        return content if isinstance(content, dict) and mask.is_file() else None

    def write(self, maker: Maker, prediction: Prediction, *, probability: bool = False) -> dict[str, Any]:
        """Write mask, probability map if asked for, and their sidecars; return the mask's. Replaces an earlier one."""
        mask = self.mask_path(prediction.stem, prediction.label, maker)
        _json_of(mask).unlink(missing_ok=True)  # until it is written again, the prediction is not complete
        mask.parent.mkdir(parents=True, exist_ok=True)
        common = self._common(maker, prediction)
        if probability and prediction.probability_ijk is not None:
            path = self.probability_path(prediction.stem, prediction.label, maker)
            write_volume(path, Volume(prediction.probability_ijk, matrix_of(prediction.native)))
            self._write_json(_json_of(path), {"Description": f"Lesion probability, by {maker.text}"} | common)
        write_volume(mask, Volume(prediction.mask_ijk, matrix_of(prediction.native)))
        lesions = lesions_of(prediction.mask_ijk, prediction.native, prediction.probability_ijk)
        sidecar = {
            "Type": "Lesion",
            "Manual": False,
            "Description": f"Predicted lesions: probability of at least {prediction.threshold:g}, by {maker.text}",
            **common,
            "Study": prediction.study,
            "Maker": dict(maker.values),
            "Threshold": prediction.threshold,
            "Settings": dict(prediction.settings),
            "LesionVolumeMl": round(int(prediction.mask_ijk.sum()) * _voxel_ml(prediction.native), 6),
            "Lesions": [asdict(lesion) for lesion in lesions],
            "Notes": list(prediction.notes),
        }
        self._write_json(_json_of(mask), sidecar)
        return sidecar

    def write_tables(self, makers: Sequence[Maker]) -> None:
        """Write both tables from all sidecars in the folder, and the description of each maker."""
        known = _descriptions(self.root) | {f"desc-{maker.desc}": maker.text for maker in makers}
        table = "desc_id\tdescription\n" + "".join(f"{desc}\t{text}\n" for desc, text in sorted(known.items()))
        write_atomically(self.root / "descriptions.tsv", table.encode())
        found = [
            (path, json.loads(path.read_text(encoding="utf-8")))
            for path in sorted(self.root.glob("sub-*/**/*_mask.json"))
        ]
        columns = [*dict.fromkeys(column for _, sidecar in found for column in sidecar["Maker"])]
        scans, lesions = list[dict[str, Any]](), list[dict[str, Any]]()
        for path, sidecar in found:
            made = {"study": sidecar["Study"]} | sidecar["Maker"]
            file = path.with_name(path.name.removesuffix(".json") + ".nii.gz")
            scans.append(
                made
                | {
                    "threshold": sidecar["Threshold"],
                    "lesions": len(sidecar["Lesions"]),
                    "volume_ml": sidecar["LesionVolumeMl"],
                    "mask": file.relative_to(self.root).as_posix(),
                    "notes": " ".join(sidecar["Notes"]),
                }
            )
            lesions += [made | lesion for lesion in sidecar["Lesions"]]
        own = ("lesion", "volume_mm3", "x_mm", "y_mm", "z_mm", "peak")
        last = ("threshold", "lesions", "volume_ml", "mask", "notes")
        write_atomically(self.root / "scans.csv", _csv(("study", *columns, *last), scans))
        write_atomically(self.root / "lesions.csv", _csv(("study", *columns, *own), lesions))

    def _anat(self, stem: str) -> Path:
        entities = dict(part.split("-", 1) for part in stem.split("_"))
        folders = [f"{entity}-{entities[entity]}" for entity in ("sub", "ses") if entity in entities]
        return Path(self.root, *folders, "anat")

    def _common(self, maker: Maker, prediction: Prediction) -> dict[str, Any]:
        uris = {role: f"bids:{SOURCE}:{path}" if self._linked else path for role, path in prediction.sources.items()}
        reference = {"SpatialReference": uris[prediction.reference]} if prediction.reference else {}
        sources = {"Sources": [*uris.values()]} if uris else {}
        return sources | reference | {"GeneratedBy": self._tool | {"Description": maker.text}}

    def _write_json(self, path: Path, content: Mapping[str, Any]) -> None:
        # A file name that is not UTF-8 has lone surrogates in Python: written as escapes, JSON reads them back.
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        write_atomically(path, text.encode("utf-8", "backslashreplace"))


def _existing(root: Path, own: Mapping[str, Any]) -> dict[str, Any] | None:
    """The description of the dataset in this folder, if there is one. Raises InputError if it is not this one."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return None
    wanted = f"wanted a new folder, or one with earlier predictions ({own['Name']})"
    try:
        found = json.loads((root / DESCRIPTION).read_text(encoding="utf-8"))
        made_by = [tool["Name"] for tool in found["GeneratedBy"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{root}: {wanted}, found other files; choose another folder") from error
    if made_by != [TOOL] or any(found.get(key) != value for key, value in own.items()):
        raise InputError(f"{root}: {wanted}, found the dataset {found.get('Name')!r}; choose another folder")
    return dict(found)


def _descriptions(root: Path) -> dict[str, str]:
    try:
        _, *lines = (root / "descriptions.tsv").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return {}
    return {desc: text for line in lines if "\t" in line for desc, _, text in [line.partition("\t")]}


def _json_of(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(".nii.gz") + ".json")


def _voxel_ml(native: Grid) -> float:
    return voxel_volume_mm3(matrix_of(native)) / 1000


def _csv(columns: Sequence[str], lines: Sequence[Mapping[str, object]]) -> bytes:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    table.writerows(shown_as_text(line.get(column) for column in columns) for line in lines)
    return text.getvalue().encode()
