"""Faults of a cluster: workers, nodes and drivers that are killed, nodes that lack room, or that are not there."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from lesionlab.store.objects import Store
from tests.drill.experiment import STEPS_PER_EPOCH
from tests.drill.nodes import Nodes
from tests.drill.plain import of_two
from tests.drill.stage import Stage, Submission, brief, signs_of_work, started_again
from tests.drill.table import Outcome
from tests.faulty_s3 import mixture, no_fault

OUTAGE_S = 15.0
WITHOUT_NODES_S = 20.0


def within_training(stage: Stage, submission: Submission, chance: random.Random) -> int:
    """Return at an epoch of a training that is drawn; the step."""
    step = STEPS_PER_EPOCH * chance.randint(1, stage.epochs // 2)
    submission.until(lambda: submission.step() >= step)
    if submission.step() < step:
        raise RuntimeError(f"the sweep ended before step {step}: {submission.text()[-1000:]}")
    return step


def recovery_s(submission: Submission, store: Store) -> float:
    """Wait for new work after this moment; seconds until it was seen."""
    began, before = time.monotonic(), signs_of_work(store)
    submission.until(lambda: signs_of_work(store) - before)
    return time.monotonic() - began


def restart_s(submission: Submission, store: Store) -> float:
    """Wait until a run that was started again shows progress; seconds until it was seen."""
    began = time.monotonic()
    submission.until(lambda: started_again(store))
    return time.monotonic() - began


def no_nodes_at_first(stage: Stage, nodes: Nodes, seed: int) -> Outcome:
    """A sweep begins before its nodes."""
    nodes.have(0)
    store, began = stage.store("zero"), time.monotonic()
    submission = stage.submit("zero")
    time.sleep(WITHOUT_NODES_S)
    submission.until(lambda: "0 there" in submission.text())
    submission.until(lambda: "0 there" in stage.command("zero", "status", "drill").text)
    nodes.have(1)
    recovered_s = recovery_s(submission, store)
    told = submission.end()
    seen = f"told, by `status` too, that it waits for 1 CPU, 0 there; {brief(stage, told)}"
    return stage.outcome("no node for 20 s, then one", store, told, began, seen=seen, recovered_s=recovered_s)


def two_submit(stage: Stage, nodes: Nodes, seed: int) -> Outcome:
    """Two people submit the same experiment."""
    nodes.have(2)
    store, began = stage.store("two"), time.monotonic()
    first, second = stage.submit("two"), stage.submit("two")
    return of_two(stage, store, first.end(), second.end(), began, "two submitters at once")


@dataclass(frozen=True)
class Scene:
    """A sweep on two nodes at a step that was drawn."""

    stage: Stage
    nodes: Nodes
    name: str
    submission: Submission
    chance: random.Random


@dataclass(frozen=True)
class AtAStep:
    """A fault that happens to a training: what is told of it, how it is injected, and what shows that it is over."""

    injected: str
    inject: Callable[[Scene], Submission | None]
    """Returns the command that continues, if it is another one."""
    over: Callable[[Submission, Store], float] | None
    """Wait for it; the seconds that it took. None: nothing is to recover."""
    options: tuple[str, ...] = ()
    named: str = ""
    """What a refusal must name."""

    def __call__(self, stage: Stage, nodes: Nodes, seed: int) -> Outcome:
        nodes.have(2)
        name = self.inject.__name__.replace("_", "-")
        chance = random.Random(f"{seed} {name}")
        store, began = stage.store(name), time.monotonic()
        submission = stage.submit(name, *self.options)
        step = within_training(stage, submission, chance)
        submission = self.inject(Scene(stage, nodes, name, submission, chance)) or submission
        more = {} if self.over is None else {"recovered_s": self.over(submission, store)}
        told = submission.end()
        return stage.outcome(self.injected.format(step=step), store, told, began, named=self.named, **more)


def a_worker_is_killed(scene: Scene) -> None:
    scene.submission.until(scene.nodes.working)
    os.kill(scene.chance.choice(scene.nodes.working()), signal.SIGKILL)


def a_node_is_killed(scene: Scene) -> None:
    scene.nodes.kill(scene.chance)
    scene.nodes.have(2)


def the_driver_is_killed(scene: Scene) -> Submission:
    scene.submission.kill()
    return scene.stage.submit(scene.name)


def the_head_is_killed(scene: Scene) -> Submission:
    scene.submission.kill()
    scene.nodes.lose_head()
    scene.nodes.have(2)
    return scene.stage.submit(scene.name)


def the_s3_server_is_killed(scene: Scene) -> None:
    scene.stage.server.kill()
    time.sleep(OUTAGE_S)
    scene.stage.server.start()


def nodes_are_never_replaced(scene: Scene) -> None:
    scene.nodes.have(0)


@dataclass(frozen=True)
class AllAlong:
    """A fault that lasts as long as the sweep: two nodes, or a storage, of this kind."""

    name: str
    injected: str
    fault: Callable[[Stage, Nodes, int], AbstractContextManager[None]]
    options: tuple[str, ...] = ()
    named: str = ""
    """What a refusal must name."""

    def __call__(self, stage: Stage, nodes: Nodes, seed: int) -> Outcome:
        store, began = stage.store(self.name), time.monotonic()
        with self.fault(stage, nodes, seed):
            told = stage.submit(self.name, *self.options).end()
        return stage.outcome(self.injected, store, told, began, named=self.named)


@contextmanager
def nothing_happens(stage: Stage, nodes: Nodes, seed: int) -> Iterator[None]:
    nodes.have(2)
    yield


@contextmanager
def requests_fail(stage: Stage, nodes: Nodes, seed: int) -> Iterator[None]:
    nodes.have(2)
    stage.proxy.rule = mixture(seed, slow_down=0.1, reset=0.05, truncated=0.02)
    try:
        yield
    finally:
        stage.proxy.rule = no_fault


@contextmanager
def small_shm(stage: Stage, nodes: Nodes, seed: int) -> Iterator[None]:
    nodes.have(0)
    nodes.have(2, shm="64k")
    yield
    nodes.have(0)


@contextmanager
def memory_is_short(stage: Stage, nodes: Nodes, seed: int) -> Iterator[None]:
    """Ray kills what runs on a node whose memory is used beyond a share, here one that is always exceeded."""
    nodes.have(0)
    nodes.have(2, RAY_memory_usage_threshold="0.01", RAY_memory_monitor_refresh_ms="100")
    yield
    nodes.have(0)


FAULTS_ON_CLUSTER: dict[str, Callable[[Stage, Nodes, int], Outcome]] = {
    "nothing": AllAlong("none", "nothing, on two nodes", nothing_happens),
    "no-nodes": no_nodes_at_first,
    "worker": AtAStep("kill -9 of a Ray worker at step {step}", a_worker_is_killed, restart_s),
    "node": AtAStep("kill -9 of a node's processes at step {step}, the node replaced", a_node_is_killed, restart_s),
    "driver": AtAStep("kill -9 of the driver at step {step}, run again", the_driver_is_killed, restart_s),
    "head": AtAStep(
        "kill -9 of the head node with the driver at step {step}, a new cluster, run again",
        the_head_is_killed,
        restart_s,
    ),
    "server": AtAStep(
        f"kill -9 of the S3 server at step {{step}}, back after {OUTAGE_S:g} s", the_s3_server_is_killed, recovery_s
    ),
    "never-replaced": AtAStep(
        "kill -9 of all nodes at step {step}, none replaced (`--wait 1.5`)",
        nodes_are_never_replaced,
        None,
        options=("--wait", "1.5"),
        named="0 there",
    ),
    "two-submitters": two_submit,
    "requests-on-nodes": AllAlong("requests", "10 % 503, 5 % reset, 2 % truncated, on two nodes", requests_fail),
    "memory": AllAlong(
        "memory",
        "each node out of memory by Ray's monitor (`--wait 1`)",
        memory_is_short,
        options=("--wait", "1"),
        named="memory",
    ),
    "shm": AllAlong("shm", "/dev/shm of 64 kB on each node", small_shm),
}
