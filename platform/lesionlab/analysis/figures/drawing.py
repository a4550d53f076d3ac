"""Save figures as SVG or PNG with reproducible bytes, and define the look that figures share.

No pyplot: it keeps figures in global state and expects a display.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from lesionlab.analysis.statistics.conditions import Condition
from storage_schemas.axes import Arm

TEXT_POINTS = 9
PNG_DOTS_PER_INCH = 200

INK = "#222222"

FILL: dict[Arm, str] = {
    "default": "#8fbf8f",
    "rater": "#f08c2e",
    "other": "#a98bbd",
    "fine-tuned": "#5b8db8",
    "de-novo": "#f6dcc0",
}
"""Distinguishable in greyscale by tone and by hatch."""
HATCH: dict[Arm, str] = {"default": "", "rater": "xxx", "other": "++", "fine-tuned": "///", "de-novo": "..."}
HATCH_INK: dict[Arm, str] = {
    "default": "#3f6b3f",
    "rater": "#7a3d00",
    "other": "#5a3f70",
    "fine-tuned": "#1f4e79",
    "de-novo": "#9a5b1e",
}
LINE_STYLE: dict[Arm, str] = {"default": ":", "rater": "-.", "other": "-.", "fine-tuned": "-", "de-novo": "--"}
MARKER: dict[Arm, str] = {"default": "s", "rater": "D", "other": "v", "fine-tuned": "o", "de-novo": "^"}

_FURTHER_HATCHES = ("\\\\\\", "|||", "ooo", "---", "+++", "***")
_PALER = 0.55
"""Fraction of its colour that each further model of an arm keeps."""


@dataclass(frozen=True)
class Look:
    """The fill of one model's bars, distinct from all others of the figure in colour and in greyscale."""

    fill: str
    hatch: str
    ink: str

    @property
    def patch(self) -> dict[str, Any]:
        """Options of bars and of legend patches."""
        return {"facecolor": self.fill, "hatch": self.hatch, "edgecolor": self.ink, "linewidth": 0.8}


def looks(models: Iterable[Condition]) -> dict[Condition, Look]:
    """Assign a look to each model, the same at all its training sizes.

    The first of an arm has the arm's own look; each further one is paler and, up to six, has a hatch that no other
    model has.
    """
    found: dict[Condition, Look] = {}
    of_arm: Counter[Arm] = Counter()
    chosen = list(models)
    for way in dict.fromkeys(model.way for model in chosen):
        number, arm = of_arm[way.arm], way.arm
        further = len(found) - len(of_arm)
        hatch = _FURTHER_HATCHES[further % len(_FURTHER_HATCHES)] if number else HATCH[arm]
        found[way] = Look(_paler(FILL[arm], _PALER**number), hatch, HATCH_INK[arm])
        of_arm[arm] += 1
    return {model: found[model.way] for model in chosen}


def new_figure(width_in: float, height_in: float, apart: float = 0.01) -> Figure:
    """Create an empty figure with constrained layout, its panels `apart` by this fraction of a panel."""
    return Figure(figsize=(width_in, height_in), layout=ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=apart))


def quiet_axes(axes: Axes) -> None:
    """Style axes: no box, thin horizontal grid lines behind the data, small numbers."""
    axes.tick_params(axis="y", labelsize=TEXT_POINTS)
    axes.grid(axis="y", color="#e3e3e3", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def as_svg(figure: Figure, name: str) -> bytes:
    """Save as SVG with text as outlines, so that it looks the same everywhere; `name` keeps element ids unique."""
    with matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "path"}):
        return _saved(figure, format="svg", metadata={"Date": None, "Creator": None})


def as_png(figure: Figure) -> bytes:
    """Save as PNG at 200 dots per inch."""
    return _saved(figure, format="png", dpi=PNG_DOTS_PER_INCH, metadata={"Software": None})


def _paler(color: str, kept: float) -> str:
    """Mix a colour with white."""
    red, green, blue = (1 - kept * (1 - part) for part in to_rgb(color))
    return to_hex((red, green, blue))


def _saved(figure: Figure, **options: Any) -> bytes:
    data = BytesIO()
    figure.savefig(data, **options)
    # The layout is computed; the other format must use the same one.
    figure.set_layout_engine("none")
    return data.getvalue()
