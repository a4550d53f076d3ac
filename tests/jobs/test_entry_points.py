"""A command that is told to end gives back what it holds, says how to go on, and ends with the signal's code."""

from __future__ import annotations

import os
import signal
import time

import pytest
import typer

from jobs.shared.entry_points import with_error_messages


@pytest.mark.parametrize(("told", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_and_sigterm_end_a_command_in_the_same_way(
    capsys: pytest.CaptureFixture[str], told: signal.Signals, code: int
) -> None:
    given_back: list[str] = []

    def command() -> None:
        try:
            os.kill(os.getpid(), told)
            time.sleep(10)
        finally:
            given_back.append("claim")

    interrupted = signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite in the background ignores it
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(typer.Exit) as ended:
            with_error_messages(command)()
    finally:
        signal.signal(signal.SIGINT, interrupted)
    assert ended.value.exit_code == code
    assert given_back == ["claim"]
    assert "run the same command again" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) == before
