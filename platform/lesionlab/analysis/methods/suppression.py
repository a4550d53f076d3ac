"""Choose the cells of a table that may be shown, so that no small group can be worked out from them.

A cell counts, or sums a value over, the units of its leaves; leaves are the finest groups of a table, such as `women at
north`. A cell of fewer units than the smallest count is withheld (primary suppression), and further cells until no
weighted sum of the shown ones is a group of fewer units (complementary suppression; Willenborg and de Waal 2001,
Elements of Statistical Disclosure Control). Empty groups are taken as known.
"""

# L leaves, C cells

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TypeVar

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

Leaf = TypeVar("Leaf", bound=Hashable)
Name = TypeVar("Name", bound=Hashable)

_ZERO = 1e-6


def shown_cells(
    cells: Mapping[Name, AbstractSet[Leaf]],
    sizes: Mapping[Leaf, int],
    smallest: int,
    margins: Collection[Name] = (),
) -> frozenset[Name]:
    """Return the names of the cells that may be shown; `sizes` are the units of each leaf.

    Of the cells that would give a small group away, the one of the fewest units is withheld, and one of the `margins`
    only where nothing else helps.
    """
    units = {name: sum(sizes[leaf] for leaf in cell) for name, cell in cells.items()}
    shown = [name for name in cells if units[name] == 0 or units[name] >= smallest]
    while gives := telling([cells[name] for name in shown], sizes, smallest):
        guilty = [shown[place] for place in gives]
        shown.remove(min(guilty, key=lambda name: (name in margins, units[name])))
    return frozenset(shown)


def telling(shown: Sequence[AbstractSet[Leaf]], sizes: Mapping[Leaf, int], smallest: int) -> tuple[int, ...]:
    """Return the places of shown cells of which a weighted sum is a group of 1 to `smallest` − 1 units; empty: none.

    Found by integer programming: an indicator of leaves, of the fewest units, in the row space of the shown cells.
    """
    leaves = [leaf for leaf, size in sizes.items() if size]
    sizes_L = np.array([sizes[leaf] for leaf in leaves], dtype=np.float64)
    shown_CL = np.array([[leaf in cell for leaf in leaves] for cell in shown], dtype=np.float64)
    used = [place for place, cell_L in enumerate(shown_CL) if cell_L.any()]
    if not used or smallest <= 1:
        return ()
    shown_CL = shown_CL[used]
    weights, zeros = len(used), np.zeros(len(used))
    found = milp(
        c=np.concatenate([sizes_L, zeros]),
        integrality=np.concatenate([np.ones(len(leaves)), zeros]),
        bounds=Bounds(
            np.concatenate([np.zeros(len(leaves)), np.full(weights, -np.inf)]),
            np.concatenate([np.ones(len(leaves)), np.full(weights, np.inf)]),
        ),
        constraints=[
            LinearConstraint(np.hstack([np.eye(len(leaves)), -shown_CL.T]), 0, 0),
            LinearConstraint(np.concatenate([sizes_L, zeros])[None], 1, smallest - 1),
        ],
    )
    if found.x is None:
        return ()
    return tuple(used[place] for place, weight in enumerate(found.x[len(leaves) :]) if abs(weight) > _ZERO)
