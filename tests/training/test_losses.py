"""Losses equal hand-computed values for any number of workers; each loss trains different weights."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from lesionlab.experiments.run_checkpoints import RunCheckpoints
from lesionlab.model.transfer import random_start
from lesionlab.model.unet import build_unet
from lesionlab.model.weights import weights_bytes
from lesionlab.store.objects import open_store
from lesionlab.training.loop import SoloWorker, train
from lesionlab.training.losses import loss_of
from tests.training.drawn import draw_study, make_run

CPU = SoloWorker(torch.device("cpu"))


def logits_of(probability: np.ndarray) -> torch.Tensor:
    """Two-class logits (B, 2, I, J, K) whose softmax gives this lesion probability (B, I, J, K)."""
    lesion = torch.logit(torch.tensor(probability, dtype=torch.float64))
    return torch.stack([torch.zeros_like(lesion), lesion], dim=1).requires_grad_()


@pytest.mark.parametrize(
    ("probability", "label", "dice"),
    [
        ([0.5, 0.5, 0.5, 0.5], [1, 0, 0, 0], 2 * 0.5 / (2 + 1)),
        ([0.9, 0.1, 0.2, 0.8], [1, 0, 0, 1], 2 * 1.7 / (2 + 2)),
        ([0.2, 0.2, 0.2, 0.2], [0, 0, 0, 0], 0.0),
    ],
    ids=["undecided", "good", "no lesion"],
)
def test_both_losses_equal_hand_computed_values(probability, label, dice):
    logits = logits_of(np.array(probability).reshape(1, 1, 2, 2))
    target = torch.tensor(label).reshape(1, 1, 2, 2)
    entropy = -np.mean([np.log(p if y else 1 - p) for p, y in zip(probability, label, strict=True)])
    assert loss_of("cross-entropy", logits, target, CPU).item() == pytest.approx(entropy)
    assert loss_of("dice-cross-entropy", logits, target, CPU).item() == pytest.approx(entropy + 1 - dice, abs=1e-4)


@dataclass(frozen=True)
class Shared(SoloWorker):
    """One of two workers; it has the values of the other."""

    other: list[float] = field(default_factory=list)
    world_size: int = 2

    def gather(self, value):
        return [value, self.other]


@pytest.mark.parametrize("loss", ["cross-entropy", "dice-cross-entropy"])
def test_two_workers_have_the_gradient_of_one_worker(loss):
    rng = np.random.default_rng(5)
    probability, label = rng.uniform(0.05, 0.95, (4, 3, 3, 3)), torch.tensor(rng.random((4, 3, 3, 3)) < 0.3).long()
    whole = logits_of(probability)
    loss_of(loss, whole, label, CPU).backward()
    parts = []
    for mine, theirs in ((slice(0, 2), slice(2, 4)), (slice(2, 4), slice(0, 2))):
        p, y = torch.tensor(probability[theirs]), label[theirs]
        sums = [float((p * y).sum()), float(p.sum() + y.sum())]
        logits = logits_of(probability[mine])
        loss_of(loss, logits, label[mine], Shared(torch.device("cpu"), other=sums)).backward()
        parts.append(logits.grad / 2)
    assert torch.allclose(torch.cat(parts), whole.grad, rtol=1e-5)


def test_each_loss_trains_different_reproducible_weights(tmp_path):
    studies = [draw_study(1), draw_study(2)]

    def trained(loss):
        run = make_run(studies, loss=loss)
        network = build_unet(run.architecture, 1, run.seed)
        transfers = random_start(network)
        return (
            run.run_id,
            network,
            train(
                run,
                network,
                transfers,
                studies,
                RunCheckpoints(open_store("memory://"), run.run_id, "001-test"),
                CPU,
                tmp_path,
            ),
        )

    made = [trained(loss) for loss in ("cross-entropy", "dice-cross-entropy", "dice-cross-entropy")]
    ids, networks, outcomes = zip(*made, strict=True)
    assert len(set(ids)) == len({weights_bytes(network) for network in networks}) == 2
    assert weights_bytes(networks[1]) == weights_bytes(networks[2])
    assert all(torch.isfinite(tensor).all() for network in networks for tensor in network.state_dict().values())
    assert outcomes[1].final_loss == outcomes[2].final_loss > outcomes[0].final_loss
