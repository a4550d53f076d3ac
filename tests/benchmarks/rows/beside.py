"""What a head costs beside the network: probabilities onto the native grid, and two masks scored lesion by lesion."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import ndimage

from lesionlab.evaluation.lesionwise import score
from lesionlab.imaging.boxes import grid_within
from lesionlab.imaging.resample import resample_linear
from lesionlab.imaging.volume import grid_of
from storage_schemas.definitions import MetricDefinition, OneToOne
from tests.benchmarks.frame import Contender, Row, absent, cpu_seconds

HEAD = (182, 218, 182)
"""Voxels of the ICBM152 template at 1 mm."""


def rows(*, tiny: bool) -> Iterator[Row]:
    """Resampling onto an equal and onto another grid, and scoring."""
    shape = tuple(n // 6 for n in HEAD) if tiny else HEAD
    runs = 1 if tiny else 5
    yield _resampling("onto the scan of the same spacing", shape, 1.0, runs)
    yield _resampling("onto slices of 3 mm", shape, 3.0, runs)
    yield _scoring(shape, tiny, runs)


def _resampling(work: str, shape: tuple[int, ...], thick: float, runs: int) -> Row:
    """Probabilities of the head's box onto the native grid; the peer is scipy on the whole grid."""
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
    return Row("beside", f"resample {work}", contenders, check, bound_s, "writing the result", runs=runs)


def _scoring(shape: tuple[int, ...], tiny: bool, runs: int) -> Row:
    """Masks with 30 lesions each, of which most overlap, matched one to one."""
    reference_ijk, prediction_ijk = masks(shape)
    definition = MetricDefinition(matching=OneToOne())
    affine = np.eye(4)

    def ours() -> Any:
        return score(reference_ijk, prediction_ijk, affine, definition)

    missing = ("panoptica",) if tiny else absent("panoptica", "cc3d")
    contenders = [Contender("lesionlab", ours)]
    if not missing:
        contenders.append(Contender("panoptica", lambda: _panoptica(reference_ijk, prediction_ijk, definition)))

    def check() -> str:
        own = ours()
        counts = (len(own.reference), len(own.prediction), own.true_positives)
        found = {one.name: one.work() for one in contenders[1:]}
        assert all(other == counts for other in found.values()), f"lesionlab {counts}, {found}"
        return f"{counts[0]} and {counts[1]} lesions, {counts[2]} true positives; ours with surface distances, too"

    return Row("beside", "score two masks", contenders, check, missing=missing, runs=runs)


def masks(shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Balls inside the head, and the same balls moved, some left out and some added."""
    rng = np.random.default_rng(3)
    reference_ijk, prediction_ijk = np.zeros(shape, dtype=np.uint8), np.zeros(shape, dtype=np.uint8)
    for number in range(30):
        centre, radius = [n * rng.uniform(0.3, 0.7) for n in shape], rng.uniform(1.5, 5)
        moved = centre + rng.uniform(-1, 1, 3)
        if number % 7:
            _draw(reference_ijk, centre, radius)
        if number % 5:
            _draw(prediction_ijk, moved, radius)
    return reference_ijk, prediction_ijk


def _draw(mask_ijk: Any, centre: Any, radius: float) -> None:
    axes = np.ogrid[tuple(slice(n) for n in mask_ijk.shape)]
    mask_ijk[sum((axis - at) ** 2 for axis, at in zip(axes, centre, strict=True)) < radius**2] = 1


def _panoptica(reference_ijk: Any, prediction_ijk: Any, definition: MetricDefinition) -> tuple[int, int, int]:
    from panoptica import ConnectedComponentsInstanceApproximator, InputType, Panoptica_Evaluator
    from panoptica.instance_matcher import MaxBipartiteMatching
    from panoptica.metrics import Metric

    matching = definition.matching
    assert isinstance(matching, OneToOne)
    evaluator = Panoptica_Evaluator(
        expected_input=InputType.SEMANTIC,
        instance_approximator=ConnectedComponentsInstanceApproximator(),
        instance_matcher=MaxBipartiteMatching(Metric.IOU, matching.threshold),
        instance_metrics=[Metric.DSC],
    )
    with contextlib.redirect_stdout(io.StringIO()):
        (result,) = evaluator.evaluate(prediction_ijk, reference_ijk).values()
    return int(result.n_ref_instances), int(result.n_pred_instances), int(result.tp)
