"""The remaining time is that of the work, without the start-up before it."""

import re
import time

import pytest

from jobs.shared.progress import steps


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in seconds, to be set."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def left(text: str) -> list[str]:
    return re.findall(r"about (\S+) left", text)


def test_the_remaining_time_is_that_of_the_work_so_far(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with steps("verifying") as step:
        step(0, 4, "")
        clock[0] += 10
        step(1, 4, "sub-1")
    assert left(capsys.readouterr().err) == ["0:30"]


def test_start_up_is_not_work(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with steps("verifying") as step:
        step(0, 4, "")
        clock[0] += 60
        step(0, 4, "")
        clock[0] += 10
        step(1, 4, "sub-1")
        clock[0] += 10
        step(2, 4, "sub-2")
    said = capsys.readouterr().err
    assert left(said) == ["0:30", "0:20"]
    assert "[1:20" in said, "the time that has passed has the start-up in it"


def test_a_log_has_a_line_for_each_twentieth_of_many_objects(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with steps("checking") as step:
        for number in range(2001):
            step(number, 2000, "")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 21
    assert lines[-1].startswith("checking: 2000/2000")
