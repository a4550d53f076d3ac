"""How numbers are written. A dash stands for what is undefined, a true minus sign for negative numbers."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite

from lesionlab.analysis.methods.intervals import Interval
from lesionlab.analysis.statistics.effects import Effect
from lesionlab.analysis.statistics.summary import Summary

NONE = "–"
"""For an empty cell."""


def fixed(value: float | None, digits: int) -> str:
    """`0.25`, `−1.50`."""
    return NONE if value is None else _minus(f"{value:.{digits}f}")


def signed(value: float | None, digits: int = 3) -> str:
    """`+0.125`, `−0.125`; what rounds to zero is `+0.000`."""
    return NONE if value is None else _minus(f"{round(value, digits) + 0.0:+.{digits}f}")


def limit(value: float, digits: int = 3) -> str:
    """A limit of an interval of a difference: `+0.120`; −0.0002 is `−0.000`, since its side of 0 matters."""
    return _minus(f"{value:+.{digits}f}")


def interval(limits: Interval | None, digits: int = 3) -> str:
    """`−0.010 to +0.120`."""
    return NONE if limits is None else f"{limit(limits.low, digits)} to {limit(limits.high, digits)}"


def whole_number(amount: float) -> str:
    """`21`, `−3`; infinity is `no bound`."""
    return _minus(str(round(amount))) if isfinite(amount) else "no bound"


def or_dash(value: object) -> str:
    """Write a value as it is; numbers without needless digits."""
    if value is None:
        return NONE
    return f"{value:g}" if isinstance(value, float) else str(value)


def probability(p: float | None) -> str:
    """`0.003`, `<0.001`."""
    return NONE if p is None else "<0.001" if p < 0.0005 else f"{p:.3f}"


def starred(effect: Effect | None) -> str:
    """`0.003*`, `<0.001*`, `0.614`; a dash where the test has no p; empty without a test."""
    if effect is None:
        return ""
    return probability(effect.p) + "*" * effect.significant


def p_equals(p: float) -> str:
    """`p = 0.003`, `p < 0.001`."""
    return "p < 0.001" if p < 0.0005 else f"p = {p:.3f}"


def mean_se(summary: Summary) -> str:
    """`0.55 ± 0.02`, as in the paper; a dash where there is nothing to average."""
    if summary.mean is None:
        return NONE
    return f"{summary.mean:.2f}" if summary.se is None else f"{summary.mean:.2f} ± {summary.se:.2f}"


def mean_se_n(summary: Summary) -> str:
    """`0.55 ± 0.02 (n = 8)` where the metric is undefined in some studies."""
    return mean_se(summary) + (f" (n = {summary.n})" if summary.undefined else "")


def count_of(number: int, thing: str, plural: str = "") -> str:
    """`1 study`, `8 studies`, `2 patients`."""
    many = plural or (f"{thing.removesuffix('y')}ies" if thing.endswith("y") else f"{thing}s")
    return f"1 {thing}" if number == 1 else f"{number} {many}"


def percent(share: float, digits: int = 0) -> str:
    """`35 %`, `5.3 %`."""
    return f"{share:.{digits}%}".replace("%", " %")


def span(numbers: Iterable[int]) -> str:
    """`60`; `52 to 60` where they differ."""
    low, *others = sorted(set(numbers))
    return f"{low} to {others[-1]}" if others else str(low)


def n_of(effects: Iterable[Effect]) -> str:
    """The n of tests: `60`, `60 versus 10`; `52 to 60` where they differ."""
    pairs = [(effect.n, effect.n if effect.n_other is None else effect.n_other) for effect in effects]
    first, other = (span(numbers) for numbers in zip(*pairs, strict=True))
    return first if first == other else f"{first} versus {other}"


def listed(names: Iterable[object], last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    *most, end = map(str, names)
    return f"{', '.join(most)} {last} {end}" if most else end


def capital(text: str) -> str:
    """Capitalise the first letter alone, so that names keep theirs."""
    return text[:1].upper() + text[1:]


def _minus(text: str) -> str:
    return text.replace("-", "−")
