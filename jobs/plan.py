"""Print the design of an experiment before anything is computed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jobs.shared.design_output import save_rotation, show_design
from jobs.shared.entry_points import run_as_module
from jobs.shared.experiment_files import load_spec
from jobs.shared.options import SpecArgument


def plan(
    spec: SpecArgument,
    figure: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also draw the training and test subsets of each fold (.svg or .png)."),
    ] = None,
) -> None:
    """Print the design of an experiment: arms, training sizes, folds, training and test subsets, number of trainings.

    Computes nothing and needs no store, scans or GPU.

    Example: lesionlab plan wahlig2023-flair-single --figure rotation.svg
    """
    experiment = load_spec(spec)
    if figure:
        save_rotation(experiment, figure)
    show_design(experiment)


if __name__ == "__main__":
    run_as_module(plan)
