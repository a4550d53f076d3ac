"""Train one run data-parallel on a group of Ray Train workers.

The store alone records which runs are done and how far a run has come. Ray's own state of a run is deleted, and lost
workers are replaced by a new group that resumes from the run's checkpoint.
"""

from __future__ import annotations

import os
import secrets
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import pyarrow.fs
import ray.train
import ray.train.torch
import torch
from botocore.credentials import RefreshableCredentials
from ray.exceptions import RayActorError
from ray.train.v2._internal.constants import DEFAULT_WORKER_GROUP_START_TIMEOUT_S, WORKER_GROUP_START_TIMEOUT_S_ENV_VAR
from ray.train.v2._internal.execution.callback import ControllerCallback, WorkerGroupCallback
from ray.tune.integration.ray_train import TuneReportCallback
from torch import nn

from lesionlab.errors import RunFailed, StoreError, TrainingError
from lesionlab.experiments.run_checkpoints import newest_step
from lesionlab.orchestration.failures import Starts, failure_kind, root_cause, told_by_kind
from lesionlab.orchestration.room import Room
from lesionlab.orchestration.session import refuse_if_too_small
from lesionlab.store.aws import aws_access
from lesionlab.store.objects import open_store
from lesionlab.training.loop import Worker
from storage_schemas import keys

T = TypeVar("T")
Work = Callable[[Worker, dict[str, str]], None]
"""The function that each worker calls; it must be importable on the workers' machines."""

RESERVE_S = 10.0
"""Ray takes a moment to reserve room that is free: in a shorter time, `--wait 0` would refuse a cluster that has it."""


@dataclass(frozen=True)
class RayWorker:
    """One worker of a Ray Train group; communicates by gloo between CPUs, NCCL between GPUs."""

    rank: int
    world_size: int
    device: torch.device

    def parallel(self, network: nn.Module) -> nn.Module:
        """Wrap in DistributedDataParallel. Raises TrainingError for batch normalisation over several CPU workers."""
        if self.world_size > 1 and any(isinstance(module, nn.BatchNorm3d) for module in network.modules()):
            if self.device.type == "cpu":
                raise TrainingError(
                    f"batch normalisation over {self.world_size} CPU workers: each would normalise its own share of "
                    "the batch; use one worker, or instance or group normalisation"
                )
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        parallel: nn.Module = ray.train.torch.prepare_model(
            network,
            parallel_strategy_kwargs={"gradient_as_bucket_view": True},  # no second copy of the gradients
        )
        return parallel

    def gather(self, value: T) -> list[T]:
        """The values of all workers, by rank."""
        values: list[Any] = [None] * self.world_size
        torch.distributed.all_gather_object(values, value)
        return values

    def report(self, metrics: dict[str, float]) -> None:
        """Report metrics to the driver, which shows those of rank 0."""
        ray.train.report(metrics)

    def leaving(self) -> bool:
        """Whether Ray has announced that the group will lose a node. It is a barrier: all workers must call it."""
        return ray.train.get_preemption_info() is not None


def run_distributed(work: Work, task: dict[str, str], *, name: str, workers: int, store_uri: str, room: Room) -> None:
    """Call `work(worker, task)` on each of `workers` workers, each with the resources that the room declares.

    `name` is the run's id. Inside a Tune trial, rank 0's reports are passed on to Tune. Lost workers are replaced, see
    `Starts`. Re-raises a worker's LesionlabError; raises RunFailed if the run is given up for another reason, and
    TrainingError if the workers found no room for the room's `wait_s`.
    """
    refuse_if_too_small(f"run {name}", workers, room)
    starts, avoided = Starts(), set[str]()
    os.environ[WORKER_GROUP_START_TIMEOUT_S_ENV_VAR] = f"{start_timeout_s(room):g}"

    def loop(config: dict[str, str]) -> None:
        context = ray.train.get_context()
        with told_by_kind(ray.get_runtime_context().get_node_id()):
            device = ray.train.torch.get_device()
            work(RayWorker(context.get_world_rank(), context.get_world_size(), device), config)

    while True:
        try:
            with _ray_state(store_uri, name) as state, _own_interrupt():
                ray.train.torch.TorchTrainer(
                    loop,
                    train_loop_config=task,
                    scaling_config=ray.train.ScalingConfig(  # type: ignore[call-arg]  # Ray's stubs lack labels
                        num_workers=workers,
                        use_gpu=room.device == "cuda",
                        resources_per_worker=room.worker(),
                        label_selector=elsewhere(avoided, room),
                    ),
                    run_config=ray.train.RunConfig(
                        **state,
                        callbacks=_callbacks(name, room),
                        # `Starts` counts; Ray's stubs lack the argument
                        failure_config=ray.train.FailureConfig(max_preemption_failures=0),  # type: ignore[call-arg]
                    ),
                ).fit()
            return
        except (ray.train.TrainingFailedError, RayActorError) as error:
            # Keep no reference to it: it would keep Ray's controller alive, and the CPUs that the next group needs.
            cause = root_cause(_causes(error))
        if not starts.may_start_again(failure_kind(cause), newest_step(open_store(store_uri), name)):
            raise starts.given_up(cause)
        if isinstance(cause, RunFailed) and cause.kind == "hardware":
            avoided.add(cause.node)


def start_timeout_s(room: Room) -> float:
    """How long Ray may take to reserve room for a group; then it looks at `_Deadline` and asks again."""
    return min(DEFAULT_WORKER_GROUP_START_TIMEOUT_S, max(room.wait_s, RESERVE_S))


def _causes(error: BaseException) -> list[BaseException]:
    """What the workers of a group raised, or Ray of them, or the controller of the group."""
    found = getattr(error, "worker_failures", {}).values() or [getattr(error, "controller_failure", error)]
    # Ray wraps what a worker raised, and what it found when it asked a worker whether it is alive.
    return [getattr(cause, "_base_exc", getattr(cause, "health_check_failure", cause)) for cause in found]


def elsewhere(avoided: Collection[str], room: Room) -> dict[str, str] | None:
    """Labels of the nodes other than these; None if no other node has room for a worker."""
    others = [node for node in ray.nodes() if node["Alive"] and node["NodeID"] not in avoided]  # type: ignore[no-untyped-call]
    fits = any(all(node["Resources"].get(kind, 0) >= n for kind, n in room.worker().items()) for node in others)
    return {"ray.io/node-id": f"!in({','.join(sorted(avoided))})"} if avoided and fits else None


@contextmanager
def _ray_state(store_uri: str, name: str) -> Iterator[dict[str, Any]]:
    """RunConfig arguments that say where Ray keeps its state of one attempt; the state is deleted afterwards.

    Each attempt gets a new name, because Ray takes a run with a known name for finished or half done.
    """
    attempt, key = secrets.token_hex(8), keys.RUN_RAY.build(run_id=name)
    place = urlsplit(store_uri)
    if place.scheme == "file":
        storage: dict[str, Any] = {"storage_path": f"{unquote(place.path)}/{key}"}
    elif place.scheme == "s3":
        storage = {
            "storage_path": f"{place.netloc}{place.path.rstrip('/')}/{key}",
            "storage_filesystem": _s3_filesystem(store_uri),
        }
    else:
        raise StoreError(f"store {store_uri}: distributed workers can only share file:// and s3:// stores")
    try:
        yield {"name": attempt, **storage}
    finally:
        open_store(store_uri).delete_prefix(key + "/")


def _s3_filesystem(store_uri: str) -> pyarrow.fs.S3FileSystem:
    """S3 access with the store's AWS configuration; by default pyarrow ignores AWS_ENDPOINT_URL_S3."""
    access = aws_access(store_uri)
    credentials, endpoint = access.session.get_credentials(), urlsplit(access.endpoint)
    own = {}
    if not isinstance(credentials, RefreshableCredentials):  # those expire; pyarrow finds and renews them by itself
        frozen = credentials.get_frozen_credentials()
        own = {"access_key": frozen.access_key, "secret_key": frozen.secret_key, "session_token": frozen.token}
    return pyarrow.fs.S3FileSystem(
        **own,
        region=access.region,
        scheme=endpoint.scheme,
        endpoint_override=endpoint.netloc,
    )


def _callbacks(run: str, room: Room) -> list[Any]:
    """Free what lost groups hold, end a run that finds no room, and pass reports on to Tune inside a trial."""
    own = [_Release(), _Deadline(run, room.wait_s)]
    try:
        return [*own, TuneReportCallback()]  # type: ignore[no-untyped-call]
    except RuntimeError:
        return own


class _Release(ControllerCallback, WorkerGroupCallback):
    """Free the CPUs of a group that lost a worker during start-up: Ray 2.60 would keep them until the job ends."""

    def after_worker_group_start(self, worker_group: Any) -> None:
        self._places = worker_group.get_worker_group_state().placement_group_handle

    async def before_controller_shutdown(self) -> None:
        if places := getattr(self, "_places", None):
            places.shutdown()


class _Deadline(ControllerCallback, WorkerGroupCallback):
    """End a run whose workers find no room for too long: Ray 2.60 would ask again for ever, without a word."""

    def __init__(self, run: str, wait_s: float) -> None:
        self._run, self._wait_s = run, wait_s
        self._since: float | None = None

    def on_controller_start_worker_group(self, *, scaling_config: Any, num_workers: int) -> None:
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        if now - self._since > self._wait_s:
            raise TrainingError(
                f"run {self._run}: waited {self._wait_s / 60:g} minutes for {num_workers} workers with "
                f"{scaling_config.resources_per_worker}; start more nodes, use fewer workers, or wait longer (--wait)"
            )

    def after_worker_group_start(self, worker_group: Any) -> None:
        self._since = None


@contextmanager
def _own_interrupt() -> Iterator[None]:
    """Restore the Ctrl-C handler, which Ray Train replaces for good."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
