"""List the cells of an experiment's design; needs no data."""

from __future__ import annotations

from itertools import product

from storage_schemas.axes import Arm, TrainedArm
from storage_schemas.base import Slug
from storage_schemas.experiments import ExperimentSpec, TestedOn
from storage_schemas.runs import Cell, RunSpec


def cells(spec: ExperimentSpec) -> tuple[Cell, ...]:
    """Every cell of the design in the order of the paper's tables: untrained models and raters, then trained models by
    depth and training size."""
    return (*_untrained(spec), *_raters(spec), *_trained(spec))


def run_title(run: RunSpec) -> str:
    """A run in words: the title of its cell, or `default model glioma, 40 studies`."""
    return run.cell.title() if run.cell else f"default model {run.experiment}, {len(run.train)} studies"


def trainings(spec: ExperimentSpec) -> int:
    """Number of networks that the sweep trains; excludes untrained arms and the pretraining of default models."""
    return len(_trained(spec))


def _untrained(spec: ExperimentSpec) -> list[Cell]:
    """The default models, tested without training on the target."""
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
        test_site=spec.target.site_of(fold),
    )


def _trained(spec: ExperimentSpec) -> list[Cell]:
    return [
        Cell(
            arm=arm,
            source=source,
            training_size=size,
            fold=fold,
            seed=seed,
            depth=depth,
            **trained.values(),
            train_site=spec.target.train_site(fold),
            test_site=spec.target.test_site(fold),
        )
        for depth, size, (arm, source) in product(spec.network_depths, spec.training_sizes, _starting_points(spec))
        for trained, fold, seed in product(spec.variants(arm), spec.fold_numbers, spec.seeds)
    ]


def _starting_points(spec: ExperimentSpec) -> list[tuple[TrainedArm, Slug | None]]:
    de_novo: list[tuple[TrainedArm, Slug | None]] = [("de-novo", None)] if spec.de_novo else []
    return [*de_novo, *(("fine-tuned", source.model) for source in spec.sources)]


def _subsets_tested(spec: ExperimentSpec, on: TestedOn) -> tuple[int, ...]:
    every = tuple(fold for fold in spec.fold_numbers if fold <= spec.target.subset_count)
    return {"first-subset": (1,), "all-subsets": every, "nothing": ()}[on]


def count_of_runs(count: int) -> str:
    """`1 run`, `12 runs`."""
    return "1 run" if count == 1 else f"{count} runs"
