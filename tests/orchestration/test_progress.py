"""The time left is estimated from the work alone, not from what came before its first step."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from lesionlab.orchestration import progress
from lesionlab.orchestration.progress import SweepCell, SweepProgress, Watch


def test_start_up_does_not_count_in_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now[0]))
    told: list[SweepProgress] = []
    watch = Watch([SweepCell("a", {}, 1.0), SweepCell("b", {}, 1.0)], told.append)

    def report(at_s: float, step: int) -> float | None:
        now[0] = at_s
        watch.result("a", {"step": step, "steps": 100, "loss": 0.5})
        return told[-1].remaining_s

    watch.start("a")
    assert report(300, 10) is None
    assert report(310, 20) == pytest.approx(180)
    assert report(320, 30) == pytest.approx(170)
    now[0] = 390
    watch.end("a")
    assert told[-1].remaining_s == pytest.approx(100)
    assert told[-1].elapsed_s == 390
