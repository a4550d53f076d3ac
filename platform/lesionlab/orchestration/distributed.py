"""Work for several workers in; done by a group of Ray Train workers on the session's machines, data-parallel, out.

Ray Train brings the workers together; which runs are done, and how far one is, the store alone says. So Ray's own state
of a run is thrown away, and lost workers are replaced by a new group that goes on from the run's checkpoint.
"""

from __future__ import annotations

import secrets
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import boto3
import pyarrow.fs
import ray.train
import ray.train.torch
import torch
from ray.train.v2._internal.execution.callback import ControllerCallback, WorkerGroupCallback
from ray.tune.integration.ray_train import TuneReportCallback
from torch import nn

from lesionlab.errors import LesionlabError, StoreError, TrainingError
from lesionlab.orchestration.session import capacity
from lesionlab.store.objects import open_store
from lesionlab.training.loop import Worker
from storage_schemas import keys

T = TypeVar("T")
Work = Callable[[Worker, dict[str, str]], None]
"""What every worker does with the task; it must be importable on the workers' machines."""

ATTEMPTS = 3
"""How often a group of workers may be lost before a run is given up."""


@dataclass(frozen=True)
class RayWorker:
    """One of the workers of a Ray Train group; gloo between CPUs, NCCL between GPUs."""

    rank: int
    world_size: int
    device: torch.device

    def parallel(self, network: nn.Module) -> nn.Module:
        """DistributedDataParallel. Raises TrainingError for batch normalisation over several CPU workers."""
        if self.world_size > 1 and any(isinstance(module, nn.BatchNorm3d) for module in network.modules()):
            if self.device.type == "cpu":
                raise TrainingError(
                    f"batch normalisation over {self.world_size} CPU workers: each would normalise by its own share; "
                    "use one worker, or normalise by instance or group"
                )
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        parallel: nn.Module = ray.train.torch.prepare_model(network)
        return parallel

    def gather(self, value: T) -> list[T]:
        """Every worker's value, by rank."""
        values: list[Any] = [None] * self.world_size
        torch.distributed.all_gather_object(values, value)
        return values

    def report(self, metrics: dict[str, float]) -> None:
        """To the driver; rank 0's are the ones that are shown."""
        ray.train.report(metrics)


def run_distributed(work: Work, task: dict[str, str], *, name: str, workers: int, store_uri: str) -> None:
    """Do `work(worker, task)` on each of `workers` workers (one GPU each where the session has any, else one CPU).

    `name` is the run's id. Within a Tune trial the reports of rank 0 go on to Tune. Raises what a worker raised where
    that is a LesionlabError; TrainingError where the session is too small, or the workers were lost `ATTEMPTS` times.
    """
    room = capacity()
    if not room.cells(workers):
        raise TrainingError(
            f"run {name}: wanted {workers} workers, the Ray session has {room.cpus:g} CPUs and {room.gpus:g} GPUs; "
            "use fewer workers or a larger cluster"
        )

    def loop(config: dict[str, str]) -> None:
        context = ray.train.get_context()
        device = ray.train.torch.get_device()
        work(RayWorker(context.get_world_rank(), context.get_world_size(), device), config)

    for _ in range(ATTEMPTS):
        try:
            with _ray_state(store_uri, name) as state, _own_interrupt():
                ray.train.torch.TorchTrainer(
                    loop,
                    train_loop_config=task,
                    scaling_config=ray.train.ScalingConfig(
                        num_workers=workers, use_gpu=room.gpus > 0, resources_per_worker=room.worker()
                    ),
                    run_config=ray.train.RunConfig(**state, callbacks=_callbacks()),
                ).fit()
            return
        except ray.train.TrainingFailedError as error:
            for failure in getattr(error, "worker_failures", {}).values():
                if isinstance(cause := getattr(failure, "_base_exc", failure), LesionlabError):
                    raise cause from None
            # The error itself would keep Ray's controller alive, and with it the CPUs that the next attempt needs.
            lost = str(error)
    raise TrainingError(f"run {name}: given up after its workers were lost {ATTEMPTS} times; the last time: {lost}")


@contextmanager
def _ray_state(store_uri: str, name: str) -> Iterator[dict[str, Any]]:
    """Where Ray keeps its own state of one attempt, as arguments of RunConfig; nothing of it is left.

    Each attempt has a name of its own: Ray takes a run of a known name for one that is finished, or half done.
    """
    attempt, key = secrets.token_hex(8), keys.RUN_RAY.build(run_id=name)
    place = urlsplit(store_uri)
    if place.scheme == "file":
        storage: dict[str, Any] = {"storage_path": f"{unquote(place.path)}/{key}"}
    elif place.scheme == "s3":
        storage = {
            "storage_path": f"{place.netloc}{place.path.rstrip('/')}/{key}",
            "storage_filesystem": _s3_filesystem(),
        }
    else:
        raise StoreError(f"store {store_uri}: workers in other processes can only share file:// and s3:// stores")
    try:
        yield {"name": attempt, **storage}
    finally:
        open_store(store_uri).delete_prefix(key + "/")


def _s3_filesystem() -> pyarrow.fs.S3FileSystem:
    """From the AWS configuration that the store uses; left alone, pyarrow ignores AWS_ENDPOINT_URL_S3."""
    session = boto3.Session()
    credentials = session.get_credentials().get_frozen_credentials()
    endpoint = urlsplit(session.client("s3", region_name=session.region_name or "us-east-1").meta.endpoint_url)
    return pyarrow.fs.S3FileSystem(
        access_key=credentials.access_key,
        secret_key=credentials.secret_key,
        session_token=credentials.token,
        region=session.region_name or "us-east-1",
        scheme=endpoint.scheme,
        endpoint_override=endpoint.netloc,
    )


def _callbacks() -> list[Any]:
    """Reports go on to Tune where there is a trial around this run."""
    try:
        return [_Release(), TuneReportCallback()]  # type: ignore[no-untyped-call]
    except RuntimeError:
        return [_Release()]


class _Release(ControllerCallback, WorkerGroupCallback):
    """Gives back the CPUs of a group that lost a worker while it was starting: Ray 2.60 keeps them to the job's end."""

    def after_worker_group_start(self, worker_group: Any) -> None:
        self._places = worker_group.get_worker_group_state().placement_group_handle

    async def before_controller_shutdown(self) -> None:
        if places := getattr(self, "_places", None):
            places.shutdown()


@contextmanager
def _own_interrupt() -> Iterator[None]:
    """Ray Train takes over Ctrl-C and never gives it back."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
