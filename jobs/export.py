"""Export the training history of an experiment, or a registered model, for other tools."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from jobs.shared.console import console
from jobs.shared.decisions_output import note_origin
from jobs.shared.entry_points import run_as_module
from jobs.shared.exporting import save_csv_file, save_tensorboard
from jobs.shared.mlflow_export import send_to_mlflow
from jobs.shared.model_export import save_bundle, save_onnx
from jobs.shared.options import StoreOption, connect_to_read, plain_name
from lesionlab.errors import InputError
from lesionlab.experiments.cells import count_of_runs
from lesionlab.experiments.run_history import plan_histories
from lesionlab.experiments.stored_plans import current_plan
from lesionlab.model.foreign_weights import EQUAL
from lesionlab.store.faults import masked


class Form(StrEnum):
    """What to export to."""

    CSV = "csv"
    TENSORBOARD = "tensorboard"
    MLFLOW = "mlflow"
    ONNX = "onnx"
    MONAI = "monai"


SAVE_MODEL = {Form.ONNX: save_onnx, Form.MONAI: save_bundle}
SAVE = {Form.CSV: save_csv_file, Form.TENSORBOARD: save_tensorboard, Form.MLFLOW: send_to_mlflow}


def export(
    what: Annotated[
        str,
        typer.Argument(
            metavar="EXPERIMENT|MODEL",
            help="csv, tensorboard, mlflow: an experiment. onnx, monai: a registered model, NAME or NAME@VERSION.",
        ),
    ],
    to: Annotated[
        Form,
        typer.Option(
            help="Of an experiment: csv: one table; tensorboard: a folder of event files; mlflow: a server. Of a "
            "model: onnx: one file; monai: the folder of a bundle."
        ),
    ],
    out: Annotated[
        str,
        typer.Option(
            metavar="FILE|DIR|URI", help="File (csv, onnx), folder (tensorboard, monai), or the tracking URI (mlflow)."
        ),
    ],
    store: StoreOption,
) -> None:
    """Export the history of an experiment's trainings, or a registered model, for other tools.

    Of an experiment: loss, learning rate, speed and memory of every epoch. Reads
    the store alone, also while the sweep is running; workers never send anything
    anywhere. With mlflow, say which server: there is no default. Safe to re-run:
    runs that are there already are left alone (mlflow) or replaced.

    Of a model: the network that was written is run on a drawn input, and must give
    the model's probabilities within 0.0001; otherwise nothing is exported.

    Example: lesionlab export demo --to csv --out history.csv
    Example: lesionlab export demo --to tensorboard --out ./tensorboard
    Example: lesionlab export demo --to mlflow --out http://mlflow.hospital.example:5000
    Example: lesionlab export demo-glioma --to onnx --out demo-glioma.onnx
    """
    place = connect_to_read(store)
    if to in SAVE_MODEL:
        card = SAVE_MODEL[to](place, what, Path(out))
        console.print(f"{card.full_name} exported to {out}; its probabilities were compared, within {EQUAL:g}")
        note_origin(place, card)
        return
    experiment = str(plain_name(what))
    histories = plan_histories(place, current_plan(place, experiment))
    if not histories:
        raise InputError(f"{experiment}: no run has a history yet; train first: lesionlab sweep")
    SAVE[to](experiment, histories, out)
    console.print(f"{count_of_runs(len(histories))} exported to {masked(out)}")


if __name__ == "__main__":
    run_as_module(export)
