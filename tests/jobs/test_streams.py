"""A command prints to any terminal, file or pipe, or says in one line why it cannot."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.shared.streams import AS_ASCII, Output


def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    given = {"stderr": subprocess.PIPE, "env": os.environ | {"PYTHONIOENCODING": "ascii", "COLUMNS": "200"}} | options
    return subprocess.run([sys.executable, "-m", "jobs.cli", *arguments], **given)  # type: ignore[call-overload]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_sign_that_the_terminal_lacks_is_written_as_a_similar_one(encoding: str) -> None:
    terminal = Output(io.BytesIO(), encoding)
    terminal.write("0.5 ± 0.1 mm³, – 3 × 2 ≥ 1 脑\udcff")
    terminal.flush()
    assert (
        terminal.buffer.getvalue().decode(encoding)
        == {  # type: ignore[attr-defined]
            "ascii": "0.5 +- 0.1 mm3, - 3 x 2 >= 1 ??",
            "latin-1": "0.5 ± 0.1 mm³, - 3 × 2 >= 1 ??",
            "utf-8": "0.5 ± 0.1 mm³, – 3 × 2 ≥ 1 脑?",
        }[encoding]
    )


def test_every_replacement_is_ascii() -> None:
    assert "".join(AS_ASCII.values()).isascii()


def test_an_ascii_terminal_gets_the_whole_output(tmp_path: Path) -> None:
    result = run("plan", "demo", stdout=subprocess.PIPE)
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout.isascii()
    assert b"\n12 trainings\n" in result.stdout
    assert result.stdout.endswith(b"(--sd NAME=VALUE)\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", [("plan", "demo"), ("--help",)], ids=" ".join)
def test_a_full_disk_behind_the_output_is_one_line(arguments: tuple[str, ...]) -> None:
    with Path("/dev/full").open("wb") as full:
        result = run(*arguments, stdout=full)
    assert result.returncode == 1
    assert result.stderr == (
        b"error: standard output: cannot be written (No space left on device); write to another place\n"
    )


def test_a_closed_pipe_ends_a_command_silently() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    result = run("plan", "demo", stdout=writing)
    os.close(writing)
    assert (result.returncode, result.stderr) == (1, b"")


def test_a_terminal_of_unknown_width_gets_every_line() -> None:
    code = "from jobs.shared.console import console, notes; console.print('[1]'); notes.print('error: no')"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, env=os.environ | {"COLUMNS": "0"})
    assert (result.stdout, result.stderr) == (b"[1]\n", b"error: no\n")


def test_a_current_folder_that_was_removed_is_one_line(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    called = f"rmdir {gone}; exec {sys.executable} -m jobs.cli models"
    result = subprocess.run(
        ["sh", "-c", called],
        cwd=gone,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "error: the current folder was removed; change to another folder\n"
