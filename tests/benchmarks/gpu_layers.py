"""The convolutions of our network one by one, and the network of a peer, to compare a step with."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from lesionlab.model.unet import CLASSES, UNet
from storage_schemas.models import Architecture


def layers(architecture: Architecture, patch_voxels: int) -> list[tuple[nn.Module, tuple[int, ...]]]:
    """Each convolution (on the meta device) and the shape of its input without the batch, in the order of computing."""
    found: list[tuple[nn.Module, tuple[int, ...]]] = []

    def note(layer: nn.Module, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        found.append((layer, tuple(inputs[0].shape[1:])))

    with torch.device("meta"):
        network = UNet(architecture, channels=1)
        kinds = (nn.Conv3d, nn.ConvTranspose3d)
        hooks = [m.register_forward_hook(note) for m in network.modules() if isinstance(m, kinds)]
        network(torch.empty(1, 1, *(patch_voxels,) * 3))
    for hook in hooks:
        hook.remove()
    return found


def peer(architecture: Architecture, device: str = "cpu") -> nn.Module:
    """nnU-Net's PlainConvUNet of the same depth and widths; it up-samples by transposed convolutions.

    Of the paper's size: 22.6 M parameters (ours 27.5) and 1,203 GFLOP a step and patch (ours 1,274). Raises ImportError
    without dynamic_network_architectures.
    """
    from dynamic_network_architectures.architectures.unet import PlainConvUNet

    depth, widths = architecture.depth, [architecture.base_channels * 2**n for n in range(architecture.depth + 1)]
    with torch.device(device):
        network: nn.Module = PlainConvUNet(
            input_channels=1,
            n_stages=depth + 1,
            features_per_stage=widths,
            conv_op=nn.Conv3d,
            kernel_sizes=3,
            strides=[1] + [2] * depth,
            n_conv_per_stage=2,
            num_classes=CLASSES,
            n_conv_per_stage_decoder=[2] * depth,
            conv_bias=True,
            norm_op=nn.InstanceNorm3d,
            norm_op_kwargs={"eps": 1e-5, "affine": True},
            nonlin=nn.LeakyReLU,
            nonlin_kwargs={"inplace": True},
            deep_supervision=False,
        )
    return network


def flop_of(network: nn.Module, patch_voxels: int, *, backward: bool) -> int:
    """Floating-point operations of one patch of one channel, convolutions only; for a network on the meta device."""
    with torch.device("meta"):
        image_BCIJK = torch.empty(1, 1, *(patch_voxels,) * 3)
        label_BIJK = torch.empty(1, *(patch_voxels,) * 3, dtype=torch.long)
        with FlopCounterMode(display=False) as counter:
            logits_BCIJK = network(image_BCIJK)
            if backward:
                torch.autograd.backward(cross_entropy(logits_BCIJK, label_BIJK))
    return int(counter.get_total_flops())
