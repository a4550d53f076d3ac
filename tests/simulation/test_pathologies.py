"""Number, location and appearance of lesions in each disease."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from lesionlab.simulation.frames import View
from lesionlab.simulation.lesions import Findings, paint
from lesionlab.simulation.pathologies import draw_visits
from lesionlab.simulation.sites import SITES, scan_grid
from lesionlab.simulation.spots import MS_LESIONS, MS_NEW_LESIONS, Count
from lesionlab.simulation.subject import draw_subject, tissues_on
from lesionlab.simulation.template import load_template
from tests.simulation.images import count_lesions, voxels


@pytest.mark.parametrize(("count", "median", "least", "most"), [(MS_LESIONS, 26, 2, 216), (MS_NEW_LESIONS, 3, 1, 64)])
def test_lesion_counts_match_the_paper(count: Count, median: int, least: int, most: int) -> None:
    rng = np.random.default_rng(0)
    drawn = [count.draw(rng) for _ in range(4000)]
    assert abs(np.median(drawn) - median) <= 0.06 * median
    assert min(drawn) == least
    assert max(drawn) == most


@pytest.mark.parametrize("seed", range(4))
def test_every_focal_lesion_is_one_component_of_the_mask(seed: int) -> None:
    rng = np.random.default_rng(seed)
    subject = draw_subject(load_template(0.8), 45, None, rng)
    (found,) = draw_visits("ms", subject, None, timepoints=1, spacing_mm=(2.0, 2.0, 2.0), rng=rng)
    view = View(scan_grid(SITES["premier"], 2.0), np.eye(4))
    painting = paint(Findings(found.spots), tissues_on(subject, view), view, (1, 1, 1))
    assert count_lesions(painting.lesion_IJK) == len(found.spots)


def test_ms_lesions_are_many_and_small_and_a_glioma_is_large(five_diseases: Path) -> None:
    ms, glioma, leukodystrophy = (_lesion_mask(five_diseases, n) for n in (1, 2, 3))
    assert count_lesions(ms) >= 2
    assert ms.sum() * 8 / count_lesions(ms) < 1000
    assert _largest(glioma) * 8 > 4000
    assert _largest(leukodystrophy) * 8 > 15_000


def test_leukodystrophy_is_symmetric(five_diseases: Path) -> None:
    mask = _lesion_mask(five_diseases, 3)  # voxel axes L P S
    middle = mask.shape[0] // 2
    left, right = mask[:middle].sum(), mask[middle:].sum()
    assert 0.6 < left / right < 1.67


def test_most_lesions_are_hyperintense_on_flair_but_no_threshold_segments_them(five_diseases: Path) -> None:
    flair, mask = _image(five_diseases, 1, "FLAIR"), _lesion_mask(five_diseases, 1)
    around = ndimage.binary_dilation(mask, iterations=2) & ~ndimage.binary_dilation(mask)
    labels, count = ndimage.label(mask, np.ones((3, 3, 3)))
    brightest = ndimage.maximum(flair, labels, range(1, count + 1))
    assert np.mean(brightest > np.median(flair[around]) * 1.15) > 0.7
    threshold = np.median(flair[mask])
    assert (flair[~mask] > threshold).sum() > 0.5 * mask.sum()


def test_gadolinium_brightens_metastases_and_vessels(five_diseases: Path) -> None:
    before, after = (_image(five_diseases, 5, c) for c in ("T1w", "ce-gadolinium_T1w"))
    folder = five_diseases / "derivatives" / "manual" / "sub-0005" / "ses-01" / "anat"
    enhancing = voxels(folder / "sub-0005_ses-01_label-enhancing_mask.nii.gz") > 0
    rise = (after - before) / np.median(before[before > np.percentile(before, 80)])
    assert enhancing.any()
    assert np.median(rise[enhancing]) > 0.25
    elsewhere = ~ndimage.binary_dilation(enhancing, iterations=3)
    assert (rise[elsewhere] > 0.5).sum() > 50


def test_new_lesions_do_not_touch_old_ones(follow_up: Path) -> None:
    for n in range(1, 5):
        before = _lesion_mask(follow_up, n)
        folder = follow_up / "derivatives" / "manual" / f"sub-{n:04d}" / "ses-02" / "anat"
        new = voxels(folder / f"sub-{n:04d}_ses-02_space-ses01_label-newlesion_mask.nii.gz") > 0
        assert new.any()
        assert not (new & ndimage.binary_dilation(before)).any()


def test_two_visits_differ_in_head_position_and_noise(follow_up: Path) -> None:
    first, second = (_image(follow_up, 2, "FLAIR", session) for session in (1, 2))
    assert 0.5 < np.corrcoef(first.ravel(), second.ravel())[0, 1] < 0.99


def _image(root: Path, number: int, contrast: str, session: int = 1) -> np.ndarray:
    stem = f"sub-{number:04d}_ses-{session:02d}"
    return voxels(root / stem.split("_")[0] / stem.split("_")[1] / "anat" / f"{stem}_{contrast}.nii.gz").astype(float)


def _lesion_mask(root: Path, number: int) -> np.ndarray:
    return _image(root / "derivatives" / "manual", number, "label-lesion_mask") > 0


def _largest(mask: np.ndarray) -> int:
    labels, _ = ndimage.label(mask, np.ones((3, 3, 3)))
    return int(np.bincount(labels.ravel())[1:].max())
