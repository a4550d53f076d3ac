"""No withheld cell can be worked out from the cells that stay, by any weighted sum of them."""

from __future__ import annotations

from itertools import chain, combinations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lesionlab.analysis.methods.suppression import shown_cells

SITES, LEVELS = "ab", "xyz"
LEAVES = [(level, site) for level in LEVELS for site in SITES]
CELLS = (
    {"all": set(LEAVES)}
    | {site: {leaf for leaf in LEAVES if leaf[1] == site} for site in SITES}
    | {level: {leaf for leaf in LEAVES if leaf[0] == level} for level in LEVELS}
    | {f"{level}{site}": {(level, site)} for level, site in LEAVES}
)


def recoverable(shown, sizes, smallest):
    """Try every group of 1 to smallest − 1 units: those whose indicator lies in the row space of the shown cells."""
    leaves = [leaf for leaf in LEAVES if sizes[leaf]]
    rows = np.array([[leaf in CELLS[name] for leaf in leaves] for name in sorted(shown)], dtype=float)
    groups = chain.from_iterable(combinations(range(len(leaves)), count) for count in range(1, len(leaves) + 1))
    found = []
    for group in groups:
        if 0 < sum(sizes[leaves[place]] for place in group) < smallest:
            wanted = np.zeros(len(leaves))
            wanted[list(group)] = 1
            if len(rows) and np.linalg.norm(rows.T @ np.linalg.lstsq(rows.T, wanted, rcond=None)[0] - wanted) < 1e-8:
                found.append({leaves[place] for place in group})
    return found


@settings(max_examples=60)
@given(st.lists(st.sampled_from([0, 1, 3, 6, 9, 10, 12, 25]), min_size=6, max_size=6), st.sampled_from([5, 10]))
def test_no_group_of_few_lies_in_the_row_space_of_the_shown_cells(counts, smallest):
    sizes = dict(zip(LEAVES, counts, strict=True))
    shown = shown_cells(CELLS, sizes, smallest, margins=["all", *SITES])
    assert recoverable(shown, sizes, smallest) == []
    units = {name: sum(sizes[leaf] for leaf in cell) for name, cell in CELLS.items()}
    assert {name for name, count in units.items() if 0 < count < smallest}.isdisjoint(shown)
    if all(count >= smallest for count in counts):
        assert shown == set(CELLS)


def test_withholding_the_few_alone_would_give_them_away():
    sizes = dict(zip(LEAVES, [4, 20, 30, 20, 30, 20], strict=True))
    primary = {name for name in CELLS if name != "xa"}
    assert recoverable(primary, sizes, 10) == [{("x", "a")}]
    shown = shown_cells(CELLS, sizes, 10, margins=["all", *SITES])
    assert shown >= {"all", *SITES, *LEVELS}
    assert "xa" not in shown
    assert len(primary - shown) == 3  # the fewest that hide one cell of a table with both margins: a rectangle


def test_of_a_total_and_its_parts_the_smallest_part_goes_with_the_few():
    sizes = {"north": 40, "south": 20, "west": 4}
    cells = {name: {name} for name in sizes} | {"all": set(sizes)}
    assert shown_cells(cells, sizes, 10, margins=["all"]) == {"all", "north"}
    assert shown_cells(cells, sizes | {"west": 0}, 10) == {"all", "north", "south", "west"}
    assert shown_cells({"all": set(sizes)}, {"north": 2, "south": 3, "west": 4}, 10) == set()
