"""Export the training history of an experiment for other tools."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from jobs.shared.console import console
from jobs.shared.entry_points import run_as_module
from jobs.shared.exporting import save_csv_file, save_tensorboard
from jobs.shared.mlflow_export import send_to_mlflow
from jobs.shared.options import ExperimentNameArgument, StoreOption, connect_to_read
from lesionlab.errors import InputError
from lesionlab.experiments.cells import count_of_runs
from lesionlab.experiments.run_history import plan_histories
from lesionlab.experiments.stored_plans import current_plan
from lesionlab.store.faults import masked


class Form(StrEnum):
    """What to export to."""

    CSV = "csv"
    TENSORBOARD = "tensorboard"
    MLFLOW = "mlflow"


SAVE = {Form.CSV: save_csv_file, Form.TENSORBOARD: save_tensorboard, Form.MLFLOW: send_to_mlflow}


def export(
    experiment: ExperimentNameArgument,
    to: Annotated[Form, typer.Option(help="csv: one table; tensorboard: a folder of event files; mlflow: a server.")],
    out: Annotated[
        str,
        typer.Option(metavar="FILE|DIR|URI", help="File (csv), folder (tensorboard), or the tracking URI (mlflow)."),
    ],
    store: StoreOption,
) -> None:
    """Export loss, learning rate, speed and memory of every epoch, for other tools.

    Reads the store alone, also while the sweep is running; workers never send
    anything anywhere. With mlflow, say which server: there is no default. Safe to
    re-run: runs that are there already are left alone (mlflow) or replaced.

    Example: lesionlab export demo --to csv --out history.csv
    Example: lesionlab export demo --to tensorboard --out ./tensorboard
    Example: lesionlab export demo --to mlflow --out http://mlflow.hospital.example:5000
    """
    place = connect_to_read(store)
    histories = plan_histories(place, current_plan(place, experiment))
    if not histories:
        raise InputError(f"{experiment}: no run has a history yet; train first: lesionlab sweep")
    SAVE[to](experiment, histories, out)
    console.print(f"{count_of_runs(len(histories))} exported to {masked(out)}")


if __name__ == "__main__":
    run_as_module(export)
