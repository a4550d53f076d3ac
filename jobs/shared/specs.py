"""The built-in experiment files, and how a command finds an experiment file by name or path."""

from __future__ import annotations

from pathlib import Path

from lesionlab.errors import SpecError
from lesionlab.experiments.spec_files import read_spec
from storage_schemas.experiments import ExperimentSpec

SPECS = {file.stem: file for file in sorted((Path(__file__).parents[1] / "specs").rglob("*.yaml"))}
"""The built-in experiment files by name."""


def load_spec(name: str) -> ExperimentSpec:
    """Read a built-in experiment file by name, or another one by path.

    Raises SpecError where there is no such file, or with every fault in it.
    """
    path = SPECS.get(name, Path(name))
    if not path.is_file() or path.suffix not in {".yaml", ".yml"}:
        found = "found no YAML file" if path.exists() else "not found"
        raise SpecError(
            f"experiment file {name}: {found}; give a path to one, or one of the built-in: {', '.join(SPECS)}"
        )
    return read_spec(path)
