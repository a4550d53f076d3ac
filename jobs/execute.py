"""Runs in; every one of them in the ledger, out, with progress on the way. What the ledger has is not run again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path

from jobs.cell import run_cell, task_of
from jobs.door import notes
from jobs.progress import Line, minutes, steps
from lesionlab.errors import LesionlabError, TrainingError
from lesionlab.store.objects import Store
from lesionlab.studies.ledger import completed
from lesionlab.training.loop import SoloWorker
from lesionlab.training.schedule import length_of
from lesionlab.training.session import ray_session
from lesionlab.training.sweep import CellOutcome, SweepCell, SweepProgress, run_sweep
from storage_schemas.runs import RunSpec

LOG_EVERY_S = 30
"""A log file gets a status line this often, and at each change."""


def execute(runs: Sequence[RunSpec], store: Store, cache: Path, *, plain: bool, what: str) -> None:
    """Do the runs that the ledger lacks, under Ray or, `plain`, one after the other in this process.

    Raises TrainingError that names every run that failed; the others are done and kept.
    """
    done = completed(store, (run.run_id for run in runs))
    left = [run for run in runs if run.run_id not in done]
    notes.print(f"{what}: {len(runs)} in all, {len(done)} done before, {len(left)} to do")
    if not left:
        return
    outcomes = one_by_one(left, store, cache, what) if plain else on_ray(left, store, cache, what)
    titles = {run.run_id: title(run) for run in left}
    faults = [f"{titles[outcome.name]}: {outcome.error}" for outcome in outcomes if outcome.error]
    if faults:
        raise TrainingError(*faults, f"{len(faults)} of {len(left)} {what} failed; the others are kept: run it again")


def on_ray(runs: Iterable[RunSpec], store: Store, cache: Path, what: str) -> list[CellOutcome]:
    """As a Ray Tune sweep, in this machine's own Ray session or the cluster of RAY_ADDRESS."""
    outcomes: list[CellOutcome] = []
    with ray_session():
        for workers, group in groupby(sorted(runs, key=_workers), key=_workers):
            members = list(group)
            titles = {run.run_id: title(run) for run in members}
            line = Line()
            tell = partial(show, line=line, titles=titles, what=what)
            outcomes += run_sweep(
                run_cell,
                [SweepCell(run.run_id, task_of(run, store.uri, cache), cost(run)) for run in members],
                workers=workers,
                store_uri=store.uri,
                on_change=tell,
            )
            line.close()
    return outcomes


def one_by_one(runs: Sequence[RunSpec], store: Store, cache: Path, what: str) -> list[CellOutcome]:
    """In this process, on its best device."""
    outcomes = []
    with steps(what) as step:
        for number, run in enumerate(runs):
            step(number, len(runs), title(run))
            try:
                run_cell(SoloWorker(), task_of(run, store.uri, cache))
                outcomes.append(CellOutcome(run.run_id))
            except LesionlabError as error:
                outcomes.append(CellOutcome(run.run_id, "; ".join(map(str, error.args))))
        step(len(runs), len(runs), "done")
    return outcomes


def show(progress: SweepProgress, line: Line, titles: dict[str, str], what: str) -> None:
    """One status line: counts, clock, and where each running cell is."""
    total = progress.done + progress.failed + len(progress.running) + progress.left
    counts = f"{what}: {progress.done}/{total} done, {len(progress.running)} running, {progress.left} left"
    failed = f", {progress.failed} FAILED" if progress.failed else ""
    remaining = f", about {minutes(progress.remaining_s)} left" if progress.remaining_s is not None else ""
    running = "".join(
        f" | {titles[cell.name]}: step {cell.step}/{cell.steps} loss {cell.loss:.4f}"
        for cell in progress.running
        if cell.loss is not None
    )
    line.say(
        f"{counts}{failed} [{minutes(progress.elapsed_s)}{remaining}]{running}",
        event=(progress.done, progress.failed, progress.elapsed_s // LOG_EVERY_S),
    )


def title(run: RunSpec) -> str:
    """How people call a run."""
    return run.cell.title() if run.cell else f"default model {run.study_name}, {len(run.train)} studies"


def cost(run: RunSpec) -> float:
    """What a run costs relative to others: the patches that it sees, and the heads that it tests."""
    seen = length_of(run).steps * run.training.batch_size if run.train else 0
    return seen + len(run.test) * run.training.patches_per_study


def _workers(run: RunSpec) -> int:
    return run.training.workers
