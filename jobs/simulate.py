"""Write a simulated cohort as a BIDS dataset, with reference masks under derivatives/manual."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jobs.door import console, run_alone
from jobs.progress import steps
from lesionlab.simulation.cohort import simulate_cohort
from storage_schemas.cohorts import CohortPlan, Contrast, Pathology


def simulate(
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder for the dataset; must not exist yet, or be empty.")
    ],
    pathology: Annotated[list[Pathology], typer.Option(help="Repeat for a mixture, patient by patient.")] = ["ms"],  # noqa: B006
    studies: Annotated[int, typer.Option(min=1, help="Number of patients.")] = 12,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
    spacing: Annotated[
        float | None,
        typer.Option(
            min=0.5, max=5.0, metavar="MM", help="Every image isotropic at this spacing, not its scanner's own."
        ),
    ] = None,
    site: Annotated[list[str] | None, typer.Option(help="Only this built-in site; repeat for several.")] = None,
    contrast: Annotated[list[Contrast], typer.Option(help="Repeat for several.")] = ["FLAIR"],  # noqa: B006
    timepoints: Annotated[int, typer.Option(min=1, max=2, help="2: pairs with new lesions.")] = 1,
) -> None:
    """Write a simulated cohort as a BIDS dataset.

    Example: lesionlab simulate ./ms-cohort --pathology ms --studies 12 --seed 7 --spacing 2
    """
    plan = CohortPlan(
        pathology=pathology[0] if len(pathology) == 1 else tuple(pathology),
        studies=studies,
        seed=seed,
        spacing_mm=spacing,
        sites=tuple(site) if site else None,
        contrasts=tuple(contrast),
        timepoints=2 if timepoints == 2 else 1,
    )
    with steps("simulating") as step:
        simulate_cohort(plan, out, step)
    console.print(f"{studies} simulated patients in {out}", markup=False)


if __name__ == "__main__":
    run_alone(simulate)
