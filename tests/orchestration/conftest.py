"""Fixtures of all orchestration tests: torch settings restored, a Ray session."""

from __future__ import annotations

import pytest

from tests.training.conftest import _restore_torch_settings as _restore_torch_settings


@pytest.fixture(scope="module")
def ray_of_two_cpus():
    """One Ray session for all tests of a file; functions of the tests are pickled by value.

    It ends with the file: a session takes the environment it was started in, so what later tests set would not reach
    its workers.
    """
    from ray import cloudpickle

    from lesionlab.orchestration.session import ray_session
    from tests.training import drawn

    cloudpickle.register_pickle_by_value(drawn)
    with ray_session(cpus=2):
        yield
