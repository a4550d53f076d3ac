"""Inject every fault into a small sweep and print what happened: `python -m tests.drill [--seed N] [--only WORD]`."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import lesionlab.orchestration  # sets Ray's environment, so it comes first  # noqa: F401
from tests.drill.cluster import FAULTS_ON_CLUSTER
from tests.drill.nodes import Nodes
from tests.drill.plain import FAULTS_WITHOUT_CLUSTER
from tests.drill.stage import Stage
from tests.drill.table import HEAD, Outcome, page
from tests.faulty_s3 import FaultyProxy
from tests.s3_server import S3Server

LIMITS = """\
Each worker node has mount and process namespaces of its own where root allows: its own caches, Ray folder and
/dev/shm. All share one machine and one network. The wrong clock is that of Python; requests are signed by the right
one. Nodes run out of memory by Ray's own monitor, whose limit is set below what is used."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="make drill", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="draws when processes are killed and which bytes change")
    parser.add_argument(
        "--only", nargs="+", default=[""], help="only the faults whose names contain one of these words"
    )
    parser.add_argument("--epochs", type=int, default=20, help="length of each training")
    parser.add_argument("--out", type=Path, help="write the table as a page, such as docs/drill.md")
    asked = parser.parse_args()
    # Without OMP_NUM_THREADS a training uses one thread, in this process as in those of a cluster.
    for name in [name for name in os.environ if name.startswith("AWS_") or name == "OMP_NUM_THREADS"]:
        del os.environ[name]
    os.environ |= {"RAY_worker_niceness": "0"}  # at 15, its default, workers wait for whatever else the machine does
    outcomes: list[Outcome] = []

    def wanted(name: str) -> bool:
        return any(word in name for word in asked.only)

    def tell(outcome: Outcome) -> None:
        outcomes.append(outcome)
        print(outcome.row(), flush=True)
        if asked.out:
            asked.out.write_text(page(outcomes, asked.seed, LIMITS), encoding="utf-8")

    def tell_all(name: str, inject: Callable[[], Iterator[Outcome]]) -> None:
        """Tell each outcome; a fault that could not be injected is told too, and stops no other."""
        began = time.monotonic()
        try:
            for outcome in inject():
                tell(outcome)
        except Exception as error:
            tell(Outcome(name, f"could not be injected: {error!r}", "FAULT", time.monotonic() - began))

    # The folders are short: Ray's sockets lie below them.
    with tempfile.TemporaryDirectory(prefix="drill-", dir="/tmp") as folder:
        (Path(folder) / "weed").mkdir()
        with S3Server(Path(folder) / "weed") as server, FaultyProxy(server.endpoint) as proxy:
            stage = Stage(Path(folder), server, proxy, asked.epochs)
            print(HEAD, flush=True)
            on_cluster = {name: fault for name, fault in FAULTS_ON_CLUSTER.items() if wanted(name)}
            if on_cluster:
                stage.prepare()
                with Nodes(stage) as nodes:
                    for name, fault in on_cluster.items():
                        tell_all(name, lambda fault=fault: iter([fault(stage, nodes, asked.seed)]))
            short = Stage(Path(folder) / "short", server, proxy, epochs=2)
            short.folder.mkdir()
            without = {name: fault for name, fault in FAULTS_WITHOUT_CLUSTER.items() if wanted(name)}
            if without:
                short.prepare()
            for name, fault in without.items():
                tell_all(name, lambda fault=fault: fault(short, asked.seed))
    return int(any(outcome.end == "FAULT" for outcome in outcomes) or not outcomes)


if __name__ == "__main__":
    sys.exit(main())
