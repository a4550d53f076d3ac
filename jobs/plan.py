"""A study file in; its design on the screen, before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from jobs.shared.command_line import SpecArgument, console, run_alone
from jobs.shared.output_file import save_output
from jobs.shared.specs import load_spec
from lesionlab.analysis.figures import rotation
from lesionlab.analysis.figures.drawing import as_png, as_svg
from lesionlab.errors import InputError
from lesionlab.experiments.cells import cells, trainings
from storage_schemas.experiments import ExperimentSpec, TrainedIn
from storage_schemas.results import Arm
from storage_schemas.runs import Budget, Cell, Freezing

_ARMS: dict[Arm, str] = {"default": "untrained", "rater": "rater", "de-novo": "de novo", "fine-tuned": "fine-tuned"}


def show_design(spec: ExperimentSpec) -> None:
    """Print what the models share, a line a model with what is its own, then who trains and who tests, and last how
    many trainings."""
    models: dict[tuple[str, ...], list[Cell]] = {}
    for cell in cells(spec):
        models.setdefault((_name(spec, cell), *_settings(spec, cell).values()), []).append(cell)
    titles = ("model", *_settings(spec, cells(spec)[0]))
    shared = {place: arms for place in range(1, len(titles)) if (arms := _sharing(models, place))}
    shown = [place for place in range(len(titles)) if place not in shared and any(model[place] for model in models)]

    console.print(f"{spec.name}: {spec.title}")
    console.print(f"training sizes: {', '.join(map(str, spec.training_sizes))}")
    if len(spec.seeds) > 1:
        console.print(f"seeds: {', '.join(map(str, spec.seeds))}; each training is made {len(spec.seeds)} times")
    for place, arms in shared.items():
        value = next(model[place] for model in models if model[place])
        console.print(f"{titles[place]}: {value} (all {' and '.join(arms)})")
    rows = [(*(model[place] for place in shown), *_counts(spec, turns)) for model, turns in models.items()]
    console.print(_table([*(titles[place] for place in shown), "tested", "trainings"], rows))
    for source in spec.sources:
        if source.trained_in:
            console.print(f"{source.model}: {_meant(source.trained_in)}")
    console.print(rotation.as_text(spec, console.width))
    if to_train := [source.model for source in spec.sources if source.cohort]:
        depths = f" at depths {', '.join(map(str, spec.network_depths))}" if len(spec.network_depths) > 1 else ""
        console.print(f"to be trained first, where not registered yet: {', '.join(to_train)}{depths}")
    console.print(f"{trainings(spec)} trainings")


def _name(spec: ExperimentSpec, cell: Cell) -> str:
    """A source that another study trained is no default model: it is called by its name."""
    trained = {source.model for source in spec.sources if source.trained_in}
    return f"{cell.source} as it is" if cell.arm == "default" and cell.source in trained else cell.model()


def _meant(there: TrainedIn) -> str:
    """`de novo in wahlig2023-flair-single, training size 10, fold 1`."""
    given = {name: getattr(there, name) for name in TrainedIn.model_fields if name not in ("experiment", "arm")}
    parts = [
        f"{name.replace('_', ' ')} {value.text() if isinstance(value, Budget | Freezing) else value}"
        for name, value in given.items()
        if value is not None
    ]
    return ", ".join([f"{_ARMS[there.arm]} in {there.experiment}", *parts])


def _settings(spec: ExperimentSpec, cell: Cell) -> dict[str, str]:
    """What may tell the models of a study apart beside their training size, by the title of its column."""
    several_depths = len(spec.network_depths) > 1 and cell.arm != "rater"
    thawed = "none" if spec.freezings and cell.arm == "fine-tuned" else ""
    return {
        "depth": str(cell.depth) if several_depths else "",
        "learning rate": f"{cell.learning_rate:g}" if cell.learning_rate else "",
        "budget": cell.budget.text() if cell.budget else "",
        "freezing": cell.freezing.text() if cell.freezing else thawed,
        "trained on": cell.train_site or "",
    }


def _sharing(models: Mapping[tuple[str, ...], Sequence[Cell]], place: int) -> list[str]:
    """The arms that have this setting, where all their models have the same one; else none."""
    values: dict[str, set[str]] = {}
    for model, turns in models.items():
        values.setdefault(_ARMS[turns[0].arm], set()).add(model[place])
    having = [arm for arm, found in values.items() if found != {""}]
    return having if len(set.union(*values.values()) - {""}) == 1 and all(len(values[a]) == 1 for a in having) else []


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """The last two columns hold numbers. No word is broken, however narrow the screen."""
    table = Table(box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    for place, title in enumerate(titles):
        words = [word for text in (title, *(row[place] for row in rows)) for word in text.split()]
        table.add_column(
            title, justify="right" if place >= len(titles) - 2 else "left", min_width=max(map(len, words), default=1)
        )
    for row in rows:
        table.add_row(*row)
    return table


def _counts(spec: ExperimentSpec, turns: Sequence[Cell]) -> tuple[str, str]:
    """Studies that each of these models is tested on, trainings of all of them."""
    # In the other designs a subset is a site or a patient, whose studies the data will tell.
    rotates, folds = spec.target.design == "rotation", {cell.fold for cell in turns}
    trained = [cell for cell in turns if cell.training_size]
    return str(len(folds) * spec.target.subset_size) if rotates else "–", str(len(trained)) if trained else "–"


def save_figure(spec: ExperimentSpec, path: Path) -> None:
    """Draw the rotation into a file. Raises InputError where it ends neither in .svg nor .png, or cannot be written."""
    if path.suffix not in {".svg", ".png"}:
        raise InputError(f"--figure {path}: wanted a file name that ends in .svg or .png")
    picture = rotation.figure(spec)
    drawn = as_svg(picture, f"rotation-{spec.name}") if path.suffix == ".svg" else as_png(picture)
    save_output("--figure", path, drawn)


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
