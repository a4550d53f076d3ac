"""A Ray cluster on this machine: a head without CPUs, and worker nodes of one CPU each that come and go.

Where root allows, each worker node lives in mount and process namespaces of its own, as a container does: it has its
own caches, Ray folder, /dev/shm and process ids.
"""

from __future__ import annotations

import os
import random
import secrets
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ray.cluster_utils import Cluster

from tests.drill.stage import OWN_MODULES, ROOT, Stage

_UNSHARE = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
START_S = 240
"""Within which a node joins, also on a busy machine."""


def own_namespaces() -> bool:
    """Whether this user may give a process namespaces of its own."""
    return os.getuid() == 0 and subprocess.run([*_UNSHARE, "true"], capture_output=True).returncode == 0


class Node:
    """One worker node: the process of `tests.drill.node`, and all that belongs to it."""

    def __init__(self, address: str, folders: list[Path], shm: str, log: Path, environment: Mapping[str, str]) -> None:
        """`folders` are empty for this node alone, `shm` is the size of its /dev/shm, `environment` its own."""
        self.name = f"drill-{secrets.token_hex(4)}"
        """A resource of the node, by which the cluster tells whether it has joined."""
        start = [sys.executable, "-m", "tests.drill.node", address, self.name]
        if own_namespaces():
            mounts = [f"mount -t tmpfs none '{folder}'" for folder in folders]
            mounts.append(f"mount -t tmpfs -o size={shm} none /dev/shm")
            start = [*_UNSHARE, "sh", "-c", " && ".join([*mounts, f"exec {shlex.join(start)}"])]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                start,
                env=os.environ | OWN_MODULES | environment,
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def pids(self) -> set[int]:
        """All processes of the node."""
        return below(self._process.pid) | {self._process.pid}

    def kill(self) -> None:
        """SIGKILL for all of them, as if the machine lost its power."""
        for pid in self.pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()


class Nodes:
    """The head, and the worker nodes that are there."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._nodes: list[Node] = []
        self._ray = Path(os.environ.get("TMPDIR", "/tmp")) / "ray"

    def __enter__(self) -> Nodes:
        # The nodes' processes inherit what reaches the store.
        os.environ.update(self._stage.environment("cluster"))
        self.start_head()
        return self

    def __exit__(self, *_: object) -> None:
        self.have(0)
        os.environ.pop("RAY_ADDRESS")
        self._head.shutdown()

    def start_head(self) -> None:
        """A new cluster without worker nodes."""
        self._ray.mkdir(parents=True, exist_ok=True)
        self._head = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "resources": {"driver": 10}})
        os.environ["RAY_ADDRESS"] = self._head.address

    def lose_head(self) -> None:
        """SIGKILL for all processes of the head; the worker nodes end with it."""
        self.have(0)
        self._head.global_state.disconnect()  # or it would end this process, too, a minute later
        self._head.remove_node(self._head.head_node, allow_graceful=False)
        self.start_head()

    def have(self, count: int, *, shm: str = "64m", **environment: str) -> None:
        """Add nodes, or kill some, until there are so many; nodes whose raylet has ended are replaced."""
        for node in [node for node in self._nodes if node.name not in self._known()]:
            self._nodes.remove(node)
            node.kill()
        while len(self._nodes) > count:
            self.kill(random.Random(count))
        while len(self._nodes) < count:
            own = [self._stage.folder, self._ray]
            self._nodes.append(Node(self._head.address, own, shm, self._stage.folder / "nodes.log", environment))
        self._wait()

    def kill(self, chance: random.Random) -> None:
        """Kill one of the nodes."""
        self._nodes.pop(chance.randrange(len(self._nodes))).kill()

    def working(self) -> list[int]:
        """The processes in which cells are executed: Ray names them after Tune's class."""
        found = []
        for pid in set[int]().union(*(node.pids for node in self._nodes)):
            with suppress(OSError):  # it ended meanwhile
                title = Path(f"/proc/{pid}/cmdline").read_text()
                if title.startswith("ray::ImplicitFunc"):
                    found.append(pid)
        return sorted(found)

    def _wait(self) -> None:
        """Until the cluster knows all nodes."""
        deadline = time.monotonic() + START_S
        while missing := {node.name for node in self._nodes} - self._known():
            if time.monotonic() > deadline:
                raise TimeoutError(f"these nodes did not join: {', '.join(sorted(missing))}")
            time.sleep(0.2)

    def _known(self) -> set[str]:
        return {name for node in self._head.global_state.node_table() for name in node["Resources"]}


def below(pid: int) -> set[int]:
    """All processes that descend from this one."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended meanwhile
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(folder.name))
    found, left = set[int](), [pid]
    while left:
        new = children.get(left.pop(), [])
        found.update(new)
        left += new
    return found
