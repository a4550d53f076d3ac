"""The SDs that `lesionlab plan` computes power from: of an earlier experiment, of a table of results, or given ones."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from jobs.shared.options import connect_to_read
from lesionlab.analysis.methods.mixed import NotFitted
from lesionlab.analysis.statistics.conditions import value_of
from lesionlab.analysis.statistics.external import read_table
from lesionlab.analysis.statistics.power import Sds, sds_of
from lesionlab.analysis.words.models import METRICS
from lesionlab.analysis.words.tables import NOT_FITTED
from lesionlab.errors import InputError
from lesionlab.experiments.publishing import study_rows
from lesionlab.experiments.site_policies import refuse_few, refuse_showing
from lesionlab.experiments.stored_plans import current_plan
from storage_schemas.metrics import PRIMARY, Metric

NAMES = {
    "patient-by-arm": "patient_fine_tuned",
    "subset-by-arm": "subset_fine_tuned",
    "network": "network",
    "residual": "residual",
}
"""Names on the command line of the random effects that a difference between the arms depends on."""

VariancesOption = Annotated[
    str | None,
    typer.Option(
        metavar="EXPERIMENT|TABLE.csv",
        help="Compute power from the SDs in the results of this experiment in the store, or of a table as for "
        "`analyse --rows`.",
    ),
]
SdOption = Annotated[
    list[str] | None,
    typer.Option(
        "--sd",
        metavar="NAME=VALUE",
        help=f"Compute power from this SD; repeat for each of {', '.join(NAMES)}. It replaces that of --variances, for "
        "sensitivity and PPV, or for one of them: ppv.network=0.05.",
    ),
]
DifferenceOption = Annotated[
    float | None,
    typer.Option(metavar="D", help="Also print the number of seeds that a true difference of D needs (80 % power)."),
]


def chosen_sds(variances: str | None, given: Sequence[str], uri: str) -> dict[Metric, Sds] | None:
    """The SDs of both endpoints; None if no option was given. Raises InputError with every fault."""
    if variances is None and not given:
        return None
    own = _given(given)
    found = {metric: dict(sd) for metric, sd in _fitted(variances, uri).items()} if variances else {}
    sds: dict[Metric, Sds] = {metric: found.get(metric, {}) | own[metric] for metric in PRIMARY}
    if faults := [*_faults(sds)]:
        raise InputError(*faults)
    return sds


def check_difference(difference: float | None) -> None:
    """Raises InputError unless it lies between 0 and 1."""
    if difference is not None and not 0 < difference < 1:
        raise InputError(f"--difference: wanted a number between 0 and 1, as in 0.05; found {difference:g}")


def _faults(sds: dict[Metric, Sds]) -> Iterable[str]:
    for metric, sd in sds.items():
        lacking = [name for name, effect in NAMES.items() if effect not in sd]
        if lacking:
            yield (
                f"--sd: {METRICS[metric]} lacks {', '.join(lacking)}; give each, 0 for none, or take all from an "
                "earlier experiment (--variances)"
            )
        elif not sd["residual"]:
            yield f"--sd: wanted a residual SD above 0 for {METRICS[metric]}, found 0"


def _given(given: Sequence[str]) -> dict[Metric, dict[str, float]]:
    own: dict[Metric, dict[str, float]] = {metric: {} for metric in PRIMARY}
    faults = []
    for text in given:
        left, _, right = text.partition("=")
        metric, _, name = left.rpartition(".")
        value = _number(right)
        if name not in NAMES or metric not in {"", *PRIMARY} or value is None:
            faults.append(
                f"--sd: wanted NAME=VALUE with {', '.join(NAMES)} and an SD from 0 to 1, as in network=0.05 or "
                f"ppv.network=0.05; found {text!r}"
            )
            continue
        for each in PRIMARY:
            if metric in {"", each}:
                own[each][NAMES[name]] = value
    if faults:
        raise InputError(*faults)
    return own


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and 0 <= value <= 1 else None


def _fitted(variances: str, uri: str) -> dict[Metric, Sds]:
    if variances.endswith(".csv"):
        found = sds_of(read_table(Path(variances)).rows)
    else:
        store = connect_to_read(uri)
        plan = current_plan(store, variances)
        refuse_showing(store, plan.runs, "aggregates")
        rows, undefined = study_rows(store, plan), plan.spec.undefined
        found = sds_of(rows, undefined)
        sites = {entry.site for run in plan.runs for entry in (*run.train, *run.test)}
        counted = {
            METRICS[metric]: len({(r.site, r.patient) for r in rows if value_of(r, metric, undefined) is not None})
            for metric in PRIMARY
        }
        refuse_few(store, f"--variances {variances}: the SDs", sites, counted)
    why = {metric: sd for metric, sd in found.items() if isinstance(sd, NotFitted)}
    if why:
        reasons = (f"{METRICS[metric]}: {NOT_FITTED[reason]}" for metric, reason in why.items())
        raise InputError(
            *(
                f"--variances {variances}: the SDs of {reason}; name another experiment or give --sd"
                for reason in reasons
            )
        )
    return {metric: sd for metric, sd in found.items() if not isinstance(sd, NotFitted)}
