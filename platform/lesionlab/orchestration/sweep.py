"""Run the cells of an experiment as Ray Tune trials and report progress.

A cell with one worker trains in the trial's own process, which the next cell reuses; this saves five process starts per
cell. A cell with several workers is a Ray Train run, and the trial is only its driver.
"""

from __future__ import annotations

import logging
import os
import tempfile
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from ray import tune
from ray.train.v2._internal.constants import ENV_VARS_TO_PROPAGATE as RAY_TRAIN_SETTINGS
from ray.tune.execution import class_cache
from ray.tune.experiment import Trial
from ray.tune.progress_reporter import TrialProgressCallback

from lesionlab.errors import LesionlabError, TrainingError
from lesionlab.orchestration.distributed import ATTEMPTS, Work, run_distributed
from lesionlab.orchestration.progress import CellOutcome, SweepCell, SweepProgress, Watch
from lesionlab.orchestration.session import capacity
from lesionlab.training.loop import SoloWorker

_QUIET = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # We handle Ctrl-C: Tune would write its state and continue to the end of the sweep.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
}


class TrialWorker(SoloWorker):
    """The solo worker of a cell, in the trial's own process."""

    def report(self, metrics: dict[str, float]) -> None:
        """Report metrics to Tune."""
        tune.report(metrics)


def run_sweep(
    work: Work,
    cells: Sequence[SweepCell],
    *,
    workers: int,
    store_uri: str,
    on_change: Callable[[SweepProgress], None] = lambda progress: None,
) -> tuple[CellOutcome, ...]:
    """Call `work` for every cell, as many at once as fit into the open Ray session; return outcomes in cell order.

    A failed cell never stops the others. A cell whose process is lost resumes from its checkpoint, up to `ATTEMPTS`
    times in all. Raises TrainingError if not even one cell fits.
    """
    if not cells:
        return ()
    room = capacity()
    if not (at_once := room.cells(workers)):
        raise TrainingError(
            f"sweep: wanted {workers} workers per cell, the Ray session has {room.cpus:g} CPUs and {room.gpus:g} GPUs; "
            "use fewer workers or a larger cluster"
        )

    def trial(config: dict[str, str], by_name: dict[str, SweepCell]) -> None:
        if error := attempt(work, by_name[config["cell"]], workers, store_uri):
            tune.report({"error": error})

    os.environ.update(_QUIET)
    # Tune copies the AWS credentials into each trial's runtime_env, and Ray logs them in clear text, readable by all.
    # Copy only Ray's own settings; workers get credentials from their node's environment. A later Ray without these
    # names fails here instead of logging credentials again.
    class_cache.ENV_VARS_TO_PROPAGATE &= RAY_TRAIN_SETTINGS
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # errors are in the outcomes
    by_name = {cell.name: cell for cell in cells}
    asks = tune.PlacementGroupFactory([room.worker() if workers == 1 else room.driver()])
    watch = Watch(cells, on_change)
    # Tune's state is not needed afterwards: the ledger records what is done.
    with tempfile.TemporaryDirectory(prefix="lesionlab-sweep-") as state:
        tune.Tuner(
            tune.with_resources(tune.with_parameters(trial, by_name=by_name), asks),
            param_space={"cell": tune.grid_search(list(by_name))},
            tune_config=tune.TuneConfig(max_concurrent_trials=at_once, reuse_actors=True),
            run_config=tune.RunConfig(
                storage_path=state,
                verbose=0,
                callbacks=[_TuneWatch(watch)],
                failure_config=tune.FailureConfig(max_failures=ATTEMPTS - 1),
            ),
        ).fit()
    return tuple(CellOutcome(cell.name, watch.errors.get(cell.name)) for cell in cells)


def attempt(work: Work, cell: SweepCell, workers: int, store_uri: str) -> str | None:
    """Run one cell; return None or an error: the message of a LesionlabError, the traceback of any other exception."""
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


class _TuneWatch(TrialProgressCallback):
    """Forward trial events to the watch, in the process that called `run_sweep`.

    It replaces Tune's own reporter, which would print a line per trial.
    """

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch

    def __reduce__(self) -> tuple[type[tune.Callback], tuple[()]]:
        return tune.Callback, ()  # Tune pickles its callbacks to disk; the watch stays in this process

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._watch.start(trial.config["cell"])

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        if "error" in result:
            self._watch.errors[trial.config["cell"]] = result["error"]
        if "loss" in result:
            self._watch.result(trial.config["cell"], result)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._watch.end(trial.config["cell"])

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._watch.end(trial.config["cell"], f"its process was lost {ATTEMPTS} times")

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        self._watch.tick()
