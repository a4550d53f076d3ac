"""A head that is ten times too small or too large by its header is recognised; children's and whole heads are not."""

import numpy as np
import pytest

from lesionlab.imaging.extent import implausible_extent

HEADS_MM = {
    "an adult's brain": (135, 165, 130),
    "a whole head with neck": (170, 210, 300),
    "a newborn's brain": (85, 105, 75),
    "a brain born at 24 weeks": (50, 70, 45),
    "a head that was cut to a slab": (150, 200, 20),
}


def finding(size_mm: tuple[float, float, float], spacing_mm: float, unit: float = 1.0):
    shape = [round(mm / spacing_mm) for mm in size_mm]
    head_ijk = np.pad(np.ones(shape, dtype=bool), 2)
    return implausible_extent(head_ijk, np.diag([spacing_mm * unit] * 3 + [1.0]), "FLAIR")


@pytest.mark.parametrize("size_mm", HEADS_MM.values(), ids=HEADS_MM)
def test_heads_of_every_age_have_a_plausible_extent(size_mm):
    assert finding(size_mm, 5.0) is None


@pytest.mark.parametrize("size_mm", HEADS_MM.values(), ids=HEADS_MM)
def test_a_head_in_cm_is_refused_at_every_age(size_mm):
    assert "correct the header" in finding(size_mm, 5.0, 0.1).what


def test_a_head_in_tenths_of_a_millimetre_is_refused():
    assert "found 1650 mm" in finding(HEADS_MM["an adult's brain"], 1.0, 10.0).what
