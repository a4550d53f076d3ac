"""Render one self-contained HTML page. The templates hold the layout; all wording comes from words."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from lesionlab.analysis.sheets.sheet import Sheet, as_html
from lesionlab.analysis.words import pages as words
from lesionlab.analysis.words.models import model_title
from lesionlab.analysis.words.numbers import fixed

Template = Literal["report.html.j2", "study.html.j2", "table.html.j2", "shared.html.j2", "model.html.j2"]


@dataclass(frozen=True)
class PageFigure:
    """A figure in the page; `kind` chooses its width there."""

    kind: str
    title: str
    caption: str
    inline: Markup


def inline_svg(svg: bytes, label: str) -> Markup:
    """Return the SVG element alone (no XML prologue), labelled for readers who cannot see it."""
    text = svg.decode()
    element = text[text.index("<svg") :]
    return Markup(element.replace("<svg", Markup('<svg role="img" aria-label="{}"').format(label), 1))


def inline_png(png: bytes, label: str) -> Markup:
    """Return the image as a data URI, labelled for readers who cannot see it."""
    return Markup('<img alt="{}" src="data:image/png;base64,{}">').format(label, b64encode(png).decode())


def page(template: Template, content: Mapping[str, Any]) -> str:
    """Render the page. Raises jinja2.UndefinedError if the content lacks something."""
    return _environment().get_template(template).render(content)


def prose(text: str) -> Markup:
    """Escape a text and show what stands between backticks as code."""
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(text))))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("lesionlab.analysis.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"fixed": fixed, "model": model_title, "prose": prose, "sheet": _sheet}
    environment.globals["words"] = words
    return environment


def _sheet(sheet: Sheet) -> Markup:
    return Markup(as_html(sheet))
