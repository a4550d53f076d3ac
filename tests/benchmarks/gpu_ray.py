"""What Ray Train costs on one card: the training loop in a plain process, in a group of one, and in a group of two.

    python -m tests.benchmarks.gpu --ray                       on a GPU
    python -m tests.benchmarks.gpu --ray --device cpu --tiny   a rehearsal

All train the same run to the same length. The group of one is the product's (`run_distributed`; NCCL on a GPU). The two
ranks share the card by gloo, because NCCL refuses two ranks on one device: that shows that gradients are exchanged
between processes with tensors on a GPU, and nothing about the speed of two cards. Several GPUs were never run.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path

import torch

from lesionlab.experiments.run_checkpoints import RunCheckpoints
from lesionlab.model.transfer import random_start
from lesionlab.model.unet import build_unet
from lesionlab.store.objects import open_store
from lesionlab.training.loop import SoloWorker, Worker, WorkerAround, train
from storage_schemas.base import digest_of
from storage_schemas.models import Architecture
from tests.benchmarks.gpu_step import PAPER, TINY, Sizes
from tests.training.drawn import draw_study, make_run

EPOCHS = 6
"""The first one makes the deformed copies and warms up, so it is not timed."""

STEPS = 12
"""Of each epoch."""

HEAD = (
    "| what | ranks | median ms a step | range ms | patches/s | of plain torch | loss |",
    "|---|---|---|---|---|---|---|",
)


@dataclass
class Timed(WorkerAround):
    """A worker that keeps when it reported; the first rank writes it down."""

    worker: Worker
    out: Path
    seen: list[tuple[float, float, float]] = field(default_factory=list)
    """Steps, the clock in seconds and the loss."""

    def report(self, metrics: dict[str, float]) -> None:
        self.seen.append((metrics["step"], time.perf_counter(), metrics["loss"]))
        if self.rank == 0:
            self.out.write_text(json.dumps(self.seen), encoding="utf-8")
        self.worker.report(metrics)


def work(worker: Worker, task: dict[str, str]) -> None:
    """Train the run of the task; called in every rank."""
    sizes = json.loads(task["sizes"])
    edge = sizes["patch_voxels"]
    study = draw_study(1, edge=edge + 16)
    run = make_run(
        [study],
        patch_voxels=edge,
        patches_per_study=sizes["batch"] * STEPS,
        augmentations=1,
        epochs=EPOCHS,
        batch_size=sizes["batch"],
        precision=sizes["precision"],
    ).changed(architecture=Architecture(**sizes["architecture"]))
    network = build_unet(run.architecture, channels=1, seed=0)
    checkpoints = RunCheckpoints(open_store("memory://"), run.run_id, "001-bench")
    timed = Timed(worker, Path(task["out"]))
    train(run, network, random_start(network), [study], checkpoints, timed, Path(task["cache"]))


def measure(device: torch.device, *, tiny: bool, rows: str, say: Callable[[str], None]) -> int:
    """Train in each way whose name matches, print a table; 1 if one failed or ended with another loss."""
    import lesionlab.orchestration.session as session  # before Ray, whose environment it sets

    sizes, failed = TINY if tiny else PAPER, False
    plain: Found | None = None
    for line in HEAD:
        say(line)
    with session.ray_session(cpus=4), tempfile.TemporaryDirectory(prefix="lesionlab-ray-") as folder:
        for what, ranks, way in _ways(device):
            if not re.search(rows, what):
                continue
            task = task_of(sizes, device, Path(folder) / digest_of(what))
            try:
                way(task)
                row = found_in(what, ranks, json.loads(Path(task["out"]).read_text(encoding="utf-8")), sizes)
            except Exception as error:  # the other ways still tell something
                failed = True
                say(
                    f"| {what} | {ranks} | | | | | FAILED: {type(error).__name__}: {str(error).splitlines()[0][:160]} |"
                )
                continue
            plain = row if ranks == 1 and plain is None else plain
            failed |= plain is not None and abs(row.loss - plain.loss) > 0.02 * plain.loss
            say(row.line(plain))
    say("")
    say("Several GPUs: never run. Two ranks on one card say nothing about the speed of two cards.")
    return int(failed)


def _ways(device: torch.device) -> Iterator[tuple[str, int, Callable[[dict[str, str]], None]]]:
    yield "plain torch", 1, partial(work, SoloWorker(device))
    yield "TorchTrainer, one worker", 1, partial(group, device, 1)
    yield "TorchTrainer, two ranks on one device, gloo", 2, partial(_two_ranks, device)


def task_of(sizes: Sizes, device: torch.device, folder: Path) -> dict[str, str]:
    """What `work` needs, in a new folder."""
    folder.mkdir()
    numbers = {
        "patch_voxels": sizes.patch_voxels,
        "batch": sizes.batches[0],
        "precision": "bf16" if device.type == "cuda" else "fp32",
        "architecture": sizes.architecture.model_dump(),
    }
    return {
        "sizes": json.dumps(numbers),
        "out": str(folder / "seen.json"),
        "cache": str(folder / "cache"),
        "store": (folder / "store").as_uri(),
    }


def group(device: torch.device, workers: int, task: dict[str, str]) -> None:
    """Train in the product's group of so many workers."""
    from ray import cloudpickle

    from lesionlab.orchestration.distributed import run_distributed
    from lesionlab.orchestration.room import Room

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    room = Room("cuda" if device.type == "cuda" else "cpu", wait_s=120)
    run_distributed(work, task, name=digest_of(task), workers=workers, store_uri=task["store"], room=room)


def _two_ranks(device: torch.device, task: dict[str, str]) -> None:
    import ray.train
    import ray.train.torch
    from ray import cloudpickle

    from lesionlab.orchestration.distributed import RayWorker

    cloudpickle.register_pickle_by_value(sys.modules[__name__])

    def loop(config: dict[str, str]) -> None:
        context = ray.train.get_context()
        work(RayWorker(context.get_world_rank(), context.get_world_size(), ray.train.torch.get_device()), config)

    on_gpu = device.type == "cuda"
    ray.train.torch.TorchTrainer(
        loop,
        train_loop_config=task,
        torch_config=ray.train.torch.TorchConfig(backend="gloo"),
        scaling_config=ray.train.ScalingConfig(
            num_workers=2, use_gpu=on_gpu, resources_per_worker={"CPU": 1} | ({"GPU": 0.5} if on_gpu else {})
        ),
        run_config=ray.train.RunConfig(storage_path=str(Path(task["out"]).parent / "ray")),
    ).fit()


@dataclass(frozen=True)
class Found:
    """Seconds of a step in each epoch after the first."""

    what: str
    ranks: int
    step_s: tuple[float, ...]
    patches: int
    loss: float

    @property
    def median_s(self) -> float:
        return statistics.median(self.step_s)

    def line(self, plain: Found | None) -> str:
        """Its row of the table."""
        share = f"{plain.median_s / self.median_s:.2f}" if plain else ""
        return (
            f"| {self.what} | {self.ranks} | {1e3 * self.median_s:.2f} | {1e3 * min(self.step_s):.2f}–"
            f"{1e3 * max(self.step_s):.2f} | {self.patches / self.median_s:.2f} | {share} "
            f"| {self.loss:.4f} |"
        )


def found_in(what: str, ranks: int, seen: list[tuple[float, float, float]], sizes: Sizes) -> Found:
    """The times between the ends of epochs in what `Timed` wrote."""
    ends = [(steps, clock) for steps, clock, _ in seen if steps and steps % STEPS == 0]
    ends = list(dict(ends).items())
    step_s = tuple((after[1] - before[1]) / STEPS for before, after in pairwise(ends))
    if len(step_s) != EPOCHS - 1:
        raise AssertionError(f"wanted reports of {EPOCHS} epochs, found {seen}")
    return Found(what, ranks, step_s, sizes.batches[0], seen[-1][2])
