"""Two masks are scored lesion by lesion."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from functools import partial
from typing import Any, cast

import numpy as np

from lesionlab.evaluation.lesionwise import score
from storage_schemas.definitions import MetricDefinition, OneToOne
from tests.benchmarks.frame import Contender, Row, absent

HEAD = (182, 218, 182)
"""Voxels of the ICBM152 template at 1 mm."""


def rows(*, tiny: bool) -> Iterator[Row]:
    """Masks with 30 lesions each, of which most overlap, matched one to one."""
    reference_ijk, prediction_ijk = masks(shape_of(tiny))
    definition = MetricDefinition(matching=OneToOne())
    affine = np.eye(4)

    def ours() -> Any:
        return score(reference_ijk, prediction_ijk, affine, definition)

    missing = ("panoptica",) if tiny else absent("panoptica", "cc3d")
    contenders = [Contender("lesionlab", ours)]
    if not missing:
        for name, surfaces in (("panoptica, with surface distances", True), ("panoptica, without", False)):
            contenders.append(Contender(name, partial(_panoptica, reference_ijk, prediction_ijk, definition, surfaces)))

    def check() -> str:
        own = ours()
        counts = (len(own.reference), len(own.prediction), own.true_positives)
        assert own.surface is not None
        said = f"{counts[0]} and {counts[1]} lesions, {counts[2]} true positives"
        for one in contenders[1:]:
            *other, hausdorff95 = cast(tuple[float, ...], one.work())
            assert tuple(other) == counts, f"lesionlab {counts}, {one.name} {other}"
            if "with " in one.name:
                # Theirs is the percentile of both directions together, ours the larger one of two.
                assert 0 < hausdorff95 <= own.surface.hausdorff95_mm, f"{own.surface}, {one.name} {hausdorff95} mm"
                said += f"; HD95 {own.surface.hausdorff95_mm:.1f} mm, pooled {hausdorff95:.1f}"
        return f"{said}; ours with surface distances"

    yield Row("scoring", "score two masks", contenders, check, missing=missing, runs=1 if tiny else 9)


def shape_of(tiny: bool) -> tuple[int, ...]:
    """Voxels of the head."""
    return tuple(n // 6 for n in HEAD) if tiny else HEAD


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


def _panoptica(
    reference_ijk: Any, prediction_ijk: Any, definition: MetricDefinition, surfaces: bool
) -> tuple[float, ...]:
    """Lesions of both masks and true positives, and the HD95 of the whole masks (NaN without surfaces)."""
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
        global_metrics=[Metric.DSC, Metric.ASSD, Metric.HD95] if surfaces else [Metric.DSC],
    )
    with contextlib.redirect_stdout(io.StringIO()):
        (result,) = evaluator.evaluate(prediction_ijk, reference_ijk).values()
    hausdorff95 = float(result.global_bin_hd95) if surfaces else float("nan")
    return int(result.n_ref_instances), int(result.n_pred_instances), int(result.tp), hausdorff95
