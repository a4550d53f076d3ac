"""Whole-head inference gives each voxel the mean over the windows that cover it, for any step."""

import numpy as np
import pytest
import torch
from torch import nn

from lesionlab.model.unet import build_unet
from lesionlab.model.windows import head_probability, window_starts
from storage_schemas.models import Architecture

CPU = torch.device("cpu")


class Constant(nn.Module):
    """Predicts a lesion probability of 1/4 everywhere."""

    def forward(self, image_BCIJK):
        logits_BCIJK = torch.zeros(image_BCIJK.shape[0], 2, *image_BCIJK.shape[2:])
        logits_BCIJK[:, 0] = np.log(3)
        return logits_BCIJK


class Threshold(nn.Module):
    """Predicts lesion with certainty where the first channel is positive, and background elsewhere."""

    def forward(self, image_BCIJK):
        lesion_BIJK = torch.where(image_BCIJK[:, 0] > 0, 1000.0, -1000.0)
        return torch.stack([torch.zeros_like(lesion_BIJK), lesion_BIJK], dim=1)


def drawn_head(*shape):
    return np.random.default_rng(0).standard_normal((1, *shape)).astype(np.float16)


@pytest.mark.parametrize("step", [1, 3, 5, 8])
def test_a_constant_network_gives_a_constant_probability(step):
    probability_IJK = head_probability(Constant(), drawn_head(13, 9, 8), 8, step, CPU)
    assert probability_IJK.dtype == np.float32
    np.testing.assert_allclose(probability_IJK, 0.25, rtol=1e-6)


@pytest.mark.parametrize("step", [1, 3, 5, 8])
@pytest.mark.parametrize("shape", [(13, 9, 8), (5, 20, 3), (8, 8, 8)], ids=["larger", "partly smaller", "one window"])
def test_windows_do_not_change_the_result_of_a_voxelwise_network(step, shape):
    image_CIJK = drawn_head(*shape)
    probability_IJK = head_probability(Threshold(), image_CIJK, 8, step, CPU)
    np.testing.assert_array_equal(probability_IJK, image_CIJK[0] > 0)


def test_a_single_window_gives_the_output_of_the_network():
    network = build_unet(Architecture(depth=2, base_channels=4), 1, seed=0).eval()
    image_CIJK = drawn_head(16, 16, 16)
    with torch.inference_mode():
        logits_BCIJK = network(torch.from_numpy(image_CIJK.astype(np.float32))[None])
    expected_IJK = torch.softmax(logits_BCIJK, dim=1)[0, 1].numpy()
    np.testing.assert_array_equal(head_probability(network, image_CIJK, 16, 8, CPU), expected_IJK)


def test_inference_is_repeatable_and_does_not_change_the_weights():
    network = build_unet(Architecture(depth=2, base_channels=4, norm="batch"), 1, seed=0)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    first, again = (head_probability(network, drawn_head(20, 17, 16), 16, 8, CPU) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_the_last_window_ends_at_the_border():
    assert window_starts(20, 8, 5) == [0, 5, 10, 12]
    assert window_starts(18, 8, 5) == [0, 5, 10]
    assert window_starts(8, 8, 5) == [0]


def test_steps_that_would_leave_gaps_are_refused():
    with pytest.raises(ValueError, match="step: wanted 1 to 8 voxels"):
        head_probability(Constant(), drawn_head(8, 8, 8), 8, 9, CPU)
