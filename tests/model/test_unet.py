"""The U-Net keeps the shape of its input, has the paper's architecture, and is initialised reproducibly."""

import pytest
import torch

from lesionlab.model.parts import Place
from lesionlab.model.unet import build_unet
from lesionlab.model.weights import weights_bytes
from storage_schemas.models import Architecture

SMALL = Architecture(depth=2, base_channels=4)


@pytest.mark.parametrize("depth", [3, 4, 5])
@pytest.mark.parametrize("upsampling", ["linear", "transposed"])
def test_logits_have_the_shape_of_the_image(depth, upsampling):
    network = build_unet(Architecture(depth=depth, base_channels=2, upsampling=upsampling), channels=1, seed=0)
    scale = 2**depth
    logits_BCIJK = network(torch.randn(2, 1, scale, 2 * scale, scale))
    assert logits_BCIJK.shape == (2, 2, scale, 2 * scale, scale)


@pytest.mark.parametrize("norm", ["batch", "instance", "group"])
@pytest.mark.parametrize("dilation", [1, 2])
def test_every_option_keeps_the_shape_and_gives_every_weight_a_gradient(norm, dilation):
    network = build_unet(
        Architecture(depth=2, base_channels=4, norm=norm, encoder_dilation=dilation), channels=2, seed=0
    )
    logits_BCIJK = network(torch.randn(2, 2, 16, 16, 16))
    assert logits_BCIJK.shape == (2, 2, 16, 16, 16)
    logits_BCIJK[:, 1].square().mean().backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in network.parameters())


def test_the_number_of_parameters_equals_a_count_by_hand():
    # Two 3×3×3 convolutions without bias, each with a scale and a shift per channel.
    def block(channels_in, channels_out):
        return 27 * channels_in * channels_out + 2 * channels_out + 27 * channels_out * channels_out + 2 * channels_out

    entry = block(1, 4)
    down = (8 * 4 * 8 + 8 + block(8, 8)) + (8 * 8 * 16 + 16 + block(16, 16))
    up = (16 * 8 + 8) + (8 * 4 + 4)
    merge = block(16, 8) + block(8, 4)
    head = 4 * 2 + 2
    network = build_unet(SMALL, channels=1, seed=0)
    assert sum(weight.numel() for weight in network.parameters()) == entry + down + up + merge + head


@pytest.mark.parametrize(
    "voxels", [(18, 16, 16), (16, 16, 6), (4, 4, 4)], ids=["odd", "short", "one voxel at the deepest level"]
)
def test_a_size_that_cannot_be_halved_is_refused(voxels):
    with pytest.raises(ValueError, match="multiple of 4 voxels, at least 8 along one"):
        build_unet(SMALL, channels=1, seed=0)(torch.zeros(1, 1, *voxels))


def test_a_wrong_number_of_channels_is_refused():
    with pytest.raises(ValueError, match=r"wanted 1 channels .* found \(1, 2, 8, 8, 8\)"):
        build_unet(SMALL, channels=1, seed=0)(torch.zeros(1, 2, 8, 8, 8))


@pytest.mark.parametrize("norm", ["batch", "instance", "group"])
def test_equal_seeds_give_equal_networks_and_other_seeds_other_networks(norm):
    architecture = SMALL.model_copy(update={"norm": norm})
    first, again, other = (weights_bytes(build_unet(architecture, 1, seed)) for seed in (7, 7, 8))
    assert first == again
    assert first != other


def test_building_neither_reads_nor_changes_the_global_random_state():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = weights_bytes(build_unet(SMALL, 1, seed=0))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert weights_bytes(build_unet(SMALL, 1, seed=0)) == first


def test_a_randomly_initialised_network_predicts_lesions_with_low_probability():
    logits_BCIJK = build_unet(Architecture(depth=4, base_channels=8), 1, seed=0)(torch.randn(1, 1, 32, 32, 32))
    lesion_BIJK = torch.softmax(logits_BCIJK, dim=1)[:, 1]
    assert 0.001 < lesion_BIJK.mean().item() < 0.1
    assert 0.05 < logits_BCIJK.std(dim=(2, 3, 4)).min().item() < 5


@pytest.mark.parametrize(
    ("tensor", "part", "level", "voxels"),
    [
        ("entry.conv1.weight", "encoder", 0, 16),
        ("down.0.block.conv1.weight", "encoder", 1, 8),
        ("down.2.block.conv2.weight", "encoder", 3, 2),
        ("merge.0.conv1.weight", "decoder", 2, 4),
        ("merge.2.conv2.weight", "decoder", 0, 16),
        ("head.weight", "head", 0, 16),
    ],
)
def test_the_level_of_a_tensor_is_the_resolution_of_its_output(tensor, part, level, voxels):
    network = build_unet(Architecture(depth=3, base_channels=2), channels=1, seed=0)
    made = []
    module = network.get_submodule(tensor.removesuffix(".weight"))
    module.register_forward_hook(lambda _module, _seen, features_BCijk: made.append(features_BCijk.shape[2:]))
    network(torch.randn(1, 1, 16, 16, 16))
    assert made == [(voxels,) * 3]
    place = network.place_of(tensor)
    assert (place.part, place.level) == (part, level)


def test_an_up_sampling_has_the_level_of_its_output_and_declares_its_input():
    network = build_unet(Architecture(depth=2, base_channels=2), channels=1, seed=0)
    places = {number: network.place_of(f"up.{number}.reduce.bias") for number in (0, 1)}
    assert places == {0: Place("decoder", 1, "up.reduce.bias"), 1: Place("decoder", 0, "up.reduce.bias")}
    assert [place.reads for place in places.values()] == ["encoder", "decoder"]


@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize("upsampling", ["linear", "transposed"])
def test_every_tensor_has_a_unique_place(depth, upsampling):
    architecture = Architecture(depth=depth, base_channels=2, norm="batch", upsampling=upsampling)
    network = build_unet(architecture, channels=1, seed=0)
    assert len(network.by_place()) == len(network.state_dict())
    with pytest.raises(KeyError, match="stem"):
        network.place_of("stem.0.weight")


def test_only_the_first_convolution_depends_on_the_input_channels():
    one, three = (build_unet(SMALL, channels, seed=0) for channels in (1, 3))
    shapes = {name: tensor.shape for name, tensor in three.state_dict().items()}
    other = {name for name, tensor in one.state_dict().items() if tensor.shape != shapes[name]}
    assert other == {one.first_convolution}
