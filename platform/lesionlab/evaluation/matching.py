"""How the lesions of two masks overlap in; which of them are hits, and whose partners they are, by a named rule, out.

Each rule treats both masks alike: the same question is asked of every lesion of either.
"""

# R lesions of the reference, P lesions of the prediction, N lesions of the mask in question,
# Q pairs of a reference and a predicted lesion that share a voxel

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
"""Decides between matchings of the same sum: far below any difference of two measures, far above rounding."""


@dataclass(frozen=True, eq=False)
class Overlaps:
    """Which lesions share how many voxels, one row for each pair that shares any; lesions are counted from 0 here."""

    own_Q: Counts
    other_Q: Counts
    shared_Q: Counts
    own_voxels_N: Counts
    other_voxels_N: Counts

    def turned(self) -> Overlaps:
        """The same, seen from the other mask."""
        return Overlaps(self.other_Q, self.own_Q, self.shared_Q, self.other_voxels_N, self.own_voxels_N)

    def covered_N(self) -> Counts:
        """Voxels of each own lesion that the other mask covers."""
        return np.bincount(self.own_Q, self.shared_Q, minlength=len(self.own_voxels_N)).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Matching:
    """What became of each lesion; a partner is the number of a lesion of the other mask from 1, or 0 for none."""

    reference_hit_R: Hits
    prediction_hit_P: Hits
    reference_partner_R: Counts
    prediction_partner_P: Counts


def overlaps_of(reference: Lesions, prediction: Lesions) -> Overlaps:
    """The overlaps of two masks on one grid, seen from the reference."""
    both_IJK = (reference.ids_IJK > 0) & (prediction.ids_IJK > 0)
    own, other = reference.ids_IJK[both_IJK].astype(np.int64) - 1, prediction.ids_IJK[both_IJK] - 1
    pairs_Q, shared_Q = np.unique(own * prediction.count + other, return_counts=True)
    own_Q, other_Q = np.divmod(pairs_Q, max(prediction.count, 1))
    return Overlaps(own_Q, other_Q, shared_Q, lesion_voxels(reference), lesion_voxels(prediction))


def match(overlaps: Overlaps, rule: AnyOverlap | MostlyInside | OneToOne) -> Matching:
    """Ask the rule of every lesion of both masks; `overlaps` are seen from the reference."""
    if isinstance(rule, OneToOne):
        partner_R, partner_P = one_to_one(overlaps, rule)
        return Matching(partner_R > 0, partner_P > 0, partner_R, partner_P)
    hit_R, hit_P = (
        any_overlap(seen, rule) if isinstance(rule, AnyOverlap) else mostly_inside(seen, rule)
        for seen in (overlaps, overlaps.turned())
    )
    return Matching(hit_R, hit_P, np.zeros(len(hit_R), np.int64), np.zeros(len(hit_P), np.int64))


def any_overlap(overlaps: Overlaps, rule: AnyOverlap) -> Hits:
    """Own lesions of which enough is covered, and a voxel at least."""
    covered_N = overlaps.covered_N()
    return (covered_N > 0) & (covered_N / overlaps.own_voxels_N >= rule.minimum_overlap)


def mostly_inside(overlaps: Overlaps, rule: MostlyInside) -> Hits:
    """Own lesions of which enough is covered, by lesions that lie mostly within this mask.

    The rule of animaSegPerfAnalyzer, which looks at one cover more than the own mask has lesions, and no further. Where
    it takes equally large covers in any order, the one that lies less outside comes first here, so that the answer does
    not depend on how lesions are numbered.
    """
    enough_N = overlaps.covered_N() / overlaps.own_voxels_N > rule.covered_above
    most = len(overlaps.own_voxels_N) + 1
    outside_N = (overlaps.other_voxels_N - overlaps.turned().covered_N()) / overlaps.other_voxels_N
    return np.array(
        [
            bool(enough) and _trustworthy(overlaps.shared_Q[mine], outside_N[overlaps.other_Q[mine]], rule, most)
            for enough, mine in zip(enough_N, _pairs_of_each(overlaps), strict=True)
        ],
        dtype=np.bool_,
    )


def one_to_one(overlaps: Overlaps, rule: OneToOne) -> tuple[Counts, Counts]:
    """Partners of the own and of the other lesions, counted from 1; 0 for none.

    This is panoptica's MaxBipartiteMatching. From IoU 0.5 (Dice 2/3) on, its default, which takes the best pair again
    and again (NaiveThresholdMatching), gives the same counts; below, what that finds depends on the order of equals.
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


def _trustworthy(shared: Counts, outside: NDArray[np.float64], rule: MostlyInside, most: int) -> bool:
    order = np.lexsort((outside, -shared))
    before = np.cumsum(shared[order]) - shared[order]
    taken = (before < rule.share_of_cover * shared.sum()) & (np.arange(len(order)) < most)
    return bool((outside[order][taken] <= rule.most_outside).all())


def _pairs_of_each(overlaps: Overlaps) -> list[NDArray[np.int64]]:
    """Rows of the pairs of each own lesion."""
    order = np.argsort(overlaps.own_Q, kind="stable")
    ends = np.cumsum(np.bincount(overlaps.own_Q, minlength=len(overlaps.own_voxels_N)))
    return np.split(order, ends)[:-1]
