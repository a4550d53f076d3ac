"""The forms for a GPU agree with torch's, here forced on a CPU, and leave names and CPU results alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn
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
    wanted = functional.group_norm(exact.double(), groups, norm.weight.double(), norm.bias.double(), norm.eps)
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
    torch.testing.assert_close(fast_fp32, exact, rtol=1e-4, atol=1e-5)
    assert not torch.equal(fast, simple)
    assert (fast - exact).norm() < 1.5 * (simple - exact).norm()  # as near to fp32 as autocast is


def test_a_cpu_uses_torchs_own_forms_bit_for_bit():
    features = torch.randn(2, 8, 4, 4, 4)
    for dtype in (torch.float32, torch.bfloat16):
        ours, torchs = fast_forms.GroupNorm(8, 8).to(dtype), nn.GroupNorm(8, 8).to(dtype)
        assert torch.equal(ours(features.to(dtype)), torchs(features.to(dtype)))
    assert torch.equal(fast_forms.Upsample()(features), trilinear(features))


def test_the_forms_have_torchs_tensor_names_only():
    assert list(fast_forms.GroupNorm(4, 8).state_dict()) == ["weight", "bias"]
    assert not fast_forms.Upsample().state_dict()
