"""Simulated pairs of visits in; studies per hour and memory of the platform and of the plain script, side by side, out.

Both bring every follow-up onto its initial visit with the same ANTs registration (rigid, affine, SyN) on the same
isotropic grid, normalise both and subtract them. The platform does more besides: it screens, checks, hashes, and writes
volumes, verdicts and manifest; its time includes the start of Ray, the script's that of Python. All is written into a
temporary folder. `make bench`, or `python -m tests.benchmarks.ingestion --studies 8 --spacing 1`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from jobs.shared.dataset_screening import open_screened
from lesionlab.imaging.agreement import edge_correlation
from lesionlab.imaging.intensity import head_mask
from lesionlab.orchestration.pool import ONE_THREAD, pool_map
from lesionlab.preprocessing.cohort import Work, preprocess_cohort
from lesionlab.preprocessing.costs import study_cost
from lesionlab.preprocessing.files import StudyFiles
from lesionlab.preprocessing.ingest import Recipe, StudyOutcome, lost
from lesionlab.simulation.cohort import simulate_cohort
from lesionlab.store.documents import read_card
from lesionlab.store.objects import open_store
from storage_schemas.cohorts import CohortPlan
from storage_schemas.tasks import TASKS
from storage_schemas.volumes import ATTRIBUTE, StudyVolumeCard


@dataclass(frozen=True)
class Measured:
    """One way to do the work."""

    seconds: float
    peak_gib: float
    """Of the one process that needed most, for one study at a time."""
    correlation: float
    """Mean over the studies, of initial and registered follow-up over the head."""

    def line(self, name: str, studies: int) -> str:
        rate = studies / self.seconds * 3600
        return (
            f"{name:<18} {self.seconds:7.0f} s  {rate:7.1f} studies/h  "
            f"peak {self.peak_gib:.2f} GiB a study  edge correlation {self.correlation:.4f}"
        )


def platform(dataset: Path, folder: Path, spacing_mm: float, workers: int | None) -> Measured:
    """The platform: one thread a study, studies side by side as Ray tasks."""
    recipe = Recipe(TASKS["flair-new"], spacing_mm, scrub=False)
    peaks_kib: list[int] = []
    pool = partial(
        pool_map,
        memory_bytes=study_cost(recipe.task, spacing_mm).memory_bytes,
        lost=lambda files: (lost(files), 0),
        workers=workers,
    )

    def each(work: Work, studies: Sequence[StudyFiles]) -> Iterator[StudyOutcome]:
        for outcome, peak_kib in pool(partial(with_peak, work), studies):
            peaks_kib.append(peak_kib)
            yield outcome

    store = open_store((folder / "store").as_uri())
    start = time.perf_counter()
    manifest = preprocess_cohort(
        store, open_screened(dataset, recipe, None, hash_ids=False), recipe, cohort="bench", each=each
    ).manifest
    seconds = time.perf_counter() - start
    volumes = [entry.volume_key for entry in manifest.studies]
    cards = [read_card(store, key, ATTRIBUTE, StudyVolumeCard) for key in volumes]
    return Measured(
        seconds, max(peaks_kib) / 2**20, float(np.mean([card.registrations[0].correlation_after for card in cards]))
    )


def with_peak(work: Callable[[StudyFiles], StudyOutcome], files: StudyFiles) -> tuple[StudyOutcome, int]:
    """What `work` returns, and the most memory that its process ever had, in KiB."""
    return work(files), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def script(dataset: Path, folder: Path, spacing_mm: float) -> Measured:
    """The plain script, with every thread that the machine has."""
    out = folder / "script"
    out.mkdir()
    free = {name: value for name, value in os.environ.items() if name not in ONE_THREAD}
    start = time.perf_counter()
    told = subprocess.run(
        [sys.executable, Path(__file__).with_name("sequential.py"), dataset, out, str(spacing_mm)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=free,
    ).stdout
    seconds = time.perf_counter() - start
    correlations = []
    for file in sorted(out.glob("*.npz")):
        images = np.load(file)
        moved = np.where(images["moved"] == 0, np.nan, images["moved"])  # ANTs' value for no data
        correlations.append(edge_correlation(images["fixed"], moved, head_mask(images["fixed"]), spacing_mm))
    return Measured(seconds, json.loads(told.splitlines()[-1])["peak_kib"] / 2**20, float(np.mean(correlations)))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--studies", type=int, default=4)
    options.add_argument("--spacing", type=float, default=2.0, help="mm, isotropic")
    options.add_argument("--workers", type=int, default=None)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="lesionlab-bench-") as name:
        folder = Path(name)
        plan = CohortPlan(pathology="ms", studies=chosen.studies, seed=1, timepoints=2, sites=("skyra",))
        simulate_cohort(plan, folder / "pairs", workers=os.cpu_count() or 1)
        print(f"{chosen.studies} pairs of visits, {chosen.spacing:g} mm, {os.cpu_count()} CPUs, ", end="")
        print(f"load before {os.getloadavg()[0]:.1f}", flush=True)
        peer = script(folder / "pairs", folder, chosen.spacing)
        print(peer.line("plain script", chosen.studies), flush=True)
        ours = platform(folder / "pairs", folder, chosen.spacing, chosen.workers)
        print(ours.line("lesionlab", chosen.studies))
        print(f"lesionlab does {peer.seconds / ours.seconds:.2f} times as many studies per hour")


if __name__ == "__main__":
    main()
