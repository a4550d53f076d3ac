"""Whole-head inference gives each voxel the mean over the windows that cover it, for any step."""

import logging
from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from lesionlab.model import windows
from lesionlab.model.unet import build_unet
from lesionlab.model.windows import batched, head_probability, window_starts
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


def test_slabs_give_the_bytes_of_adding_all_windows_on_the_whole_head(monkeypatch):
    monkeypatch.setattr(windows, "_windows_per_pass", lambda *_: 1)
    network = build_unet(Architecture(depth=1, base_channels=2), 1, seed=0).eval()
    image = torch.from_numpy(drawn_head(29, 17, 12).astype(np.float32))
    total_IJK, windows_IJK = torch.zeros(29, 17, 12), torch.zeros(29, 17, 12)
    with torch.inference_mode():
        for corner in product(*(window_starts(n, 8, 5) for n in (29, 17, 12))):
            box = tuple(slice(start, start + 8) for start in corner)
            total_IJK[box] += torch.softmax(network(image[None, :, *box]), dim=1)[0, 1]
            windows_IJK[box] += 1
    found_IJK = head_probability(network, drawn_head(29, 17, 12), 8, 5, CPU)
    np.testing.assert_array_equal(found_IJK, (total_IJK / windows_IJK).numpy())


class Small(nn.Module):
    """Has memory for so many windows at once, on anything but a CPU."""

    def __init__(self, windows: int) -> None:
        super().__init__()
        self.windows, self.passed, self.on_cpu = windows, [], False

    def cpu(self):
        self.on_cpu = True
        return self

    def forward(self, image_BCIJK):
        self.passed.append(len(image_BCIJK))
        if len(image_BCIJK) > self.windows and not self.on_cpu:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return Threshold()(image_BCIJK)


@pytest.mark.parametrize(("patch_voxels", "per_pass"), [(16, 8), (48, 2), (64, 1), (96, 1)])
def test_a_cpu_passes_as_many_small_windows_at_once_as_suit_its_cache(patch_voxels, per_pass, monkeypatch):
    passed = []

    def network(image_BCIJK):
        passed.append(len(image_BCIJK))
        return Threshold()(image_BCIJK)

    network.eval = lambda: None
    image_CIJK = drawn_head(patch_voxels, 3 * patch_voxels, 4 * patch_voxels)
    probability_IJK = head_probability(network, image_CIJK, patch_voxels, patch_voxels, CPU)
    np.testing.assert_array_equal(probability_IJK, image_CIJK[0] > 0)
    assert sum(passed) == 12
    assert max(passed) == min(per_pass, 6 if per_pass == 8 else per_pass)


@pytest.mark.parametrize(("memory", "told"), [(8, 0), (3, 2), (1, 3), (0, 4)])
def test_where_memory_is_short_fewer_windows_pass_at_once_and_at_last_the_cpu_predicts(
    memory, told, monkeypatch, caplog
):
    monkeypatch.setattr(windows, "_windows_per_pass", lambda *_: 8)
    network, image_CIJK = Small(memory), drawn_head(8, 24, 24)
    with caplog.at_level(logging.WARNING):
        probability_IJK = head_probability(network, image_CIJK, 8, 5, CPU)
    np.testing.assert_array_equal(probability_IJK, image_CIJK[0] > 0)
    assert len(caplog.messages) == told
    assert network.on_cpu == (memory == 0)
    assert not told or "the CPU predicts" in caplog.messages[-1] or "trying" in caplog.messages[-1]


def test_the_windows_of_a_slab_are_shared_out_evenly():
    assert [len(of_pass) for of_pass in batched([()] * 12, 8)] == [6, 6]
    assert [len(of_pass) for of_pass in batched([()] * 3, 8)] == [3]


def test_the_last_window_ends_at_the_border():
    assert window_starts(20, 8, 5) == [0, 5, 10, 12]
    assert window_starts(18, 8, 5) == [0, 5, 10]
    assert window_starts(8, 8, 5) == [0]


def test_steps_that_would_leave_gaps_are_refused():
    with pytest.raises(ValueError, match="step: wanted 1 to 8 voxels"):
        head_probability(Constant(), drawn_head(8, 8, 8), 8, 9, CPU)
