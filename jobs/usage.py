"""Show what the studies of each site were used for, and what they contribute to an experiment."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from jobs.shared.console import console, show_table
from jobs.shared.entry_points import run_as_module
from jobs.shared.options import CsvOption, JsonOption, StoreOption, connect_to_read, plain_name
from jobs.shared.output_file import save_csv
from lesionlab.analysis.methods.student import LEAST_PATIENTS
from lesionlab.analysis.statistics.conditions import conditions, rows_by_condition
from lesionlab.analysis.statistics.cross_site import cross_site
from lesionlab.analysis.statistics.rows import Row
from lesionlab.errors import InputError
from lesionlab.experiments.publishing import study_rows
from lesionlab.experiments.site_policies import refuse_showing, smallest_count
from lesionlab.experiments.stored_plans import current_plan
from lesionlab.experiments.usage import Usage
from lesionlab.experiments.usage import usage as usage_of
from lesionlab.store.objects import Store
from storage_schemas.base import Slug
from storage_schemas.experiments import Undefined


@dataclass(frozen=True)
class Contribution:
    """What the studies of a site contribute to the networks that are tested on it."""

    site: str
    """`all`: over the patients of all sites."""
    arm: str
    training_size: int
    metric: str
    without: float
    """Mean of networks that were trained on all other sites."""
    with_it: float
    """Mean of networks that were trained on all sites, with the same number of studies."""
    difference: float
    """with_it − without."""
    low: float | None
    """Of the 95 % CI over patients, conditional on the trained networks; None: no interval."""
    high: float | None
    patients: int


def usage(
    store: StoreOption,
    experiment: Annotated[
        str | None,
        typer.Argument(
            metavar="[EXPERIMENT]",
            callback=plain_name,
            help="Show instead what each site contributes to this experiment, which must have the design cross-site.",
        ),
    ] = None,
    csv_file: CsvOption = None,
    for_programs: JsonOption = False,
) -> None:
    """Show GPU hours and studies by month and site, from the ledger; or what each site contributes to an experiment.

    The hours of a run are divided among the sites by the number of their studies in
    it. Only the attempt that counts is in the ledger, so what was lost is not
    counted. A site's contribution is the difference, on its own patients, between
    networks that were trained with its studies and without, on equally many.

    Example: lesionlab usage --store s3://consortium/studies
    Example: lesionlab usage ms-cross-site --store s3://consortium/studies
    """
    place = connect_to_read(store)
    if experiment is None:
        columns, lines = _names(Usage), [asdict(one) for one in usage_of(place)]
        empty = f"no complete run in {store}"
    else:
        columns, lines = _names(Contribution), [asdict(one) for one in contributions_to(place, experiment)]
        empty = f"experiment {experiment}: no cell is finished, or there are too few patients"
    if csv_file:
        save_csv(csv_file, columns, lines)
    if for_programs:
        console.print(json.dumps(lines, indent=2))
    elif not lines:
        console.print(empty)
    else:
        show(columns, lines)


def contributions_to(store: Store, experiment: Slug) -> list[Contribution]:
    """Of every site. Raises InputError for another design, or if a site's policy lets no aggregates leave."""
    plan = current_plan(store, experiment)
    if plan.spec.target.design != "cross-site":
        raise InputError(
            f"experiment {experiment}: wanted the design cross-site, which trains without each site; found "
            f"{plan.spec.target.design}"
        )
    refuse_showing(store, plan.runs, "aggregates")
    least = smallest_count(store, plan.runs, LEAST_PATIENTS)
    return list(contributions(study_rows(store, plan), plan.spec.undefined, least))


def contributions(rows: Sequence[Row], undefined: Undefined, least: int) -> Iterator[Contribution]:
    """Of every site with at least so many patients, from rows of a design that compares sites."""
    for found in cross_site(rows_by_condition(rows), conditions(rows), undefined, least):
        for gap in found.gaps:
            if gap.new_hospital:
                own = gap.interval
                yield Contribution(
                    site=gap.site or "all",
                    arm=found.model.arm,
                    training_size=found.model.training_size,
                    metric=found.metric,
                    without=gap.unseen,
                    with_it=gap.seen,
                    difference=gap.seen - gap.unseen,
                    low=None if own is None else -own.high,
                    high=None if own is None else -own.low,
                    patients=gap.patients,
                )


def show(columns: Sequence[str], lines: Sequence[dict[str, Any]]) -> None:
    """Print one line for each."""
    table = Table(box=SIMPLE_HEAD)
    for column in columns:
        table.add_column(column.replace("_", " "))
    for line in lines:
        table.add_row(*(_text(line[column]) for column in columns))
    show_table(table)


def _names(kind: type[Usage] | type[Contribution]) -> list[str]:
    return [field.name for field in fields(kind)]


def _text(value: Any) -> str:
    return "–" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    run_as_module(usage)
