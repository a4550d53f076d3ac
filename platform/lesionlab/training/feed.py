"""Bring the batches of an epoch to the device; on a GPU, cut the next ones while it computes.

Voxels cross the bus as they are stored (float16 images, uint8 labels) and become float32 and int64 on the device, which
changes no value. Patches that are deformed one by one cross with a margin around them and are deformed on the device.

Shapes: B batch (this worker's share), C channel, I J K voxels of a patch.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lesionlab.model import devices
from lesionlab.training.augmented import AugmentedVolume
from lesionlab.training.patches import cut_image, cut_label
from lesionlab.training.warp import Warp, deformed
from storage_schemas.runs import TrainingConfig

BUFFERS = 3
"""Batches in memory that is reused: one on its way to the device, one ready, one being cut."""


class Patch(Protocol):
    """One patch of an epoch: its augmented volume, its first voxel there and, if it is deformed yet, how."""

    @property
    def volume(self) -> AugmentedVolume: ...
    @property
    def start(self) -> NDArray[np.int64]: ...
    @property
    def warp(self) -> Warp | None: ...


Share = Sequence[Patch]
Batch = tuple[Tensor, Tensor]
"""Image float32 (B, C, I, J, K) and label int64 (B, I, J, K) on the device."""


@contextmanager
def feed(shares: Iterable[Share], training: TrainingConfig, device: torch.device) -> Iterator[Iterator[Batch]]:
    """The batches of these shares, in order; cut ahead by a thread for a GPU, where they are asked for on a CPU.

    An error in the thread is raised where its batch is asked for. The thread has ended when the block is left.
    """
    if not devices.on_gpu(device):
        yield (load(share, training, device) for share in shares)
        return
    with Ahead(shares, training, device) as batches:
        yield iter(batches)


def load(share: Share, training: TrainingConfig, device: torch.device) -> Batch:
    """Cut the patches of one batch and move them to the device."""
    images, labels = zip(*[_cut(patch, training.patch_voxels) for patch in share], strict=True)
    image_BCIJK, label_BIJK = torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(labels))
    return _ready(image_BCIJK.to(device), label_BIJK.to(device), _warps(share))


def _cut(patch: Patch, edge: int) -> tuple[NDArray[np.float16], NDArray[np.uint8]]:
    """Image and label as they are stored, with the margin that the patch's deformation reads."""
    reach = patch.warp.reach if patch.warp is not None else 0
    first, whole, volume = patch.start - reach, edge + 2 * reach, patch.volume
    return cut_image(volume.image_CIJK, first, whole), cut_label(volume.label_IJK, first, whole)


def _warps(share: Share) -> list[Warp]:
    """How the patches of a share are deformed; empty if their volumes are."""
    return [patch.warp for patch in share if patch.warp is not None]


def _ready(image_BCIJK: Tensor, label_BIJK: Tensor, warps: Sequence[Warp]) -> Batch:
    """A batch that is on the device, for the network."""
    if warps:
        image_BCIJK, label_BIJK = deformed(image_BCIJK, label_BIJK, warps)
    return image_BCIJK.float(), label_BIJK.long()


class Ahead:
    """Cut batches in one thread, at most `BUFFERS` ahead, in buffers that are reused (pinned, for a GPU)."""

    def __init__(self, shares: Iterable[Share], training: TrainingConfig, device: torch.device) -> None:
        self.waited_s = 0.0
        """Time for which the training thread had to wait for batches."""
        self._shares, self._training, self._device = shares, training, device
        self._free: SimpleQueue[_Buffer] = SimpleQueue()
        self._ready: SimpleQueue[tuple[_Buffer, Share] | BaseException | None] = SimpleQueue()
        self._stopped = Event()
        self._thread = Thread(target=self._cut_all, name="lesionlab-feed", daemon=True)

    def __enter__(self) -> Ahead:
        for _ in range(BUFFERS):
            self._free.put(_Buffer())
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._free.put(_Buffer())  # wakes the thread if it waits for one
        self._thread.join()

    def __iter__(self) -> Iterator[Batch]:
        while True:
            began = time.perf_counter()
            ready = self._ready.get()
            self.waited_s += time.perf_counter() - began
            if ready is None:
                return
            if isinstance(ready, BaseException):
                raise ready
            buffer, share = ready
            batch = buffer.on_device(share, self._device)
            self._free.put(buffer)
            yield batch

    def _cut_all(self) -> None:
        try:
            if self._device.type == "cuda" and self._device.index is not None:
                torch.cuda.set_device(self._device)  # or memory would be pinned through the first GPU
            for share in self._shares:
                buffer = self._free.get()
                if self._stopped.is_set():
                    return
                buffer.cut(share, self._training.patch_voxels, pinned=self._device.type == "cuda")
                self._ready.put((buffer, share))
            self._ready.put(None)
        except BaseException as error:  # raised again in the training thread
            self._ready.put(error)


class _Buffer:
    """Memory for one batch; `_copied` is when the device has read it."""

    def __init__(self) -> None:
        self._image_BCIJK = self._label_BIJK = torch.empty(0)
        self._copied: torch.cuda.Event | None = None

    def cut(self, share: Share, edge: int, pinned: bool) -> None:
        """Fill the buffer, once the device has read what was in it."""
        if self._copied is not None:
            self._copied.synchronize()
        for place, patch in enumerate(share):
            image, label = _cut(patch, edge)
            if len(self._image_BCIJK) < len(share):
                self._image_BCIJK = _memory(len(share), image, pinned)
                self._label_BIJK = _memory(len(share), label, pinned)
            self._image_BCIJK.numpy()[place], self._label_BIJK.numpy()[place] = image, label

    def on_device(self, share: Share, device: torch.device) -> Batch:
        """Send the batch on its way; the device need not have it yet."""
        image_BCIJK = self._image_BCIJK[: len(share)].to(device, non_blocking=True, copy=True)
        label_BIJK = self._label_BIJK[: len(share)].to(device, non_blocking=True, copy=True)
        if device.type == "cuda":
            self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._copied.record(torch.cuda.current_stream(device))
        return _ready(image_BCIJK, label_BIJK, _warps(share))


def _memory(patches: int, like: NDArray[Any], pinned: bool) -> Tensor:
    """Memory for so many patches of this shape and type."""
    kind = torch.from_numpy(np.empty(0, like.dtype)).dtype
    return torch.empty((patches, *like.shape), dtype=kind, pin_memory=pinned)
