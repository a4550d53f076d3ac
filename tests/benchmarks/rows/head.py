"""A whole head is segmented: by us in the box of the head, by MONAI in the same box and in the whole scan.

MONAI runs the network as a user of an exported model has it, in plain PyTorch with the same weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from math import prod
from typing import Any

import numpy as np
import torch

from lesionlab.imaging.boxes import bounding_box
from lesionlab.imaging.intensity import head_mask
from lesionlab.model import standalone_unet
from lesionlab.model.unet import LESION, build_unet
from lesionlab.model.windows import head_probability, window_starts
from storage_schemas.models import Architecture
from tests.benchmarks.frame import Contender, Row, absent

AROUND = 2
"""Voxels around the head's box: 3 mm at 2 mm."""
CPU = torch.device("cpu")
MONAIS_BATCH = 2
"""Windows that MONAI passes at once: of 1, 2, 4 and 8 the fastest with the plain network."""


def rows(*, tiny: bool) -> Iterator[Row]:
    """Steps of 32 and 48 mm, at 2 mm, with a quarter of the paper's channels, because a CPU is for small networks."""
    for step in (32, 48):
        yield _segmented(step, tiny)


def _segmented(step: int, tiny: bool) -> Row:
    patch, step = (16, step // 6) if tiny else (48, step // 2)
    whole_IJK = drawn_scan((24, 28, 24) if tiny else (115, 115, 72))
    box = bounding_box(head_mask(whole_IJK), AROUND)
    head_IJK = whole_IJK[box]
    architecture = Architecture(depth=1, base_channels=2) if tiny else Architecture(depth=4, base_channels=8)
    network = build_unet(architecture, channels=1, seed=0).eval()
    plain = standalone_unet.build(architecture.model_dump(mode="json"), channels=1).eval()
    plain.load_state_dict(network.state_dict())
    missing = ("monai",) if tiny else absent("monai")
    contenders = [Contender("lesionlab", lambda: head_probability(network, head_IJK[None], patch, step, CPU))]
    if not missing:
        monai = partial(_monai, plain, patch=patch, step=step)
        contenders.append(Contender("monai, the head's box", lambda: monai(head_IJK)))
        contenders.append(Contender("monai, the whole scan", lambda: monai(whole_IJK)))

    def check() -> str:
        own = contenders[0].work()
        if not missing:
            apart = float(np.abs(own - contenders[1].work()).max())
            assert apart < 1e-4, f"the probabilities of the same box differ by {apart:g}"
        return (
            f"{windows(head_IJK.shape, patch, step)} windows, {windows(whole_IJK.shape, patch, step)} in the whole scan"
        )

    name = "head"
    return Row(name, f"head, step {step} of {patch}", contenders, check, missing=missing, runs=1 if tiny else 2)


def windows(shape: tuple[int, ...], patch: int, step: int) -> int:
    """How many windows cover a volume of this shape."""
    return prod(len(window_starts(max(n, patch), patch, step)) for n in shape)


def drawn_scan(shape: tuple[int, ...]) -> Any:
    """An ellipsoid of 165 × 208 × 144 mm in a scan of 230 × 230 × 144 mm, as real heads lie in theirs."""
    axes = np.ogrid[tuple(slice(-1, 1, n * 1j) for n in shape)]
    inside = sum((axis / part) ** 2 for axis, part in zip(axes, (0.69, 0.88, 1.2), strict=True)) < 1
    noise = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    return np.where(inside, 3 + 0.5 * noise, np.float32(0)).astype(np.float32)


def _monai(network: Any, image_IJK: Any, *, patch: int, step: int) -> Any:
    from monai.inferers import SlidingWindowInferer

    inferer = SlidingWindowInferer(
        [patch] * 3, sw_batch_size=MONAIS_BATCH, overlap=1 - (step + 0.5) / patch, mode="constant"
    )
    with torch.inference_mode():
        image = torch.from_numpy(image_IJK)[None, None]
        return inferer(image, lambda x: torch.softmax(network(x), dim=1)[:, LESION : LESION + 1])[0, 0].numpy()
