"""Everything that a report shows in; one self-contained HTML page out. The template holds the words that never vary."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lesionlab.analysis.conditions import method
from lesionlab.analysis.tables import mean_se, p_text, short_name
from storage_schemas.results import StudyRow


@dataclass(frozen=True)
class PageFigure:
    """A figure as it stands in the page; `kind` chooses its width there."""

    kind: str
    title: str
    caption: str
    inline: Markup


def inline_svg(svg: bytes, label: str) -> Markup:
    """The SVG element alone (no XML prologue), named for readers who do not see it."""
    text = svg.decode()
    element = text[text.index("<svg") :]
    return Markup(element.replace("<svg", Markup('<svg role="img" aria-label="{}"').format(label), 1))


def inline_png(png: bytes, label: str) -> Markup:
    """The picture inside the page."""
    return Markup('<img alt="{}" src="data:image/png;base64,{}">').format(label, b64encode(png).decode())


def page(content: Mapping[str, Any]) -> str:
    """The page. Raises jinja2.UndefinedError where the content lacks something."""
    return _environment().get_template("report.html.j2").render(content)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("lesionlab.analysis"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "fixed": _fixed,
        "signed": lambda value: "–" if value is None else f"{value:+.3f}".replace("-", "−"),
        "probability": lambda p: "–" if p is None else "<0.001" if p < 0.0005 else f"{p:.3f}",
        "or_dash": lambda value: "–" if value is None else value,
        "model_name": _model_name,
        "mean_se": mean_se,
        "p_text": p_text,
        "short_name": short_name,
    }
    return environment


def _fixed(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "−")


def _model_name(row: StudyRow) -> str:
    return method(row.arm, row.source)
