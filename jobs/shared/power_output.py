"""Print what a design can show, as text or as JSON."""

from __future__ import annotations

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from jobs.shared.console import console, show_table
from lesionlab.analysis.methods.mixed import NotFitted
from lesionlab.analysis.methods.power import POWER
from lesionlab.analysis.statistics.power import NoPower, Power
from lesionlab.analysis.words import power as words
from lesionlab.analysis.words.models import METRICS

Outcome = Power | NoPower | NotFitted | None
"""None: no SDs were given."""


def show_power(found: Outcome) -> None:
    """Print the test, what it shows of each endpoint, and the smallest differences by folds and seeds."""
    if found is None:
        console.print(words.ASK)
    elif not isinstance(found, Power):
        console.print(words.no_power(found))
    else:
        console.print(words.about(found))
        for line in words.lines(found):
            console.print(line)
        show_table(_table(found))


def power_json(found: Outcome) -> dict[str, Any] | None:
    """All numbers, with the reason where there are none; None without SDs."""
    if found is None:
        return None
    if not isinstance(found, Power):
        return {"not_computed": words.no_power(found)}
    return {
        "power": POWER,
        "studies": found.rotation.patients,
        "folds": len(found.rotation.folds),
        "seeds": found.seeds,
        "metrics": {
            one.metric: {
                "sd": dict(one.sd),
                "smallest_difference": one.now.smallest_difference(),
                "standard_error": one.now.standard_error,
                "degrees_of_freedom": one.now.degrees,
                "share_of_variance": dict(one.share),
                "by_folds_and_seeds": [
                    {"folds": subsets, "seeds": seeds, "smallest_difference": difference}
                    for (subsets, seeds), difference in one.table.items()
                ],
                "target": one.need
                and {
                    "difference": one.need.difference,
                    "seeds": one.need.seeds,
                    "smallest_difference_with_most_seeds": one.need.floor,
                    "limited_by": one.need.limit,
                },
            }
            for one in found.metrics
        },
    }


def _table(found: Power) -> Table:
    seeds = sorted({number for _, number in found.metrics[0].table})
    table = Table(title=words.TITLE, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for name in ("metric", "folds", "studies"):
        table.add_column(name, justify="left" if name == "metric" else "right")
    for number in seeds:
        table.add_column("1 seed" if number == 1 else f"{number} seeds", justify="right")
    for one in found.metrics:
        for subsets in dict.fromkeys(subsets for subsets, _ in one.table):
            studies = subsets * found.rotation.subset_size
            cells = [f"{one.table[subsets, number]:.3f}" for number in seeds]
            table.add_row(METRICS[one.metric], str(subsets), str(studies), *cells)
    return table
