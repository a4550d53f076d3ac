"""Keep the checkpoints of a run in the store: each attempt writes its own and resumes from those of all attempts."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from lesionlab.errors import StoreError
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.base import Digest, Slug

KEPT = 2
"""Of one attempt: if the newest is damaged, the one before it serves."""


@dataclass(frozen=True)
class RunCheckpoints:
    """The checkpoints of one run, for one attempt to add to."""

    store: Store
    run_id: Digest
    attempt: Slug

    def names(self) -> list[str]:
        """Keys of the checkpoints of all attempts, that of the most steps first."""
        return [key for _, key in _by_steps(self.store, self.run_id)]

    def read(self, name: str) -> bytes:
        """The checkpoint under this key. Raises MissingObject."""
        return self.store.get(name)

    def save(self, steps: int, data: bytes) -> None:
        """Store a checkpoint and read it back; then of this attempt's older ones all but the last are removed.

        Raises StoreError if it reads back differently.
        """
        key = self._key(f"{steps:09d}")
        self.store.put(key, data)
        if self.store.get(key) != data:
            raise StoreError(
                f"{key}: reads back differently from what was written; check the store's disks and network"
            )
        own = [name for name in self.names() if name.startswith(self._folder())]
        for name in own[KEPT:]:
            with suppress(StoreError):  # what stays behind is removed with the attempt
                self.store.delete(name)

    def _key(self, steps: str) -> str:
        return keys.RUN_CHECKPOINT.build(run_id=self.run_id, attempt=self.attempt, steps=steps)

    def _folder(self) -> str:
        return keys.RUN_CHECKPOINT.prefix(run_id=self.run_id, attempt=self.attempt)


def newest_step(store: Store, run_id: Digest) -> int:
    """The last step of a run with a checkpoint; 0: it has none."""
    return next((steps for steps, _ in _by_steps(store, run_id)), 0)


def _by_steps(store: Store, run_id: Digest) -> list[tuple[int, str]]:
    found = [(keys.RUN_CHECKPOINT.parse(key), key) for key in store.list(keys.RUN_CHECKPOINT.prefix(run_id=run_id))]
    steps = [(int(values["steps"]), key) for values, key in found if values and values["steps"].isdecimal()]
    return sorted(steps, reverse=True)
