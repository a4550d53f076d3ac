"""Show what a registered model came from, and which decisions put it into use."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from jobs.shared.console import console, notes
from jobs.shared.entry_points import run_as_module
from jobs.shared.lineage_output import lineage_form, lineage_text
from jobs.shared.options import JsonOption, ModelArgument, StoreOption, connect_to_read
from lesionlab.errors import AccessDenied
from lesionlab.experiments.earned import refuse_unearned
from lesionlab.experiments.lineage import lineage as lineage_of
from lesionlab.experiments.registry import find_model
from lesionlab.orchestration.gate import verify


def lineage(
    model: ModelArgument,
    store: StoreOption,
    verified: Annotated[
        bool,
        typer.Option(
            "--verify",
            help="Compare the decisions with the looks that were taken, and compute each by a rule again from the "
            "stored rows.",
        ),
    ] = False,
    for_programs: JsonOption = False,
) -> None:
    """Show what a registered model was trained on, what it was fine-tuned from, and who put it into use.

    Each generation has its studies by cohort and site, the origin of its weights,
    the experiment, code and libraries, and the decisions about it.

    Example: lesionlab lineage demo-glioma
    """
    place = connect_to_read(store)
    found = lineage_of(place, find_model(place, model))
    for name in dict.fromkeys(generation.card.name for generation in found.generations) if verified else ():
        try:
            refuse_unearned(place, name)
        except AccessDenied:
            notes.print(f"{name}: these keys may not read the looks; decisions are not compared", style="yellow")
    for decision in (decision for generation in found.generations for decision in generation.decisions):
        if verified and decision.gate:
            gone = verify(place, decision.gate, decision.model)
            about = f"decision {decision.number} about {decision.model}"
            if gone:
                told = f"{about}: cannot be computed again: {', '.join(gone)} withdrawn since, their rows are gone"
                notes.print(f"{told}; rule and ticket are unaltered", style="yellow")
            else:
                notes.print(f"{about}: rule, ticket and rows are unaltered")
    console.print(json.dumps(lineage_form(found), indent=2) if for_programs else lineage_text(found))


if __name__ == "__main__":
    run_as_module(lineage)
