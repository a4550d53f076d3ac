"""Write a simulated cohort as a BIDS dataset, with reference masks under derivatives/manual."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from jobs.shared.command_line import console, run_alone
from jobs.shared.progress import steps
from lesionlab.errors import SpecError
from lesionlab.experiments.spec_faults import validation_faults
from lesionlab.simulation.cohort import simulate_cohort
from storage_schemas.cohorts import CohortPlan


def simulate(
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder for the dataset; must not exist yet, or be empty.")
    ],
    pathology: Annotated[
        list[str] | None,
        typer.Option(help="ms, glioma, leukodystrophy, small-vessel, metastases; repeat for a mixture. [default: ms]"),
    ] = None,
    studies: Annotated[int, typer.Option(min=1, help="Number of patients.")] = 12,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
    spacing: Annotated[
        float | None,
        typer.Option(
            min=0.5, max=5.0, metavar="MM", help="Every image isotropic at this spacing, not its scanner's own."
        ),
    ] = None,
    site: Annotated[list[str] | None, typer.Option(help="Only this built-in site; repeat for several.")] = None,
    contrast: Annotated[
        list[str] | None, typer.Option(help="FLAIR, T1w, ce-gadolinium_T1w; repeat for several. [default: FLAIR]")
    ] = None,
    timepoints: Annotated[int, typer.Option(min=1, max=2, help="2: pairs with new lesions.")] = 1,
) -> None:
    """Write a simulated cohort as a BIDS dataset.

    Example: lesionlab simulate ./ms-cohort --pathology ms --studies 12 --seed 7 --spacing 2
    """
    try:
        plan = CohortPlan.model_validate(
            {
                "pathology": pathology if pathology and pathology[1:] else (pathology or ["ms"])[0],
                "studies": studies,
                "seed": seed,
                "spacing_mm": spacing,
                "sites": site or None,
                "contrasts": contrast or ("FLAIR",),
                "timepoints": timepoints,
            }
        )
    except ValidationError as error:
        raise SpecError(*validation_faults(error, CohortPlan)) from error
    with steps("simulating") as step:
        simulate_cohort(plan, out, step)
    console.print(f"{studies} simulated patients in {out}")


if __name__ == "__main__":
    run_alone(simulate)
