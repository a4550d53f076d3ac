"""Several workers give the result of one; their errors are re-raised; a killed worker is replaced."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
import torch
from ray import cloudpickle
from safetensors.torch import load

from lesionlab.errors import StoreError, TrainingError, TransferError
from lesionlab.experiments.run_checkpoints import RunCheckpoints
from lesionlab.model import devices
from lesionlab.model.unet import build_unet
from lesionlab.model.weights import weights_bytes
from lesionlab.orchestration.distributed import RESERVE_S, run_distributed, start_timeout_s
from lesionlab.orchestration.room import Room
from lesionlab.store.objects import open_store
from lesionlab.training import compiling
from lesionlab.training.loop import SoloWorker, train
from storage_schemas.axes import Freezing
from tests.training.drawn import copied_transfers, draw_study, make_run

cloudpickle.register_pickle_by_value(sys.modules[__name__])
pytestmark = pytest.mark.usefixtures("ray_of_two_cpus")

RUN_ID = "0123456789abcdef"

SETTINGS = ("norm", "frozen_epochs", "loss", "micro_batch")
"""Of `drawn_run`, in a task."""


def drawn_run(
    norm: str = "instance",
    frozen_epochs: str = "0",
    loss: str = "cross-entropy",
    micro_batch: int | None = None,
):
    """A run of 3 epochs; `frozen_epochs` says how long the encoder is frozen.

    SGD, because Adam enlarges rounding where gradients are near 0: with it, shares summed in another order change
    weights by up to 1e-3. Here they change them by 1e-7, and a worker that kept the gradient of its own share by 7e-4.
    """
    studies = [draw_study(1), draw_study(2)]
    freezing = Freezing(part="encoder", epochs=int(frozen_epochs)) if frozen_epochs != "0" else None
    settings = {"freezing": freezing, "loss": loss, "micro_batch": micro_batch}
    settings |= {"optimizer": "sgd", "learning_rate": 1e-2}
    return studies, make_run(studies, epochs=3, workers=2, norm=norm, **settings)


def train_drawn(worker, task):
    """Train `drawn_run`; rank 0 stores the weights."""
    studies, run = drawn_run(**{name: task[name] for name in SETTINGS if name in task})
    network = build_unet(run.architecture, 1, run.seed)
    store = open_store(task["store"])
    train(
        run,
        network,
        copied_transfers(network),
        studies,
        RunCheckpoints(store, run.run_id, "001-test"),
        worker,
        Path(task["cache"]),
    )
    if worker.rank == 0:
        store.put("weights", weights_bytes(network))


def train_and_die_once(worker, task):
    """As `train_drawn`, but on the first attempt rank 1 is killed in the middle of the second epoch."""
    steps = 0

    class Doomed(torch.nn.Module):
        def __init__(self, network):
            super().__init__()
            self.network = network

        def forward(self, image_BCIJK):
            nonlocal steps
            steps += 1
            if steps == 6:
                Path(task["died"]).touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return self.network(image_BCIJK)

    class DoomedWorker(type(worker)):
        def parallel(self, network):
            return Doomed(super().parallel(network))

    if worker.rank == 1 and not Path(task["died"]).exists():
        worker = DoomedWorker(worker.rank, worker.world_size, worker.device)
    train_drawn(worker, task)


def train_as_on_a_gpu(worker, task):
    """As `train_drawn`, in the forms and the order of a GPU, with a compiled network."""
    devices.on_gpu = lambda device: True
    compiling.pays = lambda *_: True
    compiling.BACKEND = "eager"  # torch traces the network, and generates no code

    class Seen(type(worker)):
        def parallel(self, network):
            parallel = super().parallel(network)
            kinds = [type(module).__name__ for module in (parallel, parallel.module, parallel.module.network)]
            open_store(task["store"]).put(f"kinds/{self.rank}", " ".join(kinds).encode())
            return parallel

    train_drawn(Seen(worker.rank, worker.world_size, worker.device), task)


def refuse(worker, task):
    raise TransferError("model glioma/1: weights were altered")


def assert_same_as_one_worker(weights, tmp_path, **changes):
    studies, run = drawn_run(**changes)
    network = build_unet(run.architecture, 1, run.seed)
    alone = SoloWorker(torch.device("cpu"))
    train(
        run,
        network,
        copied_transfers(network),
        studies,
        RunCheckpoints(open_store("memory://"), run.run_id, "001-test"),
        alone,
        tmp_path / "cache",
    )
    for name, tensor in load(weights).items():
        torch.testing.assert_close(tensor, network.state_dict()[name], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_two_workers_train_to_the_weights_of_one_and_ray_leaves_no_files(tmp_path, file_store_uri):
    task = {"store": file_store_uri, "cache": str(tmp_path / "cache")}
    run_distributed(train_drawn, task, name=RUN_ID, workers=2, store_uri=file_store_uri, room=Room("cpu"))
    store = open_store(file_store_uri)
    assert_same_as_one_worker(store.get("weights"), tmp_path)
    assert [key for key in store.list("") if "/ray/" in key] == []


@pytest.mark.slow
def test_two_workers_train_a_compiled_network_to_the_weights_of_one(tmp_path, file_store_uri):
    task = {"store": file_store_uri, "cache": str(tmp_path / "cache")}
    run_distributed(train_as_on_a_gpu, task, name=RUN_ID, workers=2, store_uri=file_store_uri, room=Room("cpu"))
    store = open_store(file_store_uri)
    for rank in (0, 1):
        assert store.get(f"kinds/{rank}") == b"DistributedDataParallel Compiled OptimizedModule"
    assert_same_as_one_worker(store.get("weights"), tmp_path)


@pytest.mark.slow
def test_two_workers_freeze_and_unfreeze_as_one_does(tmp_path, file_store_uri):
    task = {"store": file_store_uri, "cache": str(tmp_path / "cache"), "frozen_epochs": "1"}
    run_distributed(train_drawn, task, name=RUN_ID, workers=2, store_uri=file_store_uri, room=Room("cpu"))
    assert_same_as_one_worker(open_store(file_store_uri).get("weights"), tmp_path, frozen_epochs="1")


@pytest.mark.slow
def test_two_workers_that_pass_batches_in_parts_train_to_the_weights_of_one_that_does_not(tmp_path, file_store_uri):
    task = {"store": file_store_uri, "cache": str(tmp_path / "cache"), "micro_batch": 1}
    run_distributed(train_drawn, task, name=RUN_ID, workers=2, store_uri=file_store_uri, room=Room("cpu"))
    assert_same_as_one_worker(open_store(file_store_uri).get("weights"), tmp_path)


@pytest.mark.slow
def test_two_workers_lower_the_dice_loss_of_the_whole_batch_as_one_does(tmp_path, file_store_uri):
    task = {"store": file_store_uri, "cache": str(tmp_path / "cache"), "loss": "dice-cross-entropy"}
    run_distributed(train_drawn, task, name=RUN_ID, workers=2, store_uri=file_store_uri, room=Room("cpu"))
    assert_same_as_one_worker(open_store(file_store_uri).get("weights"), tmp_path, loss="dice-cross-entropy")


@pytest.mark.slow
def test_a_workers_error_is_re_raised_and_the_ctrl_c_handler_is_restored(file_store_uri):
    interrupt = signal.getsignal(signal.SIGINT)
    with pytest.raises(TransferError, match=r"^model glioma/1: weights were altered$"):
        run_distributed(refuse, {}, name=RUN_ID, workers=2, store_uri=file_store_uri, room=Room("cpu"))
    assert signal.getsignal(signal.SIGINT) is interrupt


def test_more_workers_than_the_session_has_cpus_are_refused(file_store_uri):
    with pytest.raises(TrainingError, match="wanted 3 workers, the Ray session has 2 CPUs and 0 GPUs"):
        run_distributed(refuse, {}, name=RUN_ID, workers=3, store_uri=file_store_uri, room=Room("cpu"))


@pytest.mark.parametrize(("wait_s", "timeout_s"), [(0, RESERVE_S), (30, 30), (3600, 60)])
def test_a_group_may_always_reserve_the_room_that_is_free(wait_s, timeout_s):
    assert start_timeout_s(Room("cpu", wait_s=wait_s)) == timeout_s


def test_a_store_that_workers_cannot_share_is_refused():
    with pytest.raises(StoreError, match="memory://: "):
        run_distributed(refuse, {}, name=RUN_ID, workers=2, store_uri="memory://", room=Room("cpu"))


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_the_run_resumes_from_its_checkpoint(tmp_path, file_store_uri):
    died = tmp_path / "died"
    task = {"store": file_store_uri, "cache": str(tmp_path / "cache"), "died": str(died)}
    run_distributed(train_and_die_once, task, name=RUN_ID, workers=2, store_uri=file_store_uri, room=Room("cpu"))
    assert died.exists()
    assert_same_as_one_worker(open_store(file_store_uri).get("weights"), tmp_path)


def die_at_once(worker, task):
    """On the first attempt rank 0 is killed before it does anything."""
    if worker.rank == 0 and not Path(task["died"]).exists():
        Path(task["died"]).touch()
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_a_group_that_dies_during_start_up_frees_its_cpus_for_the_next(tmp_path, file_store_uri):
    died = tmp_path / "died"
    run_distributed(
        die_at_once, {"died": str(died)}, name=RUN_ID, workers=2, store_uri=file_store_uri, room=Room("cpu")
    )
    assert died.exists()


@pytest.mark.slow
def test_batch_normalisation_over_several_cpu_workers_is_refused(tmp_path, file_store_uri):
    task = {"store": file_store_uri, "cache": str(tmp_path / "cache"), "norm": "batch"}
    with pytest.raises(TrainingError, match="batch normalisation over 2 CPU workers"):
        run_distributed(train_drawn, task, name=RUN_ID, workers=2, store_uri=file_store_uri, room=Room("cpu"))


@pytest.mark.slow
@pytest.mark.s3
def test_two_workers_train_over_an_s3_store(tmp_path, s3_store_uri):
    task = {"store": s3_store_uri, "cache": str(tmp_path / "cache")}
    environment = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    run_distributed(train_in(environment), task, name=RUN_ID, workers=2, store_uri=s3_store_uri, room=Room("cpu"))
    store = open_store(s3_store_uri)
    assert_same_as_one_worker(store.get("weights"), tmp_path)
    assert [key for key in store.list("") if "/ray/" in key] == []


def train_in(environment):
    """`train_drawn` with these environment variables: the session's workers started before the test set them."""

    def work(worker, task):
        os.environ.update(environment)
        train_drawn(worker, task)

    return work
