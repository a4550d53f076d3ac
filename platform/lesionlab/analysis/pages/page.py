"""Everything that a page shows in; one self-contained HTML page out. The templates hold the words that never vary."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lesionlab.analysis.sheets.numbers import fixed, or_dash
from lesionlab.analysis.sheets.sheet import Sheet, as_html

Template = Literal["report.html.j2", "study.html.j2", "table.html.j2"]


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


def page(template: Template, content: Mapping[str, Any]) -> str:
    """The page. Raises jinja2.UndefinedError where the content lacks something."""
    return _environment().get_template(template).render(content)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("lesionlab.analysis.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"fixed": fixed, "or_dash": or_dash, "sheet": _sheet}
    return environment


def _sheet(sheet: Sheet) -> Markup:
    return Markup(as_html(sheet))
