"""Numbers as they are written."""

from __future__ import annotations

import pytest

from lesionlab.analysis.methods.intervals import Interval
from lesionlab.analysis.words.numbers import interval, signed


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (-0.0001607, 0.1744272, "−0.000 to +0.174"),
        (0.0001607, 0.1744272, "+0.000 to +0.174"),
        (-0.0237, -0.0002, "−0.024 to −0.000"),
    ],
)
def test_the_limits_of_an_interval_keep_their_side_of_zero(low: float, high: float, text: str) -> None:
    assert interval(Interval(low, high)) == text


def test_a_difference_that_rounds_to_zero_has_no_side() -> None:
    assert signed(-0.0002) == signed(0.0002) == "+0.000"
