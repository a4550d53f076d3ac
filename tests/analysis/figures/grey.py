"""How bright a colour is where there is no colour."""

from __future__ import annotations

from itertools import combinations

from matplotlib.colors import to_rgb
from matplotlib.patches import Patch

APART = 0.12
"""Of the way from black to white: what two fills next to each other must differ by where nothing else does."""


def luminance(color: object) -> float:
    red, green, blue = to_rgb(color)
    return 0.299 * red + 0.587 * green + 0.114 * blue


def told_apart(patches: list[Patch]) -> bool:
    """Whether any two differ in hatch, or in brightness."""
    return all(
        one.get_hatch() != other.get_hatch()
        or abs(luminance(one.get_facecolor()[:3]) - luminance(other.get_facecolor()[:3])) > APART
        for one, other in combinations(patches, 2)
    )
