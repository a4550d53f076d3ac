"""A performance table in; its columns of p values, and what one must know to read them, out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from lesionlab.analysis.methods.student import ALPHA
from lesionlab.analysis.sheets.sheet import NONE
from lesionlab.analysis.statistics.conditions import Metric
from lesionlab.analysis.statistics.sample_sizes import counted, n_text, span
from lesionlab.analysis.statistics.tables import (
    METRIC_TITLES,
    Line,
    Measure,
    PerformanceTable,
    mean_se,
    method_name,
    p_text,
    p_words,
    short_name,
)
from storage_schemas.results import EffectRow

EXPLAINED: tuple[Metric, ...] = ("sensitivity", "ppv")
"""The paper's metrics: the key is of these."""


@dataclass(frozen=True)
class Comparison:
    """What one column of p values compares its lines with."""

    title: str
    """`p default`, `p method`; `p method (DN, learning rate 0.001)` where there are several ways of de novo."""
    test: str
    of: Callable[[Measure], EffectRow | None]


def comparisons(table: PerformanceTable, metrics: Iterable[Metric]) -> tuple[Comparison, ...]:
    """Those of which the table has a test of one of these metrics."""
    measures = [line.measures[metric] for line in table.lines for metric in metrics]
    possible = (
        Comparison("p default", "unpaired t against the default model", lambda measure: measure.against_default),
        Comparison("p Grader 2", "unpaired t against Grader 2", lambda measure: measure.against_rater),
        *(_with_de_novo(table, way) for way in table.ways_de_novo),
    )
    return tuple(compared for compared in possible if any(compared.of(measure) for measure in measures))


def key_of(table: PerformanceTable, shown: Sequence[Comparison]) -> tuple[str, ...]:
    """What one must know to read sensitivity, PPV and the `shown` comparisons of a table, one sentence each."""
    measures = _measures(table.lines)
    tests = [(compared, [test for m in measures if (test := compared.of(m))]) for compared in shown]
    anovas = [effect for effect in table.anovas if effect.metric in EXPLAINED and effect.p is not None]
    cells = [mean_se(m.summary) for m in measures] + [p_text(test) for _, own in tests for test in own]
    return (
        f"Mean ± standard error over the tested studies ({_tested(table)}).{_names(table)}",
        *(_explained(table, compared, own) for compared, own in tests if own),
        *(_anova(effect) for effect in anovas),
        *[f"{NONE}: cannot be computed; the note of that comparison (effects.csv) says why."] * (NONE in cells),
    )


def _with_de_novo(table: PerformanceTable, way: str) -> Comparison:
    name = next(method_name(model, table.models) for model in table.models if model.model == way)
    return Comparison(
        "p method" if len(table.ways_de_novo) == 1 else f"p method ({name})",
        f"paired t, FT against {name} at the same N",
        lambda measure: measure.between_methods.get(way),
    )


def _explained(table: PerformanceTable, compared: Comparison, tests: Sequence[EffectRow]) -> str:
    """`p default: two-tailed unpaired t against the default model, over studies (n = 60 against 10); *: p ≤ …`."""
    positions = counted(tests[0], table.unit) == "positions"
    over = "test positions, each averaged over the folds" if positions else "studies"
    # Of trained models; how many studies an untrained one was tested on, the first sentence of the key says.
    n = n_text([test for test in tests if test.p is not None and test.training_size] or tests)
    m = span(test.family for test in tests)
    judged = f"*: p ≤ {ALPHA}/{m} (Bonferroni, m = {m})"
    return f"{compared.title}: two-tailed {compared.test}, over {over} (n = {n}); {judged}."


def _anova(effect: EffectRow) -> str:
    stratum = f" ({effect.stratum})" if effect.stratum else ""
    return (
        f"{METRIC_TITLES[effect.metric]}, repeated-measures ANOVA over all trained models{stratum}: "
        f"F = {effect.statistic:.2f}, {p_words(effect)} ({effect.note}; n = {effect.n} studies)."
    )


def _tested(table: PerformanceTable) -> str:
    """`n = 60; Default, Grader 2: n = 10`."""
    trained = [line for line in table.lines if line.condition.trained]
    untrained = [line for line in table.lines if not line.condition.trained]
    names = ", ".join(short_name(line.condition) for line in untrained)
    told = (("", trained), (f"{names}: ", untrained))
    return "; ".join(f"{about}n = {span(m.summary.n for m in _measures(lines))}" for about, lines in told if lines)


def _names(table: PerformanceTable) -> str:
    arms = {model.arm for model in table.models}
    names = ["FT: fine-tuned"] * ("fine-tuned" in arms) + ["DN: de novo"] * ("de-novo" in arms)
    return f" {', '.join([*names, 'N: labelled training studies'])}." if names else ""


def _measures(lines: Sequence[Line]) -> list[Measure]:
    return [line.measures[metric] for line in lines for metric in EXPLAINED]
