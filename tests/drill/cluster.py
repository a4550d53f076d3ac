"""Faults of a cluster: real Ray nodes whose workers, raylets and drivers are killed, or that are not there."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ray.cluster_utils import Cluster

from lesionlab.store.objects import Store
from tests.drill.experiment import STEPS_PER_EPOCH
from tests.drill.plain import of_two
from tests.drill.stage import Stage, Submission, brief, signs_of_work, started_again
from tests.drill.table import Outcome
from tests.faulty_s3 import mixture, no_fault

OUTAGE_S = 15.0
WITHOUT_NODES_S = 20.0


class Nodes:
    """A Ray cluster on this machine: a head without CPUs, and worker nodes of one CPU each that come and go."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def __enter__(self) -> Nodes:
        # The nodes' processes inherit what reaches the store.
        os.environ.update(self._stage.environment("cluster"))
        self._cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "resources": {"driver": 10}})
        os.environ["RAY_ADDRESS"] = self._cluster.address
        return self

    def __exit__(self, *_: object) -> None:
        del os.environ["RAY_ADDRESS"]
        self._cluster.shutdown()

    def have(self, count: int) -> None:
        """Add nodes, or kill their raylets (SIGKILL), until there are so many."""
        while len(self._cluster.worker_nodes) > count:
            self.kill(random.Random(count))
        while len(self._cluster.worker_nodes) < count:
            self._cluster.add_node(num_cpus=1)

    def kill(self, chance: random.Random) -> None:
        """Kill the raylet of a node and all that belongs to it."""
        node = chance.choice(sorted(self._cluster.worker_nodes, key=lambda node: node.node_id))
        self._cluster.remove_node(node, allow_graceful=False)

    def working(self) -> list[int]:
        """The ids of the processes in which cells are executed: children of a raylet whose title tells a task."""
        raylets = {node.all_processes["raylet"][0].process.pid for node in self._cluster.worker_nodes}
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it ended meanwhile
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                title = (folder / "cmdline").read_text()
                if parent in raylets and title.startswith("ray::") and not title.startswith("ray::IDLE"):
                    found.append(int(folder.name))
        return sorted(found)


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
    nodes.have(1)
    recovered_s = recovery_s(submission, store)
    told = submission.end()
    seen = f"told that it waits for 1 CPU, 0 there; {brief(stage, told)}"
    return stage.outcome("no node for 20 s, then one", store, told, began, seen=seen, recovered_s=recovered_s)


def undisturbed(stage: Stage, nodes: Nodes, seed: int) -> Outcome:
    """Nothing happens: what the others are to be compared with."""
    nodes.have(2)
    store, began = stage.store("none"), time.monotonic()
    return stage.outcome("nothing, on two nodes", store, stage.submit("none").end(), began)


def a_worker_is_killed(stage: Stage, nodes: Nodes, seed: int) -> Outcome:
    """SIGKILL for a process in which a cell is executed."""
    nodes.have(2)
    chance = random.Random(seed)
    store, began = stage.store("worker"), time.monotonic()
    submission = stage.submit("worker")
    step = within_training(stage, submission, chance)
    submission.until(nodes.working)
    os.kill(chance.choice(nodes.working()), signal.SIGKILL)
    recovered_s = restart_s(submission, store)
    injected = f"kill -9 of a Ray worker at step {step}"
    return stage.outcome(injected, store, submission.end(), began, recovered_s=recovered_s)


def a_raylet_is_killed(stage: Stage, nodes: Nodes, seed: int) -> Outcome:
    """SIGKILL for a raylet; another node comes."""
    nodes.have(2)
    chance = random.Random(seed + 1)
    store, began = stage.store("raylet"), time.monotonic()
    submission = stage.submit("raylet")
    step = within_training(stage, submission, chance)
    nodes.kill(chance)
    nodes.have(2)
    recovered_s = restart_s(submission, store)
    injected = f"kill -9 of a raylet at step {step}, the node replaced"
    return stage.outcome(injected, store, submission.end(), began, recovered_s=recovered_s)


def the_driver_is_killed(stage: Stage, nodes: Nodes, seed: int) -> Outcome:
    """SIGKILL for the command; it is called again."""
    nodes.have(2)
    store, began = stage.store("driver"), time.monotonic()
    first = stage.submit("driver")
    step = within_training(stage, first, random.Random(seed + 2))
    first.kill()
    second = stage.submit("driver")
    recovered_s = restart_s(second, store)
    injected = f"kill -9 of the driver at step {step}, run again"
    return stage.outcome(injected, store, second.end(), began, recovered_s=recovered_s)


def the_s3_server_is_killed(stage: Stage, nodes: Nodes, seed: int) -> Outcome:
    """SIGKILL for the S3 server, which comes back after some seconds."""
    nodes.have(2)
    store, began = stage.store("server"), time.monotonic()
    submission = stage.submit("server")
    step = within_training(stage, submission, random.Random(seed + 3))
    stage.server.kill()
    time.sleep(OUTAGE_S)
    stage.server.start()
    recovered_s = recovery_s(submission, store)
    injected = f"kill -9 of the S3 server at step {step}, back after {OUTAGE_S:g} s"
    return stage.outcome(injected, store, submission.end(), began, recovered_s=recovered_s)


def two_submit(stage: Stage, nodes: Nodes, seed: int) -> Outcome:
    """Two people submit the same experiment."""
    nodes.have(2)
    store, began = stage.store("two"), time.monotonic()
    first, second = stage.submit("two"), stage.submit("two")
    return of_two(stage, store, first.end(), second.end(), began, "two submitters at once")


def requests_fail_on_all_nodes(stage: Stage, nodes: Nodes, seed: int) -> Outcome:
    """All faults of requests at once."""
    nodes.have(2)
    store, began = stage.store("requests"), time.monotonic()
    stage.proxy.rule = mixture(seed, slow_down=0.1, reset=0.05, truncated=0.02)
    try:
        told = stage.submit("requests").end()
    finally:
        stage.proxy.rule = no_fault
    return stage.outcome("10 % 503, 5 % reset, 2 % truncated, on two nodes", store, told, began)


def nodes_are_never_replaced(stage: Stage, nodes: Nodes, seed: int) -> Outcome:
    """All nodes are lost, and none comes; the sweep was told to wait for 90 s."""
    nodes.have(2)
    store, began = stage.store("never"), time.monotonic()
    submission = stage.submit("never", "--wait", "1.5")
    step = within_training(stage, submission, random.Random(seed + 4))
    nodes.have(0)
    told = submission.end()
    injected = f"kill -9 of all raylets at step {step}, none replaced (`--wait 1.5`)"
    return stage.outcome(injected, store, told, began, named="0 there")


FAULTS_ON_CLUSTER: dict[str, Callable[[Stage, Nodes, int], Outcome]] = {
    "no-nodes": no_nodes_at_first,
    "nothing": undisturbed,
    "worker": a_worker_is_killed,
    "raylet": a_raylet_is_killed,
    "driver": the_driver_is_killed,
    "server": the_s3_server_is_killed,
    "two-submitters": two_submit,
    "requests-on-nodes": requests_fail_on_all_nodes,
    "never-replaced": nodes_are_never_replaced,
}
