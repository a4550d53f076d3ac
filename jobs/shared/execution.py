"""Execute runs and show a status line: runs done, elapsed time, progress of each running run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jobs.shared.audited import TRAINING, audited, studies_of
from jobs.shared.console import notes
from jobs.shared.progress import Line, minutes
from lesionlab.experiments.cells import run_title
from lesionlab.experiments.publishing import finished
from lesionlab.orchestration.execution import execute
from lesionlab.orchestration.progress import SweepProgress
from lesionlab.orchestration.room import Room, declared_room
from lesionlab.store.objects import Store
from storage_schemas.runs import RunSpec

LOG_EVERY_S = 30
"""In a log file, the status line is repeated at this interval and at each change."""


def execute_with_progress(
    runs: Sequence[RunSpec], store: Store, cache: Path, *, plain: bool, what: str, room: Room | None = None
) -> None:
    """Execute the runs that are not complete. Raises TrainingError that names every failed run."""
    done = finished(store, runs)
    notes.print(f"{what}: {len(runs)} in all, {len(done)} done before, {len(runs) - len(done)} to do")
    if len(done) < len(runs):
        room = room or declared_room()
        notes.print(f"device: {room.device}")
    left = [run for run in runs if run.run_id not in done]
    titles = {run.run_id: run_title(run) for run in runs}
    line = Line()

    def show(progress: SweepProgress) -> None:
        event = (progress.done, progress.failed, progress.waiting, progress.elapsed_s // LOG_EVERY_S)
        line.say(status(progress, titles, what), event=event)

    try:
        with audited(store, TRAINING, runs[0].experiment if runs else what, studies_of(store, left)):
            execute(runs, store, cache, plain=plain, room=room, on_change=show)
    finally:
        line.close()


def status(progress: SweepProgress, titles: dict[str, str], what: str) -> str:
    """One status line: counts, elapsed and remaining time, progress of each running cell."""
    total = progress.done + progress.failed + len(progress.running) + progress.left
    counts = f"{what}: {progress.done}/{total} done, {len(progress.running)} running, {progress.left} left"
    failed = f", {progress.failed} FAILED" if progress.failed else ""
    remaining = f", about {minutes(progress.remaining_s)} left" if progress.remaining_s is not None else ""
    running = "".join(
        f" | {titles[cell.name]}: step {cell.step}/{cell.steps} loss {cell.loss:.4f}"
        for cell in progress.running
        if cell.loss is not None
    )
    waiting = f" | waits ({minutes(progress.waiting_s)} so far): {progress.waiting}" if progress.waiting else ""
    return f"{counts}{failed} [{minutes(progress.elapsed_s)}{remaining}]{running}{waiting}"
