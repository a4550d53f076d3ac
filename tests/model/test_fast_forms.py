"""The forms for a CPU and for a GPU (here forced on a CPU) agree with torch's, and leave names and formats alone."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from lesionlab.model import devices, fast_forms
from lesionlab.model.unet import build_unet
from storage_schemas.models import Architecture


@pytest.fixture
def as_on_gpu(monkeypatch):
    """Use the forms for a GPU on this CPU."""
    monkeypatch.setattr(devices, "on_gpu", lambda device: True)


def trilinear(features):
    return functional.interpolate(features, scale_factor=2, mode="trilinear", align_corners=False)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5, 6), (1, 1, 1, 2, 1), (1, 2, 1, 1, 1)], ids=str)
@pytest.mark.usefixtures("as_on_gpu")
def test_separable_upsampling_is_trilinear_in_value_and_gradient(shape):
    ours, torchs = (torch.randn(shape, generator=torch.Generator().manual_seed(1)).double() for _ in range(2))
    pull = torch.randn(*shape[:2], *(2 * n for n in shape[2:]), dtype=torch.float64)
    for features, upsample in ((ours, fast_forms.Upsample()), (torchs, trilinear)):
        (upsample(features.requires_grad_()) * pull).sum().backward()
    torch.testing.assert_close(fast_forms.Upsample()(ours), trilinear(torchs), rtol=1e-14, atol=1e-14)
    torch.testing.assert_close(ours.grad, torchs.grad, rtol=1e-13, atol=1e-13)


@pytest.mark.usefixtures("as_on_gpu")
def test_upsampling_keeps_bf16_and_rounds_three_times_at_most():
    features = torch.randn(1, 4, 6, 6, 6).bfloat16()
    found = fast_forms.Upsample()(features)
    assert found.dtype == torch.bfloat16
    # Each of the three axes adds two products, rounded to 8 bits: relative to the largest voxel, 6 · 2⁻⁹.
    assert (found.float() - trilinear(features.float())).abs().max() < 6 * 2**-9 * features.abs().max()


@pytest.mark.parametrize("form", ["torch's kernel", "written out"])
@pytest.mark.parametrize("groups", [8, 2, 1], ids="{} groups".format)
@pytest.mark.usefixtures("as_on_gpu")
def test_normalisation_of_bf16_returns_bf16_with_the_statistics_of_float32(groups, form, monkeypatch):
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: form == "written out")
    # A mean of 100 SD: in bf16 the statistics would be wrong in the first digit.
    exact = (100 + torch.randn(2, 8, 6, 6, 6, generator=torch.Generator().manual_seed(2))).bfloat16()
    norm = fast_forms.GroupNorm(groups, 8)
    with torch.no_grad():
        norm.weight.copy_(torch.linspace(0.5, 2, 8))
        norm.bias.copy_(torch.linspace(-1, 1, 8))
    found = norm(exact)
    assert found.dtype == torch.bfloat16
    wanted = functional.group_norm(exact.double(), groups, norm.weight.double(), norm.bias.double(), norm.eps).relu()
    torch.testing.assert_close(found.double(), wanted, rtol=2**-7, atol=2**-7)
    found.float().square().sum().backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in norm.parameters())


@pytest.mark.parametrize("norm", ["instance", "group", "batch"])
@pytest.mark.usefixtures("as_on_gpu")
def test_a_bf16_network_in_the_gpu_forms_computes_what_it_computes_in_torchs(norm, monkeypatch):
    network = build_unet(Architecture(depth=2, base_channels=8, norm=norm), channels=2, seed=3)
    image = torch.randn(2, 2, 16, 16, 16, generator=torch.Generator().manual_seed(3))

    def logits(precision):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"), torch.no_grad():
            return network(image).float()

    fast, fast_fp32 = logits("bf16"), logits("fp32")
    monkeypatch.undo()
    simple, exact = logits("bf16"), logits("fp32")
    torch.testing.assert_close(fast_fp32, exact, rtol=1e-4, atol=1e-4)
    assert not torch.equal(fast, simple)
    assert (fast - exact).norm() < 1.5 * (simple - exact).norm()  # as near to fp32 as autocast is


def drawn(*shape, last_channels=True):
    features = torch.randn(shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    return features.to(memory_format=torch.channels_last_3d) if last_channels else features


def value_and_gradients(form, *inputs):
    """The result, and the gradients of a drawn linear function of it with respect to inputs and parameters."""
    inputs = [tensor.detach().clone(memory_format=torch.preserve_format).requires_grad_() for tensor in inputs]
    result = form(*inputs)
    pull = torch.randn(result.shape, generator=torch.Generator().manual_seed(6), dtype=torch.float64).to(result.dtype)
    leaves = [*inputs, *getattr(form, "parameters", list)()]
    return [result.detach(), *torch.autograd.grad((result * pull).sum(), leaves)]


def agree(found, wanted):
    for ours, torchs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, torchs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("last_channels", [True, False])
@pytest.mark.parametrize(("channels", "groups"), [(6, 6), (6, 2), (4, 1), (1, 1)], ids=str)
@pytest.mark.parametrize("voxels", [(4, 4, 4), (3, 5, 7), (40, 40, 40)], ids=str)
def test_a_cpus_normalisation_is_torchs_in_value_and_gradients(voxels, channels, groups, last_channels):
    norm = fast_forms.GroupNorm(groups, channels).double()
    with torch.no_grad():
        norm.weight.copy_(torch.linspace(-0.5, 2, channels))
        norm.bias.copy_(torch.linspace(-1, 1, channels))
    features = 3 + 2 * drawn(2, channels, *voxels, last_channels=last_channels)

    def torchs(features):
        return functional.group_norm(features, groups, norm.weight, norm.bias, norm.eps).relu()

    torchs.parameters = norm.parameters
    agree(value_and_gradients(norm, features), value_and_gradients(torchs, features))
    with torch.inference_mode():
        torch.testing.assert_close(norm(features), torchs(features), rtol=1e-10, atol=1e-10)


def test_a_cpus_normalisation_keeps_its_digits_where_the_mean_is_far_above_the_sd():
    exact = (1000 + drawn(1, 8, 12, 12, 12)).float()
    found = fast_forms.GroupNorm(8, 8)(exact)
    wanted = functional.group_norm(exact.double(), 8).relu()
    # float32 has 7 digits, of which the mean takes 3.
    torch.testing.assert_close(found.double(), wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("planes", [2, 3, 6, 9])
def test_one_image_is_convolved_as_it_would_be_among_others(planes, dilation):
    convolution = fast_forms.Convolution(3, 5, dilation).double()
    image = drawn(1, 3, planes, 4, 6)
    assert image.shape[1:4].numel() <= fast_forms.NATIVE_PLANE
    agree(value_and_gradients(convolution, image), value_and_gradients(super_of(convolution), image))


def test_joining_is_the_convolution_of_both_in_one_tensor():
    for images in (1, 2):
        joining = fast_forms.JoiningConvolution(5, 4).double()
        skipped, enlarged = drawn(images, 2, 6, 4, 4), drawn(images, 3, 6, 4, 4)

        def torchs(skipped, enlarged, joining=joining):
            return functional.conv3d(torch.cat([skipped, enlarged], dim=1), joining.weight, padding=1)

        def ours(skipped, enlarged, joining=joining):
            return joining((skipped, enlarged))

        torchs.parameters = ours.parameters = joining.parameters
        agree(value_and_gradients(ours, skipped, enlarged), value_and_gradients(torchs, skipped, enlarged))


def test_a_matrix_product_is_the_convolution_of_single_voxels():
    pointwise = fast_forms.Pointwise(6, 2).double()
    features = drawn(2, 6, 3, 4, 5)
    agree(value_and_gradients(pointwise, features), value_and_gradients(super_of(pointwise), features))


def super_of(convolution):
    """torch's own form of a convolution, with the same parameters."""

    def torchs(features):
        return functional.conv3d(
            features, convolution.weight, convolution.bias, padding=convolution.padding, dilation=convolution.dilation
        )

    torchs.parameters = convolution.parameters
    return torchs


@pytest.mark.parametrize("norm", ["instance", "group", "batch"])
@pytest.mark.parametrize("batch", [1, 3])
def test_a_network_on_a_cpu_computes_what_it_computes_in_torchs_forms(batch, norm, monkeypatch):
    network = build_unet(Architecture(depth=2, base_channels=4, norm=norm, encoder_dilation=2), channels=2, seed=3)
    image = drawn(batch, 2, 16, 16, 16, last_channels=False).float()
    found = value_and_gradients(network, image)
    assert all(tensor.is_contiguous() for tensor in (found[0], *network.parameters()))
    network.train()
    monkeypatch.setattr(fast_forms, "on_cpu", lambda _: False)
    wanted = value_and_gradients(network, image)
    for ours, torchs in zip(found, wanted, strict=True):
        assert (ours - torchs).norm() <= 1e-4 * torchs.norm()


@pytest.mark.parametrize("norm", ["instance", "group", "batch"])
@pytest.mark.parametrize("batch", [1, 2])
def test_a_bf16_network_on_a_cpu_is_as_near_to_float64_as_torchs_forms(batch, norm, monkeypatch):
    network = build_unet(Architecture(depth=2, base_channels=4, norm=norm), channels=1, seed=3)
    image = drawn(batch, 1, 16, 16, 16, last_channels=False)

    def in_bf16():
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = value_and_gradients(network.float(), image.float())
        assert found[0].dtype == torch.bfloat16
        return found

    ours = in_bf16()
    monkeypatch.setattr(fast_forms, "on_cpu", lambda _: False)
    torchs, exact = in_bf16(), value_and_gradients(network.double(), image)

    def distance(found):
        """Mean over the result and all gradients, as a share of each."""
        return sum((a - b).norm() / b.norm() for a, b in zip(found, exact, strict=True)) / len(exact)

    assert 0.01 < distance(ours) < 1.1 * distance(torchs)


def test_normalisation_of_bf16_on_a_cpu_rounds_once():
    """A mean of 100 SD: statistics in bf16 would be wrong in the first digit."""
    features = (100 + drawn(2, 8, 32, 32, 32)).bfloat16()
    found = fast_forms.GroupNorm(8, 8)(features)
    assert found.dtype == torch.bfloat16
    wanted = functional.group_norm(features.double(), 8).relu()
    torch.testing.assert_close(found.double(), wanted, rtol=2**-8, atol=1e-4)


def test_the_forms_have_torchs_tensor_names_only():
    assert list(fast_forms.GroupNorm(4, 8).state_dict()) == ["weight", "bias"]
    assert {name: tuple(tensor.shape) for name, tensor in fast_forms.Pointwise(8, 2).state_dict().items()} == {
        "weight": (2, 8, 1, 1, 1),
        "bias": (2,),
    }
    assert not fast_forms.Upsample().state_dict()
