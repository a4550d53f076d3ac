"""The z-score of a scan does not depend on the value of air, and values that wrapped around are refused."""

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from lesionlab.imaging.intensity import head_mask, z_score
from lesionlab.imaging.volume import Examined, examine_image, read_volume
from tests.imaging.heads import THREE_MM, signal
from tests.imaging.heads import places as places_of

Voxels = NDArray[np.floating]
EVERYWHERE = (slice(None),) * 3
WHOLE = np.rint(
    np.abs(signal(places_of(THREE_MM)) + np.random.default_rng(0).normal(0, 6, THREE_MM.shape))
    + np.abs(np.random.default_rng(1).normal(0, 6, THREE_MM.shape))
)
"""A head in noisy air, integers."""
STRIPPED = np.where(head_mask(WHOLE.astype(np.float32)), WHOLE, 0)
"""The same head in air of exactly 0."""


def examine(folder: Path, voxels_ijk: Voxels, dtype: type = np.float32) -> Examined:
    scan = nib.Nifti1Image(voxels_ijk.astype(dtype), np.diag([3.0, 3, 3, 1]))
    scan.header.set_slope_inter(1, 0)
    nib.save(scan, folder / "scan.nii")
    return examine_image(folder / "scan.nii", "flair")


def standardised(folder: Path, voxels_ijk: Voxels, dtype: type = np.float32) -> NDArray[np.float32]:
    """Z-scores of the scan as it is read from a file."""
    volume = examine(folder, voxels_ijk, dtype).volume
    assert volume is not None
    return z_score(volume.voxels, head_mask(volume.voxels)).voxels_IJK


CHANGES: dict[str, Callable[[Voxels], Voxels]] = {
    "+500": lambda scan: scan + 500,
    "-300": lambda scan: scan - 300,
    "-1024": lambda scan: scan - 1024,
    "x 3": lambda scan: scan * 3,
    "x 0.01 + 7": lambda scan: scan * 0.01 + 7,
    "z-scored": lambda scan: (scan - scan.mean()) / scan.std(),
    "z-scored over the head": lambda scan: (scan - scan[scan > 100].mean()) / scan[scan > 100].std(),
    "from 0 to 1": lambda scan: (scan - scan.min()) / (scan.max() - scan.min()),
}


@pytest.mark.parametrize("scan", [WHOLE, STRIPPED], ids=["whole head", "skull-stripped"])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_scale_and_offset_change_no_z_score(tmp_path, scan, change):
    changed = standardised(tmp_path, change(scan))
    assert np.abs(changed - standardised(tmp_path, scan)).max() < 1e-3


@pytest.mark.parametrize("dtype", [np.int16, np.float64, np.int32])
def test_the_data_type_changes_no_z_score(tmp_path, dtype):
    assert np.array_equal(standardised(tmp_path, WHOLE - 200, dtype), standardised(tmp_path, WHOLE - 200))


@pytest.mark.parametrize("scan", [WHOLE, WHOLE + 500, STRIPPED], ids=["in noise", "with an offset", "skull-stripped"])
@pytest.mark.parametrize("value", [-1024, -3000, 5000, 0])
def test_padding_is_given_the_value_of_air(tmp_path, scan, value):
    padded = np.pad(scan, ((4, 6), (0, 9), (12, 3)), constant_values=value)
    inner = padded[4:-6, :-9, 12:-3]
    assert np.array_equal(inner, scan)
    changed = standardised(tmp_path, padded)
    plain = standardised(tmp_path, scan)
    assert np.abs(changed[4:-6, :-9, 12:-3] - plain).max() < (0.06 if value == 0 else 2e-3)  # 0 is air here, not 3
    assert abs(changed[0, 0, 0] - plain[0, 0, 0]) < 0.1
    findings = examine(tmp_path, padded).findings
    far = abs(value - np.quantile(scan, 0.1)) > 100
    assert [(finding.code, finding.repaired) for finding in findings] == [("padding", True)] * int(far)


def test_a_corner_cut_off_by_a_rotation_and_filled_with_minus_1024_is_air(tmp_path):
    cut = np.indices(WHOLE.shape).sum(axis=0) < 60  # through the head
    filled = standardised(tmp_path, np.where(cut, -1024, WHOLE))
    assert np.abs(filled - standardised(tmp_path, np.where(cut, 3, WHOLE))).max() < 0.1


def test_a_tight_box_around_the_head_changes_no_z_score(tmp_path):
    places = np.argwhere(STRIPPED)
    tight = tuple(slice(low, high + 1) for low, high in zip(places.min(axis=0), places.max(axis=0), strict=True))
    for scan in (STRIPPED, STRIPPED + 500):
        assert np.allclose(standardised(tmp_path, scan[tight]), standardised(tmp_path, scan)[tight], atol=1e-4)
    assert np.abs(standardised(tmp_path, WHOLE[tight]) - standardised(tmp_path, WHOLE)[tight]).max() < 0.03


@pytest.mark.parametrize("shift", [0, 500], ids=["as it was", "shifted before"])
def test_a_brain_that_was_z_scored_before_it_was_stripped_with_0_is_the_same_brain(tmp_path, shift):
    brain = STRIPPED > 0
    scaled = np.where(brain, (WHOLE + shift - WHOLE[brain].mean()) / WHOLE[brain].std(), 0)
    if shift == 0:
        assert 0.3 < (scaled[brain] < 0).mean() < 0.7  # the background lies in the middle of the brain's values
        assert [finding.code for finding in examine(tmp_path, scaled).findings] == ["padding"]
    changed, plain = standardised(tmp_path, scaled), standardised(tmp_path, STRIPPED)
    assert np.abs(changed - plain)[brain].max() < 0.05
    assert changed[~brain].max() < changed[brain].min() + 0.2


def test_a_background_of_minus_1024_behind_a_brain_is_air(tmp_path):
    changed = standardised(tmp_path, np.where(STRIPPED > 0, STRIPPED, -1024))
    assert np.abs(changed - standardised(tmp_path, STRIPPED)).max() < 1e-3


def wrapped(scan: Voxels, top: float, bits: int, *, signed: bool) -> Voxels:
    """The scan scaled so that the brightest tissue is `top`, in an integer type that is too narrow for it."""
    values = np.rint(scan * (top / np.percentile(scan, 99.9))).astype(np.int64) % 2**bits
    return (np.where(values >= 2 ** (bits - 1), values - 2**bits, values) if signed else values).astype(float)


WRAPS = {
    "unsigned 16 bits read as signed": (60_000, 16, True),
    "a little of it": (36_000, 16, True),
    "beyond 16 bits": (90_000, 16, False),
    "unsigned 12 bits read as signed": (4_000, 12, True),
    "unsigned 8 bits read as signed": (220, 8, True),
    "8 bits overflow": (1_000, 8, False),
    "signed 8 bits overflow": (1_000, 8, True),
}


@pytest.mark.parametrize("scan", [WHOLE, STRIPPED], ids=["whole head", "skull-stripped"])
@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
def test_values_that_wrapped_around_are_refused_by_name(tmp_path, scan, wrap):
    top, bits, signed = wrap
    damaged = wrapped(scan, top, bits, signed=signed)
    for changed in (damaged, damaged * 0.5 - 20):
        (finding,) = examine(tmp_path, changed).findings
        assert (finding.code, finding.repaired) == ("wrapped-values", False)
        assert "wrapped around" in finding.what


def test_small_negative_values_read_as_unsigned_are_refused(tmp_path):
    ringing = np.where((STRIPPED == 0) & (np.random.default_rng(2).random(STRIPPED.shape) < 0.001), -3.0, STRIPPED)
    ringing[5, 5, 5] = -7
    (finding,) = examine(tmp_path, ringing % 2**16).findings
    assert finding.code == "wrapped-values"


@pytest.mark.parametrize("percentile", [100, 99.9, 98])
def test_an_image_that_is_clipped_and_stored_as_8_bits_did_not_wrap(tmp_path, percentile):
    scaled = np.clip(WHOLE / np.percentile(WHOLE[WHOLE > 100], percentile), 0, 1) * 255
    assert examine(tmp_path, np.rint(scaled), np.uint8).findings == ()


def test_real_scans_keep_their_head_and_their_z_scores_whatever_the_offset(real_data, tmp_path):
    """One scan of each dataset; before version 2 of preprocessing, air was taken for 0."""
    heads_ml = {"sub-cs07": 1116, "sub-long01": 2265, "sub-brats01476": 1261}
    for patient, dataset in (
        ("sub-cs07", "ms-crosssectional"),
        ("sub-long01", "ms-longitudinal"),
        ("sub-brats01476", "glioma-brats2021"),
    ):
        path = real_data / dataset / patient / "ses-01" / "anat" / f"{patient}_ses-01_FLAIR.nii.gz"
        scan = read_volume(path)
        plain = standardised(tmp_path, scan.voxels)
        ml = head_mask(scan.voxels).sum() * np.linalg.det(scan.affine[:3, :3]) / 1000
        assert abs(ml) == pytest.approx(heads_ml[patient], abs=1)
        padded = np.pad(scan.voxels.astype(float) + 500, 3, constant_values=-1024)
        assert np.abs(standardised(tmp_path, padded)[3:-3, 3:-3, 3:-3] - plain).max() < 2e-3
        (finding,) = examine(tmp_path, wrapped(np.maximum(scan.voxels, 0), 50_000, 16, signed=True)).findings
        assert finding.code == "wrapped-values"
