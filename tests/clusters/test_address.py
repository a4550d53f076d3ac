"""`lesionlab submit --address`: a running Ray cluster does the work without Kubernetes; Ctrl-C leaves it running."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from jobs.cli import app
from lesionlab.errors import ClusterError, InputError
from lesionlab.experiments.submissions import standing, submission_ids
from lesionlab.orchestration.ray_jobs import READY_WITHIN_S, RayCluster
from lesionlab.store.objects import open_store
from tests.drill.experiment import spec, store_cohorts

ROOT = Path(__file__).parents[2]
WITHIN_S = 240.0


class Laptop:
    """A store of files and an experiment file beside a running Ray cluster."""

    def __init__(self, address: str, folder: Path) -> None:
        self.address, self.uri = address, (folder / "store").as_uri()
        self.store = open_store(self.uri)
        store_cohorts(self.store)
        self.experiment = folder / "experiment.yaml"
        self.experiment.write_text(spec(1))

    def arguments(self, command: str, *options: object) -> list[str]:
        return [command, *map(str, options), "--store", self.uri]

    def submission(self, *options: object) -> list[str]:
        more = ("--address", self.address, "--device", "cpu", "--yes")
        return self.arguments("submit", self.experiment, *more, *options)

    def __call__(self, command: str, *options: object) -> Result:
        return self.call(self.arguments(command, *options))

    def call(self, arguments: list[str]) -> Result:
        return CliRunner().invoke(app, arguments, catch_exceptions=False)


@pytest.fixture(scope="module")
def dashboard() -> Iterator[str]:
    """The dashboard of a Ray cluster with two CPUs; whoever calls it gives this process's token."""
    folder = Path(tempfile.mkdtemp(prefix="h", dir="/tmp"))  # short: Ray's sockets lie below it
    own = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": os.environ["RAY_AUTH_TOKEN"], "OMP_NUM_THREADS": "1"}
    own |= {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "LESIONLAB_CACHE": str(folder / "cache")}
    own["PYTHONPATH"] = f"{ROOT / 'platform'}:{ROOT}"
    command = [sys.executable, "-m", "tests.clusters.ray_head", str(folder / "ray"), "2"]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"} | own
    with (folder / "log").open("wb") as log:
        head = subprocess.Popen(
            command, env=environment, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
        )
        assert head.stdin is not None
        assert head.stdout is not None
        address = head.stdout.readline().strip()
        assert address, (folder / "log").read_text()
        yield address
        head.stdin.close()
        head.wait(60)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
@pytest.mark.cluster
def test_ctrl_c_leaves_the_job_running_and_says_how_to_come_back(dashboard: str, tmp_path: Path) -> None:
    laptop = Laptop(dashboard, tmp_path)
    result = laptop.call(laptop.submission("--dry-run"))
    assert result.exit_code == 0, result.output
    assert "a running Ray cluster without a queue" in result.output
    assert submission_ids(laptop.store) == []

    own = {"PYTHONPATH": f"{ROOT / 'platform'}:{ROOT}", "PYTHONUNBUFFERED": "1", "COLUMNS": "200"}
    following = subprocess.Popen(
        [sys.executable, "-m", "jobs.submit", *laptop.submission()[1:]],
        env=os.environ | own, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a suite in the background ignores it
    )  # fmt: skip
    assert following.stdout is not None
    told: list[str] = []
    for line in following.stdout:
        told.append(line)
        if "pretraining" in line or "sweep" in line:
            break
    (name,) = submission_ids(laptop.store)
    assert following.poll() is None, "".join(told) + laptop("logs", name).output
    following.send_signal(signal.SIGINT)
    rest, _ = following.communicate(timeout=60)
    assert following.returncode == 130, "".join(told) + rest
    assert f"the job goes on; to come back: lesionlab status {name} --watch" in rest
    now = standing(laptop.store, name)
    assert now is not None
    assert now.outcome is None, "it still runs"
    assert now.attempt.place == f"{dashboard}/lesionlab-{name}"

    assert "is submitted already" in laptop.call(laptop.submission("--detach")).output
    watched = laptop("status", name, "--watch")
    assert watched.exit_code == 0, watched.output + laptop("logs", name).output
    assert "done; the report: lesionlab fetch" in watched.output
    assert "sweep: cells: 5" in laptop("logs", name).output
    assert laptop("fetch", name, "--out", tmp_path / "report").exit_code == 0
    assert (tmp_path / "report" / "report.html").is_file()


@pytest.mark.slow
@pytest.mark.cluster
def test_a_cancelled_job_has_ended_when_the_command_returns_and_can_be_submitted_again(
    dashboard: str, tmp_path: Path
) -> None:
    laptop = Laptop(dashboard, tmp_path)
    laptop.experiment.write_text(spec(3000))
    assert laptop.call(laptop.submission("--detach")).exit_code == 0
    (name,) = submission_ids(laptop.store)
    end = time.monotonic() + WITHIN_S
    while "sweep" not in laptop("logs", name).output:
        now = standing(laptop.store, name)
        assert now is not None
        assert now.outcome is None, now.outcome.faults
        assert time.monotonic() < end
        time.sleep(1.0)
    result = laptop("cancel", name)
    assert result.exit_code == 0, result.output
    assert "cells are finished and kept" in result.output
    assert RayCluster(dashboard).state(f"lesionlab-{name}")[0] == "failed"
    assert "attempt 2" in laptop.call(laptop.submission("--dry-run")).output


@pytest.mark.slow
@pytest.mark.cluster
def test_another_token_is_refused_with_what_to_set(dashboard: str, tmp_path: Path) -> None:
    laptop = Laptop(dashboard, tmp_path)
    own = {"RAY_AUTH_TOKEN": "0" * 64, "PYTHONPATH": f"{ROOT / 'platform'}:{ROOT}", "COLUMNS": "300"}
    result = subprocess.run(
        [sys.executable, "-m", "jobs.submit", *laptop.submission()[1:]],
        env=os.environ | own, cwd=ROOT, text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert result.returncode == 1
    assert "it refuses this machine's token; set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN" in result.stderr
    assert submission_ids(laptop.store) == []


@pytest.mark.parametrize(
    ("address", "error", "said"),
    [
        ("head:8265", InputError, "wanted the dashboard"),
        ("ray://head:10001", InputError, "wanted the dashboard"),
        ("http://me:secret@head:8265", InputError, "no user or password in the address"),
    ],
)
def test_an_address_that_is_none_of_a_dashboard_is_refused(address: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said) as found:
        RayCluster(address)
    assert "secret" not in str(found.value)


def test_an_address_where_nothing_answers_is_named() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(ClusterError, match=f"{address}: no Ray dashboard answers"):
        RayCluster(address)


class Starting:
    """What a job client answers of a cluster whose agents join after a few requests, each after 10 s, as Ray does."""

    def __init__(self, refusals: int) -> None:
        self.refusals, self.started = refusals, list[str]()
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def clock(self) -> float:
        return self.now

    def get_job_info(self, name: str) -> None:
        raise RuntimeError("Request failed with status code 404: Job does not exist.")

    def submit_job(self, *, submission_id: str, **_: object) -> None:
        if self.refusals > 0:
            self.refusals -= 1
            self.sleep(10)
            raise RuntimeError(
                "Request failed with status code 500: No available agent to submit job, please try again."
            )
        self.started.append(submission_id)


@pytest.mark.parametrize(("refusals", "started"), [(3, ["job"]), (10_000, [])])
def test_a_cluster_that_has_only_just_started_is_asked_again_and_not_for_ever(
    refusals: int, started: list[str]
) -> None:
    cluster, client = RayCluster.__new__(RayCluster), Starting(refusals)
    cluster._address, cluster._client = "http://head:8265", client
    if started:
        assert cluster.start("job", "true", {}, client.sleep, client.clock)
    else:
        with pytest.raises(ClusterError, match="http://head:8265: no agent of its nodes takes jobs"):
            cluster.start("job", "true", {}, client.sleep, client.clock)
    assert client.started == started
    assert client.now <= READY_WITHIN_S + 11
