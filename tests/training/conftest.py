"""What all tests of training need: torch as it was before."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def _torch_as_it_was():
    """Training sets torch up for its whole process; tests share one."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


@pytest.fixture(scope="session")
def ray_of_two_cpus():
    """One Ray session for all tests that need one; work drawn in the tests travels to its workers by value."""
    from ray import cloudpickle

    from lesionlab.training.session import ray_session

    from . import drawn

    cloudpickle.register_pickle_by_value(drawn)
    with ray_session(cpus=2):
        yield
