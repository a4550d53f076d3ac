"""The answer in three short sentences: whether fine-tuning helps, by how much, and how many labelled studies it saves.

Beside them the notes that a reader needs where the intervals stand, and the secondary endpoints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil

from lesionlab.analysis.methods.intervals import Covers, Interval
from lesionlab.analysis.methods.mixed import NotFitted
from lesionlab.analysis.methods.student import LEAST_PATIENTS
from lesionlab.analysis.statistics.arm_comparisons import ArmComparison
from lesionlab.analysis.statistics.best_elsewhere import Best
from lesionlab.analysis.statistics.conditions import Condition
from lesionlab.analysis.statistics.effects import MissingCells
from lesionlab.analysis.statistics.endpoints import Decision, Declared, Endpoints, Judgement
from lesionlab.analysis.statistics.headline import Headline
from lesionlab.analysis.statistics.learning import Learning
from lesionlab.analysis.words import savings
from lesionlab.analysis.words.models import METRICS, comparison_name, model_name, stratum_name, variant
from lesionlab.analysis.words.numbers import capital, count_of, fixed, interval, listed, p_equals, signed
from storage_schemas.endpoints import DEFAULT_METRIC
from storage_schemas.metrics import FRACTIONS, PRIMARY, Metric

_DIGITS = 2
_RULER = 41
"""Characters of the line of text."""

_WITHHELD: Mapping[NotFitted, str] = {
    NotFitted.SUBSETS_UNKNOWN: "it is not known which networks share training studies",
    NotFitted.FEW_SUBSETS: "too few different sets of studies were trained on",
    NotFitted.NO_DISJOINT_SIZE: "some networks share training studies at every training size",
    NotFitted.NO_VARIANCE: "all values are equal",
    NotFitted.NO_RESIDUAL: "the values leave nothing to chance",
    NotFitted.TOO_FEW_VALUES: "there are too few values",
}


def sentences(found: Headline) -> tuple[str, str, str]:
    """Write the three sentences."""
    return _whether(found), _how_much(found), savings.sentence(found)


def notes(found: Headline) -> tuple[str, ...]:
    """Write what the numbers are means of, what each interval covers, and when the endpoint was chosen."""
    primary, endpoints = found.endpoints.primary, found.endpoints
    metric = primary.metric if primary else found.learned.metric if found.learned else None
    if found.elsewhere is not None:
        metric = found.elsewhere.summary.metric
    told = [
        _mean_of(metric) if metric else "",
        "Significance is by the paper's paired t test over studies, with Bonferroni's correction: it is one of these "
        "very models, and says nothing of another training."
        if found.elsewhere is not None
        else "",
        _difference_covers(primary) if primary else "",
        savings.covers(found),
        _judged_by(primary) if primary else "",
        "The table does not say which studies each network was trained on; its folds and sizes are read as the paper's "
        "rotation."
        if endpoints.rotation_assumed
        else "",
        _declared(endpoints, primary.metric) if primary else "",
        _others(endpoints, primary) if primary else "",
    ]
    return tuple(filter(None, told))


def secondary(endpoints: Endpoints) -> tuple[str, ...]:
    """Write one line for each secondary endpoint."""
    return tuple(f"{endpoint_name(one)}: {result(one)}." for one in endpoints.secondary)


def secondary_title(number: int) -> str:
    """Say that they are secondary, and how many."""
    return f"Secondary endpoints, with Holm's correction for {count_of(number, 'comparison')}"


def endpoint_name(judged: Judgement) -> str:
    """`Sensitivity, fine-tuned from glioma versus de novo, depth 4`."""
    parts = METRICS[judged.metric], comparison_name(judged.comparison), stratum_name(judged.stratum)
    return capital(", ".join(filter(None, parts)))


def decision_name(judged: Judgement) -> str:
    """`higher`, `not significant`, `not claimed: some networks share training studies at every training size`."""
    return {
        Decision.HIGHER: "significantly higher",
        Decision.LOWER: "significantly lower",
        Decision.NOT_SHOWN: "not significant",
        Decision.NOT_CLAIMED: f"no significance is claimed: {_why(judged)}",
        Decision.FEW_PATIENTS: f"fewer than {LEAST_PATIENTS} patients",
        Decision.NO_PAIRS: "no study has a value under both arms",
    }[judged.decision]


def covers_name(covers: Covers) -> str:
    """What an interval covers, for a cell of a table."""
    return {
        Covers.TRAINING_STUDIES: "test patients, training chance, choice of training studies",
        Covers.INDEPENDENT_NETWORKS: "test patients, training chance",
        Covers.THESE_NETWORKS: "test patients",
    }[covers]


def _whether(found: Headline) -> str:
    primary = found.endpoints.primary
    if primary is None:
        return _one_arm(found.learned)
    fine_tuning, metric = _fine_tuning(found.endpoints, primary.comparison), METRICS[primary.metric]
    cannot = f"these data cannot show whether {fine_tuning} helps"
    text = {
        Decision.HIGHER: f"{fine_tuning} helps: {metric} is significantly higher than after de novo training",
        Decision.LOWER: f"{fine_tuning} does harm: {metric} is significantly lower than after de novo training",
        Decision.NOT_SHOWN: f"{fine_tuning} is not shown to help: {metric} does not differ significantly from that of "
        "de novo training",
        Decision.NOT_CLAIMED: f"whether {fine_tuning} helps is left open: no significance is claimed for {metric}, as "
        f"{_why(primary)}",
        Decision.FEW_PATIENTS: f"{cannot}: {_tested(primary.patients)}, and a verdict needs {LEAST_PATIENTS}",
        Decision.NO_PAIRS: f"{cannot}: no study has a {metric} under both arms yet",
    }[primary.decision]
    places = ["post hoc"] if found.endpoints.declared is Declared.AFTERWARDS else []
    places += [stratum_name(primary.stratum)] if primary.stratum else []
    return f"{capital(': '.join([*places, text]))}."


def _one_arm(learned: Learning | None) -> str:
    if learned is None:
        return "These data cannot show whether fine-tuning helps: no network was trained on the labelled studies."
    if len(learned.arms) > 1:
        return "These data cannot show whether fine-tuning helps: no training size has both arms."
    arm = "fine-tuned" if learned.arms[0].fine_tuned else "de novo"
    return f"These data cannot show whether fine-tuning helps: all networks are {arm}."


def _how_much(found: Headline) -> str:
    primary = found.endpoints.primary
    if primary is None:
        return _of_one_arm(found.learned) if found.elsewhere is None else _best(found.elsewhere)
    if primary.difference is None:
        return f"There is no difference in {METRICS[primary.metric]} to estimate."
    ci = f"95 % CI {interval_text(primary.interval)}" if primary.interval else "no CI"
    change = _change(METRICS[primary.metric], primary.difference)
    return f"{_on_average(primary.sizes)} {change} ({ci}){_other_metric(found.endpoints)}."


def _other_metric(endpoints: Endpoints) -> str:
    """`; sensitivity does not differ significantly`: the secondary endpoint of the same comparison."""
    primary = endpoints.primary
    others = [
        one
        for one in endpoints.secondary
        if primary and one.metric in PRIMARY and one.metric != primary.metric and one.comparison == primary.comparison
    ]
    told = {
        Decision.HIGHER: "is significantly higher too",
        Decision.LOWER: "is significantly lower",
        Decision.NOT_SHOWN: "does not differ significantly",
    }
    if primary is not None and primary.decision is not Decision.HIGHER:
        told[Decision.HIGHER] = "is significantly higher"
    return "".join(f"; {METRICS[one.metric]} {told[one.decision]}" for one in others[:1] if one.decision in told)


def _of_one_arm(learned: Learning | None) -> str:
    points = [] if learned is None else learned.arms[0].points
    if learned is None or len(learned.arms) > 1 or not points:
        return "There is no difference between arms to estimate."
    last = points[-1]
    ci = f" (95 % CI {fixed(last.interval.low, 2)} to {fixed(last.interval.high, 2)})" if last.interval else ""
    size = count_of(last.training_size, "labelled study")
    stratum = stratum_name(learned.comparison.stratum)
    which = f" ({stratum})" if stratum else ""
    return f"With {size} their {METRICS[learned.metric]}{which} is {fixed(last.mean, _DIGITS)}{ci}."


def _best(best: Best) -> str:
    """`Of 3 models, nnU-Net has the highest mean PPV: 0.76, significantly above that of LST-AI.`"""
    summary = best.summary
    mean = f"Of {best.models} models, {model_name(summary.condition)} has the highest mean {METRICS[summary.metric]}"
    above = listed([model_name(model) for model in best.above]) if best.above else ""
    shown = f"significantly above that of {above}" if above else "not significantly above that of another"
    return f"{mean}: {fixed(summary.mean, _DIGITS)}, {shown}."


def _on_average(sizes: Sequence[int]) -> str:
    if len(sizes) == 1:
        return f"With {count_of(sizes[0], 'labelled study')}"
    several = f"{sizes[0]} to {sizes[-1]}" if len(sizes) > 2 else listed(sizes)
    return f"On average over {several} labelled studies"


def _change(metric: str, difference: float) -> str:
    """`PPV is 0.12 higher`, `PPV is 0.03 lower`, `the difference in PPV is 0.00`: as the table rounds it."""
    rounded = round(difference, _DIGITS)
    if not rounded:
        return f"the difference in {metric} is {fixed(0.0, _DIGITS)}"
    return f"{metric} is {fixed(abs(difference), _DIGITS)} {'lower' if rounded < 0 else 'higher'}"


def _fine_tuning(endpoints: Endpoints, comparison: ArmComparison) -> str:
    """`fine-tuning from glioma`, with what tells it from other ways of fine-tuning if there are several."""
    way, _ = comparison.ways
    every: list[Condition] = [model for one in endpoints.every for model in one.comparison.ways]
    choices = variant(way, every)
    source = f" from {way.source}" if way.source else ""
    return f"fine-tuning{source}" + (f" with {listed(choices)}" if choices else "")


def _tested(patients: int) -> str:
    return f"only {count_of(patients, 'patient')} {'was' if patients == 1 else 'were'} tested under both arms"


def _why(judged: Judgement) -> str:
    if isinstance(judged.why, MissingCells):
        return f"{judged.why.missing} of its {count_of(judged.why.planned, 'network')} have no results yet"
    return _WITHHELD.get(judged.why, "no method that holds can be fitted") if judged.why else ""


def _mean_of(metric: Metric) -> str:
    if metric not in FRACTIONS:
        return ""
    return f"{capital(METRICS[metric])} is the mean of the studies' own values, not a share of all lesions together."


def _difference_covers(primary: Judgement) -> str:
    who = "Interval of the difference: it covers which patients were tested"
    if primary.covers is Covers.TRAINING_STUDIES:
        return f"{who}, chance in training, and which studies were trained on, although folds share them."
    if primary.covers is Covers.INDEPENDENT_NETWORKS:
        return (
            f"{who} and chance in training. It takes the networks of different folds as independent: it is too narrow "
            "if it matters which training studies they share."
        )
    if primary.covers is Covers.THESE_NETWORKS:
        return f"{who}, for these very networks: another training may give another value."
    return ""


def _judged_by(primary: Judgement) -> str:
    if primary.p is None:
        return ""
    return (
        f"Significance is judged by a mixed model with training subset × arm ({p_equals(primary.p)}, "
        f"{count_of(primary.degrees or 0, 'degree of freedom', 'degrees of freedom')}). In simulations of the paper's "
        "designs without an effect it was wrong in at most 7 %, whether or not it mattered which studies folds share."
    )


def _declared(endpoints: Endpoints, metric: Metric) -> str:
    name = METRICS[metric]
    if endpoints.declared is Declared.BEFOREHAND:
        return f"The primary endpoint, {name}, is that of the experiment's first plan."
    if endpoints.declared is Declared.NEVER:
        which = ", as in the claim of the paper" if metric == DEFAULT_METRIC else ""
        which = f", as this one has no {METRICS[DEFAULT_METRIC]}" if endpoints.default_absent else which
        return f"A table declares no primary endpoint; {name} is taken{which}."
    first = endpoints.first
    other = f" {endpoint_name(first)}: {result(first)}." if first else ""
    return f"Post hoc: the experiment's first plan names another primary endpoint than the experiment file.{other}"


def _others(endpoints: Endpoints, primary: Judgement) -> str:
    ways = dict.fromkeys(one.comparison for one in endpoints.every)
    if len(ways) == 1:
        return ""
    return (
        f"The first of {len(ways)} comparisons leads: {comparison_name(primary.comparison)}"
        f"{', ' + stratum_name(primary.stratum) if primary.stratum else ''}. The others are secondary endpoints."
    )


def result(judged: Judgement) -> str:
    """What one endpoint shows: `+0.04 (95 % CI −0.01 to +0.09), p = 0.120 after Holm's correction: not significant`."""
    if judged.difference is None:
        return decision_name(judged)
    ci = f" (95 % CI {interval_text(judged.interval)})" if judged.interval else " (no CI)"
    p = "" if judged.p is None else f", {p_equals(judged.p)}"
    if judged.p_holm is not None:
        p = f", {p_equals(judged.p_holm)} after Holm's correction"
    return f"{signed(judged.difference, _DIGITS)}{ci}{p}: {decision_name(judged)}"


def interval_text(limits: Interval) -> str:
    """`−0.01 to +0.09`, as the sentences round it."""
    return interval(limits, _DIGITS)


def ruler(found: Headline) -> tuple[str, ...]:
    """Draw the primary difference as one line of text, for a screen; nothing without a difference."""
    primary = found.endpoints.primary
    if primary is None or primary.difference is None:
        return ()
    limits = primary.interval or Interval(primary.difference, primary.difference)
    reach = max(0.1, ceil(10 * max(abs(limits.low), abs(limits.high))) / 10)

    def place(value: float) -> int:
        return round((value / reach + 1) / 2 * (_RULER - 1))

    marks = ["."] * _RULER
    marks[place(0)] = "|"
    for at in range(place(limits.low), place(limits.high) + 1):
        marks[at] = "="
    marks[place(primary.difference)] = "o"
    line = "".join(marks)
    name = f"{METRICS[primary.metric]}, fine-tuned − de novo"
    foot = " " * (len(name) + 3 + len(signed(-reach, 1)) + place(0)) + "0"
    return f"{name}:  {signed(-reach, 1)} {line} {signed(reach, 1)}", foot
