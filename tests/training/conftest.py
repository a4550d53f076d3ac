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
