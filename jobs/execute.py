"""Runs in; every one of them in the ledger, out, with progress on the way. What the ledger has is not run again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jobs.cell import run_cell, task_of
from jobs.door import notes
from jobs.progress import Line, minutes, steps
from lesionlab.errors import TrainingError
from lesionlab.store.objects import Store
from lesionlab.studies.ledger import completed
from lesionlab.training.distributed import ray_session
from lesionlab.training.loop import SoloWorker
from lesionlab.training.sweep import SweepProgress, run_sweep
from storage_schemas.runs import RunSpec


def title(run: RunSpec) -> str:
    """How people call a run."""
    return run.cell.title() if run.cell else f"default model {run.study_name}, {len(run.train)} studies"
