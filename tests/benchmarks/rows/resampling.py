"""Probabilities are brought onto the native grid, an equal one and another one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import ndimage

from lesionlab.imaging.boxes import grid_within
from lesionlab.imaging.resample import resample_linear
from lesionlab.imaging.volume import grid_of
from tests.benchmarks.frame import Contender, Row, cpu_seconds
from tests.benchmarks.rows.scoring import shape_of


def rows(*, tiny: bool) -> Iterator[Row]:
    """Onto the scan of the same spacing, and onto thick slices."""
    yield _resampling("onto the scan of the same spacing", 1.0, tiny)
    yield _resampling("onto slices of 3 mm", 3.0, tiny)


def _resampling(work: str, thick: float, tiny: bool) -> Row:
    """Probabilities of the head's box onto the native grid; the peer is scipy on the whole grid."""
    shape = shape_of(tiny)
    native = grid_of((*shape[:2], int(shape[2] / thick)), np.diag([1.0, 1, thick, 1]))
    whole = grid_of(shape, np.diag([1.0, 1, 1, 1]))
    model = grid_within(whole, tuple(slice(n // 7, n - n // 7) for n in shape))  # type: ignore[arg-type]
    probability_IJK = np.random.default_rng(0).random(model.shape, dtype=np.float32)
    first = np.array(model.affine)[:3, 3]
    inside = tuple(
        slice(int(np.ceil(at / step)), int((at + n - 1) / step))
        for at, n, step in zip(first, model.shape, (1, 1, thick), strict=True)
    )

    def ours() -> Any:
        return resample_linear(probability_IJK, model, native)

    def with_scipy() -> Any:
        matrix = np.diag([1.0, 1, thick])
        return ndimage.affine_transform(probability_IJK, matrix, -first, native.shape, order=1, mode="constant")

    def check() -> str:
        apart = float(np.abs(ours()[inside] - with_scipy()[inside]).max())
        assert apart < 1e-6, f"the values differ by {apart:g}"
        return f"values inside equal within {apart:.1g}"

    copied = np.empty(native.shape, dtype=np.float32)
    bound_s = cpu_seconds(lambda: [np.copyto(copied, 1.0) for _ in range(10)]) / 10
    contenders = [Contender("lesionlab", ours), Contender("scipy", with_scipy)]
    return Row(
        "resampling", f"resample {work}", contenders, check, bound_s, "writing the result", runs=1 if tiny else 5
    )
