"""Freeze a cohort as a benchmark."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs.shared.console import console, notes
from jobs.shared.definitions import load_definition
from jobs.shared.entry_points import run_as_module
from jobs.shared.options import StoreOption, connect, plain_name
from lesionlab.errors import InputError
from lesionlab.experiments.benchmarks import freeze, seal
from lesionlab.experiments.registry import models
from lesionlab.orchestration.gate import refuse_if_seen
from storage_schemas.definitions import DEFINITIONS


def benchmark(
    name: Annotated[str, typer.Argument(metavar="NAME", callback=plain_name, help="Name of the benchmark.")],
    cohort: Annotated[
        str, typer.Argument(metavar="COHORT", callback=plain_name, help="Preprocessed cohort in the store.")
    ],
    store: StoreOption,
    same_patients: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COHORT", help="Another cohort whose patient labels mean the same people; repeat for each."
        ),
    ] = None,
    register: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            callback=plain_name,
            help="Patient register of the cohort, as in experiment files: cohorts of it have the same people.",
        ),
    ] = None,
    definition: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE",
            help=f"Definition of lesion and hit: {', '.join(DEFINITIONS)}; or your own (YAML file).",
        ),
    ] = "paper",
    seal_it: Annotated[
        bool,
        typer.Option(
            "--seal",
            help="Move its volumes to where the role gate alone may read them; needs the steward's rights. Before "
            "anybody trains or tests on them.",
        ),
    ] = False,
) -> None:
    """Freeze a cohort as a benchmark: candidates are judged on it, and nothing is ever trained on it.

    From now on no experiment may train on its studies, or test on them: by name,
    by patient, by image under another name, and in the ancestry of its sources.
    Models that were trained on them before are named; they cannot be promoted by it.

    Example: lesionlab benchmark ms-2026 ms-held-out --seal
    """
    place = connect(store)
    frozen = freeze(place, name, cohort, load_definition(definition), same_patients or (), register)
    patients = len({(entry.site, entry.patient) for entry in frozen.manifest.studies})
    console.print(f"benchmark {frozen.name}: {len(frozen.manifest.studies)} studies of {patients} patients of {cohort}")
    if seal_it:
        console.print(f"sealed: {seal(place, frozen)} volumes moved, the gate's role alone may read them")
    for card in models(place):
        try:
            refuse_if_seen(place, frozen, card)
        except InputError as error:
            notes.print(str(error), style="yellow")


if __name__ == "__main__":
    run_as_module(benchmark)
