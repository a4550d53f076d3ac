"""A Ray session on one machine is private and stops only what it started; a cluster that does not answer is refused."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from lesionlab.errors import TrainingError
from lesionlab.orchestration import cluster_address
from lesionlab.orchestration.cluster import MOST_RAY_TEMP_BYTES, MOST_TEMP_BYTES, checked_address, temp_folder
from lesionlab.orchestration.room import Room
from lesionlab.orchestration.session import Capacity, capacity, ray_session


@pytest.mark.usefixtures("ray_of_two_cpus")
def test_a_session_listens_on_loopback_only_behind_its_own_token():
    (node,) = ray.nodes()
    assert node["NodeManagerAddress"] == "127.0.0.1"
    assert os.environ["RAY_AUTH_MODE"] == "token"
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


@pytest.mark.usefixtures("ray_of_two_cpus")
def test_only_its_owner_may_look_into_the_folder_of_a_session() -> None:
    node = ray._private.worker._global_node
    assert stat.S_IMODE(Path(node.get_session_dir_path()).stat().st_mode) == 0o700


@pytest.mark.usefixtures("ray_of_two_cpus")
def test_an_open_session_is_used_and_left_open():
    with ray_session(cpus=1):
        assert capacity() == Capacity(cpus=2, gpus=0, driver_resource=True)
    assert ray.is_initialized()


@pytest.mark.parametrize(
    ("there", "room", "workers", "cells"),
    [
        (Capacity(cpus=2, gpus=0, driver_resource=True), Room("cpu"), 1, 2),
        (Capacity(cpus=2, gpus=0, driver_resource=True), Room("cpu"), 2, 1),
        (Capacity(cpus=2, gpus=0, driver_resource=False), Room("cpu"), 2, 0),  # the driver takes part of a CPU
        (Capacity(cpus=64, gpus=8, driver_resource=False), Room("cuda"), 4, 2),
        (Capacity(cpus=4, gpus=8, driver_resource=True), Room("cuda"), 1, 4),
        (Capacity(cpus=64, gpus=2, driver_resource=True), Room("cuda", gpus_per_worker=0.25), 1, 8),
        (Capacity(cpus=64, gpus=8, driver_resource=True), Room("cpu"), 1, 64),  # declared, so the GPUs stay free
        (Capacity(cpus=64, gpus=0, driver_resource=True), Room("cuda"), 1, 0),
        (Capacity(cpus=1, gpus=0, driver_resource=True), Room("cpu"), 2, 0),
    ],
)
def test_the_scarcest_resource_limits_how_many_cells_run_at_once(there, room, workers, cells):
    assert there.cells(workers, room) == cells


LATE = """
import ray
from lesionlab.errors import TrainingError
from lesionlab.orchestration.session import ray_session
try:
    with ray_session(cpus=1):
        pass
except TrainingError as error:
    assert "RAY_AUTH_TOKEN" in str(error) and not ray.is_initialized()
else:
    raise SystemExit("a session was opened without a token")
"""


def test_a_session_is_refused_if_ray_was_imported_before_its_environment_was_set() -> None:
    without_ray = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "GLOO_"))}
    subprocess.run([sys.executable, "-c", LATE], check=True, env=without_ray)


@pytest.fixture
def mute() -> Iterator[str]:
    """The address of a server that accepts connections and never says anything."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def of_the_web() -> Iterator[str]:
    """The address of a server that speaks HTTP 1 only."""
    command = [sys.executable, "-m", "http.server", "0", "--bind", "127.0.0.1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        yield f"127.0.0.1:{server.stdout.readline().split(' port ')[1].split()[0]}"
        server.kill()


def refused(monkeypatch: pytest.MonkeyPatch, address: str) -> str:
    monkeypatch.setenv("RAY_ADDRESS", address)
    started = time.monotonic()
    with pytest.raises(TrainingError) as refusal:
        checked_address()
    assert time.monotonic() - started < 10
    (line,) = str(refusal.value).splitlines()
    return line


@pytest.mark.parametrize("address", ["127.0.0.1:9", "no-such-host.invalid:6379"], ids=["nothing listens", "no host"])
def test_a_dead_cluster_is_reported_at_once(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    assert f"RAY_ADDRESS: no Ray cluster answers at {address}" in refused(monkeypatch, address)


def test_a_server_that_is_no_cluster_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, mute: str, of_the_web: str
) -> None:
    for address in (mute, of_the_web):
        assert f"RAY_ADDRESS: no Ray cluster answers at {address}" in refused(monkeypatch, address)


@pytest.mark.parametrize(
    "address",
    ["nonsense", "ray://head:10001", "http://head:8265", "head:0", "head:99999", "head:", ":6379", "a b:6379", "-:1"],
)
def test_a_malformed_address_is_refused_with_an_example(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    assert "such as head:6379" in refused(monkeypatch, address)


@pytest.mark.parametrize("address", ["", " ", "local"])
def test_no_address_means_this_machine(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    assert cluster_address() == checked_address() == ""


EMPTY = """
from lesionlab.orchestration.session import ray_session
import os, ray
with ray_session(cpus=1):
    (node,) = ray.nodes()
    assert node["NodeManagerAddress"] == "127.0.0.1", node
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64
"""


@pytest.mark.slow
def test_with_an_empty_address_and_a_long_tmpdir_a_session_is_private_too() -> None:
    folder = Path(f"/tmp/{secrets.token_hex(MOST_RAY_TEMP_BYTES // 2)}")
    folder.mkdir()
    without_ray = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "GLOO_"))}
    settings = {"RAY_ADDRESS": "", "RAY_TMPDIR": "", "TMPDIR": str(folder)}
    try:
        subprocess.run([sys.executable, "-c", EMPTY], check=True, env=without_ray | settings)
    finally:
        shutil.rmtree(folder)


LONGEST = "/" + "x" * (MOST_RAY_TEMP_BYTES - 1)


@pytest.mark.parametrize(
    ("ray_folder", "folder", "chosen"),
    [
        ("", "", "/tmp/ray"),
        ("", LONGEST, f"{LONGEST}/ray"),
        ("", LONGEST + "x", "/tmp/ray"),
        ("/short", LONGEST + "x", "/short/ray"),
    ],
    ids=["both empty", "short", "long", "long, but not Ray's own"],
)
def test_rays_sockets_lie_elsewhere_if_their_names_would_be_too_long(
    monkeypatch: pytest.MonkeyPatch, ray_folder: str, folder: str, chosen: str
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", ray_folder)
    monkeypatch.setenv("TMPDIR", folder)
    assert temp_folder() == chosen


@pytest.mark.parametrize(
    ("name", "most"), [("RAY_TMPDIR", MOST_RAY_TEMP_BYTES), ("TMPDIR", MOST_TEMP_BYTES)], ids=["Ray's own", "Python's"]
)
def test_a_folder_that_leaves_no_room_for_sockets_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, most: int
) -> None:
    monkeypatch.setenv(name, "/" + "x" * most)
    with pytest.raises(TrainingError, match=f"^{name}: wanted a path of at most {most} bytes"):
        temp_folder()


@pytest.mark.parametrize("name", ["RAY_TMPDIR", "TMPDIR"])
def test_a_folder_relative_to_the_current_one_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "scratch")
    with pytest.raises(TrainingError, match=f"^{name}: wanted an absolute path, found 'scratch'"):
        temp_folder()


CLUSTER = r"""
import os, subprocess, sys
os.environ |= {"RAY_AUTH_MODE": sys.argv[1], "RAY_AUTH_TOKEN": "a" * 64, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "node_ip_address": "127.0.0.1"})
client = (
    "from lesionlab.orchestration.session import capacity, ray_session\n"
    "with ray_session():\n    assert capacity().cpus == 1\n"
)
subprocess.run([sys.executable, "-c", client], check=True, env=os.environ | {"RAY_ADDRESS": cluster.address})
cluster.shutdown()
"""


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["token", "disabled"])
def test_a_running_cluster_is_used(mode: str) -> None:
    without_ray = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "GLOO_"))}
    subprocess.run([sys.executable, "-c", CLUSTER, mode], check=True, env=without_ray)


@pytest.mark.slow
def test_a_command_with_a_session_ends_as_by_ctrl_c_when_it_is_told_to_end(tmp_path: Path) -> None:
    """A pod that is taken away gets SIGTERM: no stack of Ray's C++ code, and the session ends with the process."""
    code = (
        "import time, lesionlab.orchestration\n"
        "from jobs.shared.entry_points import run_as_module\n"
        "from lesionlab.orchestration.session import ray_session\n"
        "def command():\n"
        "    with ray_session(cpus=1):\n"
        "        print('ready', flush=True)\n"
        "        time.sleep(300)\n"
        "run_as_module(command)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 143
    assert printed.strip() == "stopped; finished work is kept: run the same command again to continue"
