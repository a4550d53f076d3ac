"""Save training histories as a CSV or as event files for TensorBoard."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from jobs.shared.output_file import csv_text, save_output
from lesionlab.errors import InputError
from lesionlab.experiments.cells import run_title
from lesionlab.experiments.run_history import RunWithHistory
from storage_schemas.base import Slug
from storage_schemas.results import EpochRow

COLUMNS = tuple(EpochRow.model_fields)
MEASURES = tuple(name for name in COLUMNS if name not in ("epoch", "step"))
"""What is a curve over steps."""


def save_csv_file(experiment: Slug, histories: Sequence[RunWithHistory], out: str) -> None:
    """One line per run and epoch. Raises InputError if the file cannot be written."""
    lines = [
        {"experiment": experiment, "run_id": one.run.run_id, "cell": run_title(one.run)} | row.model_dump()
        for one in histories
        for row in one.rows
    ]
    save_output("--out", Path(out), csv_text(("experiment", "run_id", "cell", *COLUMNS), lines).encode())


def save_tensorboard(experiment: Slug, histories: Sequence[RunWithHistory], out: str) -> None:
    """One folder of event files per run, named by its cell and id; an earlier export of the run is replaced.

    Raises InputError if the folder cannot be written, or if tensorboardX is missing.
    """
    try:
        writer_in = import_module("tensorboardX").SummaryWriter  # comes with ray[tune]
    except ImportError as error:
        raise InputError("--to tensorboard: needs tensorboardX, which is missing; pip install tensorboardX") from error
    try:
        for one in histories:
            folder = Path(out) / experiment / f"{file_name(run_title(one.run))}-{one.run.run_id}"
            shutil.rmtree(folder, ignore_errors=True)
            with writer_in(str(folder)) as writer:
                for row in one.rows:
                    for name in MEASURES:
                        writer.add_scalar(name, getattr(row, name), row.step)
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written ({error.strerror}); choose another folder") from error


def file_name(title: str) -> str:
    """A title as part of a file's name."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", title).strip("-.")
