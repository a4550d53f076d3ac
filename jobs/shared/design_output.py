"""Print the design of an experiment; draw its rotation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table

from jobs.shared.console import console, show_table
from jobs.shared.output_file import save_output
from lesionlab.analysis.figures import rotation
from lesionlab.analysis.figures.drawing import as_png, as_svg
from lesionlab.analysis.statistics.cautions import LearningRatesDiffer
from lesionlab.analysis.words.cautions import sentence
from lesionlab.errors import InputError
from lesionlab.experiments.cells import cells, trainings
from storage_schemas.axes import AXES, Arm, TrainedArm, axes_of, text_of
from storage_schemas.experiments import ExperimentSpec, TrainedIn
from storage_schemas.metrics import COLUMNS
from storage_schemas.runs import Cell

_ARMS: dict[Arm, str] = {"default": "untrained", "rater": "rater", "de-novo": "de novo", "fine-tuned": "fine-tuned"}

_TRAINED: tuple[TrainedArm, ...] = ("fine-tuned", "de-novo")


def show_design(spec: ExperimentSpec) -> None:
    """Print the settings that all models share, one line per model with its own settings, the training and test subsets
    of each fold, and the number of trainings."""
    models: dict[tuple[str, ...], list[Cell]] = {}
    settings = _settings(cells(spec))
    for cell, own in settings.items():
        models.setdefault((_name(spec, cell), *own.values()), []).append(cell)
    titles = ("model", *next(iter(settings.values())))
    shared = {place: arms for place in range(1, len(titles)) if (arms := _sharing(models, place))}
    shown = [place for place in range(len(titles)) if place not in shared and any(model[place] for model in models)]

    console.print(f"{spec.name}: {spec.title}")
    console.print(f"training sizes: {', '.join(map(str, spec.training_sizes))}")
    if len(spec.seeds) > 1:
        console.print(f"seeds: {', '.join(map(str, spec.seeds))}; each training is repeated {len(spec.seeds)} times")
    for place, arms in shared.items():
        value = next(model[place] for model in models if model[place])
        console.print(f"{titles[place]}: {value} (all {' and '.join(arms)})")
    console.print(f"primary endpoint: {COLUMNS[spec.endpoint.metric].name}; frozen when the sweep is first planned")
    rows = [(*(model[place] for place in shown), *_counts(spec, turns)) for model, turns in models.items()]
    show_table(_table([*(titles[place] for place in shown), "tested", "trainings"], rows))
    for source in spec.sources:
        if source.trained_in:
            console.print(f"{source.model}: {_origin_text(source.trained_in)}")
    console.print(rotation.as_text(spec, console.width))
    if to_train := [source.model for source in spec.sources if source.cohort]:
        depths = f" at depths {', '.join(map(str, spec.network_depths))}" if len(spec.network_depths) > 1 else ""
        console.print(f"default models to pretrain if not yet registered: {', '.join(to_train)}{depths}")
    console.print(f"{trainings(spec)} trainings")
    if spec.learning_rate_choice == "training-folds":
        console.print("learning rates: one per arm and fold, chosen within the training studies once all are trained")
    if unlike := _unlike_rates(spec):
        console.print(f"caution: {sentence(LearningRatesDiffer(unlike))}")


def _name(spec: ExperimentSpec, cell: Cell) -> str:
    """The model's name; a source that another experiment trained is not called a default model."""
    trained = {source.model for source in spec.sources if source.trained_in}
    return f"{cell.source}, not fine-tuned" if cell.arm == "default" and cell.source in trained else cell.model()


def _origin_text(there: TrainedIn) -> str:
    """`de novo in wahlig2023-flair-single, training size 10, fold 1`."""
    given = there.given()
    parts = [f"{AXES[name].title.lower()} {text_of(value)}" for name, value in given.items() if name != "arm"]
    return ", ".join([f"{_ARMS[there.arm]} in {there.experiment}", *parts])


def _unlike_rates(spec: ExperimentSpec) -> tuple[tuple[float, float], ...]:
    """Learning rates of arms that are compared, fine-tuned and de novo; none where both have the same values."""
    if not spec.sources or not spec.de_novo:
        return ()
    fine_tuned, de_novo = (
        dict.fromkeys(spec.training_of(arm, axes).learning_rate for axes in spec.variants(arm)) for arm in _TRAINED
    )
    if set(fine_tuned) == set(de_novo):
        return ()
    return tuple((own, other) for own, other in product(fine_tuned, de_novo) if own != other)


def _settings(planned: Sequence[Cell]) -> dict[Cell, dict[str, str]]:
    """The settings, apart from training size, in which the models may differ; by cell and column title."""
    axes = axes_of("stratum", "method or stratum", "method")
    chosen = {(cell.arm, name): set[object]() for cell in planned for name in axes}
    for cell in planned:
        for name in axes:
            chosen[cell.arm, name].add(getattr(cell, name))
    networks = {
        name: set[object]().union(*(own for (arm, axis), own in chosen.items() if axis == name and arm != "rater"))
        for name in axes
    }

    def text(cell: Cell, name: str) -> str:
        always = Cell.model_fields[name].default is not None
        if cell.arm == "rater" or (always and len(networks[name]) == 1):
            return ""
        return text_of(getattr(cell, name)) or ("none" if chosen[cell.arm, name] != {None} else "")

    return {cell: {axis.title.lower(): text(cell, name) for name, axis in axes.items()} for cell in planned}


def _sharing(models: Mapping[tuple[str, ...], Sequence[Cell]], place: int) -> list[str]:
    """The arms with this setting if all their models have the same value, otherwise none."""
    values: dict[str, set[str]] = {}
    for model, turns in models.items():
        values.setdefault(_ARMS[turns[0].arm], set()).add(model[place])
    having = [arm for arm, found in values.items() if found != {""}]
    return having if len(set.union(*values.values()) - {""}) == 1 and all(len(values[a]) == 1 for a in having) else []


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A table whose last two columns are numbers; words are never broken, even on a narrow screen."""
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
    """Number of test studies of each of these models, and number of their trainings."""
    # In the other designs a subset is a site or a patient; its number of studies depends on the data.
    rotates, folds = spec.target.design == "rotation", {cell.fold for cell in turns}
    trained = [cell for cell in turns if cell.training_size]
    return str(len(folds) * spec.target.subset_size) if rotates else "–", str(len(trained)) if trained else "–"


def save_rotation(spec: ExperimentSpec, path: Path) -> None:
    """Draw the rotation into a .svg or .png file. Raises InputError for another ending or an unwritable path."""
    if path.suffix not in {".svg", ".png"}:
        raise InputError(f"--figure {path}: wanted a file name that ends in .svg or .png")
    picture = rotation.figure(spec)
    drawn = as_svg(picture, f"rotation-{spec.name}") if path.suffix == ".svg" else as_png(picture)
    save_output("--figure", path, drawn)
