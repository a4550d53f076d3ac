"""Draw the patches of an epoch; open the deformed copies that they are cut from as they are needed.

A copy is made when its first patch is cut, so the first step waits for the copies of its own patches alone. Processes
on one node share the copies. A copy that another process makes just now is left to it: meanwhile this process makes
another one that it will need, so they never queue up behind each other. Which patches are drawn does not depend on it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from lesionlab.model import devices
from lesionlab.store.files import Held
from lesionlab.training.augmented import AugmentedVolume, StudyArrays, open_augmented
from lesionlab.training.patches import Starts, draw_starts
from lesionlab.training.warp import Warp, draw_warp
from storage_schemas.base import digest_of
from storage_schemas.runs import RunSpec

MOST_THREADS = 8
"""Threads of one training that make copies: they do more than a GPU's steps need. Not measured on a GPU."""


class Volumes(Protocol):
    """Augmented volumes by number."""

    def __len__(self) -> int: ...
    def __getitem__(self, number: int, /) -> AugmentedVolume: ...


class Copies:
    """The deformed copies of a run: all of the first study, all of the second, and so on; opened on demand.

    Opening one raises TrainingError as `open_augmented` does.
    """

    def __init__(self, run: RunSpec, volumes: Sequence[StudyArrays], cache: Path) -> None:
        self._run, self._cache = run, cache
        self._wanted = list(product(zip(run.train, volumes, strict=True), range(run.training.augmentations)))
        self._opened: dict[int, AugmentedVolume] = {}

    def __len__(self) -> int:
        return len(self._wanted)

    def __getitem__(self, number: int, /) -> AugmentedVolume:
        while number not in self._opened:
            if not self._opens(number, wait=False) and not self._opens_another(number):
                self._opens(number, wait=True)
        return self._opened[number]

    @contextmanager
    def made_ahead(self, order: Iterable[int], threads: int) -> Iterator[None]:
        """Make the copies in this order in so many threads beside the training, until the block is left.

        What goes wrong there goes wrong again, and is raised, where the copy is asked for.
        """
        if not threads:
            yield
            return
        pool = ThreadPoolExecutor(threads, thread_name_prefix="lesionlab-copies")
        try:
            for number in order:
                pool.submit(self._opens, number, wait=False)
            yield
        finally:
            pool.shutdown(cancel_futures=True)

    def _opens_another(self, number: int) -> bool:
        """Whether another copy could be opened or made meanwhile."""
        others = [*range(number + 1, len(self)), *range(number)]
        return any(self._opens(other, wait=False) for other in others if other not in self._opened)

    def _opens(self, number: int, *, wait: bool) -> bool:
        """Whether the copy is open now; without waiting, it is not if another process is making it."""
        if number in self._opened:
            return True
        (entry, volume), copy = self._wanted[number]
        run = self._run
        try:
            self._opened[number] = open_augmented(
                volume, entry.volume, copy, run.training, run.seed, self._cache, wait=wait
            )
        except Held:
            return False
        return True


@dataclass(frozen=True)
class Draws:
    """The patches of one copy in one epoch, drawn when the first of them is asked for."""

    run: RunSpec
    epoch: int
    copies: Volumes
    number: int

    @cached_property
    def volume(self) -> AugmentedVolume:
        return self.copies[self.number]

    @cached_property
    def starts_P3(self) -> NDArray[np.int64]:
        """First voxels of its patches: those with lesion, then those without."""
        return np.concatenate([self._starts.inclusive_P3, self._starts.exclusive_P3])

    @cached_property
    def _starts(self) -> Starts:
        volume, training = self.volume, self.run.training
        rng = self._rng()
        return draw_starts(
            volume.places, volume.label_IJK.shape, training.patch_voxels, training.patches_per_study, rng
        )

    def warp(self, place: int) -> Warp | None:
        """The displacement of a patch; None where the copy is deformed already.

        The lesion voxel that the patch was drawn for stays where it is, without one the patch's centre.
        """
        training, volume, lesion_P3 = self.run.training, self.volume, self._starts.lesion_P3
        if training.augmentation == "fixed-copies" or training.elastic.sd_mm == 0:
            return None
        start, shape = self.starts_P3[place], volume.label_IJK.shape
        centre = np.minimum(start + training.patch_voxels // 2, np.array(shape) - 1)
        anchor = lesion_P3[place] if place < len(lesion_P3) else centre
        rng = self._rng(place)
        return draw_warp(training.elastic, self.run.spacing_mm, shape, start, anchor, training.patch_voxels, rng)

    def _rng(self, *place: int) -> np.random.Generator:
        drawn_by = [self.volume.study, self.volume.copy, self.run.seed, self.epoch, *place]
        return np.random.default_rng(int(digest_of(drawn_by), 16))


@dataclass(frozen=True)
class DrawnPatch:
    """One patch of an epoch; its volume and its first voxel there are known once it is cut."""

    draws: Draws
    place: int

    @property
    def volume(self) -> AugmentedVolume:
        return self.draws.volume

    @property
    def start(self) -> NDArray[np.int64]:
        start: NDArray[np.int64] = self.draws.starts_P3[self.place]
        return start

    @cached_property
    def warp(self) -> Warp | None:
        return self.draws.warp(self.place)


def first_use(run: RunSpec, epoch: int, copies: Volumes) -> list[int]:
    """The numbers of the copies in the order in which the patches of an epoch need them."""
    return list(dict.fromkeys(patch.draws.number for patch in epoch_patches(run, epoch, copies)))


def threads_beside(device: torch.device) -> int:
    """Threads that make copies ahead: some of a GPU's node, where cores are idle; none on a CPU, where they train."""
    return min(MOST_THREADS, (os.cpu_count() or 1) // 2) if devices.on_gpu(device) else 0


def epoch_patches(run: RunSpec, epoch: int, copies: Volumes) -> list[DrawnPatch]:
    """All patches of an epoch, in the order of training; every epoch draws new ones."""
    each = run.training.patches_per_study
    draws = [Draws(run, epoch, copies, number) for number in range(len(copies))]
    order = np.random.default_rng(int(digest_of([run.seed, epoch]), 16)).permutation(len(copies) * each)
    return [DrawnPatch(draws[place // each], int(place % each)) for place in order]
