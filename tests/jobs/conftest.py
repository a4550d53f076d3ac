"""Call `lesionlab` as on the command line, in this process, with a separate store and cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from jobs.cli import app

Lesionlab = Callable[..., Result]


@pytest.fixture
def lesionlab(file_store_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lesionlab:
    """Call a command; exceptions that are not user errors are raised."""
    monkeypatch.setenv("LESIONLAB_STORE", file_store_uri)
    monkeypatch.setenv("LESIONLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: object) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)

    return call
