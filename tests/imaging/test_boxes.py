"""The box around what is not zero, by whatever the voxels are stored as."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lesionlab.imaging.boxes import around_both, bounding_box

volumes = arrays(np.uint8, (4, 5, 6), elements=st.sampled_from([0, 0, 0, 0, 0, 0, 0, 0, 0, 2]))


@given(volumes, st.sampled_from([np.uint8, bool, np.float32, np.int64]))
def test_the_box_reaches_from_the_first_to_the_last_voxel_along_each_axis(volume, dtype):
    found = bounding_box(volume.astype(dtype))
    places = np.argwhere(volume)
    if not len(places):
        assert found == (slice(0, 1),) * 3
        return
    assert [side.start for side in found] == places.min(axis=0).tolist()
    assert [side.stop - 1 for side in found] == places.max(axis=0).tolist()


def test_a_margin_ends_at_the_volume():
    volume = np.zeros((5, 9, 9))
    volume[1, 4, 8] = 0.001
    assert bounding_box(volume, 2) == np.s_[0:4, 2:7, 6:9]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_box_around_both_holds_both(order):
    boxes = [np.s_[0:4, 2:7, 6:9], np.s_[2:3, 1:2, 8:12]]
    assert around_both(*(boxes[n] for n in order)) == np.s_[0:4, 1:7, 6:12]
