"""A Ray session on one machine is private, and it stops only what it started."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import ray

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
    ("room", "workers", "cells"),
    [
        (Capacity(cpus=2, gpus=0, driver_resource=True), 1, 2),
        (Capacity(cpus=2, gpus=0, driver_resource=True), 2, 1),
        (Capacity(cpus=2, gpus=0, driver_resource=False), 2, 0),  # the driver takes part of a CPU that two workers need
        (Capacity(cpus=64, gpus=8, driver_resource=False), 4, 2),
        (Capacity(cpus=4, gpus=8, driver_resource=True), 1, 4),
        (Capacity(cpus=1, gpus=0, driver_resource=True), 2, 0),
    ],
)
def test_the_scarcest_resource_limits_how_many_cells_run_at_once(room, workers, cells):
    assert room.cells(workers) == cells


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
