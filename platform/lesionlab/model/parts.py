"""Locate a tensor in its network by name: its part, its resolution level, and its counterpart in another network.

Each network declares this itself, so that transfer and freezing do not depend on a network's attribute names.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from torch import nn

Part = Literal["encoder", "decoder", "head"]


@dataclass(frozen=True)
class Place:
    """The location of a tensor in its network; tensors at equal places correspond, whatever the depths."""

    part: Part
    level: int
    """Number of times the resolution is halved here; for an up-sampling, in its output."""
    name: str
    """Distinguishes it from the other tensors of its part and level."""
    reads: Part | None = field(default=None, compare=False)
    """The part that produces its input features, if that depends on the network's depth."""


class PartedNetwork(nn.Module, ABC):
    """A network that declares the place of each of its tensors."""

    first_convolution: ClassVar[str]
    """The only tensor whose shape depends on the input channels: (features, channels, i, j, k)."""

    @abstractmethod
    def place_of(self, tensor: str) -> Place:
        """The place of a tensor by its name in `state_dict()`. Raises KeyError if the network has no such tensor."""

    def by_place(self) -> dict[Place, str]:
        """The names of all tensors by place."""
        return {self.place_of(tensor): tensor for tensor in self.state_dict()}
