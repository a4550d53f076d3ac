"""A batch that passes the network in parts gives the same training up to rounding."""

from __future__ import annotations

import pytest
import torch

from lesionlab.errors import TrainingError
from lesionlab.experiments.run_checkpoints import RunCheckpoints
from lesionlab.model.transfer import random_start
from lesionlab.model.unet import build_unet
from lesionlab.store.objects import open_store
from lesionlab.training.loop import SoloWorker, train
from storage_schemas.runs import TrainingConfig
from tests.training.drawn import draw_study, make_run


class Counting(SoloWorker):
    """Notes how many patches the network gets at once."""

    def __init__(self):
        super().__init__(torch.device("cpu"))
        object.__setattr__(self, "passed", [])

    def parallel(self, network):
        network.register_forward_pre_hook(lambda _, given: self.passed.append(len(given[0])))
        return network


def trained(cache, norm="instance", **settings):
    study = draw_study(1)
    run = make_run([study], norm=norm, epochs=1, augmentations=1, patches_per_study=8, optimizer="sgd", **settings)
    network, worker = build_unet(run.architecture, channels=1, seed=0), Counting()
    kept = RunCheckpoints(open_store("memory://"), run.run_id, "001-drawn")
    outcome = train(run, network, random_start(network), [study], kept, worker, cache)
    return network.state_dict(), outcome.final_loss, worker.passed


def test_the_network_gets_parts_and_learns_as_from_whole_batches(tmp_path):
    whole, loss, passed = trained(tmp_path, learning_rate=0.01)
    assert passed == [4, 4]
    weights, same_loss, passed = trained(tmp_path, learning_rate=0.01, micro_batch=3)
    assert passed == [3, 1, 3, 1]
    assert same_loss == pytest.approx(loss, rel=1e-5)
    for name, tensor in weights.items():
        assert torch.allclose(tensor, whole[name], atol=1e-5), name


def test_what_needs_the_whole_batch_is_refused(tmp_path):
    with pytest.raises(ValueError, match="micro_batch: wanted the loss cross-entropy, found dice-cross-entropy"):
        TrainingConfig(loss="dice-cross-entropy", micro_batch=2)
    with pytest.raises(TrainingError, match="found batch normalisation, which needs the whole batch at once"):
        trained(tmp_path, norm="batch", micro_batch=2)
