"""Estimate the time that runs take on a device from finished runs like them.

A run that trains takes a fixed time (copies of its studies, compilation) and a time for each patch; a test takes a time
for each study. Both are fitted to ledger entries of runs with the same network and settings on the same device.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
from scipy.optimize import nnls

from lesionlab.experiments.cells import run_title
from lesionlab.experiments.ledger import ledger_entries
from lesionlab.experiments.run_history import finished_histories
from lesionlab.store.at_once import at_once
from lesionlab.store.documents import is_sound, read_document
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.results import EpochRow, LedgerEntry
from storage_schemas.runs import RunSpec

MOST_ENTRIES = 200
"""Newest ledger entries that are read: two requests each."""

_LEAST_FOR_SPREAD = 3


@dataclass(frozen=True)
class Amount:
    """An estimate; `spread` is the SD of single runs about the fit, as a part of it, and None of fewer than three."""

    value: float
    spread: float | None

    def times(self, factor: float) -> Amount:
        return Amount(self.value * factor, self.spread)


@dataclass(frozen=True)
class Rate:
    """Seconds for `units` patches or studies: fixed_s + units × unit_s."""

    fixed_s: float
    unit_s: float
    spread: float | None
    runs: int
    """How many finished runs it was fitted to; 0: it was measured by a calibration."""

    def seconds(self, units: float) -> float:
        return self.fixed_s + units * self.unit_s


@dataclass(frozen=True)
class Finished:
    """A run that is done, and what it took."""

    run: RunSpec
    entry: LedgerEntry
    steady_s: float | None = None
    """Seconds for a patch after the first epoch; None: not read, or there was but one."""


Rates = Mapping[Hashable, Rate]
"""By `training_kind` and `testing_kind`."""


@dataclass(frozen=True)
class Cost:
    """What runs take on a device; None: no run like some of them is known there."""

    device: str
    gpu_hours: Amount | None
    """Hours of GPUs; on CPUs, of workers."""
    hours: Amount | None
    """With all nodes there from the beginning; None also if their number is not known."""
    finished: int
    """Finished runs that the rates were fitted to; 0: calibrated."""
    unknown: tuple[str, ...]
    """Titles of runs unlike every finished one."""


def trained_patches(run: RunSpec) -> int:
    """Patches that the training of a run passes through the network."""
    return run.training.all_steps(len(run.train)) * run.training.batch_size if run.train else 0


def training_kind(run: RunSpec) -> Hashable:
    """What the time of a training patch depends on, beside the device."""
    own, freezing = run.training, run.training.freezing
    settings = (own.batch_size, own.micro_batch, own.precision, own.loss, own.optimizer, own.workers)
    frozen = freezing.model_dump_json() if freezing and run.parent else ""
    return ("train", _network(run), *settings, frozen)


def testing_kind(run: RunSpec) -> Hashable:
    """What the time of a tested study depends on, beside the device."""
    if run.cell is not None and run.cell.arm == "rater":
        return ("rater", run.metric.name)
    return ("test", _network(run), run.inference.step_voxels, run.inference.precision, run.spacing_mm)


def _network(run: RunSpec) -> Hashable:
    return run.architecture.canonical_json(), len(run.channels), run.training.patch_voxels


def finished_runs(store: Store) -> list[Finished]:
    """The newest finished runs of the store, of all experiments."""
    listed = sorted(store.listed(keys.LEDGER.prefix()), key=lambda found: found.modified, reverse=True)
    parsed = [keys.LEDGER.parse(found.key) for found in listed if found.size]
    entries = ledger_entries(store, [values["run_id"] for values in parsed[:MOST_ENTRIES] if values])

    def read(run_id: str) -> RunSpec | None:
        key = keys.RUN_SPEC.build(run_id=run_id)
        return read_document(store, key, RunSpec) if is_sound(store, key, RunSpec) else None

    runs = at_once(read, entries)
    found = [Finished(run, entry) for run, entry in zip(runs, entries.values(), strict=True) if run is not None]
    histories = finished_histories(store, {one.run.run_id: one.entry for one in _of_one_length(found)})
    return [replace(one, steady_s=_steady_s(one.run, histories.get(one.run.run_id, ()))) for one in found]


def _of_one_length(found: Iterable[Finished]) -> list[Finished]:
    """Trainings of whose kind there is one length alone, some of each kind: only their epochs tell what is fixed."""
    by_kind: defaultdict[Hashable, list[Finished]] = defaultdict(list)
    for one in found:
        if one.run.train and one.entry.attempts == 1:
            by_kind[one.entry.device, training_kind(one.run)].append(one)
    alone = [own for own in by_kind.values() if len({trained_patches(one.run) for one in own}) == 1]
    return [one for own in alone for one in own[:_LEAST_FOR_SPREAD]]


def _steady_s(run: RunSpec, history: Sequence[EpochRow]) -> float | None:
    """Without the first epoch, in which copies are made and the network is compiled."""
    if len(history) < 2:
        return None
    patches = (history[-1].step - history[0].step) * run.training.batch_size
    return sum(row.seconds for row in history[1:]) / patches


def rates_by_device(finished: Iterable[Finished]) -> dict[str, dict[Hashable, Rate]]:
    """The rates that finished runs give, by device."""
    seen: defaultdict[str, defaultdict[Hashable, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    steady: defaultdict[tuple[str, Hashable], list[float]] = defaultdict(list)
    for found in finished:
        run, entry = found.run, found.entry
        # An attempt that was resumed knows its own time alone.
        if run.train and entry.attempts == 1 and entry.training_s > 0:
            seen[entry.device][training_kind(run)].append((trained_patches(run), entry.training_s))
            steady[entry.device, training_kind(run)] += [] if found.steady_s is None else [found.steady_s]
        if entry.tested and entry.evaluation_s > 0:
            seen[entry.device][testing_kind(run)].append((entry.tested, entry.evaluation_s))
    return {
        device: {kind: fitted(points, steady.get((device, kind), ())) for kind, points in own.items()}
        for device, own in seen.items()
    }


def fitted(points: Sequence[tuple[float, float]], steady: Sequence[float] = ()) -> Rate:
    """Fit (units, seconds) by least squares of relative errors, with no negative part.

    Where all have the same number of units, `steady`, seconds for a unit once it goes on, tells the fixed part.
    """
    units, seconds = np.array(points, float).T
    if steady and len(set(units)) == 1:
        unit_s = min(float(np.mean(steady)), float(np.mean(seconds / units)))
        fixed_s = float(np.mean(seconds)) - unit_s * float(units[0])
        spread = float(np.std(seconds, ddof=1) / np.mean(seconds)) if len(points) >= _LEAST_FOR_SPREAD else None
        return Rate(fixed_s, unit_s, spread, len(points))
    columns = [1 / seconds, units / seconds] if len(set(units)) > 1 else [units / seconds]
    found, _ = nnls(np.column_stack(columns), np.ones(len(points)))
    fixed_s, unit_s = (float(found[0]), float(found[1])) if len(found) == 2 else (0.0, float(found[0]))
    errors = (fixed_s + units * unit_s) / seconds - 1
    free = len(points) - len(columns)
    enough = len(points) >= _LEAST_FOR_SPREAD
    return Rate(fixed_s, unit_s, float(np.sqrt(np.sum(errors**2) / free)) if enough and free else None, len(points))


def cost_of(
    runs: Sequence[RunSpec],
    rates: Rates,
    device: str,
    *,
    gpus: float | None,
    share: float = 1.0,
    slots: int | None = None,
) -> Cost:
    """What the runs take, in their order of execution, on so many GPUs of which a worker uses a share.

    The errors of single runs are taken to go together: a node that is busy, or slow, is so for all of them. A rate of
    fewer than three runs is taken to be as uncertain as the worst of the others.
    """
    unknown = [run_title(run) for run in runs for kind in _kinds(run) if kind not in rates]
    kinds = {kind for run in runs for kind in _kinds(run) if kind in rates}
    finished = sum(rates[kind].runs for kind in kinds if isinstance(kind, tuple) and kind[0] == "train")
    finished = finished or sum(rates[kind].runs for kind in kinds)
    if unknown:
        return Cost(device, None, None, finished, tuple(dict.fromkeys(unknown)))
    parts = [(run, [(rates[kind], units) for kind, units in _kinds(run).items()]) for run in runs]
    seconds = [sum(rate.seconds(units) for rate, units in own) for _, own in parts]
    total = sum(took * run.training.workers * share for run, took in zip(runs, seconds, strict=True))
    known = [rate.spread for rate in rates.values() if rate.spread is not None]
    errors = [
        rate.seconds(units) * run.training.workers * share * (max(known) if rate.spread is None else rate.spread)
        for run, own in parts
        for rate, units in own
        if known
    ]
    spread = sum(errors) / total if known and total else None
    hours = None
    if gpus is not None:
        hours = Amount(_elapsed_s(runs, seconds, gpus, share, slots) / 3600, spread)
    return Cost(device, Amount(total / 3600, spread), hours, finished, ())


def _kinds(run: RunSpec) -> dict[Hashable, float]:
    """The kinds of work of a run, and how much of each."""
    found: dict[Hashable, float] = {}
    if run.train:
        found[training_kind(run)] = trained_patches(run)
    if run.test:
        found[testing_kind(run)] = len(run.test)
    return found


def _elapsed_s(
    runs: Sequence[RunSpec], seconds: Sequence[float], gpus: float, share: float, slots: int | None
) -> float:
    """Seconds from the first run to the end of the last: default models, then cells, each by number of workers."""
    elapsed, timed = 0.0, list(zip(runs, seconds, strict=True))
    for pretraining in (True, False):
        stage = sorted(
            ((run.training.workers, took) for run, took in timed if (run.cell is None) is pretraining),
            key=lambda found: found[0],
        )
        for workers, group in groupby(stage, key=lambda found: found[0]):
            fit = max(1, int(gpus / (workers * share) + 1e-9))
            ends = [0.0] * min(fit, slots or fit)
            for _, took in group:
                heapq.heapreplace(ends, ends[0] + took)
            elapsed += max(ends)
    return elapsed
