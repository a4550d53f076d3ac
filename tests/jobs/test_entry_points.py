"""A command that is told to end gives back what it holds, says how to go on, and ends with the signal's code."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest
import typer

from jobs.shared.entry_points import FAILED, NO, WRONGLY_CALLED, answer_no, with_error_messages
from lesionlab.errors import InputError
from tests.jobs.conftest import Lesionlab


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


def test_a_no_is_told_from_a_failure_and_from_a_wrong_call(
    lesionlab: Lesionlab, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails() -> None:
        raise InputError("file is missing", "file is empty")

    def says_no() -> None:
        answer_no("it did not pass", "the champion stays")

    for command, code, told in (
        (fails, FAILED, ["error: file is missing", "error: file is empty"]),
        (says_no, NO, ["no: it did not pass", "no: the champion stays"]),
    ):
        with pytest.raises(typer.Exit) as ended:
            with_error_messages(command)()
        assert (ended.value.exit_code, capsys.readouterr().err.splitlines()) == (code, told)
    assert lesionlab("verify", "--no-such-option").exit_code == WRONGLY_CALLED
    assert len({0, FAILED, WRONGLY_CALLED, NO}) == 4


def test_every_exit_code_is_in_the_manual() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "exit-codes.md").read_text()
    codes = re.findall(r"^\| (\d.*?) \|", page, re.MULTILINE)
    assert codes == ["0", str(FAILED), str(WRONGLY_CALLED), str(NO), "130, 143"]
    for module in sorted((Path(__file__).parents[2] / "jobs").glob("*.py")):
        assert ("answer_no(" in module.read_text()) <= (f"`{module.stem}" in page), module.name


def test_a_command_that_wrote_nothing_leaves_no_folder_behind(lesionlab: Lesionlab, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for store in (tmp_path / "new" / "store", tmp_path / "there" / "store"):
        assert lesionlab("preprocess", tmp_path / "none", "--cohort", "ms", "--store", store).exit_code == FAILED
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    assert not list((tmp_path / "there").iterdir())
