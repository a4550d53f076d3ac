"""A matplotlib Figure in; SVG or PNG bytes out, the same bytes for the same figure. Also the look that figures share.

No pyplot: it keeps figures in a global state and wants a display.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from storage_schemas.results import Arm

TEXT_POINTS = 9
PNG_DOTS_PER_INCH = 200

INK = "#222222"

FILL: dict[Arm, str] = {"default": "#8fbf8f", "grader": "#f08c2e", "fine-tuned": "#5b8db8", "de-novo": "#f6dcc0"}
"""Apart in grey by their hatches, and by their tone."""
HATCH: dict[Arm, str] = {"default": "", "grader": "xxx", "fine-tuned": "///", "de-novo": "..."}
HATCH_INK: dict[Arm, str] = {"default": "#3f6b3f", "grader": "#7a3d00", "fine-tuned": "#1f4e79", "de-novo": "#9a5b1e"}
LINE_STYLE: dict[Arm, str] = {"default": ":", "grader": "-.", "fine-tuned": "-", "de-novo": "--"}
MARKER: dict[Arm, str] = {"default": "s", "grader": "D", "fine-tuned": "o", "de-novo": "^"}


def new_figure(width_in: float, height_in: float) -> Figure:
    """An empty figure whose parts make room for each other."""
    return Figure(figsize=(width_in, height_in), layout=ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0.01))


def quiet_axes(axes: Axes) -> None:
    """No box, thin horizontal lines behind the data, small numbers."""
    axes.tick_params(axis="y", labelsize=TEXT_POINTS)
    axes.grid(axis="y", color="#e3e3e3", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def as_svg(figure: Figure, name: str) -> bytes:
    """SVG with its text as outlines, so that it looks the same everywhere; `name` keeps ids of two figures apart."""
    with matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "path"}):
        return _saved(figure, format="svg", metadata={"Date": None, "Creator": None})


def as_png(figure: Figure) -> bytes:
    """PNG at 200 dots per inch."""
    return _saved(figure, format="png", dpi=PNG_DOTS_PER_INCH, metadata={"Software": None})


def _saved(figure: Figure, **options: Any) -> bytes:
    data = BytesIO()
    figure.savefig(data, **options)
    # Its parts have found their places, which hold for the other format too.
    figure.set_layout_engine("none")
    return data.getvalue()
