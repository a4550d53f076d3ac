"""The name of a tensor in; which part of its network it belongs to, and which tensor of another network does the same
work, out.

Each network declares this about itself, so that transfer and freezing know no network's attribute names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from torch import nn

Part = Literal["encoder", "decoder", "head"]


@dataclass(frozen=True)
class Place:
    """Where in its network a tensor stands. Tensors of equal places, in networks of whatever depths, do the same work
    at the same resolution."""

    part: Part
    level: int
    """Halvings of the resolution at which it works; of an up-sampling, those of what it makes."""
    name: str
    """Tells it from the other tensors of its part and level."""
    reads: Part | None = field(default=None, compare=False)
    """Which part makes the features that it reads, where this depends on the network's depth."""


class PartedNetwork(nn.Module):
    """A network that says of each of its tensors where it stands."""

    first_convolution: ClassVar[str]
    """The one tensor that knows the input channels: (features, channels, i, j, k)."""

    def place_of(self, tensor: str) -> Place:
        """Of a tensor by its name in `state_dict()`. Raises KeyError where the network has no such part."""
        raise NotImplementedError

    def by_place(self) -> dict[Place, str]:
        """The names of all its tensors."""
        return {self.place_of(tensor): tensor for tensor in self.state_dict()}
