"""Grade a registered model with lesions that are inserted into a site's own scans."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from jobs.shared.audited import TRAINING, audited, studies_of
from jobs.shared.console import console, notes
from jobs.shared.decisions_output import note_origin, why_in_use
from jobs.shared.entry_points import run_as_module
from jobs.shared.grading_output import COLUMNS, grading_lines, show_grading
from jobs.shared.left_out import note_left_out
from jobs.shared.options import CacheOption, CsvOption, JsonOption, ModelArgument, StoreOption, connect, plain_name
from jobs.shared.output_file import save_csv
from lesionlab.analysis.statistics.detection import self_grading
from lesionlab.experiments.manifests import forbidden_parts, frozen_manifest
from lesionlab.experiments.planning import testing_run
from lesionlab.experiments.registry import find_model
from lesionlab.experiments.site_policies import fewest_told, purpose_of, withheld
from lesionlab.orchestration.self_grading import grade


def self_grade(
    model: ModelArgument,
    store: StoreOption,
    cache: CacheOption,
    cohort: Annotated[
        str,
        typer.Option(metavar="COHORT", callback=plain_name, help="Preprocessed cohort into whose scans lesions go."),
    ],
    csv_file: CsvOption = None,
    for_programs: JsonOption = False,
) -> None:
    """Which lesions does a model detect? Insert lesions of known size and contrast, and count.

    They go where a reader drew no lesion, into homogeneous tissue, one of each size
    and contrast a study, at the same places for every model. Nobody has to draw
    anything. Studies that the model was trained on are refused, and benchmarks, and
    what a site's policy forbids. No fraction is of fewer patients than the consortium
    agreed on, or a site's policy asks for.
    The rows are stored, and the report of an experiment shows them.

    Example: lesionlab self-grade demo-glioma --cohort demo-ms
    """
    place = connect(store, "self-grades/")
    card = find_model(place, model)
    purpose = purpose_of(f"evaluate-{card.name}", card.task.name, tested=True)
    manifest = frozen_manifest(place, cohort, purpose)
    note_left_out(forbidden_parts(place, cohort, purpose))
    run = testing_run(card, manifest)
    if why := why_in_use(place, model, card):
        notes.print(why)
    note_origin(place, card)
    with audited(place, TRAINING, run.experiment, studies_of(place, (run,))):
        graded = grade(place, card, manifest, cache)
    if withheld(place, run.experiment, run.task.name, run.test, "rows"):
        if graded.refused:
            why = "trained on, or without room for a lesion"
            notes.print(f"{len(graded.refused)} studies: left out, {why}", style="yellow")
    else:
        for study, why in sorted(graded.refused.items()):
            notes.print(f"{study}: left out, {why}", style="yellow")
    fewest = fewest_told(place, {entry.site for entry in run.test})
    found = self_grading(graded.rows, fewest)
    lines = grading_lines(found)
    if csv_file:
        save_csv(csv_file, COLUMNS, lines)
    if for_programs:
        console.print(json.dumps(lines, indent=2))
    else:
        show_grading(found, fewest)


if __name__ == "__main__":
    run_as_module(self_grade)
