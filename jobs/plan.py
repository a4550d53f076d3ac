"""A study file in; its design on the screen, before anything is computed."""

from __future__ import annotations

from rich.table import Table

from jobs.door import SpecArgument, console, load_spec, run_alone
from lesionlab.studies.plan import cells, trainings
from storage_schemas.runs import StudySpec


def show_design(spec: StudySpec) -> None:
    """Print the cells of a study, one line an arm and size, and last how many trainings they are."""
    table = Table(title=f"{spec.name}: {spec.title}", title_justify="left")
    for column in ("arm", "starts from", "training size", "folds", "seeds", "tested studies"):
        table.add_column(column, justify="left" if column in {"arm", "starts from"} else "right")
    lines: dict[tuple[str, str, int], list[tuple[int, int]]] = {}
    for cell in cells(spec):
        lines.setdefault((cell.arm, cell.source or "fresh weights", cell.training_size), []).append(
            (cell.fold, cell.seed)
        )
    for (arm, source, size), turns in lines.items():
        folds, seeds = {fold for fold, _ in turns}, {seed for _, seed in turns}
        tested = len(folds) * spec.target.subset_size
        table.add_row(arm, source, str(size), str(len(folds)), str(len(seeds)), str(tested))
    console.print(table)
    console.print(f"{trainings(spec)} trainings", markup=False)


def plan(spec: SpecArgument) -> None:
    """Print the design of a study: arms, training sizes, folds, trainings.

    Example: lesionlab plan demo
    """
    show_design(load_spec(spec))


if __name__ == "__main__":
    run_alone(plan)
