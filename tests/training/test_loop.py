"""Training is reproducible, resumes to the same weights, and learns."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from lesionlab.errors import RunFailed, TrainingError
from lesionlab.experiments.run_checkpoints import RunCheckpoints
from lesionlab.model.transfer import random_start
from lesionlab.model.unet import build_unet
from lesionlab.model.weights import weights_bytes
from lesionlab.model.windows import head_probability
from lesionlab.store.objects import open_store
from lesionlab.training.checkpoint import Progress, save_checkpoint, snapshot
from lesionlab.training.copies import Copies, epoch_patches
from lesionlab.training.loop import SoloWorker, batches, train
from lesionlab.training.optimizers import build_optimizer
from lesionlab.training.saving import CHECKPOINT_S
from storage_schemas.axes import Freezing
from tests.training.drawn import copied_transfers, draw_study, interrupted_run, make_run

CPU = SoloWorker(torch.device("cpu"))


class RecordingWorker(SoloWorker):
    """Records all reports."""

    def __init__(self) -> None:
        super().__init__(torch.device("cpu"))
        object.__setattr__(self, "reports", [])

    def report(self, metrics):
        self.reports.append(metrics)


class Stop(Exception):
    """Stops a training."""


class StoppedWorker(SoloWorker):
    """Trains the given number of steps, then raises Stop."""

    def __init__(self, steps: int) -> None:
        super().__init__(torch.device("cpu"))
        object.__setattr__(self, "left", steps)

    def parallel(self, network):
        def step(image_BCIJK):
            if not self.left:
                raise Stop
            object.__setattr__(self, "left", self.left - 1)
            return network(image_BCIJK)

        return step


def kept(store, run):
    """The checkpoints of one attempt."""
    return RunCheckpoints(store, run.run_id, "001-test")


def last_checkpoint(store, run):
    checkpoints = kept(store, run)
    return checkpoints.read(checkpoints.names()[0])


def train_drawn(run, studies, store, cache, worker=CPU, transfers_of=random_start, checkpoint_s=CHECKPOINT_S):
    """With `checkpoint_s` 0 a checkpoint is due after each step, and left out while the one before it is written."""
    network = build_unet(run.architecture, len(run.channels), run.seed)
    transfers = transfers_of(network)
    return network, train(run, network, transfers, studies, kept(store, run), worker, cache, checkpoint_s=checkpoint_s)


def weights_after(run, studies, cache, transfers_of=random_start):
    """Tensors of the trained network by name."""
    network, _ = train_drawn(run, studies, open_store("memory://"), cache, transfers_of=transfers_of)
    return network.state_dict()


def changed(run, weights):
    """Names of the tensors that the training of `run` changed."""
    start = build_unet(run.architecture, len(run.channels), run.seed).state_dict()
    return {name for name, tensor in weights.items() if not torch.equal(tensor, start[name])}


def test_equal_seeds_give_equal_networks_and_other_seeds_other_networks(tmp_path):
    studies = [draw_study(1), draw_study(2)]
    first, again, other = (
        weights_bytes(train_drawn(make_run(studies, seed), studies, open_store("memory://"), tmp_path / str(place))[0])
        for place, seed in enumerate((0, 0, 1))
    )
    assert first == again
    assert first != other


def test_training_neither_reads_nor_changes_the_global_random_state(tmp_path):
    studies = [draw_study(1)]
    torch.manual_seed(1)
    np.random.seed(1)
    before = torch.get_rng_state()
    first = weights_bytes(train_drawn(make_run(studies), studies, open_store("memory://"), tmp_path)[0])
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    np.random.seed(2)
    assert weights_bytes(train_drawn(make_run(studies), studies, open_store("memory://"), tmp_path)[0]) == first


def killed_trainings(folder, steps):
    """A store for each of these numbers of steps, in which a training was killed (SIGKILL) after so many."""
    script = [sys.executable, str(Path(__file__).with_name("train_until_killed.py")), str(folder), *map(str, steps)]
    told = subprocess.run(script, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    return {step: open_store((folder / str(step)).as_uri()) for step in steps}


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param((6, 11), id="two steps"),
        pytest.param(tuple(range(1, 13)), marks=pytest.mark.slow, id="every step"),
    ],
)
def test_a_training_killed_after_any_step_ends_like_an_undisturbed_one(steps, tmp_path):
    studies, run = interrupted_run()
    torch.set_num_threads(1)
    uninterrupted, whole = train_drawn(run, studies, open_store("memory://"), tmp_path / "cache")
    resumed_from = set()
    for step, store in killed_trainings(tmp_path, steps).items():
        names = kept(store, run).names()
        resumed_from |= {int(Path(name).stem) for name in names[:1]}
        resumed, rest = train_drawn(run, studies, store, tmp_path / "cache")
        assert (rest.epochs, rest.steps, rest.final_loss) == (3, 12, whole.final_loss), step
        assert weights_bytes(resumed) == weights_bytes(uninterrupted), step
    assert any(step % 4 for step in resumed_from), "no training was resumed within an epoch of 4 steps"


def test_a_completed_training_is_not_repeated(tmp_path):
    studies, store = [draw_study(1)], open_store("memory://")
    network, first = train_drawn(make_run(studies), studies, store, tmp_path)
    again, second = train_drawn(make_run(studies), studies, store, tmp_path, recorder := RecordingWorker())
    assert recorder.reports == []
    assert second.final_loss == first.final_loss
    assert weights_bytes(again) == weights_bytes(network)


def test_a_checkpoint_is_plain_safetensors_and_records_progress(tmp_path):
    studies, store = [draw_study(1)], open_store("memory://")
    run = make_run(studies)
    _, outcome = train_drawn(run, studies, store, tmp_path / "cache")
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(last_checkpoint(store, run))
    with safetensors.safe_open(path, "pt") as checkpoint:
        header = json.loads(checkpoint.metadata()["training"])
        names = set(checkpoint.keys())
    assert header["run_id"] == run.run_id
    assert header["progress"] == {"epochs": 2, "steps": outcome.steps, "loss": outcome.final_loss, "losses": []}
    assert header["optimizer"]["kind"] == "Adam"
    (group,) = header["optimizer"]["groups"]
    assert (group["lr"], group["betas"], group["params"][-1]) == (1e-3, [0.9, 0.999], "head.bias")
    slots = {name.removeprefix("optimizer.head.bias.") for name in names if name.startswith("optimizer.head.bias.")}
    assert slots == {"exp_avg", "exp_avg_sq", "step"}
    assert "model.head.bias" in names


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    studies, store = [draw_study(1)], open_store("memory://")
    ours, other = make_run(studies), make_run(studies, seed=9)
    train_drawn(other, studies, store, tmp_path)
    kept(store, ours).save(2, last_checkpoint(store, other))
    with pytest.raises(TrainingError, match=f"wanted a checkpoint of run {ours.run_id}, found one of {other.run_id}"):
        train_drawn(ours, studies, store, tmp_path)


def test_a_checkpoint_of_another_optimiser_is_refused(tmp_path):
    studies, store = [draw_study(1)], open_store("memory://")
    ours, other = make_run(studies), make_run(studies, optimizer="sgd")
    network = build_unet(other.architecture, 1, other.seed)
    progress = Progress(epochs=1, steps=2, loss=0.5)
    state = snapshot(ours.run_id, progress, network, build_optimizer(network, other.training))
    save_checkpoint(kept(store, ours), state)
    with pytest.raises(
        TrainingError, match=r"000000002\.safetensors: wanted the state of Adam, found that of SGD; delete it"
    ):
        train_drawn(ours, studies, store, tmp_path)


@pytest.mark.parametrize("where", ["progress", "weights", "optimiser", "cut off"])
def test_a_damaged_checkpoint_is_left_out_and_the_training_resumes_from_the_one_before(where, tmp_path, caplog):
    studies, store, whole = [draw_study(1)], open_store("memory://"), open_store("memory://")
    run = make_run(studies, epochs=3)
    train_drawn(run, studies, whole, tmp_path)
    with pytest.raises(Stop):
        train_drawn(run, studies, store, tmp_path, StoppedWorker(5), checkpoint_s=0)
    newest, older = kept(store, run).names()
    data = bytearray(store.get(newest))
    start = 8 + int.from_bytes(data[:8], "little")  # of the tensors
    match where:
        case "progress":
            at = data.index(b'epochs\\": ') + len(b'epochs\\": ')
            data[at] ^= 1  # one epoch more or less
        case "weights":
            data[-1] ^= 1
        case "optimiser":
            data[start] ^= 1
        case "cut off":
            del data[-7:]
    store.put(newest, bytes(data))
    with caplog.at_level("WARNING"):
        train_drawn(run, studies, store, tmp_path)
    assert f"{newest} is damaged" in caplog.text
    assert older not in caplog.text
    assert last_checkpoint(store, run) == last_checkpoint(whole, run)


def test_a_run_whose_checkpoints_are_all_damaged_starts_over(tmp_path):
    studies, store, whole = [draw_study(1)], open_store("memory://"), open_store("memory://")
    run = make_run(studies)
    train_drawn(run, studies, whole, tmp_path)
    kept(store, run).save(2, b"nothing of a checkpoint")
    train_drawn(run, studies, store, tmp_path)
    assert last_checkpoint(store, run) == last_checkpoint(whole, run)


OPTIMIZERS = ["adam", "adamw", "sgd"]


def test_workers_that_read_different_checkpoints_do_not_train_together(tmp_path):
    class BesideAnother(SoloWorker):
        def gather(self, value):
            return [value, 3] if isinstance(value, int) else [value]

    studies = [draw_study(1)]
    with pytest.raises(RunFailed, match="different steps: 0, 3") as failed:
        train_drawn(make_run(studies), studies, open_store("memory://"), tmp_path, BesideAnother(CPU.device))
    assert failed.value.kind == "lost"


def test_each_optimiser_trains_different_weights(tmp_path):
    studies = [draw_study(1)]
    weights = [
        weights_after(make_run(studies, optimizer=name), studies, tmp_path)["head.weight"] for name in OPTIMIZERS
    ]
    assert not any(torch.equal(one, other) for one, other in combinations(weights, 2))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_equal_trainings_leave_equal_checkpoints(optimizer, tmp_path):
    studies, stores = [draw_study(1)], [open_store("memory://"), open_store("memory://")]
    run = make_run(studies, optimizer=optimizer)
    for store in stores:
        train_drawn(run, studies, store, tmp_path)
    one, other = (last_checkpoint(store, run) for store in stores)
    assert one == other


@pytest.mark.parametrize("steps", [1, 5, 8], ids="after {} steps".format)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_resuming_a_stopped_training_gives_the_same_checkpoint_with_every_optimiser(optimizer, steps, tmp_path):
    studies, store, whole = [draw_study(1), draw_study(2)], open_store("memory://"), open_store("memory://")
    freezing = Freezing(part="encoder", epochs=2)  # the frozen part has no optimiser state until the third epoch
    run = make_run(studies, optimizer=optimizer, learning_rate=1e-2, epochs=3, warmup_steps=6, freezing=freezing)
    with pytest.raises(Stop):
        train_drawn(run, studies, store, tmp_path, StoppedWorker(steps), copied_transfers, checkpoint_s=0)
    train_drawn(run, studies, store, tmp_path, transfers_of=copied_transfers)
    train_drawn(run, studies, whole, tmp_path, transfers_of=copied_transfers)
    assert last_checkpoint(store, run) == last_checkpoint(whole, run)


def test_a_stopped_training_whose_patches_are_deformed_one_by_one_ends_like_an_undisturbed_one(tmp_path):
    studies, store, whole = [draw_study(1), draw_study(2)], open_store("memory://"), open_store("memory://")
    run = make_run(studies, epochs=2, augmentation="every-patch")
    with pytest.raises(Stop):
        train_drawn(run, studies, store, tmp_path, StoppedWorker(5), checkpoint_s=0)
    train_drawn(run, studies, store, tmp_path)
    train_drawn(run, studies, whole, tmp_path / "another node")
    assert last_checkpoint(store, run) == last_checkpoint(whole, run)


def test_a_loss_that_is_not_finite_stops_training_and_the_error_names_epoch_and_step(tmp_path):
    study = draw_study(1)
    study.image_CIJK[:] = np.nan
    with pytest.raises(TrainingError, match="found nan in epoch 1, step 1; lower the learning rate"):
        train_drawn(make_run([study]), [study], open_store("memory://"), tmp_path)


def test_each_epoch_draws_and_shuffles_new_patches_from_every_copy(tmp_path):
    studies = [draw_study(1), draw_study(2)]
    run = make_run(studies)
    copies = Copies(run, studies, tmp_path)
    first, again, second = (epoch_patches(run, epoch, copies) for epoch in (0, 0, 1))
    places = [
        [(patch.volume.study, patch.volume.copy, *patch.start) for patch in patches]
        for patches in (first, again, second)
    ]
    assert places[0] == places[1]
    assert sorted(places[0]) != sorted(places[2])
    assert len(places[0]) == 2 * 2 * 4
    assert {place[:2] for place in places[0]} == {(copy.study, copy.copy) for copy in copies}


@pytest.mark.parametrize(("patches", "size"), [(8, 4), (10, 4), (3, 8)])
def test_batches_are_full_and_include_every_patch(patches, size):
    cut = list(batches(list(range(patches)), size))
    assert {len(batch) for batch in cut} == {size}
    assert [patch for batch in cut for patch in batch][:patches] == list(range(patches))
    assert len(cut) == math.ceil(patches / size)


def test_a_small_network_learns_to_segment_bright_balls(tmp_path):
    studies = [draw_study(number) for number in range(1, 4)]
    run = make_run(studies, patches_per_study=8, augmentations=3, epochs=6, batch_size=4, learning_rate=1e-2)
    network, _ = train_drawn(run, studies, open_store("memory://"), tmp_path, recorder := RecordingWorker())
    losses = [report["loss"] for report in recorder.reports]
    assert losses[-1] < 0.3 * losses[0]
    unseen = draw_study(99)
    found_IJK = head_probability(network, unseen.image_CIJK, 16, 8, torch.device("cpu")) > 0.5
    overlap = np.logical_and(found_IJK, unseen.label_IJK).sum()
    assert 2 * overlap / (found_IJK.sum() + unseen.label_IJK.sum()) > 0.6


def test_equal_budgets_in_steps_and_epochs_train_equal_weights(tmp_path):
    studies = [draw_study(1), draw_study(2)]
    by_epochs, by_steps = (
        weights_after(make_run(studies, **b), studies, tmp_path) for b in ({"epochs": 2}, {"steps": 8})
    )
    assert all(torch.equal(by_epochs[name], by_steps[name]) for name in by_epochs)


def test_within_an_epoch_reports_come_at_intervals_and_give_the_mean_loss_of_its_steps(tmp_path):
    studies = [draw_study(1), draw_study(2)]
    run = make_run(studies, epochs=1)
    _, outcome = train_drawn(
        run, studies, open_store("memory://"), tmp_path, recorder := RecordingWorker(), checkpoint_s=0
    )
    assert [(report["epoch"], report["step"]) for report in recorder.reports] == [
        (0, 1),
        (0, 2),
        (0, 3),
        (0, 4),
        (1, 4),
    ]
    assert recorder.reports[-2]["loss"] == recorder.reports[-1]["loss"] == outcome.final_loss


def test_a_step_budget_ends_within_the_last_epoch_and_reports_give_progress(tmp_path):
    studies = [draw_study(1), draw_study(2)]
    run = make_run(studies, steps=6)
    _, outcome = train_drawn(run, studies, open_store("memory://"), tmp_path, recorder := RecordingWorker())
    assert (outcome.epochs, outcome.steps) == (2, 6)
    assert [(report["step"], report["steps"]) for report in recorder.reports] == [(4, 6), (6, 6)]


def test_warm_up_shortens_the_first_step(tmp_path):
    studies = [draw_study(1)]
    one_step = {"epochs": 1, "batch_size": 8, "learning_rate": 1e-2}

    def largest_change(**training):
        run = make_run(studies, **one_step, **training)
        start, end = build_unet(run.architecture, 1, run.seed).state_dict(), weights_after(run, studies, tmp_path)
        return max(float((end[name] - start[name]).abs().max()) for name in end)

    assert largest_change() == pytest.approx(1e-2, rel=1e-3)  # Adam's first step equals the learning rate
    assert largest_change(warmup_steps=4) == pytest.approx(1e-2 / 4, rel=1e-3)


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize(
    ("part", "trained"), [("encoder", ("up.", "merge.", "head.")), ("all-but-head", ("head.",))], ids=["encoder", "all"]
)
def test_a_frozen_part_keeps_the_sources_weights_and_statistics(part, trained, norm, tmp_path):
    studies = [draw_study(1)]
    run = make_run(studies, norm=norm, freezing=Freezing(part=part))
    weights = weights_after(run, studies, tmp_path, copied_transfers)
    assert changed(run, weights) == {name for name in weights if name.startswith(trained)}


def test_unfrozen_tensors_train_from_then_on_with_their_own_optimiser_step_count(tmp_path):
    studies, store = [draw_study(1)], open_store("memory://")
    run = make_run(studies, norm="batch", epochs=3, freezing=Freezing(part="encoder", epochs=2))
    network, _ = train_drawn(run, studies, store, tmp_path, transfers_of=copied_transfers)
    assert changed(run, network.state_dict()) == set(network.state_dict())
    checkpoint = safetensors.torch.load(last_checkpoint(store, run))
    ages = {part: int(checkpoint[f"optimizer.{part}.weight.step"]) for part in ("entry.conv1", "head")}
    assert ages == {"entry.conv1": 2, "head": 6}
    assert int(checkpoint["model.entry.norm1.num_batches_tracked"]) == 2


def test_a_de_novo_training_ignores_freezing(tmp_path):
    studies = [draw_study(1)]
    free, bound = (
        weights_after(make_run(studies, freezing=freezing), studies, tmp_path)
        for freezing in (None, Freezing(part="all-but-head"))
    )
    assert all(torch.equal(free[name], bound[name]) for name in free)


@pytest.mark.parametrize("steps", [2, 4, 5, 8, 9], ids="after {} steps".format)
@pytest.mark.parametrize("frozen_epochs", [1, 2])
def test_a_training_stopped_around_unfreezing_resumes_to_the_same_weights(steps, frozen_epochs, tmp_path):
    studies, store = [draw_study(1), draw_study(2)], open_store("memory://")
    freezing = Freezing(part="encoder", epochs=frozen_epochs)
    run = make_run(studies, norm="batch", steps=10, warmup_steps=7, freezing=freezing)  # epochs of 4, 4 and 2 steps
    with pytest.raises(Stop):
        train_drawn(run, studies, store, tmp_path, StoppedWorker(steps), copied_transfers, checkpoint_s=0)
    resumed, _ = train_drawn(run, studies, store, tmp_path, transfers_of=copied_transfers)
    uninterrupted, _ = train_drawn(run, studies, open_store("memory://"), tmp_path, transfers_of=copied_transfers)
    assert weights_bytes(resumed) == weights_bytes(uninterrupted)
