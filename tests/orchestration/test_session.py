"""A Ray session on one machine is private, and it stops only what it started."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import ray

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
