"""Trainings through the platform's sweep, beside as many plain processes as slots that share the same runs.

    python -m tests.benchmarks.sweep [--cells 12] [--slots 2] [--seconds 60]

Both train and test drawn studies with the same code and write the same results; the check is that every network comes
out with the same bytes. The plain processes are the ideal: nothing coordinates them but a queue. A sweep also starts
Ray and the workers, claims each run, watches it and reports on it.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch

from lesionlab.experiments.ledger import attempt_of
from lesionlab.orchestration.cell import run_cell, worker_task
from lesionlab.orchestration.execution import execute
from lesionlab.orchestration.room import Room
from lesionlab.store.arrays import write_group
from lesionlab.store.documents import read_document
from lesionlab.store.objects import Store, open_store
from lesionlab.training.loop import SoloWorker
from storage_schemas import keys
from storage_schemas.models import Architecture, InferenceConfig, ModelCard
from storage_schemas.runs import Cell, RunSpec
from storage_schemas.volumes import ATTRIBUTE
from tests.training.drawn import DrawnStudy, draw_study, make_run

STUDIES = 4
EDGE_VOXELS = 48


def runs_of(cells: int, studies: Sequence[DrawnStudy], epochs: int) -> list[RunSpec]:
    """As many trainings of a small network, which differ by their seed, each tested on one study."""
    *trained_on, tested = studies
    run = make_run(list(trained_on), patch_voxels=24, patches_per_study=8, epochs=epochs).changed(
        architecture=Architecture(depth=3, base_channels=6),
        test=(tested.entry,),
        inference=InferenceConfig(step_voxels=12),
    )
    cell = Cell(arm="de-novo", source=None, training_size=len(trained_on), fold=1, seed=0, depth=3)
    return [run.changed(seed=seed, cell=cell.model_copy(update={"seed": seed})) for seed in range(cells)]


def filled(folder: Path, studies: Sequence[DrawnStudy]) -> Store:
    """A store in a folder with these studies; their native grid is the model grid."""
    store = open_store((folder / "store").as_uri())
    for study in studies:
        arrays = {"image": study.image_CIJK, "label": study.label_IJK, "native_label": study.label_IJK}
        write_group(store, study.entry.volume_key, arrays, {ATTRIBUTE: study.card.stored_form()})
    return store


def alone(task: dict[str, str]) -> None:
    """One training in this process, with one thread."""
    torch.set_num_threads(1)
    run_cell(SoloWorker(torch.device("cpu")), task)


def plainly(runs: Sequence[RunSpec], store: Store, cache: Path, slots: int) -> None:
    """Plain processes that take the next run from a queue."""
    with ProcessPoolExecutor(slots, mp_context=get_context("spawn")) as pool:
        list(pool.map(alone, [worker_task(run, store.uri, cache) for run in runs]))


def swept(runs: Sequence[RunSpec], store: Store, cache: Path, slots: int) -> None:
    """The platform's sweep on a Ray of this machine."""
    execute(runs, store, cache, room=Room("cpu", slots=slots))


def timed(
    way: Callable[[Sequence[RunSpec], Store, Path, int], None],
    runs: Sequence[RunSpec],
    studies: Sequence[DrawnStudy],
    slots: int,
) -> tuple[float, list[str]]:
    """Seconds of all runs in an empty store, and the digests of the networks."""
    with tempfile.TemporaryDirectory(prefix="lesionlab-bench-") as name:
        store = filled(Path(name), studies)
        began = time.monotonic()
        way(runs, store, Path(name) / "cache", slots)
        seconds = time.monotonic() - began
        return seconds, [weights_of(store, run) for run in runs]


def weights_of(store: Store, run: RunSpec) -> str:
    """Digest of the network that the run left."""
    key = keys.RUN_CARD.of(attempt_of(store, run.run_id)).build(run_id=run.run_id)
    return read_document(store, key, ModelCard).weights_sha256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=12)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=60, help="about as long as one cell takes alone")
    chosen = parser.parse_args()
    os.environ.setdefault("RAY_worker_niceness", "0")  # as the plain processes
    studies = [draw_study(number, edge=EDGE_VOXELS) for number in range(STUDIES + 1)]
    # The first one warms up and counts neither: Python's start and the deformed copies are part of a cell.
    one, _ = timed(plainly, runs_of(1, studies, 1), studies, 1)
    few, _ = timed(plainly, runs_of(1, studies, 11), studies, 1)
    epochs = max(1, round((chosen.seconds - one) / max(few - one, 1e-3) * 10))
    runs = runs_of(chosen.cells, studies, epochs)
    print(f"{chosen.cells} cells of {epochs} epochs on {chosen.slots} slots, ", end="")
    print(f"{os.cpu_count()} CPUs, load before {os.getloadavg()[0]:.1f}", flush=True)
    ideal, expected = timed(plainly, runs, studies, chosen.slots)
    print(f"plain processes  {ideal:7.1f} s", flush=True)
    ours, found = timed(swept, runs, studies, chosen.slots)
    print(f"lesionlab        {ours:7.1f} s")
    assert found == expected, "the sweep left other networks than the plain processes"
    print(f"equal networks; the sweep reaches {ideal / ours:.3f} of the plain processes' rate")


if __name__ == "__main__":
    main()
