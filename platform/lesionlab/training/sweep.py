"""Cells of a study in; each of them run as a Ray Tune trial, with progress on the way, and how each one ended, out.

A cell of one worker is trained in the trial's own process, which the next cell takes over: that saves the start of five
processes a cell. A cell of several workers is a Ray Train run of its own, and the trial is only its driver.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ray import tune
from ray.tune.experiment import Trial
from ray.tune.progress_reporter import TrialProgressCallback

from lesionlab.errors import LesionlabError, TrainingError
from lesionlab.training.distributed import ATTEMPTS, Work, run_distributed
from lesionlab.training.loop import SoloWorker
from lesionlab.training.session import capacity

HEARTBEAT_S = 2.0
"""Progress is told at least this often, so that elapsed times move."""

_QUIET = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # Ctrl-C is ours: Tune would write its state and go on to the end of the sweep.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
}


@dataclass(frozen=True)
class SweepCell:
    """One run of a sweep: its id, the task that its work gets, and its cost relative to the others (for the clock)."""

    name: str
    task: dict[str, str]
    cost: float = 1.0


@dataclass(frozen=True)
class CellOutcome:
    """How a cell ended; `error` is None where all went well, and one message for people where not."""

    name: str
    error: str | None = None


@dataclass(frozen=True)
class RunningCell:
    """Where a cell is: steps of how many, and the mean loss of the last epoch (None: the first is not over)."""

    name: str
    step: int = 0
    steps: int = 0
    loss: float | None = None


@dataclass(frozen=True)
class SweepProgress:
    """Where a sweep is."""

    done: int
    failed: int
    running: tuple[RunningCell, ...]
    left: int
    """Cells that have not begun."""
    elapsed_s: float
    remaining_s: float | None
    """By the cost of what is done; None: nothing to go by yet."""


class TrialWorker(SoloWorker):
    """The only worker of a cell, in the trial's own process."""

    def report(self, metrics: dict[str, float]) -> None:
        """To Tune."""
        tune.report(metrics)


def run_sweep(
    work: Work,
    cells: Sequence[SweepCell],
    *,
    workers: int,
    store_uri: str,
    on_change: Callable[[SweepProgress], None] = lambda progress: None,
) -> tuple[CellOutcome, ...]:
    """Do `work` for every cell, as many at once as the open Ray session has room for; outcomes in the order of `cells`.

    A cell that fails never stops the others; one whose process is lost begins again, and goes on from its checkpoint,
    `ATTEMPTS` times in all. Raises TrainingError where there is no room for even one cell.
    """
    if not cells:
        return ()
    room = capacity()
    if not (at_once := room.cells(workers)):
        raise TrainingError(
            f"sweep: wanted {workers} workers a cell, the Ray session has {room.cpus:g} CPUs and {room.gpus:g} GPUs; "
            "use fewer workers or a larger cluster"
        )

    def trial(config: dict[str, str], by_name: dict[str, SweepCell]) -> None:
        if error := attempt(work, by_name[config["cell"]], workers, store_uri):
            tune.report({"error": error})

    os.environ.update(_QUIET)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # what goes wrong stands in the outcomes
    by_name = {cell.name: cell for cell in cells}
    asks = tune.PlacementGroupFactory([room.worker() if workers == 1 else room.driver()])
    watch = _Watch(cells, on_change)
    with tempfile.TemporaryDirectory(
        prefix="lesionlab-sweep-"
    ) as state:  # of no use later: the ledger knows what is done
        tune.Tuner(
            tune.with_resources(tune.with_parameters(trial, by_name=by_name), asks),
            param_space={"cell": tune.grid_search(list(by_name))},
            tune_config=tune.TuneConfig(max_concurrent_trials=at_once, reuse_actors=True),
            run_config=tune.RunConfig(
                storage_path=state,
                verbose=0,
                callbacks=[watch],
                failure_config=tune.FailureConfig(max_failures=ATTEMPTS - 1),
            ),
        ).fit()
    return tuple(CellOutcome(cell.name, watch.errors.get(cell.name)) for cell in cells)


def attempt(work: Work, cell: SweepCell, workers: int, store_uri: str) -> str | None:
    """Run one cell; what went wrong, in words: our own errors as they are, a bug with its traceback."""
    try:
        if workers == 1:
            work(TrialWorker(), cell.task)
        else:
            run_distributed(work, cell.task, name=cell.name, workers=workers, store_uri=store_uri)
    except LesionlabError as error:
        return "; ".join(map(str, error.args))
    except Exception:
        return traceback.format_exc()
    return None


class _Watch(TrialProgressCallback):
    """Keeps the sweep's progress from what Tune says of its trials, in the process that called `run_sweep`.

    It stands in the place of Tune's own reporter, which would print a line of its own for each trial.
    """

    def __init__(self, cells: Iterable[SweepCell], on_change: Callable[[SweepProgress], None]) -> None:
        super().__init__()
        self._costs = {cell.name: cell.cost for cell in cells}
        self._on_change = on_change
        self._began = self._told = time.monotonic()
        self._running: dict[str, RunningCell] = {}
        self._ended: set[str] = set()
        self.errors: dict[str, str] = {}

    def __reduce__(self) -> tuple[type[tune.Callback], tuple[()]]:
        return tune.Callback, ()  # Tune writes its callbacks to disk; whoever watches stays in this process

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._running[trial.config["cell"]] = RunningCell(trial.config["cell"])
        self._tell()

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        name = trial.config["cell"]
        if "error" in result:
            self.errors[name] = result["error"]
        if "loss" in result:
            self._running[name] = RunningCell(name, int(result["step"]), int(result["steps"]), result["loss"])
            self._tell()

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._end(trial)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self.errors.setdefault(trial.config["cell"], f"its process was lost {ATTEMPTS} times")
        self._end(trial)

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        if time.monotonic() - self._told > HEARTBEAT_S:
            self._tell()

    def _end(self, trial: Trial) -> None:
        self._running.pop(trial.config["cell"], None)
        self._ended.add(trial.config["cell"])
        self._tell()

    def _tell(self) -> None:
        self._told = time.monotonic()
        elapsed_s = self._told - self._began
        spent = sum(self._costs[name] for name in self._ended)
        spent += sum(self._costs[cell.name] * cell.step / cell.steps for cell in self._running.values() if cell.steps)
        remaining_s = elapsed_s * (sum(self._costs.values()) - spent) / spent if spent else None
        self._on_change(
            SweepProgress(
                done=len(self._ended) - len(self._ended & self.errors.keys()),
                failed=len(self._ended & self.errors.keys()),
                running=tuple(self._running.values()),
                left=len(self._costs) - len(self._ended) - len(self._running),
                elapsed_s=elapsed_s,
                remaining_s=remaining_s,
            )
        )
