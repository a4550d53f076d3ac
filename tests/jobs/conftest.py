"""Call `lesionlab` as on the command line, in this process, with a separate store and cache."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from jobs.cli import app
from tests.once import made_once

TINY = Path(__file__).with_name("tiny.yaml")

Lesionlab = Callable[..., Result]


@pytest.fixture(scope="session")
def finished_tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the tiny experiment has run, in one plain process; tests only add to its store."""
    own = tmp_path_factory.mktemp("tiny") / "own"
    shutil.copytree(made_once(tmp_path_factory, "tiny", _run_tiny), own)
    return own


def _run_tiny(folder: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "jobs.run", str(TINY), "--plain", "--save-predictions", str(folder / "masks")],
        cwd=folder,
        check=True,
        env=os.environ | {"XDG_CACHE_HOME": str(folder / "cache"), "OMP_NUM_THREADS": "1"},
    )


@pytest.fixture
def lesionlab(file_store_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lesionlab:
    """Call a command; exceptions that are not user errors are raised."""
    monkeypatch.setenv("LESIONLAB_STORE", file_store_uri)
    monkeypatch.setenv("LESIONLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: object) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)

    return call
