"""A study file in; the cells of its design out. Enumeration is a list of values: it needs no data and no GPU second."""

from __future__ import annotations

from itertools import product

from storage_schemas.base import Slug
from storage_schemas.experiments import ExperimentSpec, TestedOn, TrainedArm
from storage_schemas.results import Arm
from storage_schemas.runs import Cell


def cells(spec: ExperimentSpec) -> tuple[Cell, ...]:
    """Every cell of the design, in the order of the paper's tables: what is only tested, then depth by depth and size
    by size what is trained."""
    return (*_untrained(spec), *_raters(spec), *_trained(spec))


def trainings(spec: ExperimentSpec) -> int:
    """How many networks the sweep trains; what is only tested is not counted, nor are the default models."""
    return len(_trained(spec))


def _untrained(spec: ExperimentSpec) -> list[Cell]:
    """The default models as they are."""
    folds = _subsets_tested(spec, spec.default_tested_on)
    return [
        _only_tested(spec, "default", source.model, depth, fold)
        for depth, source, fold in product(spec.network_depths, spec.sources, folds)
    ]


def _raters(spec: ExperimentSpec) -> list[Cell]:
    folds = _subsets_tested(spec, spec.rater_tested_on)
    return [_only_tested(spec, "rater", None, spec.main_depth, fold) for fold in folds]


def _only_tested(spec: ExperimentSpec, arm: Arm, source: Slug | None, depth: int, fold: int) -> Cell:
    return Cell(
        arm=arm,
        source=source,
        training_size=0,
        fold=fold,
        seed=spec.seeds[0],
        depth=depth,
        test_site=_tested_alone(spec, fold),
    )


def _trained(spec: ExperimentSpec) -> list[Cell]:
    by_site = spec.target.design == "train-on-one-site"
    return [
        Cell(
            arm=arm,
            source=source,
            training_size=size,
            fold=fold,
            seed=seed,
            depth=depth,
            learning_rate=learning_rate,
            budget=budget,
            freezing=freezing,
            train_site=spec.target.sites[fold - 1] if by_site else None,
            test_site=None if by_site else _tested_alone(spec, fold),
        )
        for depth, size, (arm, source) in product(spec.network_depths, spec.training_sizes, _origins(spec))
        for (learning_rate, budget, freezing), fold, seed in product(spec.variants(arm), spec.fold_numbers, spec.seeds)
    ]


def _origins(spec: ExperimentSpec) -> list[tuple[TrainedArm, Slug | None]]:
    fresh: list[tuple[TrainedArm, Slug | None]] = [("de-novo", None)] if spec.de_novo else []
    return [*fresh, *(("fine-tuned", source.model) for source in spec.sources)]


def _subsets_tested(spec: ExperimentSpec, on: TestedOn) -> tuple[int, ...]:
    return {"first-subset": (1,), "all-subsets": spec.fold_numbers, "nothing": ()}[on]


def _tested_alone(spec: ExperimentSpec, fold: int) -> Slug | None:
    """The site that subset `fold` is, where subsets are sites."""
    return spec.target.sites[fold - 1] if spec.target.sites else None
