"""Print the design of an experiment, and which difference it can show, before anything is computed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from jobs.shared.console import console
from jobs.shared.costing import PriceOption, estimated
from jobs.shared.design_output import save_rotation, show_design
from jobs.shared.entry_points import run_as_module
from jobs.shared.experiment_files import load_spec
from jobs.shared.left_out import note_obstacles
from jobs.shared.options import GpusPerWorkerOption, SlotsOption, SpecArgument, StoreOption
from jobs.shared.power_options import DifferenceOption, SdOption, VariancesOption, check_difference, chosen_sds
from jobs.shared.power_output import power_json, show_power
from lesionlab.analysis.methods.power import Rotation
from lesionlab.analysis.statistics.power import power_of, rotation_of
from lesionlab.errors import InputError
from lesionlab.experiments.cells import trainings


def plan(
    spec: SpecArgument,
    store: StoreOption,
    figure: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also draw the training and test subsets of each fold (.svg or .png)."),
    ] = None,
    variances: VariancesOption = None,
    sd: SdOption = None,
    difference: DifferenceOption = None,
    gpus: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Also estimate hours, bytes and price on so many GPUs.")
    ] = None,
    cpus: Annotated[int | None, typer.Option(metavar="N", min=1, help="The same, on so many CPUs.")] = None,
    slots: SlotsOption = None,
    gpus_per_worker: GpusPerWorkerOption = 1.0,
    price: PriceOption = None,
    for_programs: Annotated[
        bool, typer.Option("--json", help="Print number of trainings, power and cost as JSON, with all numbers.")
    ] = False,
) -> None:
    """Print the design of an experiment: arms, training sizes, folds, training and test subsets, number of trainings.

    With the SDs of an earlier experiment, or given ones, also print its power: the smallest difference between
    fine-tuned and de novo that it shows with 80 % power, by folds and seeds. Needs no scans or GPU, and no store but
    for `--variances EXPERIMENT` and for its cost. Where the store has the cohorts, also print which
    sites' studies are left out because their policies forbid it, and whether they let the report be written.

    With --gpus or --cpus, also print what the runs that are missing cost: from finished runs like them in the store, or
    from a calibration of 60 s where this machine has such a device.

    Example: lesionlab plan wahlig2023-flair-single --figure rotation.svg

    Example: lesionlab plan my-experiment.yaml --variances demo --difference 0.05

    Example: lesionlab plan my-experiment.yaml --gpus 8 --price 2.10
    """
    experiment = load_spec(spec)
    check_difference(difference)
    sds = chosen_sds(variances, sd or [], store)
    power = None if sds is None else power_of(experiment, sds, difference)
    if figure:
        save_rotation(experiment, figure)
    if gpus is not None and cpus is not None:
        raise InputError("--gpus, --cpus: wanted one of them, found both")
    estimate = estimated(experiment, store, gpus, cpus, slots, gpus_per_worker) if gpus or cpus else None
    if for_programs:
        answer = {"experiment": experiment.name, "trainings": trainings(experiment), "power": power_json(power)}
        answer |= {} if estimate is None else {"cost": estimate.as_json(price)}
        console.print(json.dumps(answer, indent=2))
        return
    show_design(experiment)
    note_obstacles(experiment, store)
    if sds is not None or isinstance(rotation_of(experiment), Rotation):
        show_power(power)
    if estimate is not None:
        estimate.show(price)


if __name__ == "__main__":
    run_as_module(plan)
