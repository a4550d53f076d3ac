"""Run the cells of an experiment as Ray Tune trials and report progress.

A cell with one worker trains in the trial's own process, which the next cell reuses; this saves five process starts per
cell. A cell with several workers is a Ray Train run, and the trial is only its driver.
"""

from __future__ import annotations

import logging
import math
import os
import tempfile
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, cast

import ray
from ray import tune
from ray.train.v2._internal.constants import ENV_VARS_TO_PROPAGATE as RAY_TRAIN_SETTINGS
from ray.tune.execution import class_cache
from ray.tune.experiment import Trial
from ray.tune.progress_reporter import TrialProgressCallback

from lesionlab.errors import LesionlabError, RunFailed, RunHeld, TrainingError
from lesionlab.experiments.run_checkpoints import newest_step
from lesionlab.orchestration.distributed import Work, elsewhere, run_distributed
from lesionlab.orchestration.failures import STARTS_FROM_A_STEP, Starts, error_text, failure_kind, told_by_kind
from lesionlab.orchestration.progress import CellOutcome, SweepCell, Watch
from lesionlab.orchestration.room import Room
from lesionlab.orchestration.session import capacity, refuse_if_too_small, reserved
from lesionlab.store.objects import open_store
from lesionlab.training.loop import SoloWorker
from storage_schemas.leases import FailureKind

_QUIET = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # We handle Ctrl-C: Tune would write its state and continue to the end of the sweep.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
}


GIVEN_UP = "given up"
"""In the configuration of a trial: it is only started to say, with this error, that it is not to be started again."""

MOST_AT_ONCE = 100
"""Runs that ask for room at once if no slots are declared; a cluster that can grow is asked for nodes for so many."""

LOOK_S = 1.0
"""Interval at which a sweep looks whether its runs have room."""

SILENT_S = 5.0
"""A sweep that has waited for less does not say so: a cell ends before the next one begins."""

START_S = 120.0
"""A process that has room should run by then; on a crowded machine it takes half of this."""


class TrialWorker(SoloWorker):
    """The solo worker of a cell, in the trial's own process."""

    def report(self, metrics: dict[str, float]) -> None:
        """Report metrics to Tune."""
        tune.report(metrics)

    def leaving(self) -> bool:
        """Whether Ray has announced the loss of this node."""
        return this_node() in ray._private.state.state.get_draining_nodes()


def run_sweep(
    work: Work,
    cells: Sequence[SweepCell],
    *,
    workers: int,
    store_uri: str,
    room: Room,
    watch: Watch | None = None,
    on_failure: Callable[[CellOutcome], None] = lambda outcome: None,
) -> tuple[CellOutcome, ...]:
    """Call `work` for every cell in the open Ray session; return outcomes in cell order.

    As many cells run at once as fit, also while nodes come and go, and no more than the room's slots. A failed cell
    never stops the others. A cell whose process is lost resumes from its checkpoint, see `Starts`. A cell that another
    submission executes is left to it. `on_failure` is called as soon as a cell has failed for good. Raises
    TrainingError if no cell could run for the room's `wait_s`.
    """
    if not cells:
        return ()
    refuse_if_too_small("sweep", workers, room)
    watch = watch or Watch(cells, lambda progress: None)
    at_once = slots(room, workers, len(cells))

    def trial(config: dict[str, str], by_name: dict[str, SweepCell]) -> None:
        cell = by_name[config["cell"]]
        if GIVEN_UP in config:
            outcome = CellOutcome(cell.name, config[GIVEN_UP], kind=cast(FailureKind, config["kind"]))
        else:
            outcome = attempt(work, cell, workers, store_uri, room)
        if outcome.error or outcome.held:
            tune.report({"error": outcome.error, "held": outcome.held, "kind": outcome.kind})

    os.environ.update(_QUIET)
    # Fixed by Tune at its start from the nodes of that moment, if it is not declared.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(at_once)
    # Tune copies the AWS credentials into each trial's runtime_env, and Ray logs them in clear text, readable by all.
    # Copy only Ray's own settings; workers get credentials from their node's environment. A later Ray without these
    # names fails here instead of logging credentials again.
    class_cache.ENV_VARS_TO_PROPAGATE &= RAY_TRAIN_SETTINGS
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # errors are in the outcomes
    by_name = {cell.name: cell for cell in cells}
    asks = tune.PlacementGroupFactory([room.worker() if workers == 1 else capacity().driver()])
    waiting = Waiting(room, workers, watch)
    # Tune's state is not needed afterwards: the ledger records what is done.
    with tempfile.TemporaryDirectory(prefix="lesionlab-sweep-") as state:
        tune.Tuner(
            tune.with_resources(tune.with_parameters(trial, by_name=by_name), asks),
            param_space={"cell": tune.grid_search(list(by_name))},
            tune_config=tune.TuneConfig(max_concurrent_trials=at_once, reuse_actors=True),
            run_config=tune.RunConfig(
                storage_path=state,
                verbose=0,
                callbacks=[_TuneWatch(watch, waiting, on_failure, store_uri, room if workers == 1 else None)],
                failure_config=tune.FailureConfig(max_failures=-1),  # `_TuneWatch` counts
            ),
        ).fit()
    return tuple(
        CellOutcome(cell.name, watch.errors.get(cell.name), watch.held.get(cell.name), watch.kinds.get(cell.name))
        for cell in cells
    )


def slots(room: Room, workers: int, cells: int) -> int:
    """How many cells may run or ask for room at once.

    The driver of a distributed cell runs before its workers have room, so without declared slots there are as many as
    the session has room for now, and at least one.
    """
    if workers > 1 and room.slots is None:
        return min(cells, max(1, capacity().cells(workers, room)))
    return min(cells, room.slots or MOST_AT_ONCE)


def attempt(work: Work, cell: SweepCell, workers: int, store_uri: str, room: Room) -> CellOutcome:
    """Run one cell; an error is the message of a LesionlabError, the traceback of any other exception.

    Raises RunYielded or RunFailed for a cell with one worker that another process may complete.
    """
    try:
        if workers == 1:
            with told_by_kind(this_node()):
                work(TrialWorker(room.torch_device()), cell.task)
        else:
            run_distributed(work, cell.task, name=cell.name, workers=workers, store_uri=store_uri, room=room)
    except RunHeld as error:
        return CellOutcome(cell.name, held=str(error))
    except LesionlabError as error:
        kind = failure_kind(error)
        if workers == 1 and kind in STARTS_FROM_A_STEP:
            told = {"kind": kind, "message": "; ".join(map(str, error.args)), "node": this_node()}
            tune.report({"fault": told})
            raise
        return CellOutcome(cell.name, "; ".join(map(str, error.args)), kind=kind)
    except Exception:
        return CellOutcome(cell.name, traceback.format_exc(), kind="error")
    return CellOutcome(cell.name)


def this_node() -> str:
    """The Ray node of this process."""
    node: str = ray.get_runtime_context().get_node_id()
    return node


class Waiting:
    """Say what a sweep waits for while no run has room, and end it if it waits too long."""

    def __init__(self, room: Room, workers: int, watch: Watch) -> None:
        self._room, self._workers, self._watch = room, workers, watch
        self._looked = self._asked = -math.inf
        self._since: float | None = None
        self._starting: float | None = None
        """Since when there is room and no run, although some are left."""

    def look(self) -> None:
        """Raises TrainingError if the sweep has waited for the room's `wait_s`.

        Room that was found counts from then on: Ray may take long to start a process there. Beyond START_S it may also
        be that none survives its start: Ray starts what it killed for memory again and again.
        """
        now = time.monotonic()
        if now - self._looked < LOOK_S:
            return
        self._looked = now
        requests = reserved(self._workers)
        self._look_at_starts(now, bool(requests.granted) and self._watch.idle)
        if requests.asked and not requests.granted:
            self._asked, self._since = now, now if self._since is None else self._since
        elif requests.granted or now - self._asked > SILENT_S:  # between two attempts nothing is asked for
            self._since = None
            if self._starting is None or now - self._starting < START_S:
                self._watch.waits("")
        if self._since is None or now - self._since < SILENT_S:
            return
        there = capacity()
        kind, found = ("GPU", there.gpus) if self._room.device == "cuda" else ("CPU", there.cpus)
        asked = self._workers * self._room.worker()[kind]
        wanted = f"{asked:g} {kind}{'s' * (asked != 1)} a run, {found:g} there"
        if self._watch.idle and now - self._since > self._room.wait_s:  # a group that waits has its own deadline
            raise TrainingError(
                f"sweep: waited {self._room.wait_s / 60:g} minutes for room ({wanted}); start more nodes, use fewer "
                "workers or another device, or wait longer (--wait); what is done is kept"
            )
        self._watch.waits(wanted)

    def _look_at_starts(self, now: float, starting: bool) -> None:
        """As `look`, of runs that have room and do not start."""
        if not starting:
            self._starting = None
            return
        if self._starting is None:
            self._starting = now
        if now - self._starting < START_S:
            return
        reason = (
            "there is room, but no run starts: its node may lack memory (raylet.out in the node's Ray logs says so)"
        )
        if now - self._starting > START_S + self._room.wait_s:
            raise TrainingError(
                f"sweep: waited {self._room.wait_s / 60:g} minutes for a run to start; {reason}; give the nodes more "
                "memory, or wait longer (--wait); what is done is kept"
            )
        self._watch.waits(reason)


class _TuneWatch(TrialProgressCallback):
    """Forward trial events to the watch, in the process that called `run_sweep`.

    It replaces Tune's own reporter, which would print a line per trial.
    """

    def __init__(
        self,
        watch: Watch,
        waiting: Waiting,
        on_failure: Callable[[CellOutcome], None],
        store_uri: str,
        solo: Room | None,
    ) -> None:
        """`solo` is the room of cells that train in their trial's process."""
        super().__init__()
        self._watch, self._waiting, self._store_uri, self._solo = watch, waiting, store_uri, solo
        self._on_failure = on_failure
        self._starts: defaultdict[str, Starts] = defaultdict(Starts)
        self._faults: dict[str, RunFailed] = {}
        self._avoided: defaultdict[str, set[str]] = defaultdict(set)

    def __reduce__(self) -> tuple[type[tune.Callback], tuple[()]]:
        return tune.Callback, ()  # Tune pickles its callbacks to disk; the watch stays in this process

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._watch.start(trial.config["cell"])

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        if fault := result.get("fault"):
            self._faults[trial.config["cell"]] = RunFailed(**fault)
        if error := result.get("error"):
            self._watch.errors[trial.config["cell"]] = error
            self._watch.kinds[trial.config["cell"]] = result["kind"]
        if holder := result.get("held"):
            self._watch.leave(trial.config["cell"], holder)
        if "loss" in result:
            self._watch.result(trial.config["cell"], result)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        if trial.config["cell"] not in self._watch.held:
            self._end(trial.config["cell"])

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Of a trial that Tune is about to start again, since its process was lost or gave up; or end it."""
        name = trial.config["cell"]
        self._watch.lose(name)
        fault = self._faults.pop(name, None) or _fault_of(trial)
        if not self._starts[name].may_start_again(fault.kind, newest_step(open_store(self._store_uri), name)):
            end = self._starts[name].given_up(fault)
            trial.config |= {GIVEN_UP: "; ".join(map(str, end.args)), "kind": fault.kind}
        elif fault.kind == "hardware" and self._solo is not None:
            self._avoided[name].add(fault.node)
            if labels := elsewhere(self._avoided[name], self._solo):
                asks = tune.PlacementGroupFactory([self._solo.worker()], bundle_label_selector=[labels])
                trial.update_resources(asks)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._end(trial.config["cell"], _fault_of(trial).args[0])

    def _end(self, name: str, error: str | None = None) -> None:
        self._watch.end(name, error)
        if told := self._watch.errors.get(name):
            self._on_failure(CellOutcome(name, told, kind=self._watch.kinds.get(name)))

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        self._waiting.look()
        self._watch.tick()


def _fault_of(trial: Trial) -> RunFailed:
    """Why Ray lost the process of a trial."""
    error = trial.get_pickled_error()
    if error is None:
        return RunFailed("lost", "its process was lost")
    kind = failure_kind(error)
    return RunFailed(kind if kind in ("memory", "hardware") else "lost", error_text(error))
