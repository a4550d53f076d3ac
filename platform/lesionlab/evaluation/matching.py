"""Match the lesions of two overlapping masks by a named rule: which lesions are hit, and which are paired.

Each rule is symmetric: it applies the same criterion to the lesions of both masks.
"""

# R lesions of the reference, P lesions of the prediction, N lesions of the own mask,
# Q pairs of a reference and a predicted lesion that share a voxel, V predicted voxels

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from lesionlab.imaging.lesions import Lesions, lesion_voxels
from storage_schemas.definitions import AnyOverlap, MostlyInside, OneToOne

Counts = NDArray[np.int64]
Hits = NDArray[np.bool_]

_FOR_EACH_PAIR = 1e-6
"""Favours more pairs among matchings with equal sums: far below any difference of two measures, far above rounding."""


@dataclass(frozen=True, eq=False)
class Overlaps:
    """Shared voxels of each pair of overlapping lesions, one row per pair; lesions are numbered from 0 here."""

    own_Q: Counts
    other_Q: Counts
    shared_Q: Counts
    own_voxels_N: Counts
    other_voxels_N: Counts

    def swapped(self) -> Overlaps:
        """The same overlaps with own and other mask swapped."""
        return Overlaps(self.other_Q, self.own_Q, self.shared_Q, self.other_voxels_N, self.own_voxels_N)

    def covered_N(self) -> Counts:
        """Number of voxels of each own lesion inside the other mask."""
        return np.bincount(self.own_Q, self.shared_Q, minlength=len(self.own_voxels_N)).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Matching:
    """Whether each lesion is hit, and its matched lesion in the other mask (numbered from 1; 0: none)."""

    reference_hit_R: Hits
    prediction_hit_P: Hits
    reference_partner_R: Counts
    prediction_partner_P: Counts


def overlaps_of(reference: Lesions, prediction: Lesions, box: tuple[slice, ...] = ()) -> Overlaps:
    """The overlaps of two masks on one grid; the reference is the own mask.

    `box`: the part of the reference's grid that the prediction covers; empty: all of it.
    """
    below_V = reference.ids_IJK[box].ravel()[prediction.voxels_V]  # the reference at each voxel of the prediction
    own, other = below_V[below_V > 0].astype(np.int64) - 1, prediction.ids_V[below_V > 0] - 1
    pairs_Q, shared_Q = np.unique(own * prediction.count + other, return_counts=True)
    own_Q, other_Q = np.divmod(pairs_Q, max(prediction.count, 1))
    return Overlaps(own_Q, other_Q, shared_Q, lesion_voxels(reference), lesion_voxels(prediction))


def match(overlaps: Overlaps, rule: AnyOverlap | MostlyInside | OneToOne) -> Matching:
    """Apply the rule to every lesion of both masks; the reference is the own mask of `overlaps`."""
    if isinstance(rule, OneToOne):
        partner_R, partner_P = one_to_one(overlaps, rule)
        return Matching(partner_R > 0, partner_P > 0, partner_R, partner_P)
    hit_R, hit_P = (
        any_overlap(seen, rule) if isinstance(rule, AnyOverlap) else mostly_inside(seen, rule)
        for seen in (overlaps, overlaps.swapped())
    )
    return Matching(hit_R, hit_P, np.zeros(len(hit_R), np.int64), np.zeros(len(hit_P), np.int64))


def any_overlap(overlaps: Overlaps, rule: AnyOverlap) -> Hits:
    """Own lesions with at least one voxel, and at least the minimum fraction, inside the other mask."""
    covered_N = overlaps.covered_N()
    return (covered_N > 0) & (covered_N / overlaps.own_voxels_N >= rule.minimum_overlap)


def mostly_inside(overlaps: Overlaps, rule: MostlyInside) -> Hits:
    """Own lesions that are covered enough, by lesions that lie mostly inside this mask.

    This is the rule of animaSegPerfAnalyzer, which considers at most one overlap more than the own mask has lesions.
    That program takes overlaps of equal size in arbitrary order; here the one with the smaller part outside comes
    first, so the result does not depend on the numbering of lesions.
    """
    enough_N = overlaps.covered_N() / overlaps.own_voxels_N > rule.covered_above
    most = len(overlaps.own_voxels_N) + 1
    outside_N = (overlaps.other_voxels_N - overlaps.swapped().covered_N()) / overlaps.other_voxels_N
    return np.array(
        [
            bool(enough) and _mostly_within(overlaps.shared_Q[mine], outside_N[overlaps.other_Q[mine]], rule, most)
            for enough, mine in zip(enough_N, _pairs_of_each(overlaps), strict=True)
        ],
        dtype=np.bool_,
    )


def one_to_one(overlaps: Overlaps, rule: OneToOne) -> tuple[Counts, Counts]:
    """The matched lesion of each own and each other lesion, numbered from 1; 0: none.

    This is panoptica's MaxBipartiteMatching. From IoU 0.5 (Dice 2/3) upwards, panoptica's default, greedy matching
    (NaiveThresholdMatching), gives the same counts; below, greedy matching depends on the order of ties.
    """
    both_Q = overlaps.own_voxels_N[overlaps.own_Q] + overlaps.other_voxels_N[overlaps.other_Q]
    measure_Q = (
        overlaps.shared_Q / (both_Q - overlaps.shared_Q) if rule.measure == "iou" else 2 * overlaps.shared_Q / both_Q
    )
    able_Q = measure_Q >= rule.threshold
    owns, row_Q = np.unique(overlaps.own_Q[able_Q], return_inverse=True)
    others, column_Q = np.unique(overlaps.other_Q[able_Q], return_inverse=True)
    gain = np.zeros((len(owns), len(others)))
    gain[row_Q, column_Q] = measure_Q[able_Q] + _FOR_EACH_PAIR
    rows, columns = linear_sum_assignment(gain, maximize=True)
    real = gain[rows, columns] > 0
    own, other = owns[rows[real]], others[columns[real]]
    own_partner = np.zeros(len(overlaps.own_voxels_N), dtype=np.int64)
    other_partner = np.zeros(len(overlaps.other_voxels_N), dtype=np.int64)
    own_partner[own], other_partner[other] = other + 1, own + 1
    return own_partner, other_partner


def _mostly_within(shared: Counts, outside: NDArray[np.float64], rule: MostlyInside, most: int) -> bool:
    order = np.lexsort((outside, -shared))
    before = np.cumsum(shared[order]) - shared[order]
    taken = (before < rule.share_of_cover * shared.sum()) & (np.arange(len(order)) < most)
    return bool((outside[order][taken] <= rule.most_outside).all())


def _pairs_of_each(overlaps: Overlaps) -> list[NDArray[np.int64]]:
    """The row numbers of the pairs of each own lesion."""
    order = np.argsort(overlaps.own_Q, kind="stable")
    ends = np.cumsum(np.bincount(overlaps.own_Q, minlength=len(overlaps.own_voxels_N)))
    return np.split(order, ends)[:-1]
