"""What a design can show, in sentences and table cells."""

from __future__ import annotations

from collections.abc import Iterable

from lesionlab.analysis.methods.mixed import NotFitted
from lesionlab.analysis.methods.power import COUNTED, MOST_SEEDS, POWER
from lesionlab.analysis.statistics.power import MetricPower, Need, NoPower, Power, Sds
from lesionlab.analysis.words.models import METRICS
from lesionlab.analysis.words.numbers import capital, count_of, listed
from lesionlab.analysis.words.tables import NOT_FITTED, RANDOM_EFFECTS

TITLE = f"Smallest true difference, fine-tuned − de novo, that is shown with {POWER:.0%} power"

ASK = (
    "power: what this design can show follows from SDs; give those of an earlier experiment (--variances EXPERIMENT or "
    "TABLE.csv) or your own (--sd NAME=VALUE)"
)

_NO_POWER: dict[NoPower, str] = {
    NoPower.ONE_ARM: "the experiment does not train both arms",
    NoPower.NO_ROTATION: "the test is defined for rotations only",
}

_REMEDY: dict[str, str] = {
    "patient_fine_tuned": "more patients would help",
    "subset_fine_tuned": "more training subsets (folds) would help",
    "network": "more folds would help",
    "residual": "more patients would help",
}


def no_power(why: NoPower | NotFitted) -> str:
    """Why there is nothing to compute."""
    return f"power: not computed: {_NO_POWER[why] if isinstance(why, NoPower) else NOT_FITTED[why]}"


def about(power: Power) -> str:
    """The test, and the design that it is computed for."""
    sizes = listed(power.rotation.training_sizes)
    return (
        "power of the test of fine-tuned − de novo, averaged over training sizes "
        f"{sizes} (mixed model with training subset × arm, two-tailed 5 %): "
        f"{count_of(power.rotation.patients, 'study')}, {count_of(len(power.rotation.folds), 'fold')}, "
        f"{count_of(power.seeds, 'seed')}"
    )


def lines(power: Power) -> Iterable[str]:
    """For each metric the SDs, what the design can show, and what a target difference needs."""
    for metric in power.metrics:
        yield (
            f"{capital(METRICS[metric.metric])}: differences from {metric.now.smallest_difference():.3f} are shown "
            f"with {POWER:.0%} power. {_shares(metric)}. SDs: {sds(metric.sd)}."
        )
        if metric.need is not None:
            yield f"{capital(METRICS[metric.metric])}: {need(metric.need)}"
    if not all(value for metric in power.metrics for value in metric.sd.values()):
        yield "An SD that was estimated as 0 may be larger: an experiment with few folds knows it poorly."


def sds(sd: Sds) -> str:
    """`patient × arm 0.050, training subset × arm 0.000, network 0.056, residual 0.104`."""
    return ", ".join(f"{RANDOM_EFFECTS[name]} {sd[name]:.3f}" for name in COUNTED)


def need(one: Need) -> str:
    """How many seeds the difference needs, or why no number suffices."""
    if one.seeds is not None:
        return f"a difference of {one.difference:g} needs {count_of(one.seeds, 'seed')}."
    return (
        f"no number of seeds suffices for a difference of {one.difference:g}: even with {MOST_SEEDS}, the smallest is "
        f"{one.floor:.3f}. {capital(RANDOM_EFFECTS[one.limit])} limits it; {_REMEDY[one.limit]}."
    )


def _shares(metric: MetricPower) -> str:
    parts = sorted(metric.share.items(), key=lambda part: -part[1])
    named = (f"{RANDOM_EFFECTS[name]} {share:.0%}" for name, share in parts if share >= 0.005)
    return f"Its variance: {', '.join(named)}"
