"""Draw FLAIR slices of a simulated and of real BIDS datasets into one PNG, with the lesions outlined."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from lesionlab.errors import DatasetError
from lesionlab.simulation.frames import Floats
from lesionlab.simulation.lesions import Mask

_STUDIES_A_ROW = 4
_PANEL_MM = (164.0, 206.0)
_PANEL_INCHES = 1.42
_DOTS_PER_INCH = 120


@dataclass(frozen=True)
class _Slice:
    """The axial slice that shows most lesion area, patient's right on the left; arrays (x, y)."""

    title: str
    image: Floats
    mask: Mask
    spacing_mm: tuple[float, float]


def contact_sheet(simulated: Path, real: Sequence[Path], out: Path) -> None:
    """Draw up to four studies of each simulated pathology and of each real dataset, two panels per study.

    The second panel outlines the reference mask: the `label-lesion` mask of the same session or, in datasets without
    one, the `space-ses01_label-change` mask on the FLAIR of the first session.
    Raises DatasetError if a dataset has no FLAIR with a mask.
    """
    rows = _rows([*_simulated_groups(simulated), *(_group(dataset) for dataset in real)])
    height = len(rows) * _PANEL_INCHES * (_PANEL_MM[1] / _PANEL_MM[0] + 0.16) + 0.62
    figure = Figure(figsize=(2 * _STUDIES_A_ROW * _PANEL_INCHES, height), dpi=_DOTS_PER_INCH, facecolor="black")
    canvas = FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        len(rows), 2 * _STUDIES_A_ROW, left=0.003, right=0.997, bottom=0.6 / height, top=1 - 0.2 / height,
        wspace=0.02, hspace=0.13,
    )  # fmt: skip
    for i, row in enumerate(rows):
        for j, study in enumerate(row):
            plain, outlined = (figure.add_subplot(grid[i, 2 * j + side]) for side in (0, 1))
            _draw(plain, study)
            _draw(outlined, study)
            outlined.contour(study.mask.T.astype(float), [0.5], colors="#ff4040", linewidths=0.7)
            plain.set_title(study.title, fontsize=6.5, color="white", loc="left", pad=2)
    figure.text(0.005, 0.06 / height, _caption(real), fontsize=6.5, color="white", va="bottom", linespacing=1.35)
    drawn = io.BytesIO()
    canvas.print_png(drawn)  # type: ignore[no-untyped-call]
    out.parent.mkdir(parents=True, exist_ok=True)
    # A palette halves the file size; grey values and one red need no more colours.
    Image.open(drawn).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(out, optimize=True)


def _simulated_groups(dataset: Path) -> list[list[_Slice]]:
    with (dataset / "participants.tsv").open(encoding="utf-8") as table:
        pathology = {row["participant_id"]: row["pathology"] for row in csv.DictReader(table, delimiter="\t")}
    kinds = list(dict.fromkeys(pathology.values()))
    return [
        _group(dataset, subjects=[name for name, has in pathology.items() if has == kind], label=f"simulated {kind}")
        for kind in kinds
    ]


def _group(dataset: Path, subjects: Sequence[str] | None = None, label: str | None = None) -> list[_Slice]:
    names = subjects or sorted(folder.name for folder in dataset.glob("sub-*"))
    label = label or f"real: {dataset.name}"
    found = [study for name in names if (study := _first_study(dataset, name, label)) is not None]
    if not found:
        raise DatasetError(
            f"{dataset}: wanted a FLAIR with a lesion mask under derivatives/manual, found none; "
            "add the masks or leave the dataset out"
        )
    return found[:_STUDIES_A_ROW]


def _first_study(dataset: Path, subject: str, label: str) -> _Slice | None:
    for flair in sorted((dataset / subject).glob("**/*_FLAIR.nii.gz")):
        stem = flair.name.removesuffix("_FLAIR.nii.gz")
        masks = dataset / "derivatives" / "manual" / subject
        for pattern in (f"{stem}_label-lesion_mask.nii.gz", f"{subject}_*_space-ses01_label-change_mask.nii.gz"):
            for mask in sorted(masks.glob(f"**/{pattern}")):
                what = " (changes)" if "label-change" in mask.name else ""
                return _slice(flair, mask, f"{label}, {subject}{what}")
    return None


def _slice(flair: Path, mask: Path, title: str) -> _Slice:
    image, lesions = (nib.as_closest_canonical(nib.Nifti1Image.from_filename(str(path))) for path in (flair, mask))
    inside = np.asarray(lesions.dataobj) > 0
    voxels = np.asarray(image.dataobj, dtype=np.float32)
    head = (voxels > 0.3 * np.percentile(voxels, 99)).sum(axis=(0, 1))
    # Weighted by head size: a slice through the cerebrum shows more than one through the skull base.
    k = int((inside.sum(axis=(0, 1)) * head.astype(float) ** 2).argmax())
    x_mm, y_mm = (float(h) for h in image.header.get_zooms()[:2])
    return _Slice(title, voxels[::-1, :, k], inside[::-1, :, k], (x_mm, y_mm))


def _draw(axes: Axes, study: _Slice) -> None:
    """Draw one slice centred on the head, at the same scale in all panels."""
    image = study.image
    head = image > 0.12 * np.percentile(image, 99)
    bright = image[image > 0.5 * np.percentile(image, 97)]
    axes.imshow(
        image.T, origin="lower", cmap="gray", vmin=0, vmax=1.12 * float(np.percentile(bright, 97)),
        aspect=study.spacing_mm[1] / study.spacing_mm[0], interpolation="bilinear",
    )  # fmt: skip
    axes.set_xlim(_limits(np.flatnonzero(head.any(axis=1)), _PANEL_MM[0] / study.spacing_mm[0]))
    axes.set_ylim(_limits(np.flatnonzero(head.any(axis=0)), _PANEL_MM[1] / study.spacing_mm[1]))
    axes.axis("off")


def _limits(along: NDArray[np.intp], width: float) -> tuple[float, float]:
    middle = (along[0] + along[-1]) / 2
    return middle - width / 2, middle + width / 2


def _rows(groups: list[list[_Slice]]) -> list[list[_Slice]]:
    """Pack groups into rows; a group that does not fit into the rest of a row starts a new one."""
    rows: list[list[_Slice]] = [[]]
    for group in groups:
        if len(rows[-1]) + len(group) > _STUDIES_A_ROW:
            rows.append([])
        rows[-1].extend(group)
    return [row for row in rows if row]


def _caption(real: Sequence[Path]) -> str:
    lines = [
        "Axial FLAIR slices with a large lesion area, radiological convention (patient's right on the left). Red: "
        "reference mask; (changes): the mask marks only lesion changes between two visits."
    ]
    for dataset in real:
        about = json.loads((dataset / "dataset_description.json").read_text(encoding="utf-8"))
        authors, links = about.get("Authors", []), about.get("ReferencesAndLinks", [])
        who = f"{authors[0]} et al." if len(authors) > 1 else "".join(authors)
        licence = about.get("License", "no licence stated").split(" (")[0]
        lines.append(f"Real scans, {dataset.name}: {who}, {licence}, {links[0] if links else ''}".rstrip(", "))
    return "\n".join(lines)
