"""A study file in; its design on the screen, before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from jobs.door import SpecArgument, console, run_alone
from jobs.study_files import load_spec
from lesionlab.analysis.figures import rotation
from lesionlab.analysis.figures.drawing import as_png, as_svg
from lesionlab.errors import InputError
from lesionlab.studies.cells import cells, trainings
from storage_schemas.runs import Cell
from storage_schemas.studies import StudySpec


def show_design(spec: StudySpec) -> None:
    """Print a line a model with all its training sizes, then who trains and who tests, and last how many trainings."""
    models: dict[tuple[str, ...], list[Cell]] = {}
    for cell in cells(spec):
        models.setdefault(tuple(_settings(spec, cell).values()), []).append(cell)
    titles = list(_settings(spec, cells(spec)[0]))
    # A column that says nothing is left out: most studies vary few of the axes.
    shown = [place for place in range(len(titles)) if any(model[place] for model in models)]
    table = Table(
        title=f"{spec.name}: {spec.title}", title_justify="left", box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False
    )
    for place in shown:
        table.add_column(titles[place], overflow="fold")
    for title in ("training sizes", "tested", "trainings"):
        table.add_column(title, justify="right", no_wrap=True)
    for model, turns in models.items():
        table.add_row(*(model[place] for place in shown), *_counts(spec, turns))
    console.print(table)
    console.print(rotation.as_text(spec), markup=False)
    console.print(f"{trainings(spec)} trainings", markup=False)


def _settings(spec: StudySpec, cell: Cell) -> dict[str, str]:
    """What tells the models of a study apart beside their training size, by the title of its column."""
    several_depths = len(spec.network_depths) > 1 and cell.arm != "grader"
    return {
        "model": cell.model(),
        "depth": str(cell.depth) if several_depths else "",
        "rate": f"{cell.learning_rate:g}" if cell.learning_rate else "",
        "budget": cell.budget.text() if cell.budget else "",
        "freezing": cell.freezing.text() if cell.freezing else "",
        "trained on": cell.train_site or "",
    }


def _counts(spec: StudySpec, turns: Sequence[Cell]) -> tuple[str, str, str]:
    """Training sizes, studies that each of these models is tested on, trainings of all of them."""
    sizes, folds = {cell.training_size for cell in turns}, {cell.fold for cell in turns}
    # In the other designs a subset is a site or a patient, whose studies the data will tell.
    tested = str(len(folds) * spec.target.subset_size) if spec.target.design == "rotation" else "–"
    trained = str(len(turns)) if max(sizes) else "–"
    return " ".join(map(str, sorted(sizes))), tested, trained


def save_figure(spec: StudySpec, path: Path) -> None:
    """Draw the rotation into a file. Raises InputError where its name ends neither in .svg nor in .png."""
    if path.suffix not in {".svg", ".png"}:
        raise InputError(f"--figure {path}: wanted a file name that ends in .svg or .png")
    picture = rotation.figure(spec)
    path.write_bytes(as_svg(picture, f"rotation-{spec.name}") if path.suffix == ".svg" else as_png(picture))


def plan(
    spec: SpecArgument,
    figure: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also draw who trains and who tests (.svg or .png).")
    ] = None,
) -> None:
    """Print the design of a study: arms, training sizes, folds, who trains and who tests, and how many trainings.

    Example: lesionlab plan wahlig2023-flair-single --figure rotation.svg
    """
    study = load_spec(spec)
    if figure:
        save_figure(study, figure)
    show_design(study)


if __name__ == "__main__":
    run_alone(plan)
