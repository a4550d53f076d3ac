"""From the laptop to a cluster and back: queued, run on real Ray nodes, pre-empted, resumed, its report fetched."""

from __future__ import annotations

import copy
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from jobs.shared.working import work_on
from lesionlab.experiments.submissions import standing, submission_ids
from lesionlab.store.objects import open_store
from tests.clusters.controllers import KubeRay, Kueue
from tests.clusters.emulator import Object
from tests.clusters.laptop import NORTH, SOUTH, Site
from tests.drill.experiment import results, spec, store_cohorts

pytestmark = [pytest.mark.slow, pytest.mark.s3, pytest.mark.cluster]

WITHIN_S = 300.0
EPOCHS = 30


class RayNodes:
    """The cluster of one job in processes of this machine."""

    def __init__(self, job: Object, store: str, folder: Path) -> None:
        path = folder / "job.json"
        path.write_text(json.dumps(job))
        own = {"LESIONLAB_STORE": store, "LESIONLAB_CACHE": str(folder / "cache"), "TMPDIR": str(folder)}
        own |= {"RAY_AUTH_MODE": "disabled", "OMP_NUM_THREADS": "1", "RAY_TMPDIR": str(folder)}
        own["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # the image's python is this one
        command = [sys.executable, "-m", "tests.clusters.ray_nodes", str(path)]
        self._log = (folder / "log").open("ab")
        self._process = subprocess.Popen(command, env=os.environ | own, stdout=self._log, stderr=subprocess.STDOUT)

    def poll(self) -> int | None:
        return self._process.poll()

    def kill(self) -> None:
        for pid in [*descendants(self._process.pid), self._process.pid]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        self._log.close()


def descendants(pid: int) -> list[int]:
    """Processes that this one started, and those that they started."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended meanwhile
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(folder.name))
    found = list(children.get(pid, []))
    for child in found:
        found += children.get(child, [])
    return found


class Sleeper:
    """The cluster of somebody else's job."""

    def poll(self) -> int | None:
        return None

    def kill(self) -> None:
        pass


@contextmanager
def operating(kueue: Kueue, kuberay: KubeRay) -> Iterator[None]:
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(0.2):
            kueue.settle()
            kuberay.step()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        kuberay.close()


def until(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.3)


def test_a_job_that_is_pre_empted_continues_and_its_rows_are_those_of_an_undisturbed_one(
    site: Site, base: dict[str, Any], s3_server: Any, tmp_path: Path
) -> None:
    site.experiment.write_text(spec(EPOCHS))
    folder = Path(tempfile.mkdtemp(prefix="c", dir="/tmp"))  # short: Ray's sockets lie below it
    started: list[str] = []

    def start(job: Object) -> Any:
        if not job["metadata"]["name"].startswith("lesionlab-"):
            return Sleeper()
        started.append(job["metadata"]["name"])
        own = folder / str(len(started))
        own.mkdir()
        return RayNodes(job, site.store_uri, own)

    def other(name: str, space: str) -> None:
        job = copy.deepcopy(base)
        job["metadata"] = {"name": name, "labels": {"kueue.x-k8s.io/queue-name": "lesionlab"}}
        site.api.create("rayjobs", space, job, {})

    with operating(Kueue(site.api), KubeRay(site.api, start)):
        for number in range(2):  # what is north's own is in use, so its next job borrows
            other(f"north-{number}", NORTH)
        until(lambda: all(not job["spec"].get("suspend") for job in site.jobs()))
        assert site.submit("--slots", 1).exit_code == 0
        (name,) = submission_ids(site.store)
        until(lambda: len(ledger(site)) >= 2)
        for number in range(2):  # south wants its GPUs back
            other(f"south-{number}", SOUTH)
        until(lambda: "its nodes were taken back (preempted); queued in north" in site("status", name).output)
        begun = len(ledger(site))
        site.api.delete("rayjobs", SOUTH, "south-0", lambda body: True)
        until(lambda: (now := standing(site.store, name)) is not None and now.outcome is not None)
        now = standing(site.store, name)
        assert now is not None
        assert now.outcome is not None
        assert now.outcome.ending == "done", now.outcome.faults
        assert len(started) >= 2
        assert begun < len(ledger(site)), "it was pre-empted before it was done"
        until(lambda: any(job.get("status", {}).get("jobStatus") == "SUCCEEDED" for job in site.jobs()))
    assert site("fetch", name, "--out", tmp_path / "report").exit_code == 0
    assert (tmp_path / "report" / "report.html").is_file()
    assert "sweep" in site("logs", name).output
    shutil.rmtree(folder, ignore_errors=True)

    undisturbed = Site(site.api, site.url, f"{site.store_uri}-undisturbed", tmp_path)
    store_cohorts(undisturbed.store)
    undisturbed.experiment.write_text(spec(EPOCHS))
    assert undisturbed.submit("--slots", 1).exit_code == 0
    work_on(undisturbed.store, name, tmp_path / "cache", plain=True)
    assert results(undisturbed.store) == results(open_store(site.store_uri))


def ledger(site: Site) -> Any:
    """Entries of all runs in the store."""
    return site.store.list("ledger/")
