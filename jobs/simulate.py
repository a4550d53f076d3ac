"""Simulate a cohort as a BIDS dataset, with reference masks under derivatives/manual."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jobs.shared.console import console
from jobs.shared.entry_points import run_as_module
from jobs.shared.progress import steps
from lesionlab.experiments.spec_files import validated
from lesionlab.simulation.cohort import simulate_cohort
from storage_schemas.cohorts import CohortPlan


def simulate(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the dataset; must be empty or not exist yet.")],
    pathology: Annotated[
        list[str] | None,
        typer.Option(
            help="ms, glioma, leukodystrophy, small-vessel, metastases; repeat for a mixture.", show_default="ms"
        ),
    ] = None,
    studies: Annotated[int, typer.Option(min=1, help="Number of patients.")] = 12,
    seed: Annotated[int, typer.Option(help="Random seed; the same seed gives identical files.")] = 0,
    spacing: Annotated[
        float | None,
        typer.Option(
            min=0.5, max=5.0, metavar="MM", help="Isotropic voxel size of all images; by default each scanner's own."
        ),
    ] = None,
    site: Annotated[list[str] | None, typer.Option(help="Use only this built-in site; repeat for several.")] = None,
    contrast: Annotated[
        list[str] | None,
        typer.Option(help="FLAIR, T1w, ce-gadolinium_T1w; repeat for several.", show_default="FLAIR"),
    ] = None,
    timepoints: Annotated[int, typer.Option(min=1, max=2, help="2: pairs of visits with new lesions.")] = 1,
) -> None:
    """Simulate a cohort of patients as a BIDS dataset.

    Example: lesionlab simulate ./ms-cohort --pathology ms --studies 12 --seed 7 --spacing 2
    """
    plan = validated(
        {
            "pathology": pathology if pathology and pathology[1:] else (pathology or ["ms"])[0],
            "studies": studies,
            "seed": seed,
            "spacing_mm": spacing,
            "sites": site or None,
            "contrasts": contrast or ("FLAIR",),
            "timepoints": timepoints,
        },
        CohortPlan,
        "simulate",
    )
    with steps("simulating") as step:
        simulate_cohort(plan, out, step)
    console.print(f"{studies} simulated patients in {out}")


if __name__ == "__main__":
    run_as_module(simulate)
