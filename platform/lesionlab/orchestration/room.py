"""Declare where the runs of a sweep execute: device, GPUs per worker, runs at once, and how long to wait for room.

Nothing is chosen by what a cluster has at present: nodes come and go, and a sweep that began on one CPU node would stay
there while the GPUs that came later idle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lesionlab.errors import TrainingError
from lesionlab.orchestration import cluster_address

if TYPE_CHECKING:
    import torch

Device = Literal["cpu", "cuda"]

WAIT_MINUTES = 60.0
"""Long enough for a cluster that starts from zero nodes, pulls images and queues for a quota."""


@dataclass(frozen=True)
class Room:
    """The room that a sweep was declared to have."""

    device: Device
    gpus_per_worker: float = 1.0
    """Below 1, several small runs share a GPU; without meaning on a CPU."""
    slots: int | None = None
    """Runs at once; None: as many as fit, also as the cluster grows."""
    wait_s: float = 60 * WAIT_MINUTES
    """Give up if no run of the sweep could be executed for so long."""

    def worker(self) -> dict[str, float]:
        """Resources of one worker."""
        return {"CPU": 1, "GPU": self.gpus_per_worker} if self.device == "cuda" else {"CPU": 1}

    def torch_device(self) -> torch.device:
        """The device of a worker on this node. Raises TrainingError if it was declared and is not here."""
        import torch  # imported here: commands that only read options need not wait for it

        if self.device == "cuda" and not torch.cuda.is_available():
            raise TrainingError(
                "wanted the declared device cuda, found no GPU that torch can use on this node; check its driver and "
                "that torch is a CUDA build, or declare --device cpu"
            )
        return torch.device(self.device)


def declared_room(
    device: Device | None = None,
    gpus_per_worker: float = 1.0,
    slots: int | None = None,
    wait_minutes: float = WAIT_MINUTES,
) -> Room:
    """The room as declared; on this machine alone the device is its GPU if it has one.

    Raises TrainingError if the runs go to a cluster (RAY_ADDRESS) and no device is declared.
    """
    if device is None:
        from lesionlab.model.devices import best_device  # imports torch

        if cluster_address():
            raise TrainingError(
                "the cluster at RAY_ADDRESS: wanted a declared device, found none; add --device cuda or --device cpu "
                "(or set LESIONLAB_DEVICE): what a cluster has at present says nothing about the nodes that will come"
            )
        device = "cuda" if best_device().type == "cuda" else "cpu"
    return Room(device, gpus_per_worker if device == "cuda" else 1.0, slots, 60 * wait_minutes)
