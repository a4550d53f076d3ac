"""A training step (forward, cross-entropy, backward, Adam) of our network and of nnU-Net's of the same widths."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lesionlab.model.devices import arithmetic
from lesionlab.training.loop import SoloWorker, configure_torch
from storage_schemas.models import Architecture
from tests.benchmarks.frame import Contender, Row, absent
from tests.benchmarks.gpu_layers import flop_of, peer
from tests.benchmarks.gpu_step import TINY as TINY_SIZES
from tests.benchmarks.gpu_step import Batch, Bench, Sizes, draw_batch, step_flop

CPU = torch.device("cpu")
SIZES = ((2, 64), (1, 96))
"""Patches and their edge in voxels."""


def rows(*, tiny: bool) -> Iterator[Row]:
    """fp32 and bf16; the paper's widths, at a quarter of them, because a CPU is for small networks."""
    architecture = TINY_SIZES.architecture if tiny else Architecture(depth=4, base_channels=8)
    for precision in ("fp32", "bf16"):
        for patches, edge in ((2, 16),) if tiny else SIZES:
            yield _step(architecture, precision, patches, edge, tiny)


def _step(architecture: Architecture, precision: Literal["fp32", "bf16"], patches: int, edge: int, tiny: bool) -> Row:
    bench = Bench(CPU, Sizes(architecture, edge, edge, (edge,) * 3, edge, (2,), 1e-3, 1.0))
    batch = Batch(*draw_batch(patches, edge))
    ours = bench.learner(precision, "contiguous")
    operations = step_flop(architecture, edge, backward=True)
    contenders = [Contender("lesionlab", lambda: _as_trained(ours.step, batch))]
    missing = ("dynamic_network_architectures",) if tiny else absent("dynamic_network_architectures")
    networks = {} if missing else {"nnU-Net": peer(architecture)}
    for name, network in networks.items():
        for layout in (torch.contiguous_format, torch.channels_last_3d):
            step = _peer_step(network, precision, layout)
            contenders.append(Contender(f"{name}, {str(layout).removeprefix('torch.')}", partial(step, batch)))

    def check() -> str:
        own = sum(tensor.numel() for tensor in bench.fresh.parameters())
        said = f"{own / 1e6:.2f} M parameters, {patches * operations / 1e9:.1f} GFLOP"
        for one in contenders:
            loss = float(one.work())  # type: ignore[arg-type]
            assert 0 < loss < 5, f"{one.name}: a loss of {loss}"
        for name, network in networks.items():
            parameters = sum(tensor.numel() for tensor in network.parameters())
            share = flop_of(peer(architecture, "meta"), edge, backward=True) / operations
            assert 0.8 < share < 1.25, f"{name} has {share:.2f} × our operations"
            said += f"; {name} {parameters / 1e6:.2f} M, {share:.2f} × our operations"
        return said

    work = f"step, {precision}, {patches} × {edge}³"
    return Row("step", work, contenders, check, missing=missing, runs=1 if tiny else 3)


def _as_trained(step: Callable[[Batch], Tensor], batch: Batch) -> Tensor:
    """In the deterministic mode of the training loop, which peers do not use."""
    try:
        configure_torch(SoloWorker(CPU))
        return step(batch)
    finally:
        torch.use_deterministic_algorithms(False)


def _peer_step(network: nn.Module, precision: Any, layout: torch.memory_format) -> Callable[[Batch], Tensor]:
    """The peer in its own best form: fused Adam, no deterministic mode."""
    network = network.to(memory_format=layout)  # type: ignore[call-overload]
    adam = torch.optim.Adam(network.parameters(), lr=1e-4, fused=True)

    def step(batch: Batch) -> Tensor:
        with arithmetic(CPU, precision):
            logits_BCIJK = network(batch.image_BCIJK.to(memory_format=layout))
            loss = nn.functional.cross_entropy(logits_BCIJK, batch.label_BIJK)
        adam.zero_grad()
        loss.backward()
        adam.step()
        return loss.detach()

    return step
