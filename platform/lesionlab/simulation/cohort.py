"""Simulate the patients of a plan; write a BIDS dataset with reference masks under derivatives/manual."""

from __future__ import annotations

import multiprocessing
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from lesionlab.errors import DatasetError
from lesionlab.simulation.bids import Participant, write_dataset_files, write_patient
from lesionlab.simulation.sites import sites_named
from lesionlab.simulation.study import simulate_patient
from storage_schemas.cohorts import CohortPlan


def simulate_cohort(
    plan: CohortPlan,
    out: Path,
    progress: Callable[[int, int, str], None] | None = None,
    workers: int = 1,
) -> None:
    """Write the cohort that `plan` describes into the folder `out`; the same plan gives the same bytes.

    `progress(done, total, participant)` is called after each patient, in order; `workers` processes share the patients.
    Everything is written next to `out` first and moved into place at the end, so a failed run leaves nothing behind.
    Raises DatasetError if `out` contains files, SpecError if the plan names a site that is not built in.
    """
    sites_named(plan.sites)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DatasetError(
            f"{out}: wanted a new or empty folder for the simulated cohort, found files; choose another folder"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        participants = []
        for participant in _written(plan, draft, workers):
            participants.append(participant)
            if progress is not None:
                progress(len(participants), plan.studies, participant.participant_id)
        write_dataset_files(plan, participants, draft)
        draft.chmod(0o755)
        if out.exists():
            out.rmdir()
        draft.rename(out)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def _written(plan: CohortPlan, root: Path, workers: int) -> Iterator[Participant]:
    write = partial(_write_one, plan, root)
    if workers == 1:
        yield from map(write, range(plan.studies))
        return
    # Spawned, not forked: the caller may hold threads (Ray, torch) that a fork would break.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(write, range(plan.studies))


def _write_one(plan: CohortPlan, root: Path, index: int) -> Participant:
    """Simulate and write patient `index`; each has a seed of its own, so order and number of patients do not matter."""
    pathologies = (plan.pathology,) if isinstance(plan.pathology, str) else plan.pathology
    sites = sites_named(plan.sites)
    pathology, site = pathologies[index % len(pathologies)], sites[index % len(sites)]
    rng = np.random.default_rng([plan.seed, index])
    return write_patient(f"sub-{index + 1:04d}", simulate_patient(plan, pathology, site, rng), rng, root)
