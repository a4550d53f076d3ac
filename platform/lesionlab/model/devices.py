"""Choose the device that a network runs on and the precision of its arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from storage_schemas.models import Precision


def best_device() -> torch.device:
    """The GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def on_gpu(device: torch.device) -> bool:
    """Whether the forms and the order of work that suit a GPU are used; tests put this to True on a CPU as well.

    They change rounding only. On a CPU they would change the bytes of results that golden runs hold.
    """
    return device.type == "cuda"


def device_name(device: torch.device) -> str:
    """`cpu`, or the name of the GPU: `NVIDIA H100 80GB HBM3`."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


@contextmanager
def arithmetic(device: torch.device, precision: Precision) -> Iterator[None]:
    """Compute at this precision within the block, whatever the defaults of torch or of this process.

    fp32 turns TF32 off, which cuDNN uses by default; bf16 is torch's autocast.
    """
    convolution, product = torch.backends.cudnn, torch.backends.cuda.matmul
    before = convolution.allow_tf32, product.allow_tf32
    convolution.allow_tf32 = product.allow_tf32 = False
    try:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
            yield
    finally:
        convolution.allow_tf32, product.allow_tf32 = before
