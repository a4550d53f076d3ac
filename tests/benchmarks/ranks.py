"""Data-parallel training on this machine's CPU: a group of Ray Train beside torchrun's processes, out.

    python -m tests.benchmarks.ranks [--ranks 2] [--turns 3]

Both train the same run with the same loop, by gloo on one thread a rank; torchrun's processes wrap the network in plain
DistributedDataParallel. They take turns, and must end with the same loss. Starting them is not timed. One process that
trains all of it alone stands beside.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import distributed, nn

import lesionlab.orchestration.session as session  # before Ray, whose environment it sets
from lesionlab.training.loop import SoloWorker
from storage_schemas.models import Architecture
from tests.benchmarks.gpu_ray import Found, found_in, group, task_of, work
from tests.benchmarks.gpu_step import PAPER, Sizes

T = TypeVar("T")

CPU = torch.device("cpu")
SIZES = Sizes(
    architecture=Architecture(depth=3, base_channels=8),
    patch_voxels=32,
    reference_voxels=8,
    head_voxels=(32, 32, 32),
    step_voxels=16,
    batches=(8,),
    learning_rate=PAPER.learning_rate,
    row_seconds=PAPER.row_seconds,
)
"""A step of about a second on one core."""


@dataclass(frozen=True)
class PlainRank:
    """A process that torchrun started."""

    rank: int
    world_size: int
    device: torch.device = CPU

    def parallel(self, network: nn.Module) -> nn.Module:
        return nn.parallel.DistributedDataParallel(network)

    def gather(self, value: T) -> list[T]:
        values: list[Any] = [None] * self.world_size
        distributed.all_gather_object(values, value)
        return values

    def report(self, metrics: dict[str, float]) -> None:
        pass

    def leaving(self) -> bool:
        return False


def as_rank(task: dict[str, str]) -> None:
    """What each of torchrun's processes does."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo")
    work(PlainRank(distributed.get_rank(), distributed.get_world_size()), task)
    distributed.destroy_process_group()


def torchrun(ranks: int, task: dict[str, str]) -> None:
    """Train in so many processes without Ray."""
    starter = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    command = [*starter, "-m", __spec__.name, "--task", json.dumps(task)]
    subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--task", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.task:
        as_rank(json.loads(chosen.task))
        return
    torch.set_num_threads(1)
    os.environ.setdefault("RAY_worker_niceness", "0")  # as the processes beside
    ways: dict[str, tuple[int, Callable[[dict[str, str]], None]]] = {
        "one process": (1, partial(work, SoloWorker(CPU))),
        f"torchrun, {chosen.ranks} ranks": (chosen.ranks, partial(torchrun, chosen.ranks)),
        f"lesionlab, {chosen.ranks} workers": (chosen.ranks, partial(group, CPU, chosen.ranks)),
    }
    found: dict[str, list[Found]] = {name: [] for name in ways}
    print(f"{os.cpu_count()} CPUs, load before {os.getloadavg()[0]:.1f}", flush=True)
    with session.ray_session(cpus=chosen.ranks), tempfile.TemporaryDirectory(prefix="lesionlab-ranks-") as name:
        for turn in range(chosen.turns):
            for place, (what, (ranks, way)) in enumerate(ways.items()):
                task = task_of(SIZES, CPU, Path(name) / f"{turn}-{place}")
                way(task)
                seen = json.loads(Path(task["out"]).read_text(encoding="utf-8"))
                found[what].append(found_in(what, ranks, seen, SIZES))
    medians = {}
    for what, turns in found.items():
        steps = [step_s for one in turns for step_s in one.step_s]
        medians[what] = statistics.median(steps)
        spread = f"{1e3 * min(steps):.0f}–{1e3 * max(steps):.0f}"
        print(f"{what:<24} {1e3 * medians[what]:6.0f} ms a step ({spread}), loss {turns[0].loss:.6f}")
    losses = [one.loss for turns in found.values() for one in turns]
    assert max(losses) - min(losses) < 1e-3 * min(losses), f"not the same training: losses {losses}"
    _, peer, ours = medians.values()
    print(f"lesionlab reaches {peer / ours:.3f} of torchrun's rate")


if __name__ == "__main__":
    main()
