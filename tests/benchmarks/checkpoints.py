"""What checkpoints cost a training on this machine's CPU: `python -m tests.benchmarks.checkpoints [--channels 32]`.

The network is the paper's (depth 4, 32 channels, Adam: 0.33 GB), the store a folder. A checkpoint costs the time in
which the training stops while its state is copied, and what the thread that writes it takes from the steps beside it.
It is printed as a share of CHECKPOINT_S, the interval at which checkpoints are saved.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from lesionlab.experiments.run_checkpoints import RunCheckpoints
from lesionlab.model.unet import build_unet
from lesionlab.store.objects import open_store
from lesionlab.training.checkpoint import Progress
from lesionlab.training.saving import CHECKPOINT_S, Saver
from storage_schemas.models import Architecture

RUN = "0" * 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--channels", type=int, default=32, help="of the first level; the paper's network has 32")
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    network = build_unet(Architecture(depth=4, base_channels=asked.channels), 1, 0)
    optimizer = torch.optim.Adam(network.parameters())
    image_BCIJK = torch.zeros(1, 1, 32, 32, 32)

    def step() -> float:
        began = time.monotonic()
        optimizer.zero_grad()
        network(image_BCIJK).sum().backward()
        optimizer.step()
        return time.monotonic() - began

    step()
    of_a_step = statistics.median(step() for _ in range(asked.repeats))
    stops, writes, losses = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = RunCheckpoints(open_store(Path(folder).as_uri()), RUN, "001-test")
        with Saver(checkpoints, RUN, network, optimizer, CHECKPOINT_S) as saver:
            for number in range(1, asked.repeats + 1):
                began = time.monotonic()
                saver.save(Progress(epochs=0, steps=number, loss=0.5))
                stops.append(time.monotonic() - began)
                beside = []
                while not saver.idle:
                    beside.append(step())
                writes.append(time.monotonic() - began)
                losses.append(sum(beside) - of_a_step * len(beside))
        size_mb = max(path.stat().st_size for path in Path(folder).rglob("*.safetensors")) / 1e6
    stop_s, write_s, loss_s = map(statistics.median, (stops, writes, losses))
    share = (stop_s + max(0.0, loss_s)) / CHECKPOINT_S
    print(
        f"checkpoint of {size_mb:.0f} MB: the training stops {stop_s:.2f} s, the write takes {write_s:.1f} s beside it "
        f"and takes {loss_s:.2f} s from steps of {of_a_step:.2f} s; {share:.2%} of {CHECKPOINT_S:g} s"
    )


if __name__ == "__main__":
    main()
