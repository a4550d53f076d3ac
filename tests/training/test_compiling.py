"""What is done for speed on a GPU, here forced on a CPU: it trains as the simple path does, under the same names."""

from __future__ import annotations

import logging

import pytest
import safetensors.torch
import torch

from lesionlab.errors import TrainingError
from lesionlab.experiments.run_checkpoints import RunCheckpoints
from lesionlab.model import devices
from lesionlab.model.transfer import random_start
from lesionlab.model.unet import build_unet
from lesionlab.model.weights import weights_bytes
from lesionlab.store.objects import open_store
from lesionlab.training import compiling, loop
from lesionlab.training.loop import SoloWorker, train
from lesionlab.training.optimizers import build_optimizer, optimizer_header, restore_optimizer
from lesionlab.training.saving import CHECKPOINT_S
from storage_schemas.axes import Freezing
from storage_schemas.models import Architecture
from tests.training.drawn import copied_transfers, draw_study, make_run

CPU = torch.device("cpu")


class Recorder(SoloWorker):
    """Records the loss of every epoch."""

    def __init__(self):
        super().__init__(CPU)
        object.__setattr__(self, "by_epoch", {})

    def report(self, metrics):
        if metrics["epoch"]:  # else within the first one; a slow machine reports within an epoch too
            self.by_epoch.setdefault(metrics["epoch"], metrics["loss"])

    @property
    def losses(self):
        return list(self.by_epoch.values())


@pytest.fixture
def as_on_gpu(monkeypatch):
    """Train as on a GPU, and compile short trainings too; torch traces the network, and generates no code."""
    monkeypatch.setattr(devices, "on_gpu", lambda device: True)
    monkeypatch.setattr(compiling, "pays", lambda run, *_: run.architecture.norm != "batch")
    monkeypatch.setattr(compiling, "BACKEND", "eager")


def kept(store, run):
    """The checkpoints of one attempt."""
    return RunCheckpoints(store, run.run_id, "001-test")


def last_checkpoint(store, run):
    checkpoints = kept(store, run)
    return checkpoints.read(checkpoints.names()[0])


def trained(run, studies, cache, store=None, transfers_of=random_start, checkpoint_s=CHECKPOINT_S):
    """The network, and the mean loss of each epoch."""
    network = build_unet(run.architecture, 1, run.seed)
    worker, checkpoints = Recorder(), kept(store or open_store("memory://"), run)
    train(run, network, transfers_of(network), studies, checkpoints, worker, cache, checkpoint_s=checkpoint_s)
    return network, worker.losses


def simple_and_fast(run, studies, cache, monkeypatch, backend):
    """The losses of the training as a CPU does it, then as a GPU does it."""
    _, simple = trained(run, studies, cache)
    monkeypatch.setattr(devices, "on_gpu", lambda device: True)
    monkeypatch.setattr(compiling, "pays", lambda *_: True)
    monkeypatch.setattr(compiling, "BACKEND", backend)
    _, fast = trained(run, studies, cache)
    return simple, fast


@pytest.mark.parametrize(
    ("precision", "loss", "backend", "within"),
    [
        ("fp32", "dice-cross-entropy", "eager", 0.01),
        pytest.param("bf16", "cross-entropy", "eager", 0.06, marks=pytest.mark.slow),  # a CPU is slow in bf16
    ],
    ids=["fp32", "bf16"],
)
def test_the_loss_curve_of_the_fast_path_is_that_of_the_simple_path(
    precision, loss, backend, within, tmp_path, monkeypatch
):
    studies = [draw_study(1), draw_study(2)]
    shape = {"epochs": 4, "batch_size": 4, "patches_per_study": 8, "learning_rate": 1e-2}
    run = make_run(studies, precision=precision, loss=loss, **shape)
    simple, fast = simple_and_fast(run, studies, tmp_path, monkeypatch, backend)
    assert simple[-1] < 0.7 * simple[0]  # there is a curve to compare
    assert fast == pytest.approx(simple, rel=within)
    assert fast != simple


@pytest.mark.slow
def test_the_loss_curve_of_code_that_the_compiler_wrote_is_that_of_the_simple_path(tmp_path, monkeypatch):
    studies = [draw_study(1), draw_study(2)]
    run = make_run(studies, epochs=3, learning_rate=3e-3, precision="bf16")
    simple, fast = simple_and_fast(run, studies, tmp_path, monkeypatch, backend="inductor")
    assert fast == pytest.approx(simple, rel=0.03)
    assert fast != simple


@pytest.mark.usefixtures("as_on_gpu")
def test_compiling_changes_no_name_and_leaves_weights_in_torchs_memory_format(tmp_path):
    studies, store = [draw_study(1)], open_store("memory://")
    run = make_run(studies)
    network, _ = trained(run, studies, tmp_path, store)
    wanted = build_unet(run.architecture, 1, run.seed).state_dict()
    assert {name: tensor.shape for name, tensor in network.state_dict().items()} == {
        name: tensor.shape for name, tensor in wanted.items()
    }
    assert all(tensor.is_contiguous() for tensor in network.state_dict().values())
    checkpoint = safetensors.torch.load(last_checkpoint(store, run))
    assert {name for name in checkpoint if name.startswith("model.")} == {f"model.{name}" for name in wanted}
    assert all(torch.equal(checkpoint[f"model.{name}"], tensor) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_a_checkpoint_of_either_path_resumes_on_the_other(optimizer, tmp_path, monkeypatch):
    studies = [draw_study(1)]
    # The encoder is frozen for two epochs, so the network is compiled twice.
    run = make_run(studies, epochs=4, optimizer=optimizer, freezing=Freezing(part="encoder", epochs=2))
    whole, _ = trained(run, studies, tmp_path, transfers_of=copied_transfers)

    class Stop(Exception):
        pass

    def stops_after(epochs):
        class StopsAfter(Recorder):
            def report(self, metrics):
                super().report(metrics)
                if metrics["epoch"] == epochs:
                    raise Stop

        return StopsAfter()

    for first_on_gpu, epochs in ((True, 1), (False, 3)):
        store = open_store("memory://")
        for on_gpu in (first_on_gpu, not first_on_gpu):
            monkeypatch.setattr(devices, "on_gpu", lambda device, on_gpu=on_gpu: on_gpu)
            monkeypatch.setattr(compiling, "pays", lambda *_, on_gpu=on_gpu: on_gpu)
            monkeypatch.setattr(compiling, "BACKEND", "eager")
            network = build_unet(run.architecture, 1, run.seed)
            worker, checkpoints = stops_after(epochs) if on_gpu == first_on_gpu else Recorder(), kept(store, run)
            resumed = bool(checkpoints.names())
            assert resumed == (on_gpu != first_on_gpu)
            try:
                train(
                    *(run, network, copied_transfers(network), studies, checkpoints, worker, tmp_path), checkpoint_s=0
                )
            except Stop:
                assert on_gpu == first_on_gpu
        for name, tensor in network.state_dict().items():
            torch.testing.assert_close(tensor, whole.state_dict()[name], rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("fault", ["no C++ compiler found\nset CXX", ""])
@pytest.mark.usefixtures("as_on_gpu")
def test_a_network_that_cannot_be_compiled_trains_all_the_same_and_one_line_says_so(
    fault, tmp_path, monkeypatch, caplog
):
    def refuse(graph, inputs):
        raise RuntimeError(fault)

    monkeypatch.setattr(compiling, "BACKEND", refuse)
    studies = [draw_study(1)]
    run = make_run(studies)
    with caplog.at_level(logging.WARNING, logger="lesionlab"):
        network, losses = trained(run, studies, tmp_path)
    monkeypatch.setattr(compiling, "pays", lambda *_: False)
    eager, wanted = trained(run, studies, tmp_path)
    assert losses == wanted
    assert weights_bytes(network) == weights_bytes(eager)
    (record,) = caplog.records
    assert record.getMessage().startswith(f"run {run.run_id}: trains without torch.compile, to equal results")
    assert "\n" not in record.getMessage()
    assert " ".join(fault.split()) in record.getMessage()


PAPER = {"patch_voxels": 96, "patches_per_study": 60, "batch_size": 8, "precision": "bf16"}


@pytest.mark.parametrize(
    ("steps", "changes", "pays"),
    [
        (6750, {}, True),  # the paper's smallest training: 10 studies × 3 copies × 60 patches × 30 epochs
        (1200, {}, True),  # 35 s of compiling against 31.7 ms a step: 1,104 steps
        (1000, {}, False),
        (6750, {"precision": "fp32"}, False),
        (6750, {"patch_voxels": 48}, False),  # an eighth of the work in a step
        (6750, {"norm": "batch"}, False),
    ],
)
def test_compiling_pays_when_the_steps_ahead_save_more_than_it_costs(steps, changes, pays, monkeypatch):
    norm, training = changes.get("norm", "instance"), {k: v for k, v in changes.items() if k != "norm"}
    run = make_run([draw_study(1)], **(PAPER | training)).changed(architecture=Architecture(norm=norm))
    assert not compiling.pays(run, 8, steps, CPU)  # a CPU never compiles
    monkeypatch.setattr(devices, "on_gpu", lambda device: True)
    assert compiling.pays(run, 8, steps, CPU) == pays
    assert not compiling.pays(run, 1, steps, CPU)  # one of eight workers


@pytest.mark.usefixtures("as_on_gpu")
def test_on_a_gpu_a_loss_that_is_not_finite_is_found_at_the_next_reading_and_named_by_its_own_step(
    tmp_path, monkeypatch
):
    studies, store = [draw_study(1), draw_study(2)], open_store("memory://")
    run = make_run(studies, epochs=3)  # epochs of 4 steps
    monkeypatch.setattr(loop, "LOOK_S", 1e9)
    steps, broken = 0, 6
    right = loop.loss_of

    def breaks(*arguments):
        nonlocal steps
        steps += 1
        loss = right(*arguments)
        return loss * torch.nan if steps == broken else loss

    monkeypatch.setattr(loop, "loss_of", breaks)
    with pytest.raises(TrainingError, match=f"run {run.run_id}: .* found nan in epoch 2, step 6; lower the learning"):
        trained(run, studies, tmp_path, store)
    assert steps == 8  # read at the end of the epoch
    steps = 0
    with pytest.raises(TrainingError, match="found nan in epoch 2, step 6"):
        trained(run, studies, tmp_path, store, checkpoint_s=0)
    assert steps == 6  # read before each checkpoint
    checkpoint = safetensors.torch.load(last_checkpoint(store, run))
    assert all(torch.isfinite(tensor).all() for tensor in checkpoint.values())

    steps = 0
    monkeypatch.setattr(loop, "LOSSES_READ_EVERY", 2)
    broken = 3
    with pytest.raises(TrainingError, match="found nan in epoch 1, step 3"):
        trained(run, studies, tmp_path)
    assert steps == 3  # two steps after the first look


@pytest.mark.parametrize(("name", "fused"), [("adam", True), ("adamw", True), ("sgd", None)])
def test_adams_update_is_fused_whatever_a_checkpoint_says(name, fused):
    network = build_unet(Architecture(depth=1, base_channels=2), 1, 0)
    optimizer = build_optimizer(network, make_run([draw_study(1)], optimizer=name).training)
    header = optimizer_header(network, optimizer)
    header["groups"] = [group | {"fused": False} for group in header["groups"]]
    restore_optimizer(network, optimizer, header, {})
    assert optimizer.param_groups[0]["fused"] == fused
