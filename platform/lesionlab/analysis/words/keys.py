"""Keys of the paper's tables: titles of their columns of p values, and what one must know to read them."""

from __future__ import annotations

from collections.abc import Sequence

from lesionlab.analysis.methods.student import ALPHA
from lesionlab.analysis.statistics.conditions import Condition
from lesionlab.analysis.statistics.effects import Effect
from lesionlab.analysis.statistics.tables import Against, Line, Measure, PColumn, PerformanceTable
from lesionlab.analysis.words.answer import counted
from lesionlab.analysis.words.models import METRICS, RATER, effect_name, in_stratum, short_name, short_name_among
from lesionlab.analysis.words.numbers import NONE, capital, listed, mean_se, n_of, p_equals, span, starred
from lesionlab.analysis.words.reasons import note
from storage_schemas.metrics import PRIMARY

STUDIES_WEIGH_ALIKE = (
    "Each study counts equally, whatever its number of lesions: a mean of 0.60 is not 60 % of all lesions. The "
    "standard error treats studies as independent, although those of a fold were tested with the same network."
)


def column_title(column: PColumn, table: PerformanceTable) -> str:
    """`p default`, `p Grader 2`, `p method`; `p method (DN, learning rate 0.001)` with several ways of de novo."""
    if column.model is not None:
        return f"p {_other(column.model)}"
    if column.way is None:
        return "p default" if column.against is Against.DEFAULT else f"p {RATER}"
    return "p method" if len(table.ways_de_novo) == 1 else f"p method ({_de_novo(column, table)})"


def key_of(table: PerformanceTable, shown: Sequence[PColumn]) -> tuple[str, ...]:
    """Explain sensitivity, PPV and the `shown` columns of p values of a table, one sentence each."""
    measures = _measures(table.lines)
    tests = [(column, [test for m in measures if (test := column.test_of(m))]) for column in shown]
    anovas = [effect for effect in table.anovas if effect.metric in PRIMARY]
    cells = [mean_se(m.summary) for m in measures] + [starred(test) for _, own in tests for test in own]
    return (
        f"Mean ± standard error over the tested studies ({_tested(table)}).{_names(table)}",
        *(_explained(table, column, own) for column, own in tests if own),
        *(_anova(effect, effect.p) for effect in anovas if effect.p is not None),
        *[f"{NONE}: cannot be computed; the note of that comparison in effects.csv says why."] * (NONE in cells),
        STUDIES_WEIGH_ALIKE,
    )


def _explained(table: PerformanceTable, column: PColumn, tests: Sequence[Effect]) -> str:
    """`p default: two-tailed unpaired t test versus the default model, over studies (n = 60 versus 10); *: p ≤ …`."""
    positions = counted(tests[0], table.unit) == "positions"
    over = "test positions, each averaged over the folds" if positions else "studies"
    # Of trained models; the first sentence of the key gives the number of studies of untrained ones.
    n = n_of([test for test in tests if test.p is not None and test.training_size] or tests)
    m = span(test.family for test in tests)
    title = column_title(column, table)
    judged = f"*: p ≤ {ALPHA}/{m} (Bonferroni, m = {m})"
    return f"{title}: two-tailed {_test(column, table)}, over {over} (n = {n}); {judged}."


def _test(column: PColumn, table: PerformanceTable) -> str:
    if column.model is not None:
        return f"paired t test versus {_other(column.model)}"
    if column.way is not None:
        return f"paired t test, FT versus {_de_novo(column, table)} at the same N"
    return f"unpaired t test versus {'the default model' if column.against is Against.DEFAULT else RATER}"


def _de_novo(column: PColumn, table: PerformanceTable) -> str:
    """`DN`; with what tells this way from the others."""
    return next(short_name_among(model, table.models) for model in table.models if model.way == column.way)


def _other(model: Condition) -> str:
    """`nnU-Net`, `nnU-Net 20`."""
    return f"{short_name(model)} {model.training_size}" if model.training_size else short_name(model)


def _anova(effect: Effect, p: float) -> str:
    about = f"{capital(METRICS[effect.metric])}, repeated-measures ANOVA over {effect_name(effect)}"
    found = f"F = {effect.statistic:.2f}, {p_equals(p)} ({note(effect)}; n = {effect.n} studies)"
    return f"{about}{in_stratum(effect.stratum)}: {found}."


def _tested(table: PerformanceTable) -> str:
    """`n = 60; Default and Grader 2: n = 10`."""
    alike: dict[str, list[str]] = {}
    for line in table.lines:
        if not line.condition.trained:
            alike.setdefault(_n([line]), []).append(short_name(line.condition))
    trained = [line for line in table.lines if line.condition.trained]
    return "; ".join([*([_n(trained)] if trained else []), *(f"{listed(names)}: {n}" for n, names in alike.items())])


def _n(lines: Sequence[Line]) -> str:
    return f"n = {span(measure.summary.n for measure in _measures(lines))}"


def _names(table: PerformanceTable) -> str:
    arms = {model.arm for model in table.models}
    names = ["FT: fine-tuned"] * ("fine-tuned" in arms) + ["DN: de novo"] * ("de-novo" in arms)
    return f" {'; '.join([*names, 'N: labelled training studies'])}." if names else ""


def _measures(lines: Sequence[Line]) -> list[Measure]:
    return [line.measures[metric] for line in lines for metric in PRIMARY]
