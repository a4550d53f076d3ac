"""Bring the batches of an epoch to the device; on a GPU, cut the next ones while it computes.

Voxels cross the bus as they are stored (float16 images, uint8 labels) and become float32 and int64 on the device, which
changes no value.

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
from storage_schemas.runs import TrainingConfig

BUFFERS = 3
"""Batches in memory that is reused: one on its way to the device, one ready, one being cut."""


class Patch(Protocol):
    """One patch of an epoch: its augmented volume and its first voxel there."""

    @property
    def volume(self) -> AugmentedVolume: ...
    @property
    def start(self) -> NDArray[np.int64]: ...


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
    edge = training.patch_voxels
    image_BCIJK = torch.from_numpy(np.stack([cut_image(p.volume.image_CIJK, p.start, edge) for p in share]))
    label_BIJK = torch.from_numpy(np.stack([cut_label(p.volume.label_IJK, p.start, edge) for p in share]))
    return image_BCIJK.to(device).float(), label_BIJK.to(device).long()


class Ahead:
    """Cut batches in one thread, at most `BUFFERS` ahead, in buffers that are reused (pinned, for a GPU)."""

    def __init__(self, shares: Iterable[Share], training: TrainingConfig, device: torch.device) -> None:
        self.waited_s = 0.0
        """Time for which the training thread had to wait for batches."""
        self._shares, self._training, self._device = shares, training, device
        self._free: SimpleQueue[_Buffer] = SimpleQueue()
        self._ready: SimpleQueue[tuple[_Buffer, int] | BaseException | None] = SimpleQueue()
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
            buffer, patches = ready
            batch = buffer.on_device(patches, self._device)
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
                self._ready.put((buffer, len(share)))
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
            image = cut_image(patch.volume.image_CIJK, patch.start, edge)
            label = cut_label(patch.volume.label_IJK, patch.start, edge)
            if len(self._image_BCIJK) < len(share):
                self._image_BCIJK = _memory(len(share), image, pinned)
                self._label_BIJK = _memory(len(share), label, pinned)
            self._image_BCIJK.numpy()[place], self._label_BIJK.numpy()[place] = image, label

    def on_device(self, patches: int, device: torch.device) -> Batch:
        """Send the batch on its way; the device need not have it yet."""
        image_BCIJK = self._image_BCIJK[:patches].to(device, non_blocking=True, copy=True)
        label_BIJK = self._label_BIJK[:patches].to(device, non_blocking=True, copy=True)
        if device.type == "cuda":
            self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._copied.record(torch.cuda.current_stream(device))
        return image_BCIJK.float(), label_BIJK.long()


def _memory(patches: int, like: NDArray[Any], pinned: bool) -> Tensor:
    """Memory for so many patches of this shape and type."""
    kind = torch.from_numpy(np.empty(0, like.dtype)).dtype
    return torch.empty((patches, *like.shape), dtype=kind, pin_memory=pinned)
