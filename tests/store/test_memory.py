"""The memory store fulfils the contract of a single process."""

from __future__ import annotations

import pytest

from lesionlab.store.objects import Store, open_store
from tests.store.contract import StoreContract


class TestMemory(StoreContract):
    @pytest.fixture
    def store(self) -> Store:
        return open_store("memory://")
