"""A store for dry runs: it reads another store, and what is written stays in this process."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime

from lesionlab.errors import Conflict, ObjectExists
from lesionlab.store.base import Listed, Store, Tagged, plain


class DryRun(Store):
    """What a command would find and write, without writing it. It removes only what it wrote itself.

    For commands that plan as they would in earnest, refusals included; `experiments.rehearsal` plans before the default
    models are trained.
    """

    def __init__(self, real: Store) -> None:
        super().__init__(real.uri, real.objects)
        self._real = real
        self._own: dict[str, Tagged] = {}

    def get_tagged(self, key: str) -> Tagged:
        return self._own.get(key) or self._real.get_tagged(key)

    def exists(self, key: str) -> bool:
        return key in self._own or self._real.exists(key)

    def folders(self, prefix: str) -> list[str]:
        folder = f"{prefix.rstrip('/')}/" if prefix else ""
        below = {key.removeprefix(folder) for key in self._own if key.startswith(folder)}
        own = {f"{folder}{rest.partition('/')[0]}/" for rest in below if "/" in rest}
        return sorted({*self._real.folders(prefix), *own})

    def listed(self, prefix: str) -> Sequence[Listed]:
        own = [Listed(key, len(one.data), one.modified) for key, one in self._own.items() if key.startswith(prefix)]
        there = [found for found in self._real.listed(prefix) if found.key not in self._own]
        return sorted([*there, *own], key=lambda found: found.key)

    def put(self, key: str, data: bytes) -> None:
        self._keep(key, data)

    def create(self, key: str, data: bytes) -> str:
        if self.exists(key):
            raise ObjectExists(f"{self.uri}/{key}: it exists already")
        return self._keep(key, data)

    def replace(self, key: str, data: bytes, tag: str) -> str:
        if self.get_tagged(key).tag != tag:
            raise Conflict(f"{self.uri}/{key}: it was changed meanwhile")
        return self._keep(key, data)

    def _remove(self, key: str) -> None:
        if self._own.pop(key, None) is None and self._real.exists(key):
            raise ValueError(f"{key}: a dry run removes nothing from a store")

    def _keep(self, key: str, data: bytes) -> str:
        tag = hashlib.sha256(data).hexdigest()
        self._own[plain(key)] = Tagged(data, tag, datetime.now(UTC))
        return tag
