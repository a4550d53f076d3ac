"""Render the decision page of each model, with the figures of its self-gradings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lesionlab.analysis.figures.detection_curves import detection_figure
from lesionlab.analysis.figures.drawing import as_png, as_svg
from lesionlab.analysis.model_evidence import ModelEvidence, RuleEvidence
from lesionlab.analysis.pages.page import PageFigure, inline_svg, page
from lesionlab.analysis.sheets.governance_tables import (
    cell_sheet,
    condition_sheet,
    history_sheet,
    looks_sheet,
    part_sheet,
    shift_sheet,
)
from lesionlab.analysis.words import governance as words


@dataclass(frozen=True)
class ModelPage:
    """One page, its first sentence, and its files by path."""

    name: str
    told: str
    files: dict[str, bytes]

    @property
    def file(self) -> str:
        """Name of the page."""
        return f"{self.name}.html"


def model_pages(title: str, models: Iterable[ModelEvidence]) -> tuple[ModelPage, ...]:
    """One page for each model, of the report of the experiment with this title."""
    return tuple(_model_page(title, one) for one in models)


def _model_page(title: str, one: ModelEvidence) -> ModelPage:
    figures: dict[str, bytes] = {}
    gradings: list[dict[str, Any]] = []
    for grading in one.gradings:
        name = f"detection-{grading.model.replace('@', '-')}-{grading.cohort}"
        figure, caption = detection_figure(grading), words.caption(grading)
        svg = as_svg(figure, name)
        figures |= {f"figures/{name}.svg": svg, f"figures/{name}.png": as_png(figure)}
        shown = PageFigure("bars", caption.title, caption.text, inline_svg(svg, caption.label))
        sheets = (cell_sheet(grading), part_sheet(grading))
        gradings.append({"told": words.graded(grading), "figure": shown, "sheets": sheets})
    content = {
        "model": one.name,
        "title": title,
        "says": words,
        "in_use": words.in_use(one),
        "decisions": (
            *(condition_sheet(newest, newest.gate) for newest in one.decisions[:1] if newest.gate),
            *((history_sheet(one),) if one.decisions else ()),
        ),
        "rules": [_rule(rule) for rule in one.rules],
        "lineage": [line for own in one.lineage.generations for line in words.generation(own)] if one.lineage else [],
        "unknown": one.lineage.unknown if one.lineage else "",
        "gradings": gradings,
    }
    html = page("model.html.j2", content).encode()
    return ModelPage(one.name, words.in_use(one), {f"models/{one.name}.html": html} | figures)


def _rule(one: RuleEvidence) -> dict[str, Any]:
    return {
        "about": words.rule_about(one),
        "conditions": [words.condition(condition) for condition in one.rule.conditions],
        "risk": words.risk(one),
        "looks": None if one.looks is None else looks_sheet(one),
        "power": words.power(one),
        "drift": words.drift(one.retraining, one.compared),
        "shifts": shift_sheet(one.compared) if one.compared else None,
    }
