"""Wording of the comparison of training sites and test sites."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lesionlab.analysis.methods.student import LEAST_PATIENTS
from lesionlab.analysis.statistics.conditions import Condition
from lesionlab.analysis.statistics.cross_site import CrossSite, Gap, Tested
from lesionlab.analysis.words.captions import Caption
from lesionlab.analysis.words.further import mean_interval
from lesionlab.analysis.words.headline import interval_text
from lesionlab.analysis.words.models import METRICS, model_title
from lesionlab.analysis.words.numbers import NONE, capital, fixed, signed
from storage_schemas.axes import axes_of
from storage_schemas.metrics import COLUMNS, Metric
from storage_schemas.splits import ALL_SITES, OTHER_SITES

MODEL, SIZE, TRAINED_ON, TESTED_ON, EVERYWHERE = "Model", "N", "Trained on", "Tested on", "every site"
GAPS = "The gap of each site"
GAP_COLUMNS = ("Model", "N", "Metric", "Site", "Comparison", "Unseen", "Seen", "Gap", "95 % CI", "Patients")
NEW_HOSPITAL = "trained on the other sites − on all sites"
SINGLE_SITE = "trained on one other site − on this site"
GAPS_NOTE = (
    "Gap: mean difference within each study between networks that did not see the site and networks that did, all "
    "trained on the same number N of studies; negative: the site loses where its own studies are missing. CI over "
    "patients: conditional on the trained networks. Ours, not the paper's."
)
MATRIX_NOTES = (
    "Rows: what networks were trained on, always N studies; columns: where they were tested, always on patients that "
    "they were not trained on. Mean [95 % CI] over studies; the CI is over folds where three networks or more were "
    "tested, otherwise over patients and conditional on the trained networks. Ours, not the paper's.",
    f"Empty: fewer than {LEAST_PATIENTS} patients.",
)
_TRAINED_ON = {ALL_SITES: "all sites", OTHER_SITES: "all but the tested site"}


def matrix_title(metric: Metric) -> str:
    """Of the matrix of one metric."""
    return f"{COLUMNS[metric].title} by training site and test site"


def trained_on(site: str) -> str:
    """`north`, `all sites`, `all but the tested site`."""
    return _TRAINED_ON.get(site, site)


def cell(tested: Tested) -> str:
    """`0.63 [0.56, 0.71] (n = 12)`; a dash where too few patients have a value."""
    return NONE if tested.mean is None else f"{mean_interval(tested.mean)} (n = {tested.mean.n})"


def n_is(number: int) -> str:
    """`n = 12`."""
    return f"n = {number}"


def name_among(model: Condition, among: Iterable[Condition]) -> str:
    """`de novo, 8 studies`; with what else tells it from the others."""
    every = list(among)
    strata = [
        axis.words(getattr(model, name))
        for name, axis in axes_of("stratum").items()
        if len({getattr(other, name) for other in every}) > 1
    ]
    return ", ".join([model_title(model), *filter(None, strata)])


def comparison(gap: Gap) -> str:
    """What a gap compares."""
    return NEW_HOSPITAL if gap.new_hospital else SINGLE_SITE


def sentences(found: Sequence[CrossSite]) -> tuple[str, ...]:
    """What a hospital may expect that gave no training study: leave-one-site-out, of each model at its largest size."""
    models = [one.model for one in found]
    largest = {way: max(m.training_size for m in models if m.way == way) for way in {m.way for m in models}}
    told = []
    for one in found:
        gap = next((gap for gap in one.gaps if gap.new_hospital and gap.site is None), None)
        if gap is None or one.model.training_size != largest[one.model.way]:
            continue
        by_site = [own for own in one.gaps if own.new_hospital and own.site is not None]
        lowest = min(by_site, key=lambda own: own.unseen, default=None)
        least = f", lowest at {lowest.site} ({fixed(lowest.unseen, 2)})" if lowest and len(by_site) > 1 else ""
        ci = f"; 95 % CI {interval_text(gap.interval)}" if gap.interval else ""
        told.append(
            f"A hospital that gave no training study: {name_among(one.model, models)}, {METRICS[one.metric]} "
            f"{fixed(gap.unseen, 2)}{least}; with all sites in the training {fixed(gap.seen, 2)} (difference "
            f"{signed(gap.difference, 2)}{ci})."
        )
    return tuple(told)


def heat_map(model: Condition, among: Iterable[Condition]) -> Caption:
    """Of the matrix as a picture."""
    return Caption(
        f"Trained here, tested there: {name_among(model, among)}.",
        "Rows: what the networks were trained on, always the same number of studies; columns: the site of the tested "
        "patients; in each cell the mean, its 95 % CI as in the table and n, the number of studies; shades: from the "
        "lowest to the highest mean. Framed: trained and tested at the same "
        "site, on different patients. The row of all but the tested site is what a new hospital may expect. Hatched: "
        "too few patients. Ours, not the paper's.",
        "Heat map of training site by test site; the table has the numbers",
    )


def panel(metric: Metric) -> str:
    """Title of one panel."""
    return capital(METRICS[metric])
