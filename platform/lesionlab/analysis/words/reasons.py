"""Why a test has no p, and what else a reader of one comparison must know."""

from __future__ import annotations

from lesionlab.analysis.methods.student import AnovaSize, Untestable
from lesionlab.analysis.statistics.effects import Effect, Lost, MissingCells
from lesionlab.analysis.words.numbers import count_of, p_equals

_UNTESTABLE: dict[Untestable, str] = {
    Untestable.NO_PAIR: "no paired studies",
    Untestable.ONE_PAIR: "one paired study only",
    Untestable.CONSTANT_DIFFERENCE: "the same difference in every pair: no variance",
    Untestable.EMPTY_GROUP: "a group without values",
    Untestable.ONE_VALUE: "a group with one value only",
    Untestable.CONSTANT_GROUPS: "all values of each group are equal: no variance",
    Untestable.MISSING_VALUE: "a study lacks a value under one of the models",
    Untestable.FEWER_THAN_TWO_MODELS: "fewer than two models to compare",
    Untestable.CONSTANT_CONTRASTS: "the same differences between the models in every study: no variance",
}


def note(effect: Effect) -> str:
    """Everything about one comparison that is not a number of its own column; often nothing."""
    parts = (untestable(effect), _anova(effect.anova), _missing(effect.missing))
    return "; ".join(part for part in parts if part)


def untestable(effect: Effect) -> str:
    """Why it has no p; empty if it has one."""
    if effect.untestable is None:
        return ""
    if effect.untestable is Untestable.FEWER_THAN_TWO_STUDIES:
        found = count_of(effect.n, "study")
        return f"{found} with a value under every model; at least two are needed"
    return _UNTESTABLE[effect.untestable]


def undefined_for(lost: Lost) -> str:
    """Which model's metric is undefined where fine-tuned and de novo have no pair of values."""
    counts = {"fine-tuned": lost.model, "de novo": lost.other, "both": lost.both}
    return "undefined " + ", ".join(f"for {arm} in {count}" for arm, count in counts.items() if count)


def _anova(size: AnovaSize | None) -> str:
    if size is None:
        return ""
    told = f"{size.models} models, {size.between} and {size.within} degrees of freedom"
    if size.p_corrected is None:
        return told
    return f"{told}; Greenhouse-Geisser ε = {size.epsilon:.2f}, corrected {p_equals(size.p_corrected)}"


def _missing(cells: MissingCells | None) -> str:
    return "" if cells is None else f"{cells.missing} of the {cells.planned} cells compared have no results yet"
