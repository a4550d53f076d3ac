"""A number in; how the report writes it out. A dash stands for what is undefined."""

from __future__ import annotations

from lesionlab.analysis.sheets.sheet import NONE


def fixed(value: float | None, digits: int) -> str:
    """`0.25`, `−1.50`."""
    return NONE if value is None else f"{value:.{digits}f}".replace("-", "−")


def signed(value: float | None) -> str:
    """`+0.125`, `−0.125`."""
    return NONE if value is None else f"{value:+.3f}".replace("-", "−")


def probability(p: float | None) -> str:
    """`0.003`, `<0.001`."""
    return NONE if p is None else "<0.001" if p < 0.0005 else f"{p:.3f}"


def or_dash(value: object) -> str:
    """As it is; numbers without needless digits."""
    if value is None:
        return NONE
    return f"{value:g}" if isinstance(value, float) else str(value)
