"""Register a model that an experiment trained, so that it can be used."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from jobs.shared.console import console
from jobs.shared.entry_points import run_as_module
from jobs.shared.options import ExperimentNameArgument, StoreOption, connect, plain_name
from lesionlab.errors import SpecError
from lesionlab.experiments.chosen_runs import axis_values, chosen_runs
from lesionlab.experiments.registry import register as register_run
from lesionlab.experiments.registry import register_ensemble
from lesionlab.experiments.stored_plans import current_plan
from storage_schemas.axes import TrainedArm


def register(
    experiment: ExperimentNameArgument,
    store: StoreOption,
    arm: Annotated[TrainedArm, typer.Option(help="Arm of the cell.")],
    size: Annotated[int, typer.Option(metavar="N", help="Training size of the cell.")],
    fold: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="The network of this fold; may be left out if there is one.")
    ] = None,
    ensemble: Annotated[
        bool,
        typer.Option(
            "--ensemble", help="All folds and seeds of the cell as one model that averages their probabilities."
        ),
    ] = False,
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="AXIS=VALUE", help="Further values of the cell: source=glioma, depth=3, seed=0."),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            callback=plain_name,
            help="Name of the model.",
            show_default="EXPERIMENT-ARM-SIZE",
        ),
    ] = None,
) -> None:
    """Register a model that an experiment trained, as a new version of a named model.

    Nothing is overwritten, and the champion of the name stays what it is: use the
    version that is printed, or promote it. An ensemble was trained on all studies of its folds
    together, so do not test it on any of them.

    Example: lesionlab register demo --arm fine-tuned --size 8 --fold 1

    Example: lesionlab register demo --arm fine-tuned --size 8 --ensemble
    """
    if ensemble and fold is not None:
        raise SpecError("--fold, --ensemble: wanted one network or all folds together, found both")
    wanted: dict[str, Any] = {"arm": arm, "training_size": size}
    wanted |= {} if fold is None else {"fold": fold}
    place = connect(store)
    plan = current_plan(place, experiment)
    runs = chosen_runs(place, plan, wanted | axis_values(where or ()), together=ensemble)
    model = name or plain_name(f"{experiment}-{arm}-{size}")
    if ensemble:
        card = register_ensemble(place, [run.run_id for run in runs], str(model))
    else:
        card = register_run(place, runs[0].run_id, model)
    networks = f"{card.networks} networks" if card.members else "1 network"
    started = f"fine-tuned from {card.parent.name}@{card.parent.version}" if card.parent else "trained de novo"
    console.print(
        f"registered {card.full_name}: {networks} {started}, on {card.training_studies} studies of {card.cohort}",
        f"use it with: lesionlab predict SCAN --model {card.full_name} --out mask.nii.gz",
        sep="\n",
    )


if __name__ == "__main__":
    run_as_module(register)
