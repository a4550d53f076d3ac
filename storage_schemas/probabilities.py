"""Define the 8-bit scale of stored lesion probabilities, and the thresholds at which predictions are scored.

A stored level q of a voxel says between which two of the edges its probability lies: q is the number of edges that are
at most the probability, so q = 0 means less than 0.01. A mask thresholded at an edge is therefore exact. Every one of
THRESHOLDS is an edge, and so is every hundredth from 0.05 to 0.95. The edges are closer where networks saturate: near 1
a step of 1/256 could not tell their most confident false positives from their most confident true positives.
"""

from __future__ import annotations

from itertools import pairwise

SCALE = 1
"""Number of this scale; another set of edges gets another number. Stored with each prediction."""

THRESHOLDS: tuple[float, ...] = (
    *(0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99),
    *(0.995, 0.998, 0.999, 0.9995, 0.9998, 0.9999),
)
"""Operating points of every prediction, in ascending order."""

STEPS = 10
"""Equal steps between two neighbouring thresholds."""

EDGES: tuple[float, ...] = (
    *(round(low + step * (high - low) / STEPS, 8) for low, high in pairwise(THRESHOLDS) for step in range(STEPS)),
    THRESHOLDS[-1],
)
"""Probabilities between the levels: 201, in ascending order."""


def level_at(threshold: float) -> int:
    """The lowest level of a mask thresholded here. Raises ValueError, with the nearest edges, if it is no edge."""
    if threshold in EDGES:
        return EDGES.index(threshold) + 1
    below = [edge for edge in EDGES if edge < threshold]
    above = [edge for edge in EDGES if edge > threshold]
    nearest = " or ".join(f"{edge:g}" for edge in (*below[-1:], *above[:1]))
    raise ValueError(f"wanted one of the stored levels, such as {nearest}; found {threshold:g}")
